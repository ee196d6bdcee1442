"""Replay (隔离重送): refused rows go the one way through, with the quarantine in the place of their source.

A replay is a run like any other: plan, lease, manifest, gate, target transaction, receipt. Its plan names
the rows; the transaction that makes the run durable marks them as in its hands, and the one that
promotes it decides what became of them. A worker's death at any step is therefore a run's death.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters import OPERATION, REFERENCE, DocumentStore, Outcome, Position, Selection, Settled, Source
from catalog import Catalog
from exchange.audit import AuditLog, events
from exchange.checks import KEPT, examine
from exchange.db.tables import ExchangeRow, QuarantineRow, RunRow
from exchange.engine.manifest import NUMBER, Manifest
from exchange.engine.quarantine import MENDABLE, RowState, corrected, read_repair
from exchange.errors import Busy, Misplaced
from exchange.identity import Actor
from exchange.plan import Plan, Replay, Tolerance
from exchange.secrets import Vault
from schemas import Item
from schemas.documents import Document
from schemas.unreadable import unreadable

LARGEST = 50_000
"""Rows of one replay; what is left goes with the next."""
_CHUNK = 500


def origin(reference: str) -> tuple[str, int, str]:
    """Where a replayed row comes from: the run that refused it, its number there, its reference at the source."""
    run, number, original = reference.split("/", 2)
    return run, int(number), original


class ReplaySource(Source):
    """The rows of a replay as their source typed them, with their corrections.

    Args:
        vault: Where manifests and corrections lie.
        plan: The plan of the replay.
        runs: The runs that refused the rows, by their ids.
        source: The source they came from; told what was accepted.
        documents: Has the files that rows name.
    """

    def __init__(
        self, vault: Vault, plan: Plan, runs: Mapping[str, RunRow], source: Source, documents: DocumentStore
    ) -> None:
        self._documents = documents
        self._vault = vault
        self._plan = plan
        self._runs = runs
        self._source = source
        self._replay = plan.replay or Replay(rows={})

    def schema(self) -> pa.Schema:
        """As the first of the runs typed its rows; another run's source may have typed them otherwise."""
        return next(iter(self.batches(Selection()))).schema

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the plan, the corrected ones of a batch behind the others."""
        repairs = {}
        for name in self._replay.repairs:
            repair = read_repair(self._vault, name)
            repairs[repair.run, repair.number] = repair.changes
        for run, numbers in self._replay.rows.items():
            wanted = pa.array(numbers, pa.int64())
            mended = pa.array([number for number in numbers if (run, number) in repairs], pa.int64())
            for batch in self._contents(run):
                rows = batch.filter(pc.is_in(batch.column(NUMBER), value_set=wanted))
                own = pc.is_in(rows.column(NUMBER), value_set=mended)
                as_given = rows.filter(pc.invert(own))
                for start in range(0, as_given.num_rows, selection.batch_rows):
                    yield self._handed_over(run, as_given.slice(start, selection.batch_rows))
                for row in _single(rows.filter(own)):
                    changes = repairs[run, row.column(NUMBER)[0].as_py()]
                    yield self._handed_over(run, corrected(row, changes))

    def position(self) -> Position | None:
        """None: a replay leaves the reading of the source where it is."""
        return None

    def settle(self, outcomes: Iterable[Outcome], settled: Settled | None = None) -> int:
        """Tell the source which rows were accepted after all; of the others it has been told already."""
        return self._source.settle(
            Outcome(origin(outcome.reference)[2], corrected=True) for outcome in outcomes if outcome.reason is None
        )

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def _contents(self, run: str) -> Iterator[pa.RecordBatch]:
        row = self._runs[run]
        return Manifest(self._vault, row.manifest or "", row.manifest_digest or "").contents()

    def _handed_over(self, run: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The items of the plan, each row with the place in quarantine it comes from."""
        again = bool(self._runs[run].plan.get("replay"))
        references = [
            f"{run}/{number}/{origin(reference)[2] if again else reference}"
            for number, reference in zip(
                rows.column(NUMBER).to_pylist(), rows.column(REFERENCE).to_pylist(), strict=True
            )
        ]
        names = [*(item.name for item in self._plan.items), OPERATION]
        fields = [*(rows.schema.field(name) for name in names), pa.field(REFERENCE, pa.string(), nullable=False)]
        rows = _present(rows, self._plan.items, self._documents)
        arrays = [*(rows.column(name) for name in names), pa.array(references, pa.string())]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


class Replays:
    """Chooses the rows of a replay, and keeps their states.

    Args:
        vault: Where manifests and corrections lie.
        catalog: Knows the zones of endpoints.
        audit: The log.
        documents: Has the files that rows name.
    """

    def __init__(self, vault: Vault, catalog: Catalog, audit: AuditLog, documents: DocumentStore) -> None:
        self._documents = documents
        self._vault = vault
        self._catalog = catalog
        self._audit = audit

    def source(self, session: Session, plan: Plan, source: Source) -> Source:
        """What a run of this plan reads: the source itself, or the quarantine in its place."""
        if plan.replay is None:
            return source
        rows = session.scalars(select(RunRow).where(RunRow.id.in_(plan.replay.rows)))
        return ReplaySource(self._vault, plan, {row.id: row for row in rows}, source, self._documents)

    def planned(self, session: Session, row: ExchangeRow, plan: Plan) -> Plan:
        """The plan of a run that replays what can be replayed: corrected rows, and those that pass the checks now.

        Raises:
            Misplaced: There is nothing to replay, or everything is going to be delivered anew anyway.
        """
        if plan.refresh is not None:
            raise Misplaced(
                f"交换 {row.id} 按全量刷新交付，重送的行下一次刷新又会收回",
                remedy=f"请提供方在来源更正，再执行 shutong run {row.id}",
            )
        if plan.full:
            raise Misplaced(
                f"交换 {row.id} 下一次要全量交付，现在不能重送",
                remedy=f"先执行 shutong run {row.id}，再重送",
            )
        zone = self._catalog.endpoint(session, plan.source.endpoint).zone
        today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
        rows: dict[str, tuple[int, ...]] = {}
        repairs: list[str] = []
        left = LARGEST
        for run, waiting in self._waiting(session, row.id).items():
            numbers = self._ready(run, waiting, plan, zone, today)[:left]
            if numbers:
                rows[run.id] = tuple(numbers)
                repairs += [name for name in map(waiting.get, numbers) if name is not None]
                left -= len(numbers)
        if not rows:
            raise Misplaced(
                f"交换 {row.id} 没有可重送的行",
                remedy=f"先更正：shutong quarantine list --exchange {row.id} --state open",
            )
        replay = Replay(rows=rows, repairs=tuple(repairs))
        remark = f"隔离重送 {replay.size} 行，其中更正 {len(repairs)} 行；这些行在原批次已按拒收计入容错"
        return plan.model_copy(update={"replay": replay, "tolerance": Tolerance(), "remarks": (*plan.remarks, remark)})

    def _waiting(self, session: Session, exchange: str) -> dict[RunRow, dict[int, str | None]]:
        """Rows whose content is there, by the run that refused them, oldest first: number to correction."""
        found: dict[RunRow, dict[int, str | None]] = {}
        query = (
            select(RunRow, QuarantineRow.number, QuarantineRow.repair)
            .join(RunRow, RunRow.id == QuarantineRow.run)
            .where(QuarantineRow.exchange == exchange, QuarantineRow.state.in_(MENDABLE))
            .where(QuarantineRow.file.is_not(None), QuarantineRow.rule.not_in(KEPT))
            .order_by(RunRow.started_at, RunRow.id, QuarantineRow.number)
        )
        for run, number, repair in session.execute(query):
            found.setdefault(run, {})[number] = repair
        return found

    def _ready(self, run: RunRow, waiting: Mapping[int, str | None], plan: Plan, zone: str, today: date) -> list[int]:
        """Numbers of the rows that can go: corrected, or no longer against the rules."""
        needed = {item.name for item in plan.items}
        wanted = pa.array(list(waiting), pa.int64())
        ready: list[int] = []
        for batch in Manifest(self._vault, run.manifest or "", run.manifest_digest or "").contents():
            rows = batch.filter(pc.is_in(batch.column(NUMBER), value_set=wanted))
            missing = needed - set(rows.schema.names)
            numbers = rows.column(NUMBER).to_pylist()
            # An item that was granted since is not in what was read then.
            ready += [
                number
                for number in numbers
                if (name := waiting[number]) is not None and missing <= set(read_repair(self._vault, name).changes)
            ]
            as_given = rows.filter(pa.array([waiting[number] is None for number in numbers], pa.bool_()))
            if as_given.num_rows and not missing:
                as_given = _present(as_given, plan.items, self._documents)
                seen = examine(as_given, plan.items, key=plan.key, version=plan.version, zone=zone, today=today)
                ready += as_given.column(NUMBER).take(seen.accepted_rows).to_pylist()
        return sorted(ready)

    def claim(self, session: Session, run: RunRow, plan: Plan) -> None:
        """Mark the rows of a new run's plan as in its hands, in the transaction that makes it durable.

        Raises:
            Busy: Somebody has corrected or given up one of them since the run was planned.
        """
        if plan.replay is None:
            return
        repairs = set(plan.replay.repairs)
        for condition, numbers in _named(plan.replay.rows):
            found: dict[int, bool] = {}
            rows = select(QuarantineRow).where(*condition, QuarantineRow.rule.not_in(KEPT)).with_for_update()
            for row in session.scalars(rows.execution_options(populate_existing=True)):
                stands = row.state == RowState.OPEN if row.repair is None else row.repair in repairs
                found[row.number] = stands and row.state in MENDABLE
                row.replay = run.id
            if set(found) != set(numbers) or not all(found.values()):
                raise Busy(f"交换 {plan.exchange} 的隔离行刚有改动", remedy="重新执行重送")

    def settled(
        self, session: Session, run: RunRow, plan: Plan, manifest: Manifest, refused: Iterable[str], by: Actor
    ) -> None:
        """Note what became of the rows, in the transaction that promotes the run.

        Args:
            session: That transaction.
            run: The replay.
            plan: Its plan.
            manifest: Its manifest.
            refused: References of the rows that the target refused.
            by: Who asked for it.
        """
        if plan.replay is None:
            return
        own = update(QuarantineRow).where(QuarantineRow.replay == run.id, QuarantineRow.state.in_(MENDABLE))
        session.execute(own.values(state=RowState.REPLAYED.value))
        again: dict[str, set[int]] = {}
        told = (reference for batch in manifest.refused() for reference in batch.column("reference").to_pylist())
        for reference in (*told, *refused):
            before, number, _ = origin(reference)
            again.setdefault(before, set()).add(number)
        for condition, _ in _named(again):
            own = update(QuarantineRow).where(*condition, QuarantineRow.replay == run.id)
            session.execute(own.values(state=RowState.AGAIN.value))
        event = events.QuarantineReplayed(
            rows=plan.replay.size, repaired=len(plan.replay.repairs), refused=sum(map(len, again.values()))
        )
        about = {"resource": plan.resource, "exchange": plan.exchange, "run": run.id, "department": plan.provider}
        self._audit.record(session, event, by=by, **about)


def _present(rows: pa.RecordBatch, items: Iterable[Item], store: DocumentStore) -> pa.RecordBatch:
    """The rows, with the reason in the place of a document that the hub has not got any more: its row is refused again.

    A document that no row of the library has is kept for a time of its own, which may be shorter than the quarantine's.
    """
    for item in items:
        if item.document and item.name in rows.schema.names:
            texts = rows.column(item.name).to_pylist()
            told = [
                unreadable("document_gone") if (found := _document(text)) and not store.has(found.digest) else text
                for text in texts
            ]
            if told != texts:
                place = rows.schema.get_field_index(item.name)
                rows = rows.set_column(place, rows.schema.field(place), pa.array(told, pa.string()))
    return rows


def _document(text: str | None) -> Document | None:
    try:
        return Document.of(text) if text else None
    except ValueError:
        return None


def _named(rows: Mapping[str, Iterable[int]]) -> Iterator[tuple[tuple[Any, ...], tuple[int, ...]]]:
    """Conditions that find rows by run and number, with the numbers each of them finds."""
    for run, numbers in rows.items():
        ordered = sorted(numbers)
        for start in range(0, len(ordered), _CHUNK):
            chunk = tuple(ordered[start : start + _CHUNK])
            yield (QuarantineRow.run == run, QuarantineRow.number.in_(chunk)), chunk


def _single(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    return (rows.slice(place, 1) for place in range(rows.num_rows))
