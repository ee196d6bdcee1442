"""A delivery that is written while it is read (直接写入): its transaction is its stage.

Rows whose key is new to the target are copied straight into its table, as there is nothing to compare them with; all
others are staged, in the same transaction, and merged before it commits. Until then nobody sees a row of it, and if its
owner dies the server takes it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import Acknowledgement, Binding, Claim, Delivery, Manifest, Refreshing
from adapters.database.check import sink_misfits
from adapters.database.dialects.types import plain
from adapters.database.errors import diagnosed, translating
from adapters.database.fit import fields_of, fitted, written
from adapters.database.keys import scope_text
from adapters.database.layout import Layout, Stage, drop_stages, too_long
from adapters.database.ledger import SERIAL, Counts, Ledger
from adapters.database.merge import Merge
from adapters.database.order import Order
from adapters.database.place import Place
from adapters.errors import Refused, StageLost, Unavailable, Unbalanced
from adapters.spool import short

_AGAIN = "将自动改为先暂存、再合并"
_REFRESHED = Refreshing("reload", ("表是空的",))
_UNASKED = 8
"""Batches that are staged without asking after one of which more than half was there already."""


class DirectDelivery(Delivery):
    """One transaction from the first row to the ledger's answer.

    Args:
        place: The database.
        binding: The target.
        schema: The items that are delivered.
        claim: Delivery key and epoch.
    """

    def __init__(self, place: Place, binding: Binding, schema: pa.Schema, claim: Claim) -> None:
        self._place = place
        self._binding = binding
        self._schema = schema
        self._claim = claim
        self._ledger = Ledger(place.dialect, place.namespace)
        self._order = Order(binding.key)
        self._open = ExitStack()
        self._connection: sa.Connection | None = None
        self._layout: Layout | None = None
        self._stage: Stage | None = None
        self._empty = False
        self._unasked = 0
        self._rows = 0
        self._put = 0

    def opened(self, *, empty: bool = False) -> bool:
        """Open the transaction, if the table is one for it: without deletions, with nothing but items.

        The ledger row is claimed first, as in every target transaction: a rival waits for how this one ends.

        Args:
            empty: Only if no row is in it.
        """
        place, binding = self._place, self._binding
        if binding.profile is not None or binding.fixed or {"journal", "children"} & binding.options.keys():
            return False
        with ExitStack() as opening:
            connection = opening.enter_context(place.engine.connect())
            with place.translating():
                place.dialect.begin_write(connection)
                self._ledger.demand(connection, place.name)
                shape = place.shape(connection, binding.object)
                if SERIAL in shape.columns or sink_misfits(binding, self._schema, shape, place.dialect):
                    return False
                if not place.dialect.loads_as_inserted(connection, shape.clause):
                    return False
                end_earlier(place, connection, self._claim)
                place.dialect.sign(connection, f"{_signed(self._claim)}{self._claim.epoch}")
                if not self._ledger.claim(connection, Manifest(claim=self._claim, digest="", rows=0)):
                    return False
                any_row = sa.select(sa.literal(1)).select_from(shape.clause).limit(1)
                self._empty = connection.execute(any_row).first() is None
                if (empty and not self._empty) or self._buries(connection):
                    return False
                drop_stages(connection, place.namespace, self._claim)
            self._layout = Layout(binding, shape, fields_of(self._schema))
            self._connection = connection
            self._open = opening.pop_all()
        self._order.begun()
        return True

    def stage(self, batch: pa.RecordBatch) -> None:
        """Put rows into the table, or beside it.

        Raises:
            StageLost: The transaction is gone: all is to be read again.
        """
        connection, layout = self._lasting()
        rows = self._rows + batch.num_rows
        numbers = pa.array(np.arange(self._rows, rows))
        self._order.add(batch)
        try:
            with _undone(), translating(self._place.dialect, self._place.name):
                new = self._new(connection, layout, batch)
                if pc.any(new).as_py() and self._copied(connection, layout, batch.filter(new)):
                    old = pc.invert(new)
                    batch, numbers = batch.filter(old), numbers.filter(old)
            if batch.num_rows:
                if self._stage is None:
                    self._stage = self._made(connection, layout)
                with _undone(), translating(self._place.dialect, self._place.name, self._stage.known_as):
                    self._stage.load(connection, batch, numbers, self._place.zone)
        except BaseException:
            self.close()
            raise
        self._rows = rows

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Epoch, previous delivery, merge, count, answer; then the rows are there."""
        place, ledger, table = self._place, self._ledger, self._binding.object
        if self._connection is None:
            with place.transaction() as connection:
                if ledger.acknowledgement(connection, manifest.claim.key):
                    return ledger.answered(connection, manifest)
        connection, layout = self._lasting()
        try:
            with _undone(), place.translating():
                ledger.raise_epoch(connection, manifest)
                ledger.demand_previous(connection, manifest)
                serial = ledger.next_serial(connection, table)
                self._demand_unburied(connection)
                self._demand_constraints(connection)
                counts = self._merged(connection, manifest, serial)
                refreshing = self._refreshing(connection, layout, manifest, counts)
                if counts.rows != manifest.rows:
                    raise Unbalanced(
                        f"{place.name}：写入并判定 {counts.rows} 行，清单记 {manifest.rows} 行",
                        remedy="放弃此次写入，重新读取",
                    )
                ledger.sign(connection, manifest)
                ledger.tolerate(connection, manifest, counts, place.name)
                ledger.settle(connection, manifest, counts, table, refreshing=refreshing)
                answer = ledger.answered(connection, manifest)
            with place.translating():
                connection.commit()
        finally:
            self.close()
        return answer

    def _new(self, connection: sa.Connection, layout: Layout, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Rows to be copied straight into the table, as their key is not there yet, as far as can be told cheaply.

        Others may be there all the same: then the table's unique index says so.
        """
        many, rising = batch.num_rows, self._order.ascending
        if self._order.deleting or not (rising or (self._empty and self._stage is None)):
            # Where keys do not rise, an earlier row of the same key may wait in the stage: it must not come later.
            return _all(many, so=False)
        if pc.any(too_long([batch.column(item) for item in self._binding.key])).as_py():
            return _all(many, so=False)  # the stage refuses them by name
        if self._empty:
            return _all(many, so=True)
        if self._unasked:
            self._unasked -= 1
            return _all(many, so=False)
        dialect, target = self._place.dialect, layout.shape.clause
        columns = [layout.column(item) for item in self._binding.key]
        values = [
            written(batch.column(item), layout.column(item), dialect, self._place.zone) for item in self._binding.key
        ]
        texts = [plain(each) for each in values]
        low, high = (dialect.constant(texts[0][at].as_py(), columns[0]) for at in (0, many - 1))
        query = (
            sa.select(*(dialect.as_text(target.c[column.name], column) for column in columns))
            .where(target.c[columns[0].name].between(low, high))
            .limit(many // 2 + 1)
        )
        found = connection.execute(query).all()
        if len(found) > many // 2:
            self._unasked = _UNASKED
            return _all(many, so=False)
        known = pa.array(["\x1f".join(map(str, row)) for row in found], pa.string())
        return pc.invert(pc.is_in(pc.binary_join_element_wise(*texts, "\x1f"), known))

    def _copied(self, connection: sa.Connection, layout: Layout, batch: pa.RecordBatch) -> bool:
        """Copy rows into the table, all of them or none: what it will not have of them the merge finds out."""
        dialect = self._place.dialect
        attempt = connection.begin_nested()
        try:
            arrays = {
                layout.column(item).name: fitted(batch.column(item), layout.column(item), dialect, self._place.zone)
                for item in layout.fields
            }
            whole = dialect.load(connection, layout.shape.clause, arrays) == batch.num_rows
        except Refused:
            whole = False
        except sa.exc.SQLAlchemyError as error:
            if not isinstance(error, sa.exc.IntegrityError) and not diagnosed(error, dialect).of_value:
                raise
            whole = False
        if not whole:
            attempt.rollback()
            return False
        attempt.commit()
        self._put += batch.num_rows
        return True

    def _made(self, connection: sa.Connection, layout: Layout) -> Stage:
        stage = Stage(self._place.dialect, layout, self._claim)
        # There was no tombstone, and if one has come since, all is read again.
        stage.keyed = False
        stage.create(connection)
        return stage

    def _merged(self, connection: sa.Connection, manifest: Manifest, serial: int) -> Counts:
        """Merge what was staged, and count it together with what the database said it took."""
        if self._stage is None:
            return Counts(written=self._put, deleted=0, unchanged=0, superseded=0, refused=0)
        stage, key = self._stage, manifest.claim.key
        stage.distinct, stage.deleting = self._order.ascending, self._order.deleting
        refused = stage.give_up_refused(connection, self._ledger.refusals, key)
        merge = Merge(self._place.dialect, stage, self._ledger, self._rows, overwrite=manifest.overwrite)
        merge.decide(connection)
        counts = merge.carry_out(connection, self._place.zone, serial, key)
        connection.execute(sa.schema.DropTable(sa.Table(stage.name, sa.MetaData(), schema=stage.table.schema)))
        return replace(counts, written=counts.written + self._put, refused=counts.refused + refused)

    def _refreshing(
        self, connection: sa.Connection, layout: Layout, manifest: Manifest, counts: Counts
    ) -> Refreshing | None:
        """How the table was refreshed: what is in it must be this delivery and nothing else."""
        if manifest.refresh is None:
            return None
        many = sa.select(sa.func.count()).select_from(layout.shape.clause)
        if not self._empty or connection.execute(many).scalar_one() != counts.written:
            raise StageLost(f"{self._place.name}：表中还有别的行", remedy=_AGAIN)
        return _REFRESHED

    def _buries(self, connection: sa.Connection) -> bool:
        return self._ledger.buries(connection, self._binding.object, scope_text(self._binding.fixed))

    def _demand_unburied(self, connection: sa.Connection) -> None:
        """Raise StageLost if another delivery has left a tombstone since: a row copied before may be under it."""
        if self._buries(connection):
            raise StageLost("写入之后目标端才有删除记号", remedy=_AGAIN)

    def _demand_constraints(self, connection: sa.Connection) -> None:
        """Raise StageLost if a constraint that waits for all rows does not hold: the merge finds the row."""
        asked = connection.begin_nested()
        try:
            with self._place.translating():
                self._place.dialect.demand_constraints(connection)
        except Refused as error:
            raise StageLost(f"{error.message}", remedy=_AGAIN) from error
        # Whether they wait goes back to what it was, for the merge.
        asked.rollback()

    def abort(self) -> None:
        """Take everything back."""
        self.close()
        with self._place.transaction() as connection:
            drop_stages(connection, self._place.namespace, self._claim)

    def close(self) -> None:
        """End the transaction; what was not committed is gone."""
        self._connection = None
        # What went wrong first is what matters; a dead connection has taken everything back by itself.
        with suppress(sa.exc.SQLAlchemyError):
            self._open.close()

    def _lasting(self) -> tuple[sa.Connection, Layout]:
        if self._connection is None or self._layout is None:
            raise StageLost(f"{self._place.name}：直接写入的事务已结束", remedy=_AGAIN)
        return self._connection, self._layout


@contextmanager
def _undone() -> Iterator[None]:
    """What would be tried again is read again: the transaction is gone, and nobody was asked to commit it yet.

    Rows lie in the table while others are read, so that who waits for one of them may hold what we want next.
    """
    try:
        yield
    except Unavailable as error:
        raise StageLost(error.message, remedy=_AGAIN) from error


def end_earlier(place: Place, connection: sa.Connection, claim: Claim) -> None:
    """End the transactions that earlier owners of an exchange have left open: they lie stopped, or are gone.

    They hold the ledger row of their key, and the rows that they have written.
    """
    prefix = _signed(claim)

    def earlier(name: str) -> bool:
        epoch = name.removeprefix(prefix)
        return name.startswith(prefix) and epoch.isdigit() and int(epoch) < claim.epoch

    place.dialect.end(connection, earlier)


def _signed(claim: Claim) -> str:
    return f"shutong {short(claim.exchange)} "


def _all(many: int, *, so: bool) -> pa.BooleanArray:
    return pa.repeat(so, many)
