"""The full refresh (全量刷新): what is staged is everything that is to be there, and the rest goes.

Decided as a merge is, by comparing every staged row with what is there, but without versions: the source is right.
Then either a new table takes the place of the old one (换表), or the rows of the table that is there are changed
(就地更新); both in the target transaction, and counted alike.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from adapters.base import PUT, Binding, Manifest, Refresh, Refreshing
from adapters.database.dialects import Dialect
from adapters.database.errors import diagnosed
from adapters.database.layout import OPERATION_COLUMN, ROW, Copy, Stage, copy_of
from adapters.database.ledger import Counts, Ledger
from adapters.database.merge import BROKEN, INSERT, REMOVE, REPLACE, UNCHANGED, Merge
from adapters.database.shapes import Expression, TableShape
from adapters.errors import Diminished, Misconfigured, Unavailable, Unsupported

_GONE = "shutong_gone"
_FEW = 10
"""Below one row in so many that changes, the rows are changed where they are: the work follows the change."""
SWAPS = "有变化的行不足一成时就地更新"


def obstacles(connection: sa.Connection, dialect: Dialect, binding: Binding, shape: TableShape) -> tuple[str, ...]:
    """Why no new table may take the place of a target, in words; none: it may."""
    found = ["有子表"] if binding.options.get("children") else []
    written = set(binding.columns.values())
    if others := [each.name for each in shape.columns.values() if each.name not in written and not each.computed]:
        found.append(f"有交付不写的列 {'、'.join(others)}")
    return (*found, *dialect.swap_obstacles(connection, shape))


class Refreshment(Merge):
    """One refresh of a target from its stage.

    Args:
        dialect: The product.
        stage: The rows, and how their items lie in the target.
        ledger: The tables beside the target.
        manifest: What was staged; it says how far the number of rows may fall.
        place: The database, in words.
    """

    def __init__(self, dialect: Dialect, stage: Stage, ledger: Ledger, manifest: Manifest, place: str) -> None:
        super().__init__(dialect, stage, ledger, manifest.rows, overwrite=True)
        self._key = manifest.claim.key
        self._bounds = manifest.refresh or Refresh(may_fall=0.0)
        self._where = f"{place}：表 {self._binding.object}"
        self._gone = self._list_of_gone()

    def replace_all(self, connection: sa.Connection, zone: str, serial: int) -> tuple[Counts, Refreshing]:
        """Make the target hold what is staged and nothing else.

        Raises:
            Diminished: Too few rows would be left.
            Misconfigured: Others have rows in this table too.
            Unavailable: Somebody else is writing.
        """
        if self._binding.fixed:
            raise Misconfigured(f"{self._where} 里有其他来源的行，不能全量刷新", remedy="改为按主键合并")
        self._dialect.lock_all(connection, self._target)
        self.decide(connection)
        held = self._many_rows(connection)
        self._demand_level(held, self._kept(connection))
        gone = self._find_gone(connection)
        self._many = self._decisions(connection)
        self._fresh = self._new(connection)
        changed = gone + sum(self._many.get(each, 0) for each in (REPLACE, REMOVE)) + self._fresh
        if changed == 0:
            why: tuple[str, ...] = ("内容没有变化",)
        elif changed * _FEW < held:
            why = ("有变化的行不足一成",)
        else:
            why = obstacles(connection, self._dialect, self._binding, self._layout.shape)
        if not why:
            why = self._swap(connection)
            if not why:
                self._bury(connection, serial)
                counts = self._counted(connection)
                return self._checked(connection, counts, held, gone), Refreshing("swap")
        if gone:
            self._drop_gone(connection)
        counts = self.carry_out(connection, zone, serial, self._key)
        gone += self._drop_broken(connection)
        return self._checked(connection, counts, held, gone), Refreshing("reload", why)

    def _locking(self, query: sa.Select[*tuple[Any, ...]], there: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
        return query  # everything is locked already

    # Decisions: of a present row nothing is asked but whether it is the same

    def _fate_of_present(self, rows: sa.FromClause, there: sa.FromClause) -> Expression:
        put = rows.c[OPERATION_COLUMN] == PUT
        same = self._same_content(rows, lambda item: there.c[self._binding.columns[item]])
        same = sa.and_(same, *(child.same(rows) for child in self._stage.children))
        return sa.case((sa.and_(put, same), UNCHANGED), (put, REPLACE), else_=REMOVE)

    def _fate_of_absent(self, rows: sa.FromClause, grave: sa.FromClause) -> Expression:
        return sa.case((rows.c[OPERATION_COLUMN] == PUT, INSERT), else_=super()._fate_of_absent(rows, grave))

    # Numbers of rows

    def _many_rows(self, connection: sa.Connection) -> int:
        return int(connection.execute(sa.select(sa.func.count()).select_from(self._target)).scalar_one())

    def _kept(self, connection: sa.Connection) -> int:
        """Rows that are to be there."""
        rows = self._stage.table
        query = sa.select(sa.func.count()).select_from(rows)
        return int(
            connection.execute(query.where(rows.c[OPERATION_COLUMN] == PUT, *self._not_beaten(rows))).scalar_one()
        )

    def _demand_level(self, held: int, left: int) -> None:
        """Raise Diminished if so few rows are left of so many, and nobody has accepted it."""
        bounds = self._bounds
        if bounds.accepted is not None and left >= bounds.accepted:
            return
        emptied = held > 0 and left == 0
        if emptied or held - left > bounds.may_fall * held:
            raise Diminished(
                f"{self._where} 现有 {held} 行，刷新后只剩 {left} 行，降幅超过容许的 {bounds.may_fall * 100:.6g}%"
                if not emptied
                else f"{self._where} 现有 {held} 行，刷新后一行不剩",
                remedy="与提供方核实后，接受一次，或请提供方补齐数据",
                held=held,
                left=left,
            )

    def _checked(self, connection: sa.Connection, counts: Counts, held: int, gone: int) -> Counts:
        """The counts, if the table now holds what follows from them.

        Raises:
            Unavailable: Somebody else has written meanwhile.
        """
        self._dialect.lock_all(connection, self._target)
        left, inserted = self._many_rows(connection), counts.written - self._changed_in_place(connection)
        if left != held + inserted - counts.deleted - gone:
            raise Unavailable(
                f"{self._where} 中有人正在写入，或者它的触发器、规则改了写入的结果",
                remedy="稍后重试；总不成功时请对方核对触发器和规则",
            )
        self._demand_level(held, left)
        return Counts(
            written=counts.written,
            deleted=counts.deleted,
            unchanged=counts.unchanged,
            superseded=counts.superseded,
            refused=counts.refused,
            gone=gone,
        )

    def _changed_in_place(self, connection: sa.Connection) -> int:
        many = self._decisions(connection)
        return many.get(REPLACE, 0) + many.get(REMOVE, 0)

    # Rows that are not in the delivery

    def _list_of_gone(self) -> Copy:
        key = [self._layout.column(item) for item in self._binding.key]
        return copy_of(self._dialect, _GONE, self._layout.shape, key, {}, temporary=True)

    def _find_gone(self, connection: sa.Connection) -> int:
        """List the keys that are there and not in the delivery, and say how many rows are to go."""
        connection.execute(self._gone.create)
        target, rows = self._target, self._stage.table
        key = [target.c[self._binding.columns[item]] for item in self._binding.key]
        # A difference of sets, each found by an index: not a search through the stage for every row of the target.
        staged = sa.select(*key).select_from(rows.join(target, self._joined(target, rows)))
        missing = sa.except_(sa.select(*key).where(sa.not_(self._nameless())), staged).subquery("missing")
        names = [f"c{number}" for number in range(len(key))]
        connection.execute(sa.insert(self._gone.table).from_select(names, sa.select(*missing.c)))
        found = (
            sa.select(sa.func.count()).select_from(self._gone.table),
            sa.select(sa.func.count()).select_from(target).where(self._nameless()),
        )
        return sum(int(connection.execute(many).scalar_one()) for many in found)

    def _nameless(self) -> Expression:
        """Rows of others without a key, of which a unique index takes any number; no delivery has any."""
        columns = [self._layout.column(item) for item in self._binding.key]
        return sa.or_(sa.false(), *(self._target.c[each.name].is_(None) for each in columns if each.nullable))

    def _drop_gone(self, connection: sa.Connection) -> None:
        def condition(target: sa.FromClause) -> Expression:
            columns = [self._layout.column(item) for item in self._binding.key]
            return sa.and_(
                *(
                    self._dialect.same_key(target.c[column.name], self._gone[number], column)
                    for number, column in enumerate(columns)
                )
            )

        self._dialect.look_over(connection, self._gone.table)
        for child in self._stage.children:
            child.remove_of(connection, [self._gone[number] for number in range(len(self._binding.key))])
        connection.execute(self._dialect.delete_matching(self._target, self._layout.key_columns, condition))
        connection.execute(sa.delete(self._target).where(self._nameless()))

    def _drop_broken(self, connection: sa.Connection) -> int:
        """Take away what was there of rows that were refused at the last moment, and say how many they are."""
        if not self._broken:
            return 0

        def condition(target: sa.FromClause) -> Expression:
            return sa.and_(self._decided(BROKEN), self._joined(target, self._stage.table))

        for child in self._stage.children:
            child.remove(connection, [self._decided(BROKEN)])
        many = sa.select(sa.func.count()).select_from(self._target).where(condition(self._target))
        found = int(connection.execute(many).scalar_one())
        connection.execute(self._dialect.delete_matching(self._target, self._layout.key_columns, condition))
        return found

    # The swap

    def _swap(self, connection: sa.Connection) -> tuple[str, ...]:
        """Put a new table in the place of the target; why that could not be done, in words."""
        attempt = connection.begin_nested()
        try:
            self._dialect.swap(connection, self._layout.shape, self._key, lambda name: self._fill(connection, name))
            attempt.commit()
        except Unsupported as error:
            attempt.rollback()
            return (error.message,)
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated:
                raise
            attempt.rollback()
            return (f"换表时{diagnosed(error, self._dialect).what or '出错'}",)
        return ()

    def _fill(self, connection: sa.Connection, name: str) -> None:
        """Put every row that is to be there into a table made after the target."""
        rows, columns = self._stage.table, self._binding.columns
        table = sa.table(name, *map(sa.column, columns.values()), schema=self._target.schema)
        values = {columns[item]: self._stage.item(item) for item in self._layout.fields}
        query = sa.select(*values.values()).where(rows.c[OPERATION_COLUMN] == PUT, *self._not_beaten(rows))
        connection.execute(sa.insert(table).from_select(list(values), query.order_by(rows.c[ROW])))
