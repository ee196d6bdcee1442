"""How a table is read by each capture (读取方式): which rows, in what order, and where the next window starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from adapters.base import DELETE, PUT, Binding, Position
from adapters.database.dialects import Dialect
from adapters.database.ledger import SERIAL, Ledger
from adapters.database.shapes import Column, Expression, TableShape
from adapters.errors import Malformed, Restored

_TO_THE_SECOND = 19
"""Characters of a date and time, as a text that a time can be subtracted from."""


class Window:
    """The rows of one pass over a table.

    Args:
        dialect: The product.
        binding: The table and how it is captured.
        shape: The table as it lies there.
        overlap: Seconds that a window of operation batches reaches back.
    """

    def __init__(self, dialect: Dialect, binding: Binding, shape: TableShape, overlap: int) -> None:
        self._dialect = dialect
        self._binding = binding
        self._shape = shape
        self._overlap = timedelta(seconds=overlap)
        self.table = shape.clause
        self.within: Sequence[Expression] = ()
        """Conditions of the only rows that are of interest, if not all of them are."""

    @property
    def identity(self) -> tuple[Column, ...]:
        """The columns that tell a row, as it was read, from every other state of it."""
        binding, profile = self._binding, self._binding.profile
        names: list[str | None] = [binding.columns[item] for item in binding.key]
        if profile is not None and binding.capture == "outbox":
            names += [binding.columns[binding.version] if binding.version else None, profile.version]
            names.append(profile.state.column if profile.state else None)
            written_at = profile.written_at
            if not self._versioned and written_at in self._shape.columns:
                names.append(written_at)
        elif profile is not None and binding.capture == "batches":
            names += self._marks.values()
        return tuple(self._shape.columns[name] for name in dict.fromkeys(names) if name is not None)

    @property
    def content(self) -> Expression | None:
        """A digest of what was read of a row whose family counts no versions: a row reported again differs by it."""
        if self._binding.capture != "outbox" or self._versioned:
            return None
        columns = [self._shape.columns[name] for name in sorted(self._binding.columns.values())]
        return self._dialect.digest([self._dialect.as_text(self.table.c[each.name], each) for each in columns])

    def standing(self) -> list[Expression]:
        """Conditions that do not depend on where the last window ended."""
        conditions = [self._equals(name, text) for name, text in self._binding.fixed.items()]
        conditions += self.within
        profile = self._binding.profile
        if self._binding.capture == "outbox" and profile is not None and profile.state is not None:
            state, new = profile.state.column, profile.state.new
            unread = [self._equals(state, text) for text in new if text is not None]
            if None in new:
                unread.append(self.table.c[state].is_(None))
            conditions.append(sa.or_(sa.false(), *unread))
        return conditions

    def since(self, after: Position | None) -> list[Expression]:
        """Conditions that leave out what the last window has surely seen."""
        if after is None:
            return []
        if self._binding.capture == "journal":
            return [self.table.c[SERIAL] > _serial(after)]
        time = self._time
        if time is None or "time" not in after:
            return []
        low = _earlier(str(after["time"]), self._overlap)
        column = self.table.c[time.name]
        if time.family == "text":
            later = self._dialect.bytewise(column, time) >= sa.literal(low)
        else:
            later = column >= self._dialect.constant(low, time)
        # A row without a time could be of any time.
        return [sa.or_(later, column.is_(None))]

    def order(self) -> list[Expression]:
        """Bytewise by key, or in the order of writing: operation batches as a whole, otherwise rows of one key."""
        columns = {column.name: column for column in self.identity}
        if self._binding.capture == "batches":
            columns = {name: self._shape.columns[name] for name in self._marks.values()} | columns
        elif self._binding.capture == "snapshot":
            # Of several rows of one key the last is the one that was written last.
            columns |= {name: self._shape.columns[name] for name in self._marks.values()}
        order: list[Expression] = []
        for name, column in columns.items():
            if column.nullable:
                order.append(sa.case((self.table.c[name].is_(None), 0), else_=1))
            order.append(self._dialect.bytewise(self.table.c[name], column))
        return order

    def operation(self) -> Expression:
        """PUT, or DELETE where the row's mark says so."""
        mark = self._binding.profile.delete if self._binding.profile else None
        if mark is None or self._binding.capture == "journal":
            return sa.literal(PUT)
        marked = sa.or_(sa.false(), *(self._equals(mark.column, text) for text in mark.values))
        return sa.case((marked, DELETE), else_=PUT)

    @property
    def refers_by_key(self) -> bool:
        """Whether the reference is the key alone, which can be written down as it was read."""
        keys = [self._shape.columns[self._binding.columns[item]] for item in self._binding.key]
        plain = all(column.family in ("text", "integer") for column in keys)
        return self._binding.capture in ("snapshot", "watermark") and list(self.identity) == keys and plain

    def reference(self) -> Expression:
        """The identity as a JSON array of texts, the digest of the content last where it takes one."""
        texts = [self._dialect.as_text(self.table.c[column.name], column) for column in self.identity]
        if self.content is not None:
            texts.append(self.content)
        return self._dialect.json_array(texts)

    def end(self, connection: sa.Connection, after: Position | None, zone: str) -> Position | None:
        """Where the next window starts, read in the snapshot of this one.

        Args:
            connection: The snapshot.
            after: Where this window starts.
            zone: Zone of the place's zone-less times.

        Raises:
            Restored: the table's counter is behind the last window.
        """
        if self._binding.capture == "journal":
            return self._journal_end(connection, after)
        if self._binding.capture == "batches":
            return self._batches_end(connection, zone) or after
        return None

    def _journal_end(self, connection: sa.Connection, after: Position | None) -> Mapping[str, Any]:
        serials = Ledger(self._dialect, self._shape.namespace).serials
        query = sa.select(serials.c.value).where(serials.c.object == self._binding.object)
        serial = int(connection.execute(query).scalar() or 0)
        if after is not None and serial < _serial(after):
            raise Restored(
                f"表 {self._shape.name} 的交付序号比上次读到的小，可能恢复过备份", remedy="核实后重新全量读取"
            )
        return {"serial": serial}

    def _batches_end(self, connection: sa.Connection, zone: str) -> Mapping[str, Any] | None:
        """The last row that is not ahead of the place's own clock: one that is would hide all that come after it."""
        profile, time = self._binding.profile, self._time
        if profile is None or time is None:
            return None
        columns = {part: self._shape.columns[name] for part, name in self._marks.items()}
        texts = [self._dialect.as_text(self.table.c[each.name], each).label(part) for part, each in columns.items()]
        last = [self._dialect.bytewise(self.table.c[each.name], each).desc() for each in columns.values()]
        seconds = float(connection.execute(sa.select(self._dialect.clock())).scalar_one())
        past = self._until(time, datetime.fromtimestamp(int(seconds), UTC), zone)
        query = sa.select(*texts).where(past, *self.standing()).order_by(*last).limit(1)
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else dict(row)

    def _until(self, time: Column, moment: datetime, zone: str) -> Expression:
        """A row's time is known and not later than a moment."""
        column = self.table.c[time.name]
        local = moment if time.family == "instant" else moment.astimezone(ZoneInfo(zone))
        text = local.replace(tzinfo=None).isoformat(sep=" ")
        if time.family != "text":
            return column <= self._dialect.constant(text, time)
        written = self._dialect.bytewise(column, time)
        dashed = column.like("%-%")
        return sa.or_(
            sa.and_(dashed, written <= sa.literal(text)),
            sa.and_(sa.not_(dashed), written <= sa.literal(local.strftime("%Y%m%d%H%M%S"))),
        )

    @property
    def _versioned(self) -> bool:
        profile = self._binding.profile
        return self._binding.version is not None or (profile is not None and profile.version is not None)

    @property
    def _marks(self) -> Mapping[str, str]:
        """Columns that order operation batches; some tables of a family lack the row's identifier."""
        profile = self._binding.profile
        parts = {"time": profile.time, "batch": profile.batch, "row": profile.row} if profile else {}
        return {part: name for part, name in parts.items() if name is not None and name in self._shape.columns}

    @property
    def _time(self) -> Column | None:
        profile = self._binding.profile
        return self._shape.columns[profile.time] if profile is not None and profile.time is not None else None

    def _equals(self, name: str, text: str) -> Expression:
        return self._dialect.equals(self.table.c[name], self._shape.columns[name], text)


def _serial(position: Position) -> int:
    serial = position.get("serial")
    if not isinstance(serial, int):
        raise Malformed("读取位置不是交付序号", remedy="重新全量读取")
    return serial


def _earlier(text: str, overlap: timedelta) -> str:
    if len(text) < _TO_THE_SECOND:
        return text
    try:
        return (datetime.fromisoformat(text) - overlap).isoformat(sep=" ")
    except (ValueError, OverflowError):
        return text
