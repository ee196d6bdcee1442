"""Rows out of a reply while it arrives: no tree of it is ever made, and every value stays the text it came as.

expat calls three functions for every element; so what is done in them is kept to a few look-ups. The items wanted make
a small tree of names (:class:`_Place`), and reading a row walks in it. What nobody wants is counted and left out.

Where rows follow one another as most services write them, expat proves a piece of them without any call, and
:mod:`adapters.webservice.plain` takes the values out of it all at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from adapters.errors import Malformed, Misconfigured
from adapters.webservice import unpacking, xml
from adapters.webservice.errors import of_fault
from adapters.webservice.plain import PIECE, rows_of

ROWS = 4096
"""Rows of a batch."""
FOREIGN = 10_000
"""Elements of one row that nobody asked for, at most."""

_XSI_NIL = xml.NIL[1:]
_NILS = (_XSI_NIL, "nil")
_BOTH = "既写 nil 又有内容"
_TRUE = ("true", "1")
_ENTRY = re.compile(r"^([^/@\[\]]+)@([^/@\[\]]+)$")
_NAMES = 1000
"""Spellings of one name that are remembered; a reply that varies its prefixes without end costs time, not memory."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is looked for in a reply.

    Attributes:
        row: Element of a row, perhaps with elements it lies in (``result/record``).
        columns: What is wanted of a row: element, path of elements (``owner/name``), attribute (``@id``,
            ``owner/@id``).
        entry: Where every item is an element of one name: that, and the attribute with the item's name (``item@name``).
        watched: Elements outside of rows whose text is wanted.
        document: Element whose text is an XML document with the rows in it.
        payload: Element whose text is a payload of rows, see :mod:`adapters.webservice.unpacking`.
        strict: An element of a row that nobody asked for is refused.
    """

    row: str
    columns: tuple[str, ...]
    entry: str | None = None
    watched: frozenset[str] = frozenset()
    document: str | None = None
    payload: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        if self.entry is not None and not _ENTRY.match(self.entry):
            raise Misconfigured("entry 应写成“元素@属性”", remedy="例如 item@name")


@dataclass
class Found:
    """What a reply held beside its rows.

    Attributes:
        watched: Texts of the watched elements; None: nil. The last one counts.
        rows: How many rows there were.
        foreign: Elements of rows that nobody asked for, by name, at most a hundred names.
        batches: Rows that nobody has taken yet.
    """

    watched: dict[str, str | None] = field(default_factory=dict)
    rows: int = 0
    foreign: Counter[str] = field(default_factory=Counter)
    batches: list[pa.RecordBatch] = field(default_factory=list)


class _Names(dict[str, "_Place"]):
    """Children of a place by their names as they come, with whatever namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, _Place] = {}

    def __missing__(self, name: str) -> _Place:
        found = self.known.get(local(name), _FOREIGN)
        if len(self) < _NAMES:
            self[name] = found
        return found


class _Place:
    """A place in the tree of what is wanted of a row."""

    __slots__ = ("attributes", "chooser", "entries", "kids", "name", "odd", "slot", "up")

    def __init__(self, name: str, up: _Place | None = None) -> None:
        self.name = name
        self.up = up
        self.slot: int = -1
        self.kids = _Names()
        self.attributes: dict[str, int] = {}
        self.odd = False
        """To walk in is not all there is to do."""
        self.chooser: str | None = None
        self.entries: dict[str, _Place] = {}

    def child(self, name: str) -> _Place:
        return self.kids.known.setdefault(name, _Place(name, self))


_FOREIGN = _Place("")
_FOREIGN.odd = True


def local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


class RowReader:
    """Reads one reply, chunk by chunk.

    Args:
        shape: What is looked for.
        what: What the reply is, for messages.
        charset: The charset its HTTP header names.
        document: It is a document in a string, and not a SOAP envelope.
        found: Where to put what is found.
    """

    def __init__(
        self,
        shape: Shape,
        what: str,
        *,
        charset: str | None = None,
        document: bool = False,
        found: Found | None = None,
    ) -> None:
        self.found = found or Found()
        self._shape = shape
        self._what = what
        self._document = document
        self._stream = xml.Stream(what, charset=charset, given=document)
        self._row_path = tuple(shape.row.split("/"))
        self._row = _tree(shape)
        self._columns: list[list[str | None]] = [[] for _ in shape.columns]
        self._path: list[str] = []
        self._leaf = False
        self._nil = False
        self._fault: str | None = None
        self._answered = document
        self._wanted = shape.watched | {name for name in (shape.document, shape.payload) if name}
        self._enter = self._reading()
        self._outside()
        self._after_row = False
        self._stream.parser.StartCdataSectionHandler = self._section
        self._waiting = b""
        self._closing = _closing(shape) if charset is None or charset.lower() in ("utf-8", "utf8") else None
        self._row_name = b""

    def feed(self, chunk: bytes) -> None:
        """Read on; rows are in ``found.batches`` when there are enough of them."""
        if self._row_name:
            self._waiting += chunk
            if len(self._waiting) >= PIECE:
                self._leap()
        elif self._closing is None or not (end := self._closing.search(chunk)):
            self._stream.feed(chunk)
        else:
            self._stream.feed(chunk[: end.end()])
            if self._between_rows and self._stream.as_it_came:
                self._row_name = end[1]
                self.feed(chunk[end.end() :])
            else:
                self._stream.feed(chunk[end.end() :])

    @property
    def _between_rows(self) -> bool:
        """A row has just ended, and the parser is in no comment, instruction or section: what comes next is markup."""
        return self._after_row and self._stream.through

    def _leap(self) -> None:
        """Read what waits up to the end of its last row, all at once if it is plain."""
        close = b"</" + self._row_name + b">"
        last = self._waiting.rfind(close)
        end = last + len(close) if last >= 0 else len(self._waiting)
        piece, self._waiting = self._waiting[:end], self._waiting[end:]
        read = rows_of(piece, self._row_name, self._shape.columns, foreign=FOREIGN) if last >= 0 else None
        if read is None or (self._shape.strict and read.foreign):
            self._stream.feed(piece)
            if not self._between_rows:
                rest, self._row_name, self._waiting = self._waiting, b"", b""
                self._stream.feed(rest)
            return
        self._stream.prove(piece)
        batches = self.found.batches
        before = len(batches)
        self._settle()
        # A few rows that were read one by one are no batch of their own.
        batch = read.batch if len(batches) == before else pa.concat_batches([batches.pop(), read.batch])
        self.found.rows += read.batch.num_rows
        batches.append(batch)
        for name, many in read.foreign.items():
            if len(self.found.foreign) < 100 or name in self.found.foreign:
                self.found.foreign[name] += many

    def close(self) -> None:
        """The reply has ended.

        Raises:
            Malformed: It was no SOAP, or not whole.
            Unavailable: It was cut off.
        """
        if self._waiting:
            self._leap()
            self._stream.feed(self._waiting)
        self._stream.close()
        if not self._answered:
            raise Malformed(f"{self._what}的 SOAP 正文是空的", remedy="由提供方改正")
        self._flush()

    # --- outside of rows ------------------------------------------------------------------------

    def _outside(self) -> None:
        self._stream.parser.StartElementHandler = self._start
        self._stream.parser.EndElementHandler = self._end

    def _section(self) -> None:
        self._after_row = False

    def _start(self, name: str, attributes: list[str]) -> None:
        path, depth = self._path, len(self._path)
        self._after_row = False
        if not self._document and depth < 3:
            self._demand_soap(name, depth)
        elif depth >= xml.DEPTH:
            raise self._stream.refused(f"嵌套超过 {xml.DEPTH} 层")
        path.append(local(name))
        self._stream.texts.clear()
        self._leaf = True
        self._nil = False
        if attributes:
            self._nil = _is_nil(attributes)
            if _refers(attributes):
                raise self._by_reference(path[-1])
        if path[-1] == self._row_path[-1] and self._is_row():
            self._enter(attributes)

    def _is_row(self) -> bool:
        inside = self._document or self._path[1:2] == ["Body"]
        return inside and tuple(self._path[-len(self._row_path) :]) == self._row_path

    def _demand_soap(self, name: str, depth: int) -> None:
        namespace, _, word = name.rpartition("}")
        ours = namespace in xml.ENVELOPES.values()
        if depth == 0 and not (ours and word == "Envelope"):
            raise Malformed(f"{self._what}不是 SOAP", remedy="核对 address：那里可能是登录页或别的服务")
        if depth == 2 and self._path[1] == "Body":
            if ours and word == "Fault":
                self._fault = ""
            self._answered = True

    def _end(self, name: str) -> None:
        path, texts = self._path, self._stream.texts
        self._after_row = False
        word = path.pop()
        if self._fault is not None:
            if self._leaf and (word == "faultcode" or (word == "Value" and path[-1] == "Code" and not self._fault)):
                self._fault = "".join(texts).strip()
            if word == "Fault" and len(path) == 2:
                raise of_fault(self._fault, self._what)
        elif self._leaf and word in self._wanted:
            text: str | None = "".join(texts)
            if self._nil:
                if text and text.strip():
                    raise Malformed(f"{self._what}里的元素 {word[:64]} {_BOTH}", remedy="由提供方改正")
                text = None
            if word == self._shape.document:
                self._inner(text)
            elif word == self._shape.payload:
                self._unpack(text)
            if word in self._shape.watched:
                self.found.watched[word] = text
        self._leaf = False
        texts.clear()

    def _inner(self, text: str | None) -> None:
        """A document in a string, read like the reply itself."""
        if not text or not text.strip():
            return
        what = f"{self._what}中 {self._shape.document} 里的文档"
        inner = RowReader(self._shape, what, document=True, found=self.found)
        content = text.strip().encode()
        for start in range(0, len(content), 1 << 16):
            inner.feed(content[start : start + (1 << 16)])
        inner.close()

    def _unpack(self, text: str | None) -> None:
        for batch in unpacking.unpacked(text or "", self._shape.columns, self._what):
            self.found.rows += batch.num_rows
            self.found.batches.append(batch)

    # --- inside of rows -------------------------------------------------------------------------

    def _reading(self) -> Any:
        """The functions that read a row, closed over what they need: attributes of self would cost a look-up each."""
        parser, texts, root, columns = self._stream.parser, self._stream.texts, self._row, self._columns
        clear, found, foreign_names = texts.clear, self.found, self.found.foreign
        strict, deepest = self._shape.strict, xml.DEPTH
        place: _Place = root
        count = 0
        foreign = 0
        away = 0
        nil = False

        def enter(attributes: list[str]) -> None:
            nonlocal place, foreign
            place, foreign = root, 0
            parser.StartElementHandler = start
            parser.EndElementHandler = end
            if attributes:
                take(attributes)

        def take(attributes: list[str]) -> None:
            """What the attributes of the element at hand say."""
            nonlocal nil
            for at in range(0, len(attributes), 2):
                name, value = attributes[at], attributes[at + 1]
                if name in _NILS:
                    nil = place.slot >= 0 and value.strip() in _TRUE
                elif name == "href" and value.startswith("#"):
                    raise self._by_reference(place.name)
                elif (slot := place.attributes.get(local(name))) is not None:
                    put(slot, value, f"@{local(name)}")

        def put(slot: int, value: str | None, name: str) -> None:
            column = columns[slot]
            if len(column) != count:
                raise self._broken(f"元素 {name} 不止一个")
            column.append(value)

        def start(name: str, attributes: list[str]) -> None:
            nonlocal place, away
            if away:
                away += 1
                strange(name)
                return
            child = place.kids[name]
            if child.odd:
                child = chosen(child, attributes)
                if child is _FOREIGN:
                    if place.slot >= 0:
                        raise self._broken(f"元素 {place.name} 里还有元素")
                    away = 1
                    strange(name)
                    return
            place = child
            if attributes:
                take(attributes)
            clear()

        def strange(name: str) -> None:
            nonlocal foreign
            foreign += 1
            word = local(name)
            if strict:
                raise self._broken(f"有没有登记的元素 {word[:64]}")
            if away > deepest or foreign > FOREIGN:
                raise self._stream.refused(f"一行里有超过 {FOREIGN} 个多余元素，或嵌套超过 {deepest} 层")
            if away == 1 and (len(foreign_names) < 100 or word in foreign_names):
                foreign_names[word] += 1

        def end(_: str) -> None:
            nonlocal place, away, count, nil
            if away:
                away -= 1
                clear()
                return
            slot = place.slot
            if slot >= 0:
                column = columns[slot]
                if len(column) != count:
                    raise self._broken(f"元素 {place.name} 不止一个")
                if nil:
                    if "".join(texts).strip():
                        raise self._broken(f"元素 {place.name} {_BOTH}")
                    column.append(None)
                    nil = False
                else:
                    column.append(texts[0] if len(texts) == 1 else "".join(texts))
                clear()
            elif place is root:
                leave()
                return
            place = place.up  # type: ignore[assignment]  # only the root has none

        def leave() -> None:
            nonlocal count
            self._path.pop()
            self._leaf = False
            self._after_row = True
            clear()
            self._outside()
            if not foreign and all(len(column) == count for column in columns):
                return  # an element of the same name that holds nothing
            count += 1
            for column in columns:
                if len(column) != count:
                    column.append(None)
            found.rows += 1
            if count == ROWS:
                count = 0
                self._flush()

        def chosen(child: _Place, attributes: list[str]) -> _Place:
            if child.chooser is None:
                return child
            for at in range(0, len(attributes), 2):
                if local(attributes[at]) == child.chooser:
                    entry = child.entries.get(attributes[at + 1])
                    return _FOREIGN if entry is None else entry
            return _FOREIGN

        def settle() -> None:
            nonlocal count
            count = 0
            self._flush()

        self._settle = settle
        return enter

    def _by_reference(self, name: str) -> Malformed:
        """The error for a reply of the style rpc/encoded whose parts lie elsewhere in it."""
        return Malformed(
            f"{self._what}第 {self.found.rows + 1} 行以引用（multiRef href）给出元素 {name[:64]}，不予解析",
            remedy="由提供方关闭 multiRef（Axis：sendMultiRefs=false），或改用 document/literal",
        )

    def _broken(self, why: str) -> Malformed:
        number = self.found.rows + 1
        return Malformed(f"{self._what}第 {number} 行{why}", remedy="由提供方改正，或改正挂接")

    def _flush(self) -> None:
        if self._columns and self._columns[0]:
            arrays = [pa.array(column, pa.string()) for column in self._columns]
            self.found.batches.append(pa.record_batch(arrays, names=[str(place) for place in range(len(arrays))]))
            for column in self._columns:
                column.clear()


@lru_cache(256)
def _closing(shape: Shape) -> re.Pattern[bytes] | None:
    """The end of a row as it may be spelled; None: its items are not simply its elements."""
    if shape.entry is not None or shape.payload is not None or shape.document is not None:
        return None
    if any("/" in column for column in shape.columns):
        return None
    return re.compile(rb"</((?:[^\s<>/:]{1,64}:)?" + re.escape(shape.row.rpartition("/")[2].encode()) + rb")>")


def _refers(attributes: list[str]) -> bool:
    return any(attributes[at] == "href" and attributes[at + 1].startswith("#") for at in range(0, len(attributes), 2))


def _is_nil(attributes: list[str]) -> bool:
    return any(attributes[at] in _NILS and attributes[at + 1].strip() in _TRUE for at in range(0, len(attributes), 2))


@lru_cache(256)
def _tree(shape: Shape) -> _Place:
    """The tree of what is wanted of a row.

    Raises:
        Misconfigured: A path lies inside of another.
    """
    root = _Place(shape.row)
    top, into = root, root.child
    if shape.entry is not None:
        element, _, attribute = shape.entry.partition("@")
        chooser = root.child(element)
        chooser.chooser, chooser.odd = attribute, True

        def entry(name: str) -> _Place:
            return chooser.entries.setdefault(name, _Place(name, root))

        into = entry
    for slot, column in enumerate(shape.columns):
        # What a row says of itself stands at the row also where its items are entries.
        whole = shape.entry is None or column.startswith("@")
        elements, attribute = _steps(column) if whole else ((column,), "")
        place = top
        for depth, name in enumerate(elements):
            place = into(name) if depth == 0 else place.child(name)
        if attribute:
            place.attributes[attribute] = slot
        elif place is root or place.slot >= 0:
            raise Misconfigured(f"元素路径 {column} 不能指向一个值", remedy="改正挂接的列")
        else:
            place.slot = slot
    if unfit := next(_both(root), None):
        raise Misconfigured(f"元素 {unfit} 既当作值，又当作路径的一段", remedy="改正挂接的列")
    return root


def _steps(column: str) -> tuple[tuple[str, ...], str]:
    *elements, last = column.split("/")
    if not all((*elements, last.removeprefix("@"))):
        raise Misconfigured(f"元素路径 {column} 不能指向一个值", remedy="改正挂接的列")
    if last.startswith("@"):
        return tuple(elements), last[1:]
    return (*elements, last), ""


def _both(place: _Place) -> Iterator[str]:
    for child in place.kids.known.values():
        if child.slot >= 0 and child.kids.known:
            yield child.name
        yield from _both(child)
