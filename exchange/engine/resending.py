"""Resending (重新送达): one delivery of files once more, its very rows, as they stand now and as the grant allows now.

A resend is a run like any other: plan, lease, manifest, gate, receipt, under a delivery key of its own. Its plan names
the run that delivered, whose durable manifest says which rows these were; they are read anew from the base library. So
nothing outdated is handed over, what was deleted since goes out as a deletion, and the reading of the exchange stays
where it is. A worker's death at any step is therefore a run's death: the next one carries it on under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import REFERENCE, Outcome, Position, Selection, Settled, Source
from exchange.audit import AuditLog, events
from exchange.db.tables import ExchangeRow, RecallRow, RunRow
from exchange.engine.manifest import Manifest
from exchange.engine.recalling import RecallState
from exchange.engine.states import DELIVERED
from exchange.errors import Misplaced
from exchange.identity import Actor
from exchange.plan import Plan
from exchange.secrets import Vault

LARGEST = 1_000_000
"""Rows of a delivery that can be sent again by itself: they are held in memory by their references."""
_WAY, _CAPTURE = "file", "journal"


class ResendSource(Source):
    """The rows of an earlier delivery, out of the source that it read.

    Args:
        source: That source.
        vault: Where manifests lie.
        run: The run that delivered them; its manifest is opened when they are read, so that one that is lost ends
            the run.
    """

    def __init__(self, source: Source, vault: Vault, run: RunRow) -> None:
        self._source = source
        self._vault = vault
        self._run = run

    def schema(self) -> pa.Schema:
        """As the source types them now."""
        return self._source.schema()

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Everything is read, as nobody knows where in it the rows lie now, and they alone are handed over."""
        wanted = pa.chunked_array(
            (
                batch.column("reference").filter(pc.is_valid(batch.column("staged")))
                for batch in _manifest(self._vault, self._run).rows()
            ),
            pa.string(),
        ).combine_chunks()
        for batch in self._source.batches(replace(selection, after=None, notebook=None)):
            yield batch.filter(pc.is_in(batch.column(REFERENCE), value_set=wanted))

    def position(self) -> Position | None:
        """None: a resend leaves the reading of the source where it is."""
        return None

    def settle(self, outcomes: Iterable[Outcome], settled: Settled | None = None) -> int:
        """The base library is told nothing."""
        return 0

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()


class Resends:
    """Finds what is to be sent again, and says so in the log.

    Args:
        vault: Where manifests lie.
        audit: The log.
    """

    def __init__(self, vault: Vault, audit: AuditLog) -> None:
        self._vault = vault
        self._audit = audit

    def source(self, session: Session, plan: Plan, source: Source) -> Source:
        """What a run of this plan reads: the source itself, or only what an earlier run delivered of it."""
        if plan.resend is None:
            return source
        return ResendSource(source, self._vault, session.get_one(RunRow, plan.resend))

    def planned(self, session: Session, row: ExchangeRow, plan: Plan, name: str) -> Plan:
        """The plan of a run that delivers what another delivered.

        Args:
            session: Reads the books.
            row: The exchange.
            plan: What its next run would do.
            name: Id of the run that delivered.

        Raises:
            Misplaced: It delivered nothing, or was called back; or all of the exchange is to be sent again instead.
            Tampered: Its manifest is not as it was sealed.
        """
        run = session.get_one(RunRow, name)
        every = f"全部重新送达用 shutong run {row.id} --redeliver"
        if run.state not in DELIVERED or not (run.counts or {}).get("written"):
            raise Misplaced(f"批次 {name} 没有送达什么，不能重新送达", remedy="用 shutong runs 查看送达了的批次")
        if plan.way != _WAY or plan.source.capture != _CAPTURE:
            raise Misplaced(f"交换 {row.id} 不是从基础库以文件送达的，不能单独重新送达一次交付", remedy=every)
        if plan.full:
            raise Misplaced(f"交换 {row.id} 下一次要全量交付，届时全部送达", remedy=f"执行 shutong run {row.id}")
        if run.plan.get("replay"):
            raise Misplaced(f"批次 {name} 送达的是隔离重送的行，不在基础库", remedy="请提供方更正来源，随下次执行送达")
        if self._called_back(session, run):
            raise Misplaced(f"批次 {name} 送达的已被撤回，不能重新送达", remedy="由提供部门更正后随下次执行送达")
        if run.manifest is None:
            raise Misplaced(f"批次 {name} 的交付清单已过留存期限", remedy=every)
        if (rows := _manifest(self._vault, run).header().staged) > LARGEST:
            raise Misplaced(f"批次 {name} 送达了 {rows} 行，超过单独重新送达的上限 {LARGEST} 行", remedy=every)
        remark = f"重新送达批次 {name} 的行，以基础库现在的内容和现在的授权为准；读取的位置不变"
        return plan.model_copy(update={"resend": name, "remarks": (*plan.remarks, remark)})

    def claim(self, session: Session, run: RunRow, plan: Plan, by: Actor) -> None:
        """Say in the log what a new run sends again, in the transaction that makes it durable."""
        if plan.resend is None:
            return
        event = events.DeliveryRepeated(of=session.get_one(RunRow, plan.resend).delivery, delivery=run.delivery)
        about = {"resource": plan.resource, "exchange": plan.exchange, "run": run.id, "department": plan.recipient}
        self._audit.record(session, event, by=by, **about)

    def _called_back(self, session: Session, run: RunRow) -> bool:
        """Whether the delivery, that which it repeats, or another that repeats it, was called back."""
        first = run.plan.get("resend") or run.id
        query = (
            select(RunRow)
            .join(RecallRow, RecallRow.run == RunRow.id)
            .where(RecallRow.exchange == run.exchange, RecallRow.state != RecallState.VOID.value)
        )
        return any(first in (each.id, each.plan.get("resend")) for each in session.scalars(query))


def _manifest(vault: Vault, run: RunRow) -> Manifest:
    return Manifest(vault, run.manifest or "", run.manifest_digest or "")
