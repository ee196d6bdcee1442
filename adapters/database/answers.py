"""What the recipient's own system made of delivered rows (接收方处理结果): states and error texts, read, never written.

A row belongs to the delivery that wrote it last: every row bears the time of its delivery, which the ledger keeps
too. The error texts are a stranger's: they are cut by the place itself, so that a large one does not travel.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import ERROR_CHARACTERS, Answers, Binding, FailedRow
from adapters.database.place import Place
from adapters.database.script import error_table_name
from adapters.database.shapes import Column, Expression, Reading, TableShape
from adapters.errors import Misconfigured


@dataclass(frozen=True)
class _Failing:
    """Which rows failed, and what is said of them."""

    condition: Expression
    text: Expression


class StateReader:
    """Reads the state columns of one target.

    Args:
        place: The database.
        binding: The table and the family it belongs to, for which :func:`adapters.database.binding.answerable` is true.
    """

    def __init__(self, place: Place, binding: Binding) -> None:
        self._place = place
        self._binding = binding

    def answers(self, stamp: str, rows: int) -> Answers:
        """Count the rows that bear a stamp by their state, and read the error texts of so many failed ones.

        Raises:
            Misconfigured: the table or one of its columns is gone.
        """
        place, errors = self._place, error_table_name(self._binding)
        names = [self._binding.object, *([errors] if errors else [])]
        with place.translating(), closing(place.snapshot(*names)) as connection:
            question = _Question(place, self._binding, place.shape(connection, self._binding.object))
            failing = question.failing(connection)
            counts = question.counts(connection, stamp, failing)
            told: tuple[FailedRow, ...] = ()
            if failing is not None and counts["failed"] and rows:
                told = question.told(connection, stamp, failing, rows)
        return Answers(
            new=counts["new"],
            done=counts["done"],
            failed=None if failing is None else counts["failed"],
            other=counts["other"],
            rows=told,
            advice=question.advice(),
        )


class _Question:
    """What is asked of a table as it lies there now."""

    def __init__(self, place: Place, binding: Binding, shape: TableShape) -> None:
        profile = binding.profile
        if profile is None or profile.state is None or profile.written_at is None:
            raise Misconfigured(f"表 {shape.name} 的挂接没有带状态列和写入时间列的前置库表族", remedy="写明前置库表族")
        self._place = place
        self._dialect = place.dialect
        self._shape = shape
        self._table = shape.clause
        self._profile = profile
        self._state = profile.state
        self._written_at = profile.written_at
        self._fixed = binding.fixed
        self._key = [binding.columns[item] for item in binding.key]
        self._errors = error_table_name(binding)
        wanted = [*binding.fixed, *self._key, self._state.column, self._written_at]
        wanted += [profile.error_text] if profile.error_text else []
        if missing := [name for name in dict.fromkeys(wanted) if name not in shape.columns]:
            raise Misconfigured(
                f"{place.name}：表 {shape.name} 没有列 {'、'.join(missing)}", remedy="请接收方改回，或改正挂接"
            )

    def counts(self, connection: sa.Connection, stamp: str, failing: _Failing | None) -> dict[str, int]:
        """Rows by what became of them, in one look."""
        new, done = self._unread(), self._is(self._state.done)
        failed = sa.false() if failing is None else failing.condition
        query = sa.select(
            sa.func.count().label("rows"),
            _many(new).label("new"),
            _many(sa.and_(sa.not_(new), failed)).label("failed"),
            _many(sa.and_(sa.not_(new), sa.not_(failed), done)).label("done"),
        )
        row = connection.execute(query.select_from(self._table).where(*self._mine(stamp))).mappings().one()
        found = {name: int(row[name]) for name in ("new", "done", "failed")}
        return {**found, "other": int(row["rows"]) - sum(found.values())}

    def failing(self, connection: sa.Connection) -> _Failing | None:
        """By the flag; where that does not tell, by the error-return table; None: nothing tells."""
        if self._state.failed != self._state.done:
            said = self._shape.columns[self._profile.error_text] if self._profile.error_text else None
            text = sa.cast(sa.null(), sa.Text) if said is None else self._cut(self._table.c[said.name], said)
            return _Failing(self._is(self._state.failed), text)
        name = self._errors
        errors = self._dialect.shape(connection, name, self._place.namespace) if name else None
        if errors is None or self._profile.error_column not in errors.columns:
            return None
        other = errors.clause
        same: list[Expression] = []
        # A copy of the row as it stood bears its time too: what was said of an earlier delivery is not said of this.
        for each in dict.fromkeys([*self._fixed, *self._key, self._written_at]):
            mine, theirs = self._shape.columns[each], errors.columns.get(each)
            if theirs is None or theirs.family != mine.family:
                return None
            both = replace(mine, exact=mine.exact and theirs.exact)
            same.append(self._dialect.same_key(other.c[each], self._table.c[each], both))
        remark = errors.columns[self._profile.error_column]
        first = sa.select(sa.func.min(self._cut(other.c[remark.name], remark))).where(*same)
        return _Failing(sa.exists().where(*same).correlate(self._table), first.correlate(self._table).scalar_subquery())

    def told(self, connection: sa.Connection, stamp: str, failing: _Failing, rows: int) -> tuple[FailedRow, ...]:
        """The first failed rows, in the order of their keys."""
        keys = [self._shape.columns[name] for name in self._key]
        order = [self._dialect.bytewise(self._table.c[each.name], each) for each in keys]
        wanted = [*self._mine(stamp), sa.not_(self._unread()), failing.condition]
        query = sa.select(self._table).where(*wanted).order_by(*order).limit(rows)
        expressions = [*(self._dialect.as_text(self._table.c[each.name], each) for each in keys), failing.text]
        readings = [Reading(each, pa.string(), pa.string(), None, "answer") for each in expressions]
        found: list[FailedRow] = []
        for arrays in self._dialect.read(connection, query, readings, rows):
            *parts, said = map(_legible, arrays)
            found += [FailedRow(tuple(key), word) for *key, word in zip(*parts, said, strict=True)]
        return tuple(found)

    def advice(self) -> tuple[str, ...]:
        """An index, where there is none to find the rows of one delivery by."""
        if self._written_at in self._shape.leading:
            return ()
        name = self._shape.name
        return (f"列 {self._written_at} 没有索引，每次读取处理结果都要扫描表 {name}：请接收方在该列上建索引",)

    def _mine(self, stamp: str) -> list[Expression]:
        given = {**self._fixed, self._written_at: stamp}
        return [
            self._dialect.equals(self._table.c[name], self._shape.columns[name], text) for name, text in given.items()
        ]

    def _unread(self) -> Expression:
        unread = [self._is(text) for text in self._state.new if text is not None]
        if None in self._state.new:
            unread.append(self._table.c[self._state.column].is_(None))
        return sa.or_(sa.false(), *unread)

    def _is(self, state: str) -> Expression:
        """The row is in that state; never unknown."""
        column = self._shape.columns[self._state.column]
        return sa.func.coalesce(self._dialect.equals(self._table.c[column.name], column, state), sa.false())

    def _cut(self, said: Expression, column: Column) -> Expression:
        return sa.func.substr(self._dialect.as_text(said, column), 1, ERROR_CHARACTERS)


def _many(condition: Expression) -> Expression:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _legible(column: pa.Array) -> list[str | None]:
    """Texts, whatever bytes the place took for one."""
    raw = pc.cast(column, pa.binary()).to_pylist()
    return [None if each is None else each.decode("utf-8", "backslashreplace") for each in raw]
