"""A table to deliver to: stage beside it, then merge in one transaction with the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import Acknowledgement, Answers, Binding, Claim, Delivery, Manifest, Sink
from adapters.database.answers import StateReader
from adapters.database.binding import answerable, children_of, without_children
from adapters.database.check import sink_misfits
from adapters.database.child_stage import ChildStage
from adapters.database.children import Child, child_shapes, sink_children_misfits
from adapters.database.direct import DirectDelivery, end_earlier
from adapters.database.errors import translating
from adapters.database.fit import faults, fields_of, written
from adapters.database.keys import scope_text
from adapters.database.layout import ROW, Layout, Stage, copy_of, drop_stages
from adapters.database.ledger import Ledger
from adapters.database.merge import Merge
from adapters.database.order import Order
from adapters.database.place import Place
from adapters.database.refresh import Refreshment
from adapters.database.refusal import load_all_but
from adapters.database.shapes import TableShape
from adapters.errors import Misconfigured, Overtaken, StageLost, Unbalanced, Unsupported

_AGAIN = "将自动重新读取"


class DatabaseSink(Sink):
    """One table of a department's database, as the hub delivers to it.

    Args:
        place: The database.
        binding: The table and its columns.
    """

    def __init__(self, place: Place, binding: Binding) -> None:
        self._place = place
        self._bound = binding
        self._binding = without_children(binding)
        self._ledger = Ledger(place.dialect, place.namespace)
        self._shape: TableShape | None = None
        self._asked: sa.Connection | None = None

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Make an empty stage.

        Raises:
            Misconfigured: the table does not fit or the ledger is missing; names all that is wrong.
        """
        delivery = DatabaseDelivery(self._place, self._bound, schema, claim)
        delivery.make_stage()
        return delivery

    def direct(self, claim: Claim, schema: pa.Schema, *, empty: bool = False) -> Delivery | None:
        """Open the transaction that rows are written in, where the product keeps one open without harm."""
        delivery = DirectDelivery(self._place, self._bound, schema, claim)
        return delivery if self._place.dialect.streams and delivery.opened(empty=empty) else None

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up what is staged under the claim; commit says so if nothing is."""
        return DatabaseDelivery(self._place, self._bound, schema, claim)

    def settled(self, key: str) -> Acknowledgement | None:
        """What the ledger says of a key."""
        with self._place.translating(), self._place.engine.connect() as connection:
            self._ledger.demand(connection, self._place.name)
            return self._ledger.acknowledgement(connection, key)

    def epoch(self, exchange: str) -> int:
        """The highest epoch that committed here."""
        with self._place.translating(), self._place.engine.connect() as connection:
            self._ledger.demand(connection, self._place.name)
            return self._ledger.seen(connection, exchange)

    def holds(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """Look all keys up at once, through a temporary table of them."""
        dialect, items = self._place.dialect, self._binding.key
        with self._asking() as connection:
            if self._shape is None:
                self._shape = self._place.shape(connection, self._binding.object)
            shape = self._shape
            layout = Layout(self._binding, shape, {item: keys.schema.field(item) for item in items})
            if missing := [name for name in layout.key_columns if name not in shape.columns]:
                raise Misconfigured(
                    f"{self._place.name}：表 {shape.name} 没有列 {'、'.join(missing)}", remedy="改正挂接"
                )
            copy = copy_of(dialect, "shutong_keys", shape, layout.columns, {ROW: "integer"}, temporary=True)
            # Not every product takes a temporary table back with the transaction that made it.
            table = sa.Table(copy.table.name, sa.MetaData())
            connection.execute(sa.schema.DropTable(table, if_exists=True))
            connection.execute(copy.create)
            load_all_but(connection, dialect, copy.table, self._looked_up(keys, layout), {})
            target = shape.clause
            same = [
                dialect.same_key(target.c[column.name], copy[number], column)
                for number, column in enumerate(layout.columns)
            ]
            fixed = [
                dialect.equals(target.c[name], shape.columns[name], text) for name, text in self._binding.fixed.items()
            ]
            found = set(connection.execute(sa.select(copy.table.c[ROW]).where(*same, *fixed)).scalars())
        return pa.array([number in found for number in range(keys.num_rows)], pa.bool_())

    def answers(self, stamp: str, *, rows: int) -> Answers | None:
        """Read the state columns of the rows that bear the delivery's time; None: their family has none."""
        return StateReader(self._place, self._binding).answers(stamp, rows) if answerable(self._binding) else None

    @contextmanager
    def _asking(self) -> Iterator[sa.Connection]:
        """A connection for questions, kept until the sink is closed: a run asks batch by batch."""
        with self._place.translating():
            if self._asked is None:
                self._asked = self._place.engine.connect()
            try:
                yield self._asked
                self._asked.rollback()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the connection that was asked."""
        if self._asked is not None:
            asked, self._asked = self._asked, None
            with suppress(sa.exc.SQLAlchemyError):
                asked.close()

    def _looked_up(self, keys: pa.RecordBatch, layout: Layout) -> dict[str, pa.Array]:
        """Numbered keys as they are written; one that its column cannot hold is not there anyway."""
        dialect, zone = self._place.dialect, self._place.zone
        held = pa.array([True] * keys.num_rows, pa.bool_())
        for item in self._binding.key:
            for fault in faults(keys.column(item), layout.column(item), dialect, zone):
                held = pc.and_(held, pc.invert(pc.fill_null(fault.rows, fill_value=False)))
        keys = keys.append_column(ROW, pa.array(range(keys.num_rows), pa.int64())).filter(held)
        arrays = {ROW: keys.column(ROW)}
        for number, item in enumerate(self._binding.key):
            arrays[f"c{number}"] = written(keys.column(item), layout.column(item), dialect, zone)
        return arrays


class DatabaseDelivery(Delivery):
    """A stage of its own table, and the one transaction that empties it into the target.

    Args:
        place: The database.
        binding: The target.
        schema: The items that are delivered.
        claim: Delivery key, and the epoch staged under.
    """

    def __init__(self, place: Place, binding: Binding, schema: pa.Schema, claim: Claim) -> None:
        self._place = place
        self._binding = without_children(binding)
        self._children = {item: bound for item, bound in children_of(binding).items() if item in schema.names}
        self._schema = schema
        self._claim = claim
        self._ledger = Ledger(place.dialect, place.namespace)
        self._found: Layout | None = None
        self._families: list[Child] = []
        self._staged: int | None = None
        self._in_doubt = False
        self._keyed = True
        self._order = Order(binding.key)

    def make_stage(self) -> None:
        """Start from nothing."""
        with self._place.transaction() as connection:
            self._ledger.demand(connection, self._place.name)
            end_earlier(self._place, connection, self._claim)
            stage = self._stage(connection)
            drop_stages(connection, self._place.namespace, self._claim)
            stage.create(connection)
            scope = scope_text(self._binding.fixed)
            self._keyed = self._ledger.buries(connection, self._binding.object, scope)
        self._staged = 0
        self._order.begun()

    def stage(self, batch: pa.RecordBatch) -> None:
        """Add a batch, committed by itself.

        Raises:
            Overtaken: a later owner has removed the stage.
        """
        with self._place.transaction() as connection:
            stage = self._stage(connection)
            if not stage.exists(connection):
                raise Overtaken("暂存表已被更高纪元的任务清除", remedy="由当前持有租约的任务继续")
            first = stage.count(connection) if self._staged is None else self._staged
            if self._in_doubt:
                stage.cut(connection, first)
            self._in_doubt = True
            with translating(self._place.dialect, self._place.name, stage.known_as):
                stage.load(connection, batch, pa.array(np.arange(first, first + batch.num_rows)), self._place.zone)
        self._in_doubt = False
        self._staged = first + batch.num_rows
        self._order.add(batch)

    def gather(self, parts: Sequence[tuple[Claim, int]]) -> None:
        """Copy what lies in the stages of other claims into this one, all in one transaction, counted before."""
        place, many = self._place, 0
        if self._children:
            raise Unsupported(f"{place.name}：带子表的行不能分段暂存", remedy="不切分执行")
        with place.transaction() as connection:
            stage = self._stage(connection)
            for claim, rows in parts:
                part = Stage(place.dialect, stage.layout, claim)
                if not part.exists(connection) or (rows and not part.filled(connection)):
                    raise StageLost(f"{place.name}：一段暂存的 {rows} 行不在了", remedy=_AGAIN, key=claim.key)
                found = part.count(connection)
                if found != rows:
                    raise Unbalanced(
                        f"{place.name}：一段暂存 {rows} 行，现有 {found} 行", remedy="放弃此次暂存，重新读取"
                    )
                stage.take_over(connection, part, many)
                many += rows
        self._staged, self._keyed = many, True
        # Nobody here has seen the rows go by.
        self._order = Order(self._binding.key)

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Claim, epoch, previous delivery, count, merge, answer: one transaction."""
        place, ledger, table = self._place, self._ledger, self._binding.object
        with place.transaction() as connection:
            end_earlier(place, connection, manifest.claim)
            if not ledger.claim(connection, manifest):
                return ledger.answered(connection, manifest)
            ledger.raise_epoch(connection, manifest)
            ledger.demand_previous(connection, manifest)
            stage = self._stage(connection)
            self._demand_stage(connection, stage, manifest)
            serial = ledger.next_serial(connection, table)
            refused = stage.give_up_refused(connection, ledger.refusals, manifest.claim.key)
            refreshing = None
            merge: Merge
            if manifest.refresh is not None:
                merge = refreshment = Refreshment(place.dialect, stage, ledger, manifest, place.name)
                counts, refreshing = refreshment.replace_all(connection, place.zone, serial)
            else:
                merge = Merge(place.dialect, stage, ledger, manifest.rows, overwrite=manifest.overwrite)
                merge.decide(connection)
                counts = merge.carry_out(connection, place.zone, serial, manifest.claim.key)
            counts = replace(counts, refused=counts.refused + refused)
            if counts.rows != manifest.rows:
                raise Unbalanced(
                    f"{place.name}：暂存 {manifest.rows} 行，只判定了 {counts.rows} 行", remedy="放弃此次暂存，重新读取"
                )
            ledger.tolerate(connection, manifest, counts, place.name)
            stamp = merge.stamp if answerable(self._binding) else ""
            ledger.settle(connection, manifest, counts, table, stamp=stamp, refreshing=refreshing)
            return ledger.answered(connection, manifest)

    def abort(self) -> None:
        """Drop the stage and older ones of the same key."""
        with self._place.transaction() as connection:
            drop_stages(connection, self._place.namespace, self._claim)

    def _stage(self, connection: sa.Connection) -> Stage:
        """The stage, in a target that fits.

        Raises:
            Misconfigured: it does not; names all that is wrong.
        """
        if self._found is None:
            place, schema = self._place, self._schema
            shape = place.shape(connection, self._binding.object)
            own = pa.schema([field for field in schema if field.name not in self._children])
            shapes = child_shapes(place, connection, self._children)
            misfits = sink_misfits(self._binding, own, shape, place.dialect)
            misfits += sink_children_misfits(self._binding, self._children, schema, shape, shapes, place.dialect)
            if misfits:
                remedy = "请对方改表，或改正挂接；可用 endpoint prepare --sql 核对"
                raise Misconfigured(f"{place.name}：{'；'.join(misfits)}", remedy=remedy)
            self._found = Layout(self._binding, shape, fields_of(own))
            self._families = [
                Child(item, bound, found) for item, bound in self._children.items() if (found := shapes[item])
            ]
        stage = Stage(self._place.dialect, self._found, self._claim)
        stage.children = tuple(
            ChildStage(self._place.dialect, child, self._schema.field(child.item), stage, number)
            for number, child in enumerate(self._families)
        )
        stage.distinct, stage.deleting, stage.keyed = self._order.ascending, self._order.deleting, self._keyed
        return stage

    def _demand_stage(self, connection: sa.Connection, stage: Stage, manifest: Manifest) -> None:
        """That there is one; whether a row of it is missing, the counts of the merge will tell."""
        if not stage.exists(connection) or (manifest.rows and not stage.filled(connection)):
            # A server that went down may have taken with it what nothing depended on.
            raise StageLost(f"{self._place.name}：暂存的 {manifest.rows} 行不在了", remedy=_AGAIN)
