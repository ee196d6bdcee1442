"""Reading a service page after page; every value stays the text it came as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from lxml import etree
from pydantic import Field

from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Options, Position, Selection, Source
from adapters.errors import Malformed
from adapters.webservice import xml
from adapters.webservice.client import ServiceClient


class PageOptions(Options):
    """How an operation is read page after page: names of elements in its request and its reply.

    Attributes:
        row: Element of a row in the reply.
        cursor: Argument that takes the cursor of the page wanted.
        next: Element of the reply that carries the next page's cursor; empty or absent on the last page.
        limit: Argument that takes the number of rows wanted, if there is one.
        rows: Rows wanted on a page.
        pages: Pages after which a service is taken for endless.
        arguments: Further arguments, always the same.
        since: Argument that takes the mark to read changes from, for the capture ``batches``.
        mark: Element of the reply that carries the mark for the next time. Without it the last cursor is the
            mark, and ``since`` is not needed.
        operation: Element of a row that says what to do with it, if there is one.
        puts: Its values that mean put.
        deletes: Its values that mean delete.
    """

    row: str = Field("Row", min_length=1)
    cursor: str = Field("cursor", min_length=1)
    next: str = Field("nextCursor", min_length=1)
    limit: str | None = "limit"
    rows: int = Field(1000, ge=1, le=100_000)
    pages: int = Field(100_000, ge=1)
    arguments: dict[str, str] = Field(default_factory=dict)
    since: str | None = None
    mark: str | None = None
    operation: str | None = None
    puts: tuple[str, ...] = ("I", "U")
    deletes: tuple[str, ...] = ("D",)

    def names(self) -> list[str]:
        """The arguments a request will carry."""
        return [name for name in (self.cursor, self.limit, self.since, *self.arguments) if name]


@dataclass
class _Page:
    """One page as it came: rows by element name."""

    number: int
    rows: list[dict[str, str | None]]
    cursor: str | None
    mark: str | None


class WebServiceSource(Source):
    """One operation of one service."""

    def __init__(self, client: ServiceClient, binding: Binding, options: PageOptions) -> None:
        self._client = client
        self._binding = binding
        self._options = options
        self._position: Position | None = None

    def schema(self) -> pa.Schema:
        """Text throughout: what does not parse is to be refused, not lost."""
        return pa.schema(
            [
                *(pa.field(item, pa.string()) for item in self._binding.columns),
                pa.field(OPERATION, pa.int8(), nullable=False),
                pa.field(REFERENCE, pa.string(), nullable=False),
            ]
        )

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Read all pages; they are as consistent as the service makes them."""
        after = dict(selection.after or {}) if self._binding.capture == "batches" else {}
        self._position = after or None
        for page in self._pages(after):
            if self._binding.capture == "batches":
                self._advance(page)
            batch = self._batch(page)
            for start in range(0, batch.num_rows, selection.batch_rows):
                yield batch.slice(start, selection.batch_rows)

    def position(self) -> Position | None:
        """The mark to read changes from the next time; a snapshot has none."""
        return self._position

    def close(self) -> None:
        """Let go of the line to the service."""
        self._client.close()

    def _advance(self, page: _Page) -> None:
        if self._options.mark is None:
            if page.cursor:
                self._position = {"cursor": page.cursor}
        elif page.number == 1 and page.mark:
            # The first page's: what changes while later pages are read is read again, and never missed.
            self._position = {"since": page.mark}

    def _pages(self, after: dict[str, Any]) -> Iterator[_Page]:
        cursor: str | None = after.get("cursor")
        asked: set[str] = set()
        number = 0
        while True:
            number += 1
            arguments: dict[str, str | None] = dict(self._options.arguments)
            if cursor is not None:
                arguments[self._options.cursor] = cursor
                asked.add(cursor)
            if self._options.limit:
                arguments[self._options.limit] = str(self._options.rows)
            if self._options.since and after.get("since"):
                arguments[self._options.since] = after["since"]
            page = self._page(number, self._client.call(self._binding.object, arguments))
            yield page
            if not page.cursor:
                return
            if page.cursor in asked:
                raise Malformed(
                    f"操作 {self._binding.object} 第 {number} 页又给出用过的游标", remedy="由提供方改正翻页，读取已停止"
                )
            if number >= self._options.pages:
                raise Malformed(
                    f"操作 {self._binding.object} 读了 {number} 页仍未结束，读取已停止",
                    remedy="由提供方改正翻页；数据确有这么多时，调大挂接选项 pages 或 rows",
                )
            cursor = page.cursor

    def _page(self, number: int, reply: etree._Element) -> _Page:
        rows: list[dict[str, str | None]] = []
        page = _Page(number, rows, None, None)
        for element in reply.iter():
            name = xml.local(element)
            if name == self._options.row and len(element):
                rows.append(self._row(number, len(rows) + 1, element))
            elif name == self._options.next and not len(element):
                page.cursor = xml.text(element) or None
            elif name == self._options.mark and not len(element):
                page.mark = xml.text(element) or None
        return page

    def _row(self, page: int, number: int, element: etree._Element) -> dict[str, str | None]:
        row: dict[str, str | None] = {}
        for child in element:
            name = xml.local(child)
            if name in row:
                raise self._broken(page, number, f"元素 {name} 不止一个")
            if len(child):
                raise self._broken(page, number, f"元素 {name} 里还有元素")
            row[name] = xml.text(child)
        return row

    def _batch(self, page: _Page) -> pa.RecordBatch:
        fixed = self._binding.fixed.items()
        rows = [
            (number, row)
            for number, row in enumerate(page.rows, 1)
            if all(row.get(name) == value for name, value in fixed)
        ]
        columns = [pa.array([row.get(name) for _, row in rows], pa.string()) for name in self._binding.columns.values()]
        columns.append(pa.array([self._operation(page.number, *row) for row in rows], pa.int8()))
        columns.append(pa.array([f"{page.number}.{number}" for number, _ in rows], pa.string()))
        return pa.record_batch(columns, schema=self.schema())

    def _operation(self, page: int, number: int, row: dict[str, str | None]) -> int:
        if self._options.operation is None:
            return PUT
        word = row.get(self._options.operation)
        if word in self._options.deletes:
            return DELETE
        if word in self._options.puts:
            return PUT
        raise self._broken(page, number, f"的操作元素 {self._options.operation} 不是所登记的值")

    def _broken(self, page: int, row: int, what: str) -> Malformed:
        return Malformed(f"操作 {self._binding.object} 第 {page} 页第 {row} 行{what}", remedy="由提供方改正")
