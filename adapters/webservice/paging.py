"""How an operation is asked for one page after another (翻页): by cursor, page number, offset, and by time window."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from adapters.base import Options
from adapters.errors import Malformed

Arguments = dict[str, str | None]

_COUNT = re.compile(r"[0-9]{1,18}")
_LONGEST = 1 << 16
"""Characters of a cursor at most: all of them are remembered, to see that none comes twice."""
_AHEAD = timedelta(days=1)
"""How far a service's clock may be ahead of ours: by as much as a zone that was left out, and no more."""


class WindowOptions(Options):
    """Reading by time (时间窗), for the capture ``batches``.

    Attributes:
        from_: Argument that takes the window's beginning; written ``from``.
        to: Argument that takes its end.
        begin: Where the first window of all begins, in the endpoint's zone if it has none.
        width: Seconds of one window.
        overlap: Seconds that are read again the next time: longer than the service's longest transaction.
        clock: Element of the reply with the service's clock; without it the ``Date`` of its answer is the clock.
        form: How a moment is written (``strftime``), in the endpoint's zone.
    """

    from_: str = Field(alias="from", min_length=1)
    to: str = Field(min_length=1)
    begin: str
    width: float = Field(86_400.0, gt=0, le=366 * 86_400)
    overlap: float = Field(600.0, ge=0)
    clock: str | None = None
    form: str = "%Y-%m-%dT%H:%M:%S"

    @field_validator("begin")
    @classmethod
    def _moment(cls, value: str) -> str:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("应为时间，例如 2020-01-01T00:00:00") from None
        return value


class LookupOptions(Options):
    """How the row of one key is asked for (单笔查询).

    Attributes:
        operation: Operation that is asked; without it the bound one.
        key: Item of the key to the argument that takes it, perhaps as a path (``head/id``); without it the argument
            is called like the item's element.
        arguments: Further arguments, always the same.
        row: Element of a row in the reply, where it is another one than on a page.
    """

    operation: str | None = Field(None, min_length=1)
    key: dict[str, str] = Field(default_factory=dict)
    arguments: dict[str, str] = Field(default_factory=dict)
    row: str | None = Field(None, min_length=1)


class PageOptions(Options):
    """How an operation is read page after page: names of elements in its request and its reply.

    Arguments in an element of the request are written as a path (``head/page``).

    Attributes:
        row: Element of a row in the reply, perhaps with the elements it lies in (``result/record``).
        entry: Where every item of a row is an element of one name: that, and the attribute with the item's name.
        document: Element whose text is an XML document with the rows in it.
        payload: Element that holds the rows as a compressed payload, asked for by an argument ``format`` = ``arrow``.
        codes: Item to the provider's codes and what they mean here (代码转换); a code without a meaning stays.
        strict: An element of a row that is not bound is refused; else it is left out and counted.
        paging: ``cursor``, ``page`` (by number), ``offset`` (by start and count) or ``none``.
        cursor: Argument that takes the cursor of the page wanted.
        next: Element of the reply that carries the next page's cursor; empty or absent on the last page.
        page: Argument that takes the page's number.
        start: Argument that takes the number of the first row wanted.
        first: Number of the first page or row.
        total: Element of the reply that says how many rows there are in all.
        end: Without ``total``, what the last page is: ``empty``, or ``short`` of the rows wanted, which saves a call
            and is wrong where the service gives fewer rows than it is asked for.
        limit: Argument that takes the number of rows wanted, if there is one.
        rows: Rows wanted on a page.
        pages: Pages after which a service is taken for endless.
        arguments: Further arguments, always the same.
        since: Argument that takes the mark to read changes from, for the capture ``batches``.
        mark: Element of the reply that carries the mark for the next time. Without it the last cursor is the
            mark, and ``since`` is not needed.
        window: Windows of time to read changes by, for the capture ``batches``.
        operation: Element of a row that says what to do with it, if there is one.
        puts: Its values that mean put.
        deletes: Its values that mean delete.
        lookup: How single rows are asked for; without it the bound operation is, if it takes the key as arguments.
    """

    row: str = Field("Row", min_length=1)
    entry: str | None = Field(None, pattern=r"^[^/@\[\]]+@[^/@\[\]]+$")
    document: str | None = None
    payload: str | None = None
    codes: dict[str, dict[str, str]] = Field(default_factory=dict)
    strict: bool = False
    paging: Literal["cursor", "page", "offset", "none"] = "cursor"
    cursor: str = Field("cursor", min_length=1)
    next: str = Field("nextCursor", min_length=1)
    page: str = Field("page", min_length=1)
    start: str = Field("start", min_length=1)
    first: int | None = Field(None, ge=0)
    total: str | None = None
    end: Literal["empty", "short"] = "empty"
    limit: str | None = "limit"
    rows: int = Field(1000, ge=1, le=100_000)
    pages: int = Field(100_000, ge=1)
    arguments: dict[str, str] = Field(default_factory=dict)
    since: str | None = None
    mark: str | None = None
    window: WindowOptions | None = None
    operation: str | None = None
    puts: tuple[str, ...] = ("I", "U")
    deletes: tuple[str, ...] = ("D",)
    lookup: LookupOptions | None = None

    @model_validator(mode="after")
    def _coherent(self) -> PageOptions:
        if self.window is not None and self.since is not None:
            raise ValueError("window 和 since 只能用一种")
        if self.end == "short" and self.limit is None:
            raise ValueError("end 为 short 时要写 limit，否则不知道一页该有几行")
        return self

    def names(self) -> list[str]:
        """The arguments a request will carry."""
        paged = {"cursor": [self.cursor], "page": [self.page], "offset": [self.start], "none": []}[self.paging]
        window = [self.window.from_, self.window.to] if self.window else []
        return [name for name in (*paged, self.limit, self.since, *window, *self.arguments) if name]

    def watched(self) -> frozenset[str]:
        """The elements outside of rows that say how to go on."""
        clock = self.window.clock if self.window else None
        following = self.next if self.paging == "cursor" else None
        return frozenset(name for name in (following, self.mark, self.total, clock) if name)


@dataclass
class Seen:
    """What is known of a page when it has been read."""

    rows: int
    watched: Mapping[str, str | None]
    date: str | None = None


class Pages:
    """The requests of one pass, each made by what the pages before have told.

    Args:
        name: The operation, for messages.
        options: How it is read.
        zone: The endpoint's zone.
        after: The position to read from; empty: the beginning.
        changes: The capture is ``batches``.
    """

    def __init__(self, name: str, options: PageOptions, zone: str, after: Mapping[str, Any], *, changes: bool) -> None:
        self._name = name
        self._options = options
        self._zone = ZoneInfo(zone)
        self._after = after
        self._changes = changes
        self._clock: datetime | None = None
        self._seen: Seen | None = None
        self.number = 0
        self.position: dict[str, Any] | None = dict(after) or None

    def read(self, seen: Seen) -> None:
        """The page that was asked for has been read."""
        self._seen = seen
        options = self._options
        if not self._changes:
            return
        if options.window is not None:
            self._clock = self._clock or self._plausible(self._told(seen))
        elif options.mark is not None:
            # The first page's: what changes while later pages are read is read again, and never missed.
            if self.number == 1 and (mark := seen.watched.get(options.mark)):
                self.position = {"since": mark}
        elif cursor := seen.watched.get(options.next):
            self.position = {"cursor": cursor}

    def __iter__(self) -> Iterator[Arguments]:
        """The arguments of one request after another; :meth:`read` is to be called in between."""
        fixed: Arguments = dict(self._options.arguments)
        if self._options.payload:
            fixed["format"] = "arrow"
        if self._options.since and self._after.get("since"):
            fixed[self._options.since] = self._after["since"]
        if self._changes and self._options.window is not None:
            yield from self._windows(self._options.window, fixed)
        else:
            yield from self._paged(fixed)

    def _windows(self, window: WindowOptions, fixed: Arguments) -> Iterator[Arguments]:
        low = self._moment(window.begin)
        if self._after.get("to"):
            low = self._moment(self._after["to"]) - timedelta(seconds=window.overlap)
        while True:
            high = low + timedelta(seconds=window.width)
            times: Arguments = {window.from_: self._written(low, window), window.to: self._written(high, window)}
            yield from self._paged(fixed | times)
            if self._clock is None:
                raise self._broken("没有告知它的时间，无从知道读到了哪里", "在 window.clock 中登记应答里的时间元素")
            if high >= self._clock:
                # Never past the service's clock: what is written there later is not yet in it.
                self.position = {"to": self._clock.isoformat()}
                return
            low = high

    def _paged(self, fixed: Arguments) -> Iterator[Arguments]:
        options = self._options
        cursor: str | None = self._after.get("cursor") if options.window is None else None
        asked: set[str] = set()
        first = options.first if options.first is not None else 1 if options.paging == "page" else 0
        rows, page = 0, 0
        while True:
            self.number += 1
            page += 1
            arguments = dict(fixed)
            match options.paging:
                case "cursor" if cursor is not None:
                    arguments[options.cursor] = cursor
                    asked.add(cursor)
                case "page":
                    arguments[options.page] = str(first + page - 1)
                case "offset":
                    arguments[options.start] = str(first + rows)
            if options.limit:
                arguments[options.limit] = str(options.rows)
            self._seen = None
            yield arguments
            seen = self._seen
            if seen is None:
                return
            rows += seen.rows
            if options.paging == "cursor":
                cursor = seen.watched.get(options.next) or None
                if cursor is None:
                    return
                if len(cursor) > _LONGEST:
                    raise self._broken(f"第 {self.number} 页给出的游标超过 {_LONGEST} 个字符", "由提供方改正翻页")
                if cursor in asked:
                    raise self._broken(f"第 {self.number} 页又给出用过的游标", "由提供方改正翻页，读取已停止")
            elif self._ended(seen, rows):
                return
            if self.number >= options.pages:
                raise self._broken(
                    f"读了 {self.number} 页仍未结束，读取已停止",
                    "由提供方改正翻页；数据确有这么多时，调大挂接选项 pages 或 rows",
                )

    def _ended(self, seen: Seen, rows: int) -> bool:
        options = self._options
        if options.paging == "none":
            return True
        if options.total is not None:
            told = seen.watched.get(options.total)
            if told is None or _COUNT.fullmatch(told.strip()) is None:
                raise self._broken(f"第 {self.number} 页没有用数字说明总行数（{options.total}）", "由提供方改正")
            if seen.rows == 0 and rows < int(told):
                raise self._broken(f"说有 {int(told)} 行，只给出 {rows} 行", "由提供方改正翻页")
            return rows >= int(told)
        return seen.rows < (options.rows if options.end == "short" else 1)

    def _told(self, seen: Seen) -> datetime | None:
        """The service's clock."""
        window = self._options.window
        if window is not None and window.clock:
            text = seen.watched.get(window.clock)
            return self._read_moment(text) if text else None
        try:
            return parsedate_to_datetime(seen.date).astimezone(UTC) if seen.date else None
        except (ValueError, OverflowError):
            return None

    def _plausible(self, clock: datetime | None) -> datetime | None:
        """The clock, if it can be read up to: what is written before a clock that is wrong would never be read."""
        if clock is not None and clock > datetime.now(UTC) + _AHEAD:
            raise self._broken("告知的时间比平台的时间晚了一天以上，读取位置没有移动", "由提供方校准它的时钟")
        return clock

    def _read_moment(self, text: str) -> datetime:
        try:
            return self._moment(text.strip())
        except (ValueError, OverflowError) as error:
            raise self._broken("告知的时间不可读", "由提供方改正，或去掉 window.clock") from error

    def _moment(self, text: str) -> datetime:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).astimezone(UTC)

    def _written(self, moment: datetime, window: WindowOptions) -> str:
        return moment.astimezone(self._zone).strftime(window.form)

    def _broken(self, what: str, remedy: str) -> Malformed:
        return Malformed(f"操作 {self._name} {what}", remedy=remedy)
