"""The merge (合并): what becomes of every staged row, decided once, then done.

Both steps run in the target transaction. The decision is written into a temporary table, so that
every count is a count of decisions and every statement that changes the target follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from adapters.base import DELETE, PUT
from adapters.database.dialects import Dialect
from adapters.database.errors import diagnosed
from adapters.database.keys import scope_text
from adapters.database.layout import KEY, OPERATION_COLUMN, ROW, Stage, stamp, stamps
from adapters.database.ledger import SERIAL, Counts, Ledger
from adapters.database.shapes import Expression
from adapters.errors import StageLost, Unavailable

INSERT, REPLACE, REMOVE, ENTOMB, UNCHANGED, SUPERSEDED, CONFLICT, BROKEN = range(1, 9)
"""Decisions; ENTOMB is a deletion of a row that is not there, which leaves its tombstone. A row of which nothing
is noted is inserted."""

_TRIES = 2000
"""Statements that are spent on finding rows which break a constraint, before the delivery as a whole is refused."""

_KEPT = "目标表的触发器或规则没有改动这一行"
_RULE, _REASON = "conflict", "与目标端同一版本的内容不同"


class Merge:
    """One merge of a stage into its target.

    Args:
        dialect: The product.
        stage: The rows, and how their items lie in the target.
        ledger: The tables beside the target.
        rows: How many rows are staged.
        overwrite: Other content of the same version is written instead of refused.
    """

    def __init__(self, dialect: Dialect, stage: Stage, ledger: Ledger, rows: int, *, overwrite: bool) -> None:
        self._dialect = dialect
        self._layout = layout = stage.layout
        self._stage = stage
        self._ledger = ledger
        self._overwrite = overwrite
        self._binding = layout.binding
        self._target = layout.shape.clause
        self._scope = scope_text(layout.binding.fixed)
        self._ranking = sa.table("shutong_ranking", sa.column(ROW), sa.column("winner"))
        self._place = dialect.place(self._target)
        self._places = [f"place_{number}" for number in range(len(self._place))]
        self._verdict = sa.table("shutong_verdict", *map(sa.column, (ROW, "decision", *self._places)))
        self._rows = rows
        self.stamp = ""
        """The time that every row written bears, when they are; empty where their family has no place for one."""
        self._graves = False
        self._beaten = False
        self._many: Mapping[int, int] = {}
        self._fresh = 0
        self._broken: list[tuple[int, str]] = []

    def decide(self, connection: sa.Connection) -> None:
        """Lock what is concerned and decide about every staged row that is not simply inserted."""
        for table in (self._ranking, self._verdict):
            made = sa.Table(table.name, sa.MetaData(), prefixes=["TEMPORARY"])
            made.append_column(sa.Column(ROW, sa.BigInteger, primary_key=True, autoincrement=False))
            for name in table.c.keys()[1:]:
                place = self._place[self._places.index(name)] if name in self._places else None
                made.append_column(sa.Column(name, sa.BigInteger() if place is None else place.type))
            connection.execute(sa.schema.CreateTable(made))
        self._dialect.look_over(connection, self._stage.table)
        self._graves = self._ledger.buries(connection, self._binding.object, self._scope)
        if self._graves and self._stage.unkeyed(connection):
            raise StageLost("暂存之后目标端才有删除记号", remedy="将自动重新读取")
        self._rank(connection)
        self._judge_present(connection)
        self._judge_absent(connection)
        self._judge_losers(connection)

    def carry_out(self, connection: sa.Connection, zone: str, serial: int, key: str) -> Counts:
        """Change target and tombstones as decided, keep what was refused, and count it all."""
        self._many = self._decisions(connection)
        self.stamp = stamp(self._binding, self._layout.shape, self._dialect, zone)
        together = connection.begin_nested()
        self._change(connection, serial)
        try:
            self._dialect.demand_constraints(connection)
            together.commit()
        except sa.exc.DBAPIError as error:
            if not self._of_rows(error):
                raise
            # A constraint that waited for all rows does not say which one it will not have: it may wait no more.
            together.rollback()
            self._dialect.demand_constraints(connection)
            self._broken.clear()
            self._many = self._decisions(connection)
            self._change(connection, serial)
        self._bury(connection, serial)
        names = ["delivery_key", "row_number", "rule", "reason"]
        if self._any(CONFLICT):
            refused = sa.select(sa.literal(key), self._verdict.c[ROW], sa.literal(_RULE), sa.literal(_REASON)).where(
                self._verdict.c.decision == CONFLICT
            )
            connection.execute(sa.insert(self._ledger.refusals).from_select(names, refused))
        if self._broken:
            rows = [dict(zip(names, (key, row, "constraint", why), strict=True)) for row, why in self._broken]
            connection.execute(sa.insert(self._ledger.refusals), rows)
        return self._counted(connection)

    # Decisions

    def _rank(self, connection: sa.Connection) -> None:
        """Rows of one key: the highest version wins, then the last. Only keys that come twice are ranked."""
        rows = self._stage.table
        if self._stage.distinct:
            return
        keys = [self._dialect.bytewise(self._stage.item(item), self._layout.column(item)) for item in self._binding.key]
        twice = sa.select(*(key.label(f"k{n}") for n, key in enumerate(keys))).group_by(*keys)
        repeated = twice.having(sa.func.count() > 1).subquery("twice")
        if connection.execute(sa.select(sa.func.count()).select_from(repeated)).scalar_one() == 0:
            return
        order: list[Expression] = []
        if self._binding.version is not None:
            rank = self._version(rows)
            order = [sa.case((rank.is_(None), 1), else_=0), rank.desc()]
        winner = sa.func.first_value(rows.c[ROW]).over(partition_by=keys, order_by=[*order, rows.c[ROW].desc()])
        among = sa.and_(*(key == repeated.c[f"k{n}"] for n, key in enumerate(keys)))
        query = sa.select(rows.c[ROW], winner).select_from(rows.join(repeated, among))
        connection.execute(sa.insert(self._ranking).from_select([ROW, "winner"], query))
        self._beaten = True

    def _not_beaten(self, rows: sa.FromClause) -> list[Expression]:
        """Only the winner of a key is compared with what is there."""
        if not self._beaten:
            return []
        lost = sa.select(self._ranking.c[ROW]).where(
            self._ranking.c[ROW] == rows.c[ROW], self._ranking.c[ROW] != self._ranking.c.winner
        )
        return [sa.not_(lost.exists())]

    def _judge_present(self, connection: sa.Connection) -> None:
        """Rows whose key is there already; they are locked."""
        rows, there = self._stage.table, self._target
        query = (
            sa.select(rows.c[ROW], self._fate_of_present(rows, there), *self._place)
            .select_from(rows.join(there, self._joined(there, rows)))
            .where(*self._not_beaten(rows))
        )
        found = self._locking(query, there)
        connection.execute(sa.insert(self._verdict).from_select([ROW, "decision", *self._places], found))

    def _judge_absent(self, connection: sa.Connection) -> None:
        """Rows whose key is not there, but that delete it, or that were deleted before."""
        if not self._graves and not self._stage.deletes(connection):
            return
        rows, grave = self._stage.table, self._ledger.tombstones
        seen = sa.select(self._verdict.c[ROW]).where(self._verdict.c[ROW] == rows.c[ROW]).exists()
        query = (
            sa.select(rows.c[ROW], self._fate_of_absent(rows, grave))
            .select_from(rows.outerjoin(grave, self._grave_of(rows)))
            .where(
                sa.or_(rows.c[OPERATION_COLUMN] == DELETE, grave.c.object.is_not(None)),
                sa.not_(seen),
                *self._not_beaten(rows),
            )
        )
        # Through a table of its own: a product may not read what it is inserting into.
        decided = query.subquery("decided")
        connection.execute(sa.insert(self._verdict).from_select([ROW, "decision"], sa.select(*decided.c)))

    def _fate_of_present(self, rows: sa.FromClause, there: sa.FromClause) -> Expression:
        put = rows.c[OPERATION_COLUMN] == PUT
        same = self._same_content(rows, lambda item: there.c[self._binding.columns[item]])
        same = sa.and_(same, *(child.same(rows) for child in self._stage.children))
        if self._binding.version is None:
            return sa.case((sa.and_(put, same), UNCHANGED), (put, REPLACE), else_=REMOVE)
        mine, others = self._version(rows), self._target_version(there)
        return sa.case(
            (_below(mine, others), SUPERSEDED),
            (sa.and_(put, same), UNCHANGED),
            (sa.and_(put, _below(others, mine)), REPLACE),
            (put, REPLACE if self._overwrite else CONFLICT),
            else_=REMOVE,
        )

    def _fate_of_absent(self, rows: sa.FromClause, grave: sa.FromClause) -> Expression:
        put, buried = rows.c[OPERATION_COLUMN] == PUT, grave.c.object.is_not(None)
        if self._binding.version is None:
            return sa.case((put, INSERT), (buried, UNCHANGED), else_=ENTOMB)
        mine, last = self._version(rows), self._grave_version(grave)
        return sa.case(
            (sa.and_(put, buried, _below(mine, last)), SUPERSEDED),
            (sa.and_(put, buried, mine.is_not_distinct_from(last)), INSERT if self._overwrite else SUPERSEDED),
            (put, INSERT),
            (sa.and_(buried, sa.not_(_below(last, mine))), UNCHANGED),
            else_=ENTOMB,
        )

    def _judge_losers(self, connection: sa.Connection) -> None:
        """Rows that another of the same key and delivery has beaten."""
        if not self._beaten:
            return
        ranking, rows, winners = self._ranking, self._stage.table, self._stage.table.alias("winners")
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
        same = sa.and_(same, *(child.same(rows, winners) for child in self._stage.children))
        return sa.case(
            (_below(mine, others), SUPERSEDED),
            (rows.c[OPERATION_COLUMN] != winners.c[OPERATION_COLUMN], SUPERSEDED),
            (rows.c[OPERATION_COLUMN] == DELETE, UNCHANGED),
            (same, UNCHANGED),
            else_=SUPERSEDED if self._overwrite else CONFLICT,
        )

    def _decisions(self, connection: sa.Connection) -> Mapping[int, int]:
        decision = self._verdict.c.decision
        found = connection.execute(sa.select(decision, sa.func.count()).group_by(decision))
        return {row[0]: row[1] for row in found}

    def _counted(self, connection: sa.Connection) -> Counts:
        many = self._decisions(connection)
        return Counts(
            written=self._fresh + many.get(REPLACE, 0) + many.get(REMOVE, 0),
            deleted=many.get(REMOVE, 0),
            unchanged=many.get(UNCHANGED, 0) + many.get(ENTOMB, 0),
            superseded=many.get(SUPERSEDED, 0),
            refused=many.get(CONFLICT, 0) + many.get(BROKEN, 0),
        )

    def _new(self, connection: sa.Connection) -> int:
        """How many rows are inserted."""
        inserted = sa.select(sa.func.count()).select_from(self._stage.table).where(*self._inserted())
        return int(connection.execute(inserted).scalar_one())

    # Changes

    def _change(self, connection: sa.Connection, serial: int) -> None:
        shape = self._layout.shape
        counted = (
            {SERIAL: self._dialect.constant(str(serial), shape.columns[SERIAL])} if SERIAL in shape.columns else {}
        )
        self._remove(connection)
        self._replace(connection, stamps(self._binding, shape, self._dialect, self.stamp, new=False) | counted)
        self._insert(connection, stamps(self._binding, shape, self._dialect, self.stamp, new=True) | counted)

    def _inserted(self) -> list[Expression]:
        """Rows of which nothing was decided, or this."""
        if not any(count for decision, count in self._many.items() if decision != INSERT):
            return []
        other = sa.and_(self._verdict.c[ROW] == self._stage.table.c[ROW], self._verdict.c.decision != INSERT)
        return [sa.not_(sa.exists().where(other).correlate(self._stage.table))]

    def _insert(self, connection: sa.Connection, written: Mapping[str, Expression]) -> None:
        items = self._layout.fields
        values = {self._binding.columns[item]: self._stage.item(item) for item in items}
        for name, text in self._binding.fixed.items():
            values[name] = self._dialect.constant(text, self._layout.shape.columns[name])
        values |= written
        query = sa.select(*values.values()).select_from(self._stage.table).where(*self._inserted())
        insert = sa.insert(self._target)
        done = self._apply(
            connection,
            lambda *span: insert.from_select(list(values), query.where(*span)),
            lambda *span: self._put_children(connection, *self._inserted(), *span),
        )
        self._fresh = self._new(connection)
        if done != self._fresh:
            self._break_lost(connection)
            self._fresh = self._new(connection)

    def _break_lost(self, connection: sa.Connection) -> None:
        """Refuse rows that a trigger or rule of the target let vanish; where it put them elsewhere, they are there."""
        rows = self._stage.table
        there = sa.exists().where(self._joined(self._target, rows)).correlate(rows)
        lost = connection.execute(sa.select(rows.c[ROW]).where(*self._inserted(), sa.not_(there))).scalars().all()
        for number in lost:
            self._mark_broken(connection, number, "目标表的触发器或规则没有留下这一行")

    def _replace(self, connection: sa.Connection, written: Mapping[str, Expression]) -> None:
        if not self._any(REPLACE):
            return
        values = {
            self._binding.columns[item]: self._stage.item(item)
            for item in self._layout.fields
            if item not in self._binding.key
        }
        values |= written
        decided = self._decided(REPLACE)

        def follow(*span: Expression) -> None:
            self._put_children(connection, decided, *span)

        if not values and self._stage.children:
            self._apply(connection, lambda *span: sa.select(sa.literal(1)), follow)
        if values:
            update = sa.update(self._target).values(values)
            if self._place:
                # Nobody else moves a row that is locked, so it need not be looked up by its key once more.
                here = [self._verdict.c[name] == place for name, place in zip(self._places, self._place, strict=True)]
                standing, before = update.where(decided, *here), len(self._broken)
                done = self._apply(connection, lambda *span: standing.where(*span), follow)
                if done + len(self._broken) - before == self._many[REPLACE]:
                    return
            # A trigger of the target may have moved others while one was written; what was written is not once more.
            again = sa.not_(
                self._same_content(self._stage.table, lambda item: self._target.c[self._binding.columns[item]])
            )
            named = update.where(
                decided, self._joined(self._target, self._stage.table), *([again] if self._place else [])
            )
            self._apply(connection, lambda *span: named.where(*span), follow)
            if self._place:
                # Who was written stands elsewhere since.
                still = sa.select(self._verdict.c[ROW]).where(self._verdict.c.decision == REPLACE, *here)
                for number in connection.execute(still.select_from(self._verdict, self._target)).scalars().all():
                    self._mark_broken(connection, number, _KEPT)

    def _put_children(self, connection: sa.Connection, *conditions: Expression) -> None:
        """Put the child rows of written parents in place; one that is not let in takes its parent's change back."""
        rows = self._stage.table
        there = sa.exists().where(self._joined(self._target, rows)).correlate(rows)
        for child in self._stage.children:
            child.put(connection, conditions, there)

    def _apply(
        self,
        connection: sa.Connection,
        statement: Callable[..., sa.Executable],
        follow: Callable[..., None] = lambda *_span: None,
    ) -> int:
        """Carry a statement out for all rows it concerns, except those that the target's constraints forbid.

        They are found by halves, each tried under a savepoint with what is to follow it, and refused one by one.
        Returns how many rows the product says it wrote.
        """
        row = self._stage.table.c[ROW]
        spans = [(0, self._rows)]
        tries = done = 0
        while spans:
            low, high = spans.pop()
            part = () if (low, high) == (0, self._rows) else (row >= low, row < high)
            attempt = connection.begin_nested()
            try:
                wrote = connection.execute(statement(*part)).rowcount
                follow(*part)
                attempt.commit()
                done += wrote
            except sa.exc.DBAPIError as error:
                tries += 1
                # A deadlock or a cut has taken the whole transaction: there is nothing to go back to.
                if not self._of_rows(error) or tries > _TRIES:
                    raise
                attempt.rollback()
                if high - low == 1:
                    self._break(connection, low, error)
                else:
                    middle = (low + high) // 2
                    spans += [(middle, high), (low, middle)]
        return done

    def _of_rows(self, error: sa.exc.DBAPIError) -> bool:
        """Whether single rows are to blame: a constraint or a trigger will not have them."""
        return isinstance(error, sa.exc.IntegrityError) or diagnosed(error, self._dialect).of_value

    def _break(self, connection: sa.Connection, number: int, error: sa.exc.DBAPIError) -> None:
        """Refuse a row that the target will not have.

        Raises:
            Unavailable: Somebody else is writing a row of the same key.
        """
        stage = self._stage.table
        mine = sa.and_(stage.c[ROW] == number, self._joined(self._target, stage))
        replaced = sa.and_(self._verdict.c[ROW] == number, self._verdict.c.decision.in_((REPLACE, REMOVE)))
        if (
            connection.execute(sa.select(sa.func.count()).where(mine)).scalar_one()
            and not connection.execute(sa.select(sa.func.count()).where(replaced)).scalar_one()
        ):
            raise Unavailable("目标表中有人正在写入同一业务主键的行", remedy="稍后重试")
        named = "、".join(name for _, name in diagnosed(error, self._dialect).names)
        self._mark_broken(connection, number, f"违反目标表的约束{f'（{named}）' if named else ''}")

    def _mark_broken(self, connection: sa.Connection, number: int, why: str) -> None:
        connection.execute(sa.delete(self._verdict).where(self._verdict.c[ROW] == number))
        connection.execute(sa.insert(self._verdict).values({ROW: number, "decision": BROKEN}))
        self._many = {**self._many, BROKEN: 1}
        self._broken.append((number, why))

    def _remove(self, connection: sa.Connection) -> None:
        if not self._any(REMOVE):
            return

        def condition(target: sa.FromClause) -> Expression:
            return sa.and_(self._decided(REMOVE), self._joined(target, self._stage.table))

        def delete(*span: Expression) -> sa.Delete:
            for child in self._stage.children:
                child.remove(connection, [self._decided(REMOVE), *span])
            key = self._layout.key_columns
            return self._dialect.delete_matching(self._target, key, lambda table: sa.and_(condition(table), *span))

        there = sa.exists().where(self._joined(self._target, self._stage.table)).correlate(self._stage.table)
        kept = sa.select(self._stage.table.c[ROW]).where(self._decided(REMOVE), there)
        while True:
            together, before = connection.begin_nested(), len(self._broken)
            self._apply(connection, delete)
            still = connection.execute(kept).scalars().all()
            if still and self._stage.children:
                # Who stays keeps his child rows.
                together.rollback()
                del self._broken[before:]
            else:
                together.commit()
            for number in still:
                self._mark_broken(connection, number, _KEPT)
            if not (still and self._stage.children):
                return

    def _bury(self, connection: sa.Connection, serial: int) -> None:
        """A row that was written has no tombstone; a deletion leaves one, never a lower one."""
        grave, rows = self._ledger.tombstones, self._stage.table
        clause = sa.table(grave.name, *(sa.column(name) for name in grave.c.keys()), schema=grave.schema)  # noqa: SIM118

        def condition(table: sa.FromClause) -> Expression:
            gone = self._decided(REMOVE, ENTOMB)
            if self._binding.version is not None:
                gone = sa.and_(gone, sa.not_(_below(self._version(rows), self._grave_version(table))))
            return sa.and_(sa.or_(self._decided(INSERT, REPLACE), gone), self._grave_of(rows, table))

        if self._graves and self._any(INSERT, REPLACE, REMOVE, ENTOMB):
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

    def _locking(self, query: sa.Select[*tuple[Any, ...]], there: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
        return self._dialect.locking(query, there)

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
