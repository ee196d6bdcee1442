"""Write-back (回写): status and error text to the rows as they were read, refused rows to the error table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice

import pyarrow as pa
import sqlalchemy as sa

from adapters.base import Binding, Outcome
from adapters.database.capture import Window
from adapters.database.layout import Copy, copy_of, now_text
from adapters.database.place import Place
from adapters.database.script import error_table_name
from adapters.database.shapes import Column, Expression, TableShape
from adapters.errors import Malformed, Misconfigured

_CHUNK = 10_000
_REASON, _CONTENT = "reason", "content"


class WriteBack:
    """Outcomes on their way back to one table.

    Args:
        place: The database.
        binding: The table and the family it belongs to.
    """

    def __init__(self, place: Place, binding: Binding) -> None:
        self._place = place
        self._binding = binding
        if binding.profile is None:
            raise Misconfigured(f"表 {binding.object} 的挂接没有前置库表族，不能回写", remedy="写明前置库表族")
        self._profile = binding.profile

    def settle(self, outcomes: Iterable[Outcome]) -> int:
        """Mark rows that are still as read; answers how many were marked, or copied to the error table, now."""
        with self._place.translating(), self._place.engine.connect() as connection:
            shape = self._place.shape(connection, self._binding.object)
            name = error_table_name(self._binding)
            errors = self._place.dialect.shape(connection, name, self._place.namespace) if name else None
            if errors is not None and self._profile.error_column not in errors.columns:
                errors = None
        if errors is None and self._binding.capture == "batches":
            return 0
        return sum(
            self._mark(chunk, shape, errors, corrected=corrected)
            for corrected, some in groupby(outcomes, key=lambda outcome: outcome.corrected)
            for chunk in _chunks(some)
        )

    def _mark(
        self, outcomes: dict[str, str | None], shape: TableShape, errors: TableShape | None, *, corrected: bool
    ) -> int:
        dialect = self._place.dialect
        window = Window(dialect, self._binding, shape, overlap=0)
        content = window.content
        service = {_REASON: "text"} if content is None else {_REASON: "text", _CONTENT: "text"}
        marks = copy_of(dialect, "shutong_marks", shape, window.identity, service, temporary=True)
        with self._place.transaction() as connection:
            connection.execute(marks.create)
            names = [f"c{number}" for number in range(len(window.identity))]
            names += [] if content is None else [_CONTENT]
            dialect.load(connection, marks.table, _arrays(outcomes, names))
            places = range(len(window.identity))
            as_read = sa.and_(*(self._as_read(window, marks, number, corrected=corrected) for number in places))
            if content is not None:
                as_read = sa.and_(as_read, content == marks.table.c[_CONTENT])
            if self._binding.capture == "outbox":
                dialect.lock(connection, window.table, as_read)
            copied = 0
            if errors is not None:
                copied = self._return_refused(connection, window, marks, as_read, shape, errors)
            if self._binding.capture == "batches":
                return copied
            many = (
                sa.select(sa.func.count())
                .select_from(window.table)
                .where(sa.exists().where(as_read).correlate(window.table))
            )
            marked = int(connection.execute(many).scalar_one())
            values = self._values(marks, shape)
            connection.execute(sa.update(window.table).where(as_read).values(values))
        return marked

    def _as_read(self, window: Window, marks: Copy, number: int, *, corrected: bool) -> Expression:
        column = window.identity[number]
        here = window.table.c[column.name]
        if number < len(self._binding.key):
            return self._place.dialect.same_key(here, marks[number], column)
        same = self._place.dialect.same(here, marks[number], column)
        state = self._profile.state
        if not corrected or state is None or column.name != state.column or state.failed == state.done:
            return same
        return sa.or_(same, self._place.dialect.equals(here, column, state.failed))

    def _values(self, marks: Copy, shape: TableShape) -> dict[str, Expression]:
        profile, dialect, zone = self._profile, self._place.dialect, self._place.zone
        values: dict[str, Expression] = {}
        if profile.state is None:
            return values
        reason = marks.table.c[_REASON]
        state = shape.columns[profile.state.column]
        done, failed = (dialect.constant(text, state) for text in (profile.state.done, profile.state.failed))
        values[state.name] = sa.case((reason.is_(None), done), else_=failed)
        if profile.read_at is not None:
            column = shape.columns[profile.read_at]
            values[column.name] = dialect.constant(now_text(column, dialect, zone), column)
        if profile.error_text is not None:
            column = shape.columns[profile.error_text]
            text = _cut(reason, column, profile.error_length)
            values[column.name] = text if column.nullable else sa.func.coalesce(text, "")
        return values

    def _return_refused(
        self,
        connection: sa.Connection,
        window: Window,
        marks: Copy,
        as_read: Expression,
        shape: TableShape,
        errors: TableShape,
    ) -> int:
        """Refused rows as they stand, each once."""
        table, dialect = errors.clause, self._place.dialect
        state = self._profile.state.column if self._profile.state else None
        told_by = [each for each in window.identity if each.name != state and each.name in errors.columns]
        there = sa.exists().where(
            *(
                dialect.same(
                    table.c[each.name],
                    window.table.c[each.name],
                    replace(each, exact=each.exact and errors.columns[each.name].exact),
                )
                for each in told_by
            )
        )
        reason = marks.table.c[_REASON]
        shared = [name for name in shape.columns if name in errors.columns and not errors.columns[name].computed]
        remark = self._profile.error_column
        shared = [name for name in shared if name != remark]
        why = _cut(reason, errors.columns[remark], self._profile.error_length)
        wanted = sa.and_(as_read, reason.is_not(None), sa.not_(there))
        source = sa.select(*(window.table.c[name] for name in shared), why)
        rows = source.where(wanted)
        copied = int(connection.execute(sa.select(sa.func.count()).select_from(rows.subquery("refused"))).scalar_one())
        if copied:
            connection.execute(sa.insert(table).from_select([*shared, remark], rows))
        return copied


def _cut(text: Expression, column: Column, length: int) -> Expression:
    return sa.func.substr(text, 1, min(length, column.length or length))


def _chunks(outcomes: Iterable[Outcome]) -> Iterator[dict[str, str | None]]:
    """Outcomes by reference; of several for one row a refusal stands."""
    rest = iter(outcomes)
    while part := list(islice(rest, _CHUNK)):
        chunk: dict[str, str | None] = {}
        for outcome in part:
            chunk[outcome.reference] = chunk.get(outcome.reference) or outcome.reason
        yield chunk


def _arrays(outcomes: dict[str, str | None], names: list[str]) -> dict[str, pa.Array]:
    try:
        rows = [json.loads(reference) for reference in outcomes]
        columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise Malformed("要回写的行标识不是本端点给出的", remedy="核对回写的来源") from error
    if len(columns) != len(names):
        raise Malformed("要回写的行标识与挂接的业务主键不符", remedy="读取之后改过挂接时，重新读取")
    return {_REASON: pa.array(list(outcomes.values()), pa.string()), **dict(zip(names, columns, strict=True))}
