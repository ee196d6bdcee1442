"""Reading by a watermark (水位列): rows of a window, from the low mark to the source's clock.

A window starts where the last one ended, less the overlap that the writer's longest transaction may last, and ends at
the source's own clock, read in the snapshot: in whole seconds, unless the product knows when the snapshot began and the
column is as exact as that. Rows read before are read again there and are the same at the target.

What lies beyond the clock belongs to no window: it is read in every pass until the clock has gone past it, as
are rows without a time. Closed windows are counted again, and one that has more rows than when it was read is
read again: it was given rows that were committed later than any overlap. A row hidden by as many rows that left
the same window between two passes is not found; a full pass finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from adapters.base import Position
from adapters.database.binding import TableOptions
from adapters.database.capture import Window
from adapters.database.dialects import Dialect
from adapters.database.shapes import Column, Expression
from adapters.errors import Malformed

TIMES, NUMBERS = frozenset({"time", "instant", "date"}), frozenset({"integer", "decimal"})
"""Families of columns that can be a watermark."""

_WINDOWS, _MARKS = 16, 32
"""How many closed windows are counted again, and how many marks of numbers are remembered."""
_BEHIND = 1_000
"""So many numbers below the highest may be those of transactions that were open before anybody looked."""
_FOLD = timedelta(hours=3)
"""Within so long a clock that is put back shows its times for the second time."""
_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def unfit(column: Column | None, name: str) -> str | None:
    """Why a column cannot be a watermark, in words; None: it can."""
    if column is None:
        return f"没有水位列 {name}"
    if column.family in TIMES or (column.family in NUMBERS and not column.scale):
        return None
    return f"水位列 {name}（{column.declared}）不能比较先后，须是日期时间或整数"


@dataclass(frozen=True)
class Closed:
    """A window that was read: its marks, the second excluded, and how many rows it had."""

    low: int
    high: int
    rows: int


class Watermark:
    """One pass over a table by its watermark.

    Marks are whole numbers: microseconds since 1970, or the column's own numbers.

    Args:
        connection: The snapshot.
        dialect: The product.
        column: The watermark.
        window: The table.
        options: Of the binding.
        zone: Zone of the place's zone-less times.
        after: Where the last window ended; None, or another capture's: everything is read.
    """

    def __init__(
        self,
        connection: sa.Connection,
        dialect: Dialect,
        column: Column,
        window: Window,
        options: TableOptions,
        *,
        zone: str,
        after: Position | None,
    ) -> None:
        self._dialect = dialect
        self._column = column
        self._here = window.table.c[column.name]
        self._standing = window.standing()
        self._zone = ZoneInfo(zone)
        self._overlap = options.overlap
        self._recount = options.recount
        self._timed = self._column.family in TIMES
        begun = dialect.begun() if column.fraction == 6 else None
        clock = float(connection.execute(sa.select(dialect.clock() if begun is None else begun)).scalar_one())
        self._now = int(clock)
        self._instant = self._now * _SECOND if begun is None else int(clock * _SECOND)
        previous = after if after is not None and after.get("watermark") == self._column.name else None
        self._low, self._closed, self._marks = _remembered(previous, timed=self._timed)
        self._full = previous is None
        self._next = self._end(connection)
        self._grown: list[Closed] = []
        if self._full:
            self._closed = []
            self._start = (self._next or 0) - (self._overlap * _SECOND if self._timed else _BEHIND)
        else:
            self._start = self._low
            self._count(connection)
        self.counted = 0
        """Rows read of the window that closes with this pass; the reader counts them."""

    def conditions(self) -> list[Expression]:
        """What this pass reads."""
        if self._full:
            return []
        # A clock that was put back dates rows before the end of the last window.
        low = self._low if self._next is None else min(self._low, self._next)
        parts = [self._here >= self._bound(low, lowest=True)]
        parts += [self._between(window.low, window.high) for window in self._grown]
        undated = self._dialect.undated(self._column, self._here)
        return [sa.or_(*parts, *([] if undated is None else [undated]))]

    def closing(self) -> Expression:
        """One for a row of the window that closes with this pass, else nought."""
        if self._next is None or self._next <= self._start:
            return sa.literal(0)
        return sa.case((self._between(self._start, self._next), 1), else_=0)

    def position(self) -> Mapping[str, Any] | None:
        """Where the next window starts, with what is to be counted again; None: there are no numbers yet."""
        if self._next is None:
            return None
        closed = list(self._closed)
        if self._next > self._start:
            closed.append(Closed(self._start, self._next, self.counted))
        closed = [window for window in closed[-_WINDOWS:] if window.high <= self._next]
        while closed and sum(window.rows for window in closed) > self._recount:
            closed.pop(0)
        unit = {"unit": "us"} if self._timed else {}
        return {
            "watermark": self._column.name,
            **unit,
            "low": self._next,
            "closed": [[window.low, window.high, window.rows] for window in closed],
            "marks": self._marks,
        }

    def _end(self, connection: sa.Connection) -> int | None:
        """The low mark of the next window."""
        if self._timed:
            return self._instant - self._overlap * _SECOND
        last = connection.execute(sa.select(sa.func.max(self._here)).where(*self._standing)).scalar()
        try:
            highest = None if last is None else int(last)
        except ValueError:
            raise Malformed(
                f"水位列 {self._column.name} 中有不是整数的值", remedy="请提供方改正，或改用 diff 方式"
            ) from None
        if highest is None:
            return None
        if self._marks and highest < self._marks[-1][1]:
            # They began anew, and any row may be one that was never read.
            self._full, self._marks = True, []
        # Of numbers, only what was the highest an overlap ago is surely committed.
        marks = self._marks or [[self._now - self._overlap, highest - _BEHIND]]
        marks = [*marks, [self._now, highest]]
        old = [index for index, (at, _) in enumerate(marks) if at + self._overlap <= self._now]
        marks = marks[old[-1] :] if old else marks
        # The fewer there are, the further back a window reaches: nothing is lost.
        self._marks = marks if len(marks) <= _MARKS else [marks[0], *marks[2:-1:2], marks[-1]]
        return self._marks[0][1]

    def _count(self, connection: sa.Connection) -> None:
        """Count the closed windows, all by one look at the index; those that grew are read again."""
        if not self._closed:
            return
        sums = [
            sa.func.coalesce(sa.func.sum(sa.case((self._between(window.low, window.high), 1), else_=0)), 0)
            for window in self._closed
        ]
        whole = self._between(min(w.low for w in self._closed), max(w.high for w in self._closed))
        row = connection.execute(sa.select(*sums).where(whole, *self._standing)).one()
        counted = [Closed(w.low, w.high, int(rows)) for w, rows in zip(self._closed, row, strict=True)]
        self._grown = [now for now, then in zip(counted, self._closed, strict=True) if now.rows > then.rows]
        self._closed = counted

    def _between(self, low: int, high: int) -> Expression:
        return sa.and_(self._here >= self._bound(low), self._here < self._bound(high))

    def _bound(self, mark: int, *, lowest: bool = False) -> Expression:
        """A mark as a value of the column.

        Args:
            mark: The mark.
            lowest: The earliest that a clock of the zone can have shown at the mark or after it.
        """
        return self._dialect.constant(self._text(mark, lowest=lowest) if self._timed else str(mark), self._column)

    def _text(self, mark: int, *, lowest: bool) -> str:
        try:
            moment = _EPOCH + timedelta(microseconds=mark)
            if self._column.family != "instant":
                others = [moment + _FOLD, _EPOCH + timedelta(seconds=self._now)] if lowest else []
                moment += min(_offset(self._zone, each) for each in (moment, *others))
            bare = moment.replace(tzinfo=None)
        except (ValueError, OverflowError, OSError):
            raise Malformed("读取位置不是可用的时间", remedy="重新全量读取") from None
        return bare.date().isoformat() if self._column.family == "date" else bare.isoformat(sep=" ")


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _remembered(previous: Position | None, *, timed: bool) -> tuple[int, list[Closed], list[list[int]]]:
    if previous is None:
        return 0, [], []
    # Positions once had whole seconds.
    unit = _SECOND if timed and "unit" not in previous else 1
    try:
        closed = [Closed(int(low) * unit, int(high) * unit, int(rows)) for low, high, rows in previous["closed"]]
        marks = [[int(at), int(mark)] for at, mark in previous["marks"]]
        return int(previous["low"]) * unit, closed, marks
    except (KeyError, TypeError, ValueError):
        raise Malformed("读取位置不是水位", remedy="重新全量读取") from None
