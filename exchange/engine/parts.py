"""Parts of a split run (分段): ranges of the business key that several processes or machines stage side by side.

A part is staged under a lease, a claim and a stage of its own, so that whoever dies or wakes up late harms nothing but
what he staged himself. What they staged is gathered into the stage of the run, under the lease of the exchange; from
there on a split run is a run like any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum

import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import AdapterError, Claim, Cut, Delivery, Endpoint, KeyRange, Selection, Sink, StageLost
from exchange.audit import AuditLog, events
from exchange.checks import Digest
from exchange.db import HubDatabase, clock
from exchange.db.tables import PartRow, RunRow
from exchange.engine import lease
from exchange.engine.manifest import Header, Manifest, ManifestWriter
from exchange.engine.opening import binding, translated
from exchange.engine.passage import delivered_schema
from exchange.engine.staging import Observer, Staging, demand_balance
from exchange.engine.states import RunState
from exchange.engine.structures import Structures
from exchange.errors import Busy, HubError, Red, Unknown
from exchange.identity import Actor
from exchange.plan import End, Plan
from exchange.secrets import Keyring, Vault, seal, unseal
from exchange.settings import Settings


class PartState(StrEnum):
    """Where a part stands; while somebody is at it, it has an owner."""

    WAITING = "waiting"
    STAGED = "staged"


@dataclass(frozen=True)
class RunPart:
    """One part of a split run.

    Attributes:
        number: From 1, in the order of the keys.
        counts: Rows read, filtered, refused and staged; empty until it is staged.
        error: Why it could not be staged the last time.
    """

    run: str
    number: int
    state: str
    counts: dict[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class SplitRun:
    """A run and its parts.

    Attributes:
        id: Id of the run.
        exchange: Of this exchange.
        state: See :class:`exchange.engine.RunState`; parts are staged while it is planned.
        parts: All of them, in order.
    """

    id: str
    exchange: str
    state: str
    parts: tuple[RunPart, ...]


def splits(plan: Plan) -> bool:
    """Whether a plan may be carried out in parts.

    It reads everything, into a table that rows are merged into: a row that slips through between two parts is missing
    until the next run brings it, while a refresh would take it away.
    """
    return (
        (plan.full or plan.source.capture == "snapshot")
        and plan.refresh is None
        and not plan.aside
        and not any(item.rows or item.document for item in plan.items)
    )


class Parts:
    """The books of parts, and their staging."""

    def __init__(
        self,
        settings: Settings,
        database: HubDatabase,
        keyring: Keyring,
        audit: AuditLog,
        vault: Vault,
        staging: Staging,
        structures: Structures,
        endpoint: Callable[[Session, End], Endpoint],
    ) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._vault = vault
        self._staging = staging
        self._structures = structures
        self._endpoint = endpoint

    # --- books ---------------------------------------------------------------------------------

    def begin(self, session: Session, run: RunRow, cut: Cut, *, fresh: bool, by: Actor) -> None:
        """Note the parts of a run in the transaction that begins it; the position is that of the cut."""
        run.after = dict(cut.position) if cut.position else None
        common = {"run": run.id, "state": PartState.WAITING.value, "epoch": 0, "expires": 0.0}
        for number, within in enumerate(cut.ranges, 1):
            sealed = seal(json.dumps({**asdict(within), "fresh": fresh}), self._key(run.id))
            session.add(PartRow(number=number, sealed=sealed, **common))
        self._event(session, events.RunDivided(parts=len(cut.ranges)), by, run)

    def of(self, session: Session, run: RunRow) -> SplitRun | None:
        """A run with its parts; None: it was not split."""
        rows = self._rows(session, run.id)
        return SplitRun(run.id, run.exchange, run.state, tuple(map(_told, rows))) if rows else None

    def waiting(self, run: str) -> list[int]:
        """The parts of a run that are not staged."""
        with self._database.reading() as session:
            return [row.number for row in self._rows(session, run) if row.state != PartState.STAGED]

    def is_split(self, run: str) -> bool:
        """Whether a run has parts."""
        with self._database.reading() as session:
            return bool(self._rows(session, run))

    def part(self, run: str, number: int) -> RunPart:
        """One part.

        Raises:
            Unknown: The run has none of this number.
        """
        with self._database.reading() as session:
            return _told(self._row(session, run, number))

    def _rows(self, session: Session, run: str) -> list[PartRow]:
        return list(session.scalars(select(PartRow).where(PartRow.run == run).order_by(PartRow.number)))

    def _row(self, session: Session, run: str, number: int, *, lock: bool = False) -> PartRow:
        row = session.get(PartRow, (run, number), with_for_update=lock or None)
        if row is None:
            raise Unknown(f"批次 {run} 没有第 {number} 段", remedy="分段见切分时的答复")
        return row

    def _event(self, session: Session, event: events.Event, by: Actor, run: RunRow) -> None:
        plan = run.plan
        about = {"resource": plan["resource"], "exchange": run.exchange, "run": run.id, "department": plan["recipient"]}
        self._audit.record(session, event, by=by, **about)

    def _key(self, run: str) -> bytes:
        return self._keyring.derive("part", run)

    # --- staging one part ----------------------------------------------------------------------

    def stage(self, run: str, number: int, *, by: Actor, observe: Observer) -> None:
        """Read and stage one part, unless that is done or the run has gone on without it.

        Raises:
            Busy: Somebody else is at this part, or the run was ended meanwhile.
        """
        taken = self._taken(run, number)
        if taken is None:
            return
        row, part = taken
        observe("2.leased", {"run": run, "part": number, "epoch": part.epoch})
        seconds = self._settings.lease_seconds
        try:
            with lease.PartHeartbeat(self._database, part, row.exchange, seconds=seconds) as beat:
                self._stage(row, part, beat, by, observe)
        except HubError as error:
            self._give_back(part, error.message)
            raise
        except BaseException:
            self._give_back(part, None)
            raise
        finally:
            self._audit.seal()

    def _taken(self, run: str, number: int) -> tuple[RunRow, PartRow] | None:
        """Take the lease of a part; None: nothing is to be done."""
        with self._database.transaction() as session:
            row = session.get_one(RunRow, run, with_for_update=True)
            part = self._row(session, run, number, lock=True)
            if row.state != RunState.PLANNED or part.state == PartState.STAGED:
                return None
            moment = clock(session)
            if part.owner is not None and part.expires > moment:
                left = part.expires - moment
                raise Busy(
                    f"批次 {run} 的第 {number} 段正由 {part.owner} 执行",
                    remedy=f"{left:.0f} 秒内无心跳则可接管，届时重试",
                )
            part.epoch += 1
            part.owner = lease.owner_name()
            part.expires = moment + self._settings.lease_seconds
            part.error = None
            session.flush()
            session.expunge_all()
        return row, part

    def _give_back(self, part: PartRow, error: str | None) -> None:
        with suppress(HubError), self._database.transaction() as session:
            row = session.get_one(PartRow, (part.run, part.number), with_for_update=True)
            if (row.owner, row.epoch) == (part.owner, part.epoch):
                row.owner, row.expires, row.error = None, 0.0, error

    def _stage(self, run: RunRow, part: PartRow, beat: lease.Heartbeat, by: Actor, observe: Observer) -> None:
        plan = Plan(**run.plan)
        about = json.loads(unseal(part.sealed or "", self._key(run.id)).get_secret_value())
        with self._database.reading() as session:
            ends = self._endpoint(session, plan.source), self._endpoint(session, plan.target)
        looks, unseen = self._structures.look(plan, *ends)
        self._structures.demand(plan, looks, by=by)
        if unseen is not None:
            raise unseen
        name = f"{_files(run.id, part.number)}{part.epoch}"
        self._sweep(_files(run.id, part.number))
        claim = part_claim(run, part)
        within = KeyRange(_key_of(about["first"]), _key_of(about["beyond"]))
        selection = Selection(batch_rows=plan.batch_rows, within=within)
        header, digest = Header(delivery=claim.key), Digest(plan.digest_algorithm, key=plan.key)
        with (
            translated(f"交换 {plan.exchange}"),
            ends[1].sink(binding(plan.target, plan.key, plan.version)) as sink,
            ends[0].source(binding(plan.source, plan.key, plan.version, plan.items)) as source,
        ):
            passage = self._staging.passage(plan, sink=None if about["fresh"] else sink, target=ends[1])
            held = sink.begin(claim, passage.schema)
            try:
                with self._vault.write(name) as writer:
                    manifest = ManifestWriter(writer)
                    self._staging.carry(
                        source, selection, passage, held, manifest, header, digest, check=beat.check, observe=observe
                    )
                    header.content = digest.root()
                    manifest.seal(header)
                demand_balance(plan.exchange, header)
                observe("5.staged", {"staged": header.staged, "part": part.number})
                self._note(run, part, name, header, by)
            except (AdapterError, HubError):
                # Where the hub's own answer was lost, nothing is removed before it is known what it was.
                noted, ours = self._standing(part)
                if noted == name:
                    return
                self._vault.remove(name)
                with suppress(AdapterError):
                    held.abort()
                if not ours:
                    # What was taken from under our hands was somebody else's to take.
                    raise _taken_over(part) from None
                raise
            finally:
                held.close()
        observe("5.manifest", {"part": part.number})

    def _standing(self, part: PartRow) -> tuple[str | None, bool]:
        """The manifest noted of a part, and whether it is still wanted, and ours."""
        with self._database.reading() as session:
            row = self._row(session, part.run, part.number)
            planned = session.get_one(RunRow, part.run).state == RunState.PLANNED
            return row.manifest, planned and (row.owner, row.epoch) == (part.owner, part.epoch)

    def _note(self, run: RunRow, part: PartRow, name: str, header: Header, by: Actor) -> None:
        """The part is staged, if it is still ours and the run still wants it."""
        counts = {
            "read": header.read, "filtered": header.filtered, "refused": header.refused, "staged": header.staged,
        }  # fmt: skip
        with self._database.transaction() as session:
            standing = session.get_one(RunRow, run.id, with_for_update=True)
            row = self._row(session, run.id, part.number, lock=True)
            if standing.state != RunState.PLANNED or (row.owner, row.epoch) != (part.owner, part.epoch):
                raise _taken_over(part)
            row.state, row.owner, row.expires = PartState.STAGED.value, None, 0.0
            row.counts, row.content = counts, header.content
            row.manifest, row.manifest_digest = name, self._vault.digest(name)
            self._event(session, events.PartStaged(number=part.number, counts=counts), by, standing)

    # --- gathering all of them -----------------------------------------------------------------

    def gather(
        self, run: str, sink: Sink, claim: Claim, *, by: Actor, check: Callable[[], None], observe: Observer
    ) -> Delivery:
        """Put what the parts have staged into one stage; what is missing, or gone, is staged now.

        Args:
            run: Id of the run, whose exchange's lease is ours.
            sink: Where the parts were staged.
            claim: Under which everything is staged now.
            by: Who asked for it.
            check: Raises where it is no longer ours to go on.
            observe: Told about every step.

        Raises:
            Busy: Somebody is at a part.
            StageLost: They are lost faster than they are staged.
            Unbalanced: One of them no longer has the rows that were staged.
        """
        with self._database.reading() as session:
            row = session.get_one(RunRow, run)
            tries = 1 + len(self._rows(session, run))
        schema = delivered_schema(Plan(**row.plan))
        while True:
            for number in self.waiting(run):
                check()
                self.stage(run, number, by=by, observe=observe)
            with self._database.reading() as session:
                staged = [(part_claim(row, part), (part.counts or {})["staged"]) for part in self._rows(session, run)]
            held = sink.begin(claim, schema)
            try:
                held.gather(staged)
            except StageLost as error:
                held.close()
                tries -= 1
                if not error.key or not tries:
                    raise
                self._lost(row, error, by)
            else:
                return held

    def _lost(self, run: RunRow, error: StageLost, by: Actor) -> None:
        """What a part has staged is gone: it waits to be staged again."""
        with self._database.transaction() as session:
            for row in self._rows(session, run.id):
                if part_claim(run, row).key == error.key:
                    row.state = PartState.WAITING.value
                    row.counts = row.content = row.manifest = row.manifest_digest = None
                    self._event(session, events.PartRestaged(number=row.number, reason=error.message), by, run)

    def joined(self, run: str, manifest: ManifestWriter, digest: Digest, header: Header) -> None:
        """What all parts say, as one manifest, with its digest and its counts."""
        with self._database.reading() as session:
            rows, position = self._rows(session, run), session.get_one(RunRow, run).after
        for row in rows:
            part = Manifest(self._vault, row.manifest or "", row.manifest_digest or "")
            manifest.take_over(part, read=header.read, staged=header.staged)
            for leaf in part.leaves():
                digest.join(leaf["rows"], leaf["digest"])
            said = part.header()
            if said.content != row.content or said.staged != (row.counts or {})["staged"]:
                raise Red(f"批次 {run} 第 {row.number} 段的清单与登记不符", remedy="保全现场并报告缺陷")
            header.read += said.read
            header.filtered += said.filtered
            header.refused += said.refused
            header.staged += said.staged
            for rule, many in said.report.items():
                header.report[rule] = header.report.get(rule, 0) + many
        header.position = position

    # --- afterwards ----------------------------------------------------------------------------

    def remove(self, run: RunRow, sink: Sink, schema: pa.Schema) -> None:
        """Remove what the parts of an ended run have staged and noted. Repeatable."""
        with self._database.reading() as session:
            rows = self._rows(session, run.id)
        for row in rows:
            sink.resume(part_claim(run, row), schema).abort()
            self._sweep(_files(run.id, row.number))
        with self._database.transaction() as session:
            for row in self._rows(session, run.id):
                row.sealed = row.manifest = row.manifest_digest = None

    def _sweep(self, prefix: str) -> None:
        for name in self._vault.names():
            if name.startswith(prefix):
                self._vault.remove(name)


def part_claim(run: RunRow, part: PartRow) -> Claim:
    """The claim that a part is staged under: its key is told from the run's, its epoch is that of its own lease."""
    return Claim(key=f"{run.delivery}/{part.number}", exchange=run.exchange, epoch=part.epoch)


def _taken_over(part: PartRow) -> Busy:
    return Busy(
        f"批次 {part.run} 的第 {part.number} 段已被其他执行者接管，或批次已了结", remedy="无需处理：由接管者继续"
    )


def _files(run: str, number: int) -> str:
    return f"{run}-{number}."


def _key_of(texts: list[str] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts)


def _told(row: PartRow) -> RunPart:
    return RunPart(row.run, row.number, row.state, dict(row.counts or {}), row.error)
