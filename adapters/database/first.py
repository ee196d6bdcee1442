"""The first delivery into an empty table: its rows go there at once, in the transaction that will commit them.

What a stage is for, to compare with what is there, an empty table does not need. The transaction is the
stage: until it commits nobody sees a row of it, and if its owner dies the server takes it back.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import DELETE, OPERATION, Acknowledgement, Binding, Claim, Delivery, Manifest, Refreshing
from adapters.database.check import sink_misfits
from adapters.database.errors import translating
from adapters.database.fit import fields_of, fitted
from adapters.database.keys import scope_text
from adapters.database.layout import Layout, drop_stages
from adapters.database.ledger import SERIAL, Counts, Ledger
from adapters.database.place import Place
from adapters.errors import Refused, StageLost

_AGAIN = "将自动改为先暂存、再合并"
_REFRESHED = Refreshing("reload", ("表是空的",))


class FirstDelivery(Delivery):
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
        self._open = ExitStack()
        self._connection: sa.Connection | None = None
        self._layout: Layout | None = None
        self._rows = 0

    def opened(self) -> bool:
        """Open the transaction, if the table is one for it: empty, without deletions, with nothing but items.

        The ledger row is claimed first, as in every target transaction: a rival waits for how this one ends.
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
                if not self._ledger.claim(connection, Manifest(claim=self._claim, digest="", rows=0)):
                    return False
                any_row = sa.select(sa.literal(1)).select_from(shape.clause).limit(1)
                if connection.execute(any_row).first() is not None:
                    return False
                if self._ledger.buries(connection, binding.object, scope_text(binding.fixed)):
                    return False
                drop_stages(connection, place.namespace, self._claim)
            self._layout = Layout(binding, shape, fields_of(self._schema))
            self._connection = connection
            self._open = opening.pop_all()
        return True

    def stage(self, batch: pa.RecordBatch) -> None:
        """Put rows into the table.

        Raises:
            StageLost: They are not plain insertions, or the connection is gone: all is to be read again.
        """
        connection, layout = self._lasting()
        place = self._place
        if pc.any(pc.equal(batch.column(OPERATION), DELETE)).as_py():
            self.close()
            raise StageLost(f"{place.name}：首次交付中有删除", remedy=_AGAIN)
        try:
            arrays = {
                layout.column(item).name: fitted(batch.column(item), layout.column(item), place.dialect, place.zone)
                for item in layout.fields
            }
            with translating(place.dialect, place.name):
                place.dialect.load(connection, layout.shape.clause, arrays)
        except Refused as error:
            self.close()
            raise StageLost(f"{error.message}", remedy=_AGAIN) from error
        except BaseException:
            self.close()
            raise
        self._rows += batch.num_rows

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Epoch, previous delivery, count, answer; then the rows are there."""
        place, ledger, table = self._place, self._ledger, self._binding.object
        if self._connection is None:
            with place.transaction() as connection:
                if ledger.acknowledgement(connection, manifest.claim.key):
                    return ledger.answered(connection, manifest)
        connection, layout = self._lasting()
        try:
            with place.translating():
                ledger.raise_epoch(connection, manifest)
                ledger.demand_previous(connection, manifest)
                many = sa.select(sa.func.count()).select_from(layout.shape.clause)
                found = int(connection.execute(many).scalar_one())
                if not found == self._rows == manifest.rows:
                    raise StageLost(f"{place.name}：表中有 {found} 行，清单记 {manifest.rows} 行", remedy=_AGAIN)
                ledger.next_serial(connection, table)
                counts = Counts(written=found, deleted=0, unchanged=0, superseded=0, refused=0)
                ledger.sign(connection, manifest)
                refreshing = _REFRESHED if manifest.refresh else None
                ledger.settle(connection, manifest, counts, table, refreshing=refreshing)
                answer = ledger.answered(connection, manifest)
                self._demand_constraints(connection)
                connection.commit()
        finally:
            self.close()
        return answer

    def _demand_constraints(self, connection: sa.Connection) -> None:
        """Raise StageLost if a constraint does not hold that waited for all rows: the merge finds the row."""
        try:
            with self._place.translating():
                self._place.dialect.demand_constraints(connection)
        except Refused as error:
            raise StageLost(f"{error.message}", remedy=_AGAIN) from error

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
            raise StageLost(f"{self._place.name}：首次交付的事务已结束", remedy=_AGAIN)
        return self._connection, self._layout
