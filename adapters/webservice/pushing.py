"""Rows as the elements that a service's contract asks for, column by column (推送报文)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree
from pydantic import Field, model_validator

from adapters.base import OPERATION, Binding, Options
from adapters.errors import Misconfigured
from adapters.webservice import xml
from adapters.webservice.contract import Element, Operation, repeated
from adapters.webservice.texts import texts

_COUNT = re.compile(r"[0-9]{1,18}")
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
# What XML 1.0 has no way to write, not even as a reference.
_UNSENDABLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x{FFFE}\x{FFFF}]"


class PushOptions(Options):
    """How rows are pushed to an operation: names of elements in its request and its reply.

    Attributes:
        row: Element of a row in the request, as a path below its body; without it the first that may repeat.
        entry: Where every item of a row is an element of one name: that, and the attribute with the item's name.
        message: Argument that takes the message's id. Without it a message that got no answer is not sent again at
            once, and the service cannot recognise one that comes twice.
        message_length: Characters that an id may have; a longer one is replaced by its SHA-256.
        arguments: Further arguments, always the same.
        rows: Rows of one message.
        operation: Element of a row that says what to do with it: ``put`` or ``delete``.
        put: The word for put.
        delete: The word for delete.
        deletion: Another operation with the same arguments that takes the rows to delete.
        accepted: Element of the reply with the number of rows that were taken.
        total: Element of the reply with the number of rows that were received, where it counts those.
        success: Element of the reply that says whether all went well.
        successes: Its values that mean yes.
        duplicate: Element of the reply that is true if the message came before; then its counts may be nought.
        refused: Element of the reply that repeats for each row that was not taken.
        refused_row: Element in it with the row's number in the message.
        refused_reason: Element in it that says why.
        refused_first: Number of a message's first row.
        chunked: The service takes messages without a length, so that they need not be held whole.
    """

    row: str | None = None
    entry: str | None = Field(None, pattern=r"^[^/@\[\]]+@[^/@\[\]]+$")
    message: str | None = None
    message_length: int = Field(128, ge=32, le=4096)
    arguments: dict[str, str] = Field(default_factory=dict)
    rows: int = Field(1000, ge=1, le=100_000)
    operation: str | None = None
    put: str = "U"
    delete: str = "D"
    deletion: str | None = None
    accepted: str | None = None
    total: str | None = None
    success: str | None = None
    successes: tuple[str, ...] = ("true", "1", "0", "OK", "ok", "success")
    duplicate: str | None = None
    refused: str | None = None
    refused_row: str = "row"
    refused_reason: str = "reason"
    refused_first: int = Field(1, ge=0, le=1)
    chunked: bool = False

    @model_validator(mode="after")
    def _coherent(self) -> PushOptions:
        if self.accepted is None and self.total is None and self.success is None:
            raise ValueError("accepted、total、success 至少写一个：不核对应答，就不知道行是否收下")
        if self.operation is not None and self.deletion is not None:
            raise ValueError("operation 和 deletion 只能用一种")
        return self

    def identity(self, message: str) -> str:
        """A message's id as this service takes it."""
        if len(message) <= self.message_length:
            return message
        return hashlib.sha256(message.encode()).hexdigest()[: self.message_length]


@dataclass(frozen=True)
class Written:
    """Rows written out.

    Attributes:
        rows: The rows that can be sent, as text.
        numbers: Their places among those that were to be written.
        refused: Place, rule and reason of the others.
    """

    rows: pa.Array
    numbers: list[int]
    refused: tuple[tuple[int, str, str], ...]


class RowWriter:
    """Writes rows and messages of one operation.

    Args:
        operation: What is called.
        binding: What the items are called there.
        options: How rows are pushed.

    Raises:
        Misconfigured: The contract has no place for rows; says what does not fit.
    """

    def __init__(self, operation: Operation, binding: Binding, options: PushOptions) -> None:
        if (operation.style, operation.use) != ("document", "literal"):
            raise Misconfigured(
                f"操作 {operation.name} 是 {operation.style}/{operation.use} 风格，只推送 document/literal",
                remedy="请接收方提供 document/literal 的操作",
            )
        self.operation = operation
        self._binding = binding
        self._options = options
        path, row = repeated(operation.request) if options.row is None else (options.row, None)
        row = row or operation.request.at(path)
        if not path or row is None:
            raise Misconfigured(
                f"操作 {operation.name} 的请求里没有可重复的行元素 {options.row or ''}".rstrip(),
                remedy="在挂接选项 row 中登记行元素的路径",
            )
        self._path, self._row = path, row
        namespaces = dict.fromkeys(each.namespace for each in _all(operation.request) if each.namespace)
        self._prefixes = {namespace: f"n{number}" for number, namespace in enumerate(namespaces)}

    def problems(self) -> list[str]:
        """Everything bound that the contract does not know, and everything it demands that is not bound, in words."""
        options, name = self._options, self.operation.name
        bound = {*self._binding.columns.values(), *self._binding.fixed, *filter(None, [options.operation])}
        found: list[str] = []
        if options.entry is None:
            known = dict(self._row.leaves())
            found += [f"操作 {name} 的行里没有元素 {each}" for each in sorted(bound - known.keys())]
            found += [
                f"操作 {name} 的行要有元素 {path}，没有挂接"
                for path, each in known.items()
                if path not in bound and not (each.optional or each.nillable) and not self._inside_optional(path)
            ]
        else:
            marks = [each for each in (options.operation,) if each is not None and each.startswith("@")]
            for each, path in ((options.entry, options.entry.replace("@", "/@")), *zip(marks, marks, strict=True)):
                if self._row.at(path) is None:
                    found.append(f"操作 {name} 的行里没有元素 {each}")
        given = {*options.arguments, *filter(None, [options.message])}
        found += [f"操作 {name} 没有参数 {each}" for each in sorted(given) if (self.operation.request.at(each) is None)]
        found += [
            f"操作 {name} 要有参数 {path}，没有登记"
            for path, each in self.operation.request.leaves()
            if path not in given
            and not path.startswith(f"{self._path}/")
            and not (each.optional or each.nillable or "/" in path or path.startswith("@"))
        ]
        return found

    def _inside_optional(self, path: str) -> bool:
        outer = path.rpartition("/")[0]
        element = self._row.at(outer) if outer else None
        return element is not None and element.optional

    # --- rows -----------------------------------------------------------------------------------

    def written(self, batch: pa.RecordBatch, *, deletion: bool) -> Written:
        """Rows of one operation as elements; those that cannot be written are refused, each for itself."""
        options = self._options
        columns: dict[str, pa.Array] = {}
        fit = pa.repeat(pa.scalar(value=True), batch.num_rows)
        refused: dict[int, tuple[str, str]] = {}
        for item, name in self._binding.columns.items():
            if item not in batch.schema.names:
                continue
            element = self._row.at(name) if options.entry is None else None
            column = texts(batch.column(item), hexadecimal=element is not None and element.declared == "hexBinary")
            unfit = pc.fill_null(pc.match_substring_regex(column, _UNSENDABLE), fill_value=False)
            fit = self._mark(unfit, fit, refused, "characters", f"信息项 {item} 有 XML 不能携带的字符")
            if element is not None and not (element.optional or element.nillable) and not deletion:
                fit = self._mark(pc.is_null(column), fit, refused, "null", f"信息项 {item} 为空，而目标服务要求有值")
            columns[name] = column
        for name, value in self._binding.fixed.items():
            columns[name] = pa.repeat(value, batch.num_rows)
        if options.operation is not None:
            columns[options.operation] = pa.repeat(options.delete if deletion else options.put, batch.num_rows)
        columns = {name: column.filter(fit) for name, column in columns.items()}
        numbers = pc.indices_nonzero(fit).to_pylist()
        rows = self._joined(self._parts(columns, len(numbers)), len(numbers))
        return Written(rows, numbers, tuple((place, *why) for place, why in sorted(refused.items())))

    @staticmethod
    def _mark(unfit: pa.Array, fit: pa.Array, refused: dict[int, tuple[str, str]], rule: str, reason: str) -> pa.Array:
        if pc.any(unfit).as_py():
            for place in pc.indices_nonzero(unfit).to_pylist():
                refused.setdefault(place, (rule, reason))
            return pc.and_(fit, pc.invert(unfit))
        return fit

    def _parts(self, columns: Mapping[str, pa.Array], size: int) -> list[pa.Array | str]:
        if self._options.entry is not None:
            return self._entries(columns, self._options.entry)
        return self._element(self._row, "", columns, size)

    def _entries(self, columns: Mapping[str, pa.Array], entry: str) -> list[pa.Array | str]:
        name, _, attribute = entry.partition("@")
        element = self._row.at(name) or Element(name=name)
        tag, row = self._tag(element), self._tag(self._row)
        has_nil = any(each.name == "nil" for each in element.attributes)
        nil = ' nil="true"' if has_nil else ' xsi:nil="true"' if element.nillable else None
        parts: list[pa.Array | str] = [f"<{row}"]
        # What is said of the row itself stands at the row, where the contract has a place for it.
        marks = {f"@{each.name}": self._tag(each) for each in self._row.attributes}
        parts += [
            _around(f' {name}="', _escaped(columns[mark], attribute=True), '"', "", escaped=True)
            for mark, name in marks.items()
            if mark in columns
        ]
        parts.append(">")
        for item, column in columns.items():
            if item in marks:
                continue
            opened = f"<{tag} {attribute}={_quoted(item)}"
            absent = "" if nil is None else f"{opened}{nil}/>"
            parts.append(_around(f"{opened}>", column, f"</{tag}>", absent))
        return [*parts, f"</{row}>"]

    def _element(self, element: Element, path: str, columns: Mapping[str, pa.Array], size: int) -> list[pa.Array | str]:
        """An element with what is bound of it; one that holds nothing bound is left out."""
        tag = self._tag(element)
        parts: list[pa.Array | str] = [f"<{tag}"]
        for each in element.attributes:
            column = columns.get(f"{path}@{each.name}")
            if column is not None:
                name = self._tag(each)
                parts.append(_around(f' {name}="', _escaped(column, attribute=True), '"', "", escaped=True))
        parts.append(">")
        for each in element.elements:
            below = f"{path}{each.name}"
            if each.elements:
                if any(name.startswith(f"{below}/") for name in columns):
                    parts += self._element(each, f"{below}/", columns, size)
            elif (column := columns.get(below)) is not None:
                inner = self._tag(each)
                absent = f'<{inner} xsi:nil="true"/>' if each.nillable else "" if each.optional else f"<{inner}/>"
                parts.append(_around(f"<{inner}>", column, f"</{inner}>", absent))
        return [*parts, f"</{tag}>"]

    @staticmethod
    def _joined(parts: list[pa.Array | str], size: int) -> pa.Array:
        if not size:
            return pa.array([], pa.string())
        arrays = [part if isinstance(part, pa.Array) else pa.repeat(part, size) for part in parts]
        return pc.binary_join_element_wise(*arrays, "")

    # --- messages -------------------------------------------------------------------------------

    def body(self, message: str, rows: pa.Array) -> Iterator[bytes]:
        """The body of a message: its arguments and rows, in the order of the contract."""
        arguments = dict(self._options.arguments)
        if self._options.message is not None:
            arguments[self._options.message] = self._options.identity(message)
        request = self.operation.request
        declared = "".join(f' xmlns:{prefix}="{_text(name)}"' for name, prefix in self._prefixes.items())
        tag = self._tag(request)
        yield f'<{tag}{declared} xmlns:xsi="{_XSI}">'.encode()
        yield from self._inside(request, "", arguments, rows)
        yield f"</{tag}>".encode()

    def _inside(self, element: Element, path: str, arguments: Mapping[str, str], rows: pa.Array) -> Iterator[bytes]:
        for each in element.elements:
            here = f"{path}{each.name}"
            tag = self._tag(each)
            if here == self._path:
                for start in range(0, len(rows), 256):
                    yield "".join(rows.slice(start, 256).to_pylist()).encode()
            elif here in arguments:
                yield f"<{tag}>{_text(arguments[here])}</{tag}>".encode()
            elif any(name.startswith(f"{here}/") for name in (*arguments, self._path)):
                yield f"<{tag}>".encode()
                yield from self._inside(each, f"{here}/", arguments, rows)
                yield f"</{tag}>".encode()

    def _tag(self, element: Element) -> str:
        prefix = self._prefixes.get(element.namespace or "")
        return f"{prefix}:{element.name}" if prefix else element.name


@dataclass(frozen=True)
class Answer:
    """What a service said of a message.

    Attributes:
        taken: Rows that were taken; None: it does not count them.
        received: Rows that arrived; None: it does not count them.
        fine: It said that all went well; None: it says nothing of the kind.
        repeated: The message came before.
        refused: Place in the message and reason of rows that were not taken.
        unreadable: What of the answer cannot be read, in words; empty: nothing.
    """

    taken: int | None
    received: int | None
    fine: bool | None
    repeated: bool
    refused: tuple[tuple[int, str], ...]
    unreadable: str = ""


def answer(reply: etree._Element, options: PushOptions) -> Answer:
    """Read the answer to a message."""
    unreadable: list[str] = []
    outer: dict[str, str | None] = {}
    refused: list[tuple[int, str]] = []
    for element in reply.iter():
        name = xml.local(element)
        if name == options.refused and len(element):
            parts = {xml.local(child): xml.text(child) or "" for child in element}
            number = parts.get(options.refused_row, "").strip()
            if _COUNT.fullmatch(number):
                refused.append((int(number) - options.refused_first, parts.get(options.refused_reason, "")))
            else:
                unreadable.append(f"拒收行没有行号（{options.refused_row}）")
        elif not len(element):
            outer.setdefault(name, xml.text(element))

    def count(name: str | None) -> int | None:
        if name is None:
            return None
        text = (outer.get(name) or "").strip()
        if _COUNT.fullmatch(text):
            return int(text)
        unreadable.append(f"没有用数字给出 {name}")
        return None

    fine = None if options.success is None else (outer.get(options.success) or "").strip() in options.successes
    repeated_before = options.duplicate is not None and (outer.get(options.duplicate) or "").strip() in ("true", "1")
    taken, received = count(options.accepted), count(options.total)
    return Answer(taken, received, fine, repeated_before, tuple(refused), "；".join(dict.fromkeys(unreadable)))


def _all(element: Element) -> Iterator[Element]:
    yield element
    yield from element.attributes
    for each in element.elements:
        yield from _all(each)


def _around(before: str, column: pa.Array, behind: str, absent: str, *, escaped: bool = False) -> pa.Array:
    text = column if escaped else _escaped(column)
    size = len(text)
    return pc.fill_null(pc.binary_join_element_wise(pa.repeat(before, size), text, pa.repeat(behind, size), ""), absent)


def _escaped(column: pa.Array, *, attribute: bool = False) -> pa.Array:
    signs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")]
    if attribute:
        signs += [('"', "&quot;"), ("\n", "&#10;"), ("\t", "&#9;")]
    for sign, reference in signs:
        column = pc.replace_substring(column, sign, reference)
    return column


def _text(value: str) -> str:
    return _escaped(pa.array([value], pa.string()), attribute=True)[0].as_py()  # type: ignore[no-any-return]


def _quoted(value: str) -> str:
    return f'"{_text(value)}"'


def operations(batch: pa.RecordBatch) -> Iterable[tuple[bool, int, int]]:
    """Runs of rows that are put or deleted alike: whether deleted, beginning, length."""
    deletes = [bool(each) for each in batch.column(OPERATION).to_pylist()]
    start = 0
    while start < len(deletes):
        end = start + 1
        while end < len(deletes) and deletes[end] == deletes[start]:
            end += 1
        yield deletes[start], start, end - start
        start = end
