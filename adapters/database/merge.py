"""The merge (合并): what becomes of every staged row, decided once, then done.

Both steps run in the target transaction. The decision is written into a temporary table, so that
every count is a count of decisions and every statement that changes the target follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from adapters.base import DELETE, PUT
from adapters.database.dialects import Dialect
from adapters.database.keys import scope_text
from adapters.database.layout import KEY, OPERATION_COLUMN, ROW, Stage, stamps
from adapters.database.ledger import SERIAL, Counts, Ledger
from adapters.database.shapes import Expression

INSERT, REPLACE, REMOVE, ENTOMB, UNCHANGED, SUPERSEDED, CONFLICT = range(1, 8)
"""Decisions; ENTOMB is a deletion of a row that is not there, which leaves its tombstone."""

_RULE, _REASON = "conflict", "与目标端同一版本的内容不同"


class Merge:
    """One merge of a stage into its target.

    Args:
        dialect: The product.
        stage: The rows, and how their items lie in the target.
        ledger: The tables beside the target.
        overwrite: Other content of the same version is written instead of refused.
    """

    def __init__(self, dialect: Dialect, stage: Stage, ledger: Ledger, *, overwrite: bool) -> None:
        self._dialect = dialect
        self._layout = layout = stage.layout
        self._stage = stage
        self._ledger = ledger
        self._overwrite = overwrite
        self._binding = layout.binding
        self._target = layout.shape.clause
        self._scope = scope_text(layout.binding.fixed)
        self._ranking = sa.table("shutong_ranking", sa.column(ROW), sa.column("winner"))
        self._verdict = sa.table("shutong_verdict", sa.column(ROW), sa.column("decision"))
        self._many: Mapping[int, int] = {}

    def decide(self, connection: sa.Connection) -> Counts:
        """Lock what is concerned and decide about every staged row."""
        for table in (self._ranking, self._verdict):
            made = sa.Table(table.name, sa.MetaData(), prefixes=["TEMPORARY"])
            made.append_column(sa.Column(ROW, sa.BigInteger, primary_key=True, autoincrement=False))
            other = next(name for name in table.c.keys() if name != ROW)  # noqa: SIM118
            made.append_column(sa.Column(other, sa.BigInteger))
            connection.execute(sa.schema.CreateTable(made))
        self._dialect.lock(connection, self._target, self._joined(self._target, self._stage.table))
        self._rank(connection)
        self._judge_winners(connection)
        self._judge_losers(connection)
        return self._counted(connection)

    def carry_out(self, connection: sa.Connection, zone: str, serial: int, key: str) -> None:
        """Change target and tombstones as decided, and keep what was refused."""
        shape = self._layout.shape
        counted = (
            {SERIAL: self._dialect.constant(str(serial), shape.columns[SERIAL])} if SERIAL in shape.columns else {}
        )
        self._insert(connection, stamps(self._binding, shape, self._dialect, zone, new=True) | counted)
        self._replace(connection, stamps(self._binding, shape, self._dialect, zone, new=False) | counted)
        self._remove(connection)
        self._bury(connection, serial)
        refused = sa.select(sa.literal(key), self._verdict.c[ROW], sa.literal(_RULE), sa.literal(_REASON)).where(
            self._verdict.c.decision == CONFLICT
        )
        names = ["delivery_key", "row_number", "rule", "reason"]
        connection.execute(sa.insert(self._ledger.refusals).from_select(names, refused))

    # Decisions

    def _rank(self, connection: sa.Connection) -> None:
        """Rows of one key: the highest version wins, then the last."""
        rows = self._stage.table
        order: list[Expression] = []
        if self._binding.version is not None:
            rank = self._version(rows)
            order = [sa.case((rank.is_(None), 1), else_=0), rank.desc()]
        winner = sa.func.first_value(rows.c[ROW]).over(partition_by=rows.c[KEY], order_by=[*order, rows.c[ROW].desc()])
        connection.execute(sa.insert(self._ranking).from_select([ROW, "winner"], sa.select(rows.c[ROW], winner)))

    def _judge_winners(self, connection: sa.Connection) -> None:
        rows, there, grave = self._stage.table, self._target, self._ledger.tombstones
        tables = (
            self._ranking.join(rows, rows.c[ROW] == self._ranking.c[ROW])
            .outerjoin(there, self._joined(there, rows))
            .outerjoin(grave, self._grave_of(rows))
        )
        query = (
            sa.select(rows.c[ROW], self._winners_fate(rows, there, grave))
            .select_from(tables)
            .where(self._ranking.c[ROW] == self._ranking.c.winner)
        )
        connection.execute(sa.insert(self._verdict).from_select([ROW, "decision"], query))

    def _winners_fate(self, rows: sa.FromClause, there: sa.TableClause, grave: sa.Table) -> Expression:
        put = rows.c[OPERATION_COLUMN] == PUT
        present = there.c[self._binding.columns[self._binding.key[0]]].is_not(None)
        buried = grave.c.object.is_not(None)
        same = self._same_content(rows, lambda item: there.c[self._binding.columns[item]])
        if self._binding.version is None:
            return sa.case(
                (sa.and_(put, sa.not_(present)), INSERT),
                (sa.and_(put, same), UNCHANGED),
                (put, REPLACE),
                (present, REMOVE),
                (buried, UNCHANGED),
                else_=ENTOMB,
            )
        mine, others = self._version(rows), self._target_version(there)
        last = self._grave_version(grave)
        return sa.case(
            (sa.and_(put, sa.not_(present), buried, _below(mine, last)), SUPERSEDED),
            (
                sa.and_(put, sa.not_(present), buried, mine.is_not_distinct_from(last)),
                INSERT if self._overwrite else SUPERSEDED,
            ),
            (sa.and_(put, sa.not_(present)), INSERT),
            (sa.and_(put, _below(mine, others)), SUPERSEDED),
            (sa.and_(put, same), UNCHANGED),
            (sa.and_(put, _below(others, mine)), REPLACE),
            (put, REPLACE if self._overwrite else CONFLICT),
            (sa.and_(present, _below(mine, others)), SUPERSEDED),
            (present, REMOVE),
            (sa.and_(buried, sa.not_(_below(last, mine))), UNCHANGED),
            else_=ENTOMB,
        )

    def _judge_losers(self, connection: sa.Connection) -> None:
        """Rows that another of the same key and delivery has beaten."""
        ranking, rows, winners = self._ranking, self._stage.table, self._stage.table.alias("winners")
        beaten = sa.select(sa.func.count()).select_from(ranking).where(ranking.c[ROW] != ranking.c.winner)
        if not connection.execute(beaten).scalar_one():
            return
        tables = ranking.join(rows, rows.c[ROW] == ranking.c[ROW]).join(winners, winners.c[ROW] == ranking.c.winner)
        query = (
            sa.select(rows.c[ROW], self._losers_fate(rows, winners))
            .select_from(tables)
            .where(ranking.c[ROW] != ranking.c.winner)
        )
        connection.execute(sa.insert(self._verdict).from_select([ROW, "decision"], query))

    def _losers_fate(self, rows: sa.FromClause, winners: sa.FromClause) -> Expression:
        if self._binding.version is None:
            return sa.literal(SUPERSEDED)
        mine, others = self._version(rows), self._version(winners)
        same = self._same_content(rows, lambda item: self._stage.item(item, winners))
        return sa.case(
            (_below(mine, others), SUPERSEDED),
            (rows.c[OPERATION_COLUMN] != winners.c[OPERATION_COLUMN], SUPERSEDED),
            (rows.c[OPERATION_COLUMN] == DELETE, UNCHANGED),
            (same, UNCHANGED),
            else_=SUPERSEDED if self._overwrite else CONFLICT,
        )

    def _counted(self, connection: sa.Connection) -> Counts:
        decision = self._verdict.c.decision
        found = connection.execute(sa.select(decision, sa.func.count()).group_by(decision))
        self._many = many = {row[0]: row[1] for row in found}
        return Counts(
            written=sum(many.get(each, 0) for each in (INSERT, REPLACE, REMOVE)),
            deleted=many.get(REMOVE, 0),
            unchanged=many.get(UNCHANGED, 0) + many.get(ENTOMB, 0),
            superseded=many.get(SUPERSEDED, 0),
            refused=many.get(CONFLICT, 0),
        )

    # Changes

    def _insert(self, connection: sa.Connection, written: Mapping[str, Expression]) -> None:
        if not self._any(INSERT):
            return
        items = self._layout.fields
        values = {self._binding.columns[item]: self._stage.item(item) for item in items}
        for name, text in self._binding.fixed.items():
            values[name] = self._dialect.constant(text, self._layout.shape.columns[name])
        values |= written
        query = sa.select(*values.values()).where(self._decided(INSERT))
        connection.execute(sa.insert(self._target).from_select(list(values), query))

    def _replace(self, connection: sa.Connection, written: Mapping[str, Expression]) -> None:
        if not self._any(REPLACE):
            return
        values = {
            self._binding.columns[item]: self._stage.item(item)
            for item in self._layout.fields
            if item not in self._binding.key
        }
        values |= written
        if values:
            condition = sa.and_(self._decided(REPLACE), self._joined(self._target, self._stage.table))
            connection.execute(sa.update(self._target).values(values).where(condition))

    def _remove(self, connection: sa.Connection) -> None:
        if not self._any(REMOVE):
            return

        def condition(target: sa.FromClause) -> Expression:
            return sa.and_(self._decided(REMOVE), self._joined(target, self._stage.table))

        connection.execute(self._dialect.delete_matching(self._target, self._layout.key_columns, condition))

    def _bury(self, connection: sa.Connection, serial: int) -> None:
        """A row that was written has no tombstone; a deletion leaves one, never a lower one."""
        if not self._any(INSERT, REPLACE, REMOVE, ENTOMB):
            return
        grave, rows = self._ledger.tombstones, self._stage.table
        clause = sa.table(grave.name, *(sa.column(name) for name in grave.c.keys()), schema=grave.schema)  # noqa: SIM118

        def condition(table: sa.FromClause) -> Expression:
            gone = self._decided(REMOVE, ENTOMB)
            if self._binding.version is not None:
                gone = sa.and_(gone, sa.not_(_below(self._version(rows), self._grave_version(table))))
            return sa.and_(sa.or_(self._decided(INSERT, REPLACE), gone), self._grave_of(rows, table))

        connection.execute(self._dialect.delete_matching(clause, ("object", "scope", KEY), condition))
        if not self._any(REMOVE, ENTOMB):
            return
        version: Expression = sa.null()
        if self._binding.version is not None:
            item = self._binding.version
            version = self._dialect.as_text(self._stage.item(item), self._layout.column(item))
        query = (
            sa.select(
                sa.literal(self._binding.object), sa.literal(self._scope), rows.c[KEY], version, sa.literal(serial)
            )
            .select_from(
                self._verdict.join(rows, rows.c[ROW] == self._verdict.c[ROW]).outerjoin(grave, self._grave_of(rows))
            )
            .where(self._verdict.c.decision.in_((REMOVE, ENTOMB)), grave.c.object.is_(None))
        )
        names = ["object", "scope", KEY, "version", "serial"]
        connection.execute(sa.insert(grave).from_select(names, query))

    # Parts of conditions

    def _any(self, *decisions: int) -> bool:
        return any(self._many.get(each) for each in decisions)

    def _decided(self, *decisions: int) -> Expression:
        return sa.and_(self._verdict.c[ROW] == self._stage.table.c[ROW], self._verdict.c.decision.in_(decisions))

    def _joined(self, target: sa.FromClause, rows: sa.FromClause) -> Expression:
        columns = self._layout.shape.columns
        fixed = [
            self._dialect.equals(target.c[name], columns[name], text) for name, text in self._binding.fixed.items()
        ]
        keys = [
            self._dialect.same_key(target.c[column.name], self._stage.item(item, rows), column)
            for item, column in ((item, self._layout.column(item)) for item in self._binding.key)
        ]
        return sa.and_(*fixed, *keys)

    def _grave_of(self, rows: sa.FromClause, grave: sa.FromClause | None = None) -> Expression:
        graves = self._ledger.tombstones if grave is None else grave
        return sa.and_(
            graves.c.object == self._binding.object,
            graves.c.scope == self._scope,
            graves.c[KEY] == rows.c[KEY],
        )

    def _version(self, rows: sa.FromClause) -> Expression:
        return self._ranked(lambda item: self._stage.item(item, rows))

    def _target_version(self, target: sa.FromClause) -> Expression:
        return self._ranked(lambda item: target.c[self._binding.columns[item]])

    def _grave_version(self, grave: sa.FromClause) -> Expression:
        return self._ranked(lambda item: self._dialect.from_text(grave.c.version, self._layout.column(item)))

    def _ranked(self, value: Callable[[str], Expression]) -> Expression:
        item = self._binding.version
        if item is None:
            return sa.null()
        return self._dialect.rank(value(item), self._layout.column(item), self._layout.fields[item].type)

    def _same_content(self, rows: sa.FromClause, other: Callable[[str], Expression]) -> Expression:
        return sa.and_(
            sa.true(),
            *(
                self._dialect.same(self._stage.item(item, rows), other(item), self._layout.column(item))
                for item in self._layout.fields
                if item not in self._binding.key
            ),
        )


def _below(one: Expression, other: Expression) -> Expression:
    """One version is lower than the other; a missing one is lower than any."""
    return sa.and_(other.is_not(None), sa.or_(one.is_(None), one < other))
