"""Reading a service page after page, or key by key; every value of an XML document stays the text it came as."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Position, Selection, Source
from adapters.errors import Malformed, Unsupported
from adapters.webservice.client import ServiceClient
from adapters.webservice.contract import Operation
from adapters.webservice.paging import LookupOptions, PageOptions, Pages, Seen
from adapters.webservice.reader import Shape
from adapters.webservice.texts import texts

MOST = 100
"""Rows of one key at most: a service that gives more has not looked at the key."""

_POINT = pa.scalar(".", pa.string())
_PUT = pa.scalar(PUT, pa.int8())
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asking:
    """How the row of one key is asked for.

    Attributes:
        operation: What is called.
        key: Item of the key to the argument that takes it.
        fixed: Arguments that are always the same.
        row: Element of a row in the reply.
    """

    operation: str
    key: Mapping[str, str]
    fixed: Mapping[str, str]
    row: str

    def shape(self, pages: Shape) -> Shape:
        """What is looked for in the reply, where that is looked for in a page."""
        return replace(pages, row=self.row, watched=frozenset())


class WebServiceSource(Source):
    """One operation of one service."""

    def __init__(
        self, client: ServiceClient, binding: Binding, options: PageOptions, zone: str = "Asia/Shanghai"
    ) -> None:
        self._client = client
        self._binding = binding
        self._options = options
        self._zone = zone
        self._position: Position | None = None
        self._foreign: Counter[str] = Counter()
        self._shape = shape_of(binding, options)
        self._slots = {name: slot for slot, name in enumerate(self._shape.columns)}
        self._found: pa.Schema | None = None
        self._asking: Asking | None = None
        self._single = self._shape

    def schema(self) -> pa.Schema:
        """Text throughout, so that what does not parse is refused, not lost; a payload that was read has its types."""
        return self._found or pa.schema(
            [
                *(pa.field(item, pa.string()) for item in self._binding.columns),
                pa.field(OPERATION, pa.int8(), nullable=False),
                pa.field(REFERENCE, pa.string(), nullable=False),
            ]
        )

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Read all pages; they are as consistent as the service makes them."""
        changes = self._binding.capture == "batches"
        after = dict(selection.after or {}) if changes else {}
        self._position = after or None
        self._foreign.clear()
        pages = Pages(self._binding.object, self._options, self._zone, after, changes=changes)
        for arguments in pages:
            page = self._client.page(self._binding.object, arguments, self._shape)
            with closing(page):
                rows = 0
                for found in page:
                    batch = self._batch(found, pages.number, rows)
                    rows += found.num_rows
                    for start in range(0, batch.num_rows, selection.batch_rows):
                        yield batch.slice(start, selection.batch_rows)
            self._foreign.update(page.told.found.foreign)
            pages.read(Seen(rows, page.told.found.watched, page.told.date))
            self._position = pages.position
        self._position = pages.position
        if self._foreign:
            _log.warning(
                "%s: %d elements are not bound: %s",
                self._binding.object,
                self._foreign.total(),
                ", ".join(name for name, _ in self._foreign.most_common(10)),
            )

    @property
    def foreign(self) -> Counter[str]:
        """Elements of the last pass's rows that are not bound (未登记的元素), by name."""
        return self._foreign

    def position(self) -> Position | None:
        """The mark to read changes from the next time; a snapshot has none."""
        return self._position

    def lookup(self, keys: pa.RecordBatch) -> pa.RecordBatch:
        """Ask for one key after another, over a line that is kept."""
        if self._asking is None:
            asking = asking_of(self._binding, self._options)
            if problems := unfit(asking, self._client.operation(asking.operation)):
                raise Unsupported("；".join(problems), remedy="在挂接选项 lookup 中登记按主键查询的操作和参数")
            self._asking, self._single = asking, asking.shape(self._shape)
        asking, shape = self._asking, self._single
        columns = [self._told(item, keys.column(item)) for item in asking.key]
        found = []
        for number, values in enumerate(zip(*columns, strict=True), 1):
            arguments = {**asking.fixed, **dict(zip(asking.key.values(), values, strict=True))}
            rows = 0
            with closing(self._client.page(asking.operation, arguments, shape)) as page:
                for part in page:
                    found.append(self._batch(part, number, rows))
                    rows += part.num_rows
                    if rows > MOST:
                        raise Malformed(
                            f"操作 {asking.operation} 对一个主键给出 {MOST} 行以上，没有按主键查询",
                            remedy="在挂接选项 lookup 中登记按主键查询的操作和参数",
                        )
        if len(found) == 1:
            return found[0]
        whole = pa.Table.from_batches(found, schema=self.schema()).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=self.schema())

    def _told(self, item: str, column: pa.Array) -> list[str | None]:
        """Values of a key in the provider's words."""
        codes = {ours: theirs for theirs, ours in reversed(self._options.codes.get(item, {}).items())}
        return [codes.get(value, value) for value in texts(column).to_pylist()]

    def close(self) -> None:
        """Let go of the line to the service."""
        self._client.close()

    def _batch(self, found: pa.RecordBatch, page: int, before: int) -> pa.RecordBatch:
        """Rows as the port has them, without those that do not carry the fixed values."""
        numbers = pa.array(np.arange(before + 1, before + 1 + found.num_rows))
        for name, value in self._binding.fixed.items():
            carries = pc.fill_null(
                pc.equal(texts(found.column(self._slots[name])), pa.scalar(value, pa.string())), fill_value=False
            )
            found, numbers = found.filter(carries), numbers.filter(carries)
        columns = [
            self._translated(item, found.column(self._slots[name])) for item, name in self._binding.columns.items()
        ]
        columns.append(self._operations(found, numbers, page))
        columns.append(
            pc.binary_join_element_wise(pa.scalar(f"{page}", pa.string()), pc.cast(numbers, pa.string()), _POINT)
        )
        if self._options.payload is not None:
            types = zip(self.schema(), columns, strict=True)
            self._found = pa.schema([pa.field(each.name, array.type, each.nullable) for each, array in types])
        return pa.record_batch(columns, schema=self.schema())

    def _translated(self, item: str, column: pa.Array) -> pa.Array:
        """The provider's codes in the words of the resource's code list."""
        codes = self._options.codes.get(item)
        if not codes:
            return column
        column = texts(column)
        places = pc.index_in(column, value_set=pa.array(list(codes), pa.string()))
        return pc.coalesce(pa.array(list(codes.values()), pa.string()).take(places), column)

    def _operations(self, found: pa.RecordBatch, numbers: pa.Array, page: int) -> pa.Array:
        if self._options.operation is None:
            return pa.repeat(_PUT, found.num_rows)
        # An operation that is not written is the empty word, where that is registered.
        words = pc.fill_null(texts(found.column(self._slots[self._options.operation])), "")
        puts, deletes = (
            pc.is_in(words, value_set=pa.array(list(known), pa.string()))
            for known in (self._options.puts, self._options.deletes)
        )
        unknown = pc.index(pc.or_(puts, deletes), value=False).as_py()
        if unknown >= 0:
            raise Malformed(
                f"操作 {self._binding.object} 第 {page} 页第 {numbers[unknown]} 行的操作元素"
                f" {self._options.operation} 不是所登记的值",
                remedy="由提供方改正",
            )
        return pc.if_else(deletes, pa.scalar(DELETE, pa.int8()), pa.scalar(PUT, pa.int8()))


def asking_of(binding: Binding, options: PageOptions) -> Asking:
    """How a binding's rows are asked for by their keys."""
    given = options.lookup or LookupOptions()
    operation = given.operation or binding.object
    key = {item: given.key.get(item, binding.columns[item]) for item in binding.key}
    # What the pages of the bound operation always carry, its single rows do too.
    fixed = {**(options.arguments if operation == binding.object else {}), **given.arguments}
    return Asking(operation, key, fixed, given.row or options.row)


def unfit(asking: Asking, operation: Operation) -> list[str]:
    """Arguments that the contract does not know."""
    wanted = [*asking.key.values(), *asking.fixed]
    return [f"操作 {operation.name} 没有参数 {name}" for name in wanted if name not in operation.arguments]


def shape_of(binding: Binding, options: PageOptions) -> Shape:
    """What is looked for in a reply.

    Raises:
        Misconfigured: The names cannot be looked for.
    """
    wanted = [*binding.columns.values(), *binding.fixed, *filter(None, [options.operation])]
    return Shape(
        row=options.row,
        columns=tuple(dict.fromkeys(wanted)),
        entry=options.entry,
        watched=options.watched(),
        document=options.document,
        payload=options.payload,
        strict=options.strict,
    )
