"""A run of an exchange, step by step, so that death between any two statements loses and repeats nothing.

The steps and what a takeover does at each:

1.  plan             nothing exists yet: the next run plans anew
2.  lease            the run and its delivery key are durable; a takeover keeps the key
3.  read             read again from the start, staged under the new epoch
4.  check            the same
5.  stage, manifest  the manifest is durable: go on to the gate with what is staged
6.  gate             committing: whatever happens to the grant now, the delivery counts as before it
7.  target commit    commit again; the ledger row answers whether it was done
8.  hub promotion    the delivery is known; what follows is owed
9.  settle           paid again until done
10. balance          checked before the gate, by the target, and at promotion
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import (
    Acknowledgement,
    AdapterError,
    Claim,
    Cut,
    Delivery,
    Diminished,
    Endpoint,
    Overtaken,
    ReadAnew,
    Refresh,
    Restored,
    Selection,
    Sink,
    Source,
    StageLost,
    TakenFile,
    TooManyRefused,
    Unavailable,
    Unbalanced,
)
from adapters import Manifest as CommitManifest
from catalog import Catalog
from exchange.audit import AuditLog, events
from exchange.authorisation import Authorisation
from exchange.authorisation.gate import standing
from exchange.checks import Digest
from exchange.db import HubDatabase, now
from exchange.db.tables import ExchangeRow, GrantRow, OwedRow, ReceiptRow, RunRow
from exchange.engine import answering, lease, tallying
from exchange.engine.answering import Answering
from exchange.engine.dispatch import Dispatches
from exchange.engine.documents import open_documents
from exchange.engine.files import FileBooks
from exchange.engine.handovers import Handovers
from exchange.engine.mailbox import Mailroom
from exchange.engine.manifest import Header, Manifest, ManifestWriter
from exchange.engine.notes import NOTES, NoteKeeper
from exchange.engine.opening import binding, open_registered, translated
from exchange.engine.parts import Parts, RunPart, SplitRun, splits
from exchange.engine.passage import delivered_schema
from exchange.engine.pauses import demand_active
from exchange.engine.previewing import Previews
from exchange.engine.promotion import Promotion, conflicts
from exchange.engine.pruning import Pruning
from exchange.engine.quarantine import Quarantine
from exchange.engine.recalling import Recalling
from exchange.engine.replay import Replays
from exchange.engine.resending import Resends
from exchange.engine.retention import Retention
from exchange.engine.settlement import Settlement
from exchange.engine.staging import Observer, Staging, demand_balance
from exchange.engine.states import UNFINISHED, RunState, moved
from exchange.engine.structures import Structures
from exchange.engine.subject import Places, plan_exchange, predecessors
from exchange.engine.tidying import Tidying
from exchange.engine.watching import Watching
from exchange.errors import Busy, HubError, Misplaced, Red, Unknown
from exchange.identity import Actor
from exchange.plan import End, Plan
from exchange.receipts import BALANCE
from exchange.secrets import Keyring, Vault
from exchange.settings import Settings

_ATTEMPTS = 3
"""How often a run stages anew within one go."""


def _silent(_step: str, _figures: dict[str, Any]) -> None:
    """Observe nothing."""


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    ``counts`` holds read, filtered, refused, unchanged, superseded, written and deleted (deleted rows
    are among the written ones).
    """

    id: str
    plan: Plan
    state: str
    counts: dict[str, int]
    seconds: float
    receipt: str | None
    reasons: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()
    files: dict[str, int] = field(default_factory=dict)
    """Files ``taken`` and ``refused``, if its source has files and this process read them."""


@dataclass
class _Work:
    """A run in hand."""

    run: str
    plan: Plan
    delivery: str
    owner: str
    epoch: int
    by: Actor
    previous: str | None
    position: dict[str, Any] | None
    state: str
    fresh: bool
    """Nothing was ever delivered to this target under this hub, as far as both sides know."""
    in_doubt: bool
    """An earlier owner may have committed already."""
    asked: bool
    """It is the run that was asked for, and not an unfinished one carried to its end."""
    observe: Observer
    started: float
    unseen: HubError | None
    """Why the source's structure could not be compared; then nothing is read."""
    held: Delivery | None = None
    """What was staged by this very worker."""
    files: dict[str, int] = field(default_factory=dict)
    """How many files this very worker took and refused."""

    @property
    def file(self) -> str:
        """The manifest that this owner writes."""
        return f"{self.run}.{self.epoch}"


@dataclass(frozen=True)
class _CutPlan:
    """How the source was cut, under which plan."""

    plan: str
    cut: Cut


@dataclass(frozen=True)
class _Asked:
    """What was asked for, other than usual."""

    redeliver: bool = False
    after_restore: bool = False
    replay: bool = False
    accepted: int | None = None
    resend: str | None = None
    """This run's delivery is to be made once more."""
    cut: _CutPlan | None = None
    """A new run is to begin, in these parts."""
    only: str | None = None
    """This run is to be carried on, and no other."""

    def about(self, standing: RunRow | None) -> bool:
        """Whether the unfinished run, or that there is none, is what was asked about."""
        if self.cut is not None:
            return standing is None
        return self.only is None or (standing is not None and standing.id == self.only)

    def met(self, plan: Plan) -> bool:
        """Whether carrying an unfinished run of this plan to its end was all that was asked for."""
        if self.resend is not None:
            return plan.resend == self.resend  # somebody died on the very same
        return not (self.redeliver or self.replay or self.accepted is not None)


def _counted(files: Iterable[TakenFile], counts: dict[str, int]) -> Iterator[TakenFile]:
    """The files, counted on the way."""
    counts.clear()
    for file in files:
        name = "taken" if file.reason is None else "refused"
        counts[name] = counts.get(name, 0) + 1
        yield file


def _unlooked(exchange: str) -> HubError:
    """Says why a run that was not to read any more reads nothing, should it come to that."""
    return Busy(f"交换 {exchange} 的授权刚有变动", remedy="稍后重试")


def _overtaken(exchange: str) -> HubError:
    return Busy(f"交换 {exchange} 刚由其他执行者推进", remedy="稍后重试")


def _stand(row: ExchangeRow, run: RunRow | None) -> tuple[Any, ...]:
    """Where an exchange stands; a plan holds only as long as this does."""
    return row.shape, row.last_delivery, run and run.id, run and run.state


class Engine:
    """Runs exchanges. One object may serve many threads; each run has connections of its own."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: HubDatabase,
        keyring: Keyring,
        audit: AuditLog,
        catalog: Catalog,
        authorisation: Authorisation,
    ) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._catalog = catalog
        self._authorisation = authorisation
        self.vault = Vault(settings.home / "payload", keyring.derive("payload"))
        self.documents = open_documents(settings, keyring)
        self.quarantine = Quarantine(self.vault, catalog)
        self.retention = Retention(database, self.vault, audit, days=settings.retention.quarantine_days)
        kept = settings.retention
        self.pruning = Pruning(database, audit, book_days=kept.book_days, dispatch_days=kept.dispatch_days)
        self._replays = Replays(self.vault, catalog, audit, self.documents)
        self._resends = Resends(self.vault, audit)
        self.handovers = Handovers(database, self.vault, self.documents, audit, keyring)
        self.dispatches = Dispatches(
            database,
            audit,
            again=settings.messages.again_seconds,
            retry=settings.messages.retry_seconds,
            deaths=settings.messages.deliveries,
        )
        self._notes = NoteKeeper(self.vault, database)
        self.files = FileBooks(settings, database, audit, catalog, self._notes, self._endpoint)
        self.watching = Watching(database, catalog, self.files, self._endpoint)
        books = self.handovers, self.files
        self._promotion = Promotion(settings, keyring, audit, authorisation, self._replays, *books, catalog)
        self.mailroom = Mailroom(database, Vault(settings.home / "mail", keyring.derive("mail")), audit)
        self.structures = Structures(settings, database, audit)
        self._staging = Staging(database, catalog, keyring)
        self.parts = Parts(
            settings, database, keyring, audit, self.vault, self._staging, self.structures, self._endpoint
        )
        self._settlement = Settlement(database, audit, catalog, self.parts)
        self._tidying = Tidying(database, self._endpoint, self.parts)
        self.previews = Previews(settings, database, catalog, self._staging, self._endpoint)
        self.answering = Answering(
            settings=settings,
            database=database,
            keyring=keyring,
            audit=audit,
            catalog=catalog,
            vault=self.vault,
            handovers=self.handovers,
            endpoint=self._endpoint,
        )
        self.recalling = Recalling(
            settings=settings,
            database=database,
            keyring=keyring,
            audit=audit,
            catalog=catalog,
            handovers=self.handovers,
            endpoint=self._endpoint,
        )

    # --- the run -------------------------------------------------------------------------------

    def run(
        self,
        exchange: str,
        *,
        by: Actor,
        observe: Observer = _silent,
        redeliver: bool = False,
        after_restore: bool = False,
        replay: bool = False,
        accept_fall: int | None = None,
        resend: str | None = None,
    ) -> RunResult:
        """Run an exchange now; an unfinished run of it is carried to its end instead.

        Args:
            exchange: Id of the exchange.
            by: Who asked for it.
            observe: Told about every step.
            redeliver: Deliver everything again, after the target lost what it had. An unfinished run that
                may have reached the target is carried to its end first, any other is given up.
            after_restore: The hub itself was restored from a backup: give unfinished runs up and go on
                above the epoch the target has seen, comparing everything with what is there.
            replay: Deliver what waits in quarantine and passes the checks now, instead of reading the source.
                An unfinished run is carried to its end first.
            accept_fall: A refresh may leave so few rows this once, however many there were. An unfinished run is
                carried to its end first, under what was accepted for it.
            resend: Deliver once more what this run of the exchange delivered to a recipient of files, and nothing
                else. An unfinished run is carried to its end first; if it resends the same, that was it.

        Raises:
            Busy: Somebody else is at it.
            Red: Going on could lose or repeat something.
            Failed: An endpoint could not be used.
            Invalid: The registration does not allow it; every reason is listed.
            Misplaced: The exchange is paused, which keeps an unfinished run waiting too, or it has ended, or there is
                nothing to replay or to resend.
        """
        asked = _Asked(redeliver, after_restore, replay, accept_fall, resend)
        while True:
            work = self._go(exchange, by, observe, asked)
            if work.asked or asked.met(work.plan):
                return self._result(work)

    def split(self, exchange: str, parts: int, *, by: Actor, observe: Observer = _silent) -> SplitRun | None:
        """Begin a run whose rows are read and staged in parts, by whomever and side by side (切分).

        Nothing is read yet but the keys that lie between the parts. What is changed at the source from now on comes
        with the next run, whether or not a part sees it.

        Args:
            exchange: Id of the exchange.
            parts: How many; there may be fewer where the table is small.
            by: Who asked for it.
            observe: Told about every step.

        Returns:
            The run and its parts, those of one that was split before and waits for them; None: this is nothing to be
            split, or another run is unfinished, and :meth:`run` does it.

        Raises:
            HubError: As :meth:`run`.
        """
        self._tidying.tidy(exchange)
        with self._database.reading() as session:
            standing = self._unfinished(session, exchange)
            if standing is not None:
                return self.parts.of(session, standing) if standing.state == RunState.PLANNED else None
        found = self._cut(exchange, parts) if parts > 1 else None
        if found is None:
            return None
        work, _ = self._begin(exchange, by, observe, _Asked(cut=found))
        observe("2.leased", {"run": work.run, "epoch": work.epoch})
        self._audit.seal()
        with self._database.reading() as session:
            return self.parts.of(session, session.get_one(RunRow, work.run))

    def stage_part(self, run: str, number: int, *, by: Actor, observe: Observer = _silent) -> RunPart:
        """Read, check and stage one part of a split run (分段暂存). Repeatable; done once.

        A run whose grant is no more ends here, barred; one that has gone on without this part leaves it as it is.

        Raises:
            Unknown: There is no such run or part.
            Busy: Somebody else is at this part.
            Red: Going on could lose or repeat something.
            Failed: An endpoint could not be used.
        """
        row = self._known(run)
        self.parts.part(run, number)
        with self._database.reading() as session:
            barred = row.state == RunState.PLANNED and not self._would_read(session, row)
        if barred:
            self._bar_split(row, by)
        else:
            self.parts.stage(run, number, by=by, observe=observe)
        return self.parts.part(run, number)

    def finish(self, run: str, *, by: Actor, observe: Observer = _silent) -> RunResult:
        """Deliver what the parts of a split run have staged: once, with one receipt (合并交付). Repeatable.

        Raises:
            Unknown: There is no such run.
            Misplaced: Parts are not staged yet; it says which.
            HubError: As :meth:`run`.
        """
        row = self._known(run)
        if row.state not in UNFINISHED:
            return self._told(row, time.monotonic())
        with self._database.reading() as session:
            reads = self._would_read(session, row)
        missing = self.parts.waiting(run) if reads else []
        if missing:
            numbers = "、".join(map(str, missing))
            raise Misplaced(f"批次 {run} 的第 {numbers} 段还没有暂存", remedy="先暂存这些段，再合并")
        return self._result(self._go(row.exchange, by, observe, _Asked(only=run)))

    def _known(self, run: str) -> RunRow:
        with self._database.reading() as session:
            row = session.get(RunRow, run)
        if row is None:
            raise Unknown(f"没有批次 {run}", remedy="用 shutong runs 查看已有的批次")
        return row

    def _go(self, exchange: str, by: Actor, observe: Observer, asked: _Asked) -> _Work:
        """Take the lease and carry a run to its end."""
        self._tidying.tidy(exchange)
        work, ends = self._begin(exchange, by, observe, asked)
        observe("2.leased", {"run": work.run, "epoch": work.epoch})
        try:
            with self._heartbeat(work) as beat:
                self._carry(work, *ends, beat)
        finally:
            with self._database.transaction() as session:
                lease.release(session, exchange, owner=work.owner, epoch=work.epoch)
            self._tidying.tidy(exchange)
            notes = work.plan.source.capture in ends[0].capabilities.notes
            if not work.plan.aside and (notes or NOTES in (work.position or {})):
                self._notes.sweep(exchange, work.epoch)
            self._audit.seal()
        return work

    def _cut(self, exchange: str, parts: int) -> _CutPlan | None:
        """Cut the source of an exchange, if what is to be done can be done in parts."""
        with self._database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            if row is None:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            ends = self._endpoint(session, End(**row.source)), self._endpoint(session, End(**row.target))
            able = ends[0].capabilities, ends[1].capabilities
            lost = not self._notes.intact(row.position)
            plan = plan_exchange(session, row, *able, self._settings, self._catalog, forgotten=lost)
        if not splits(plan) or not able[1].merges or not able[1].transactional:
            return None
        bound = binding(plan.source, plan.key, plan.version, plan.items)
        with translated(f"来源端 {plan.source.endpoint}"), ends[0].source(bound) as source:
            cut = source.cut(parts, batch_rows=plan.batch_rows)
        return None if cut is None else _CutPlan(plan.digest(), cut)

    def _bar_split(self, row: RunRow, by: Actor) -> None:
        """A split run whose grant is no more ends, unless somebody is at it."""
        owner = lease.owner_name()
        with self._database.transaction() as session:
            epoch = lease.acquire(session, row.exchange, owner=owner, seconds=self._settings.lease_seconds)
            run = session.get_one(RunRow, row.id, with_for_update=True)
            reasons = self._reasons_against(session, Plan(**run.plan))
            if run.state == RunState.PLANNED and reasons:
                run.epoch = epoch
                self._bar(session, run, reasons, by)
            lease.release(session, row.exchange, owner=owner, epoch=epoch)
        self._tidying.tidy(row.exchange)
        self._audit.seal()

    def _heartbeat(self, work: _Work) -> lease.Heartbeat:
        seconds = self._settings.lease_seconds
        exchange = work.plan.exchange
        return lease.Heartbeat(self._database, exchange, owner=work.owner, epoch=work.epoch, seconds=seconds)

    def _carry(self, work: _Work, source_end: Endpoint, target_end: Endpoint, beat: lease.Heartbeat) -> None:
        """Take a run from where it stands to its end."""
        plan = work.plan
        with translated(f"目标端 {plan.target.endpoint}"):
            sink = target_end.sink(binding(plan.target, plan.key, plan.version))
        with sink, self._source(source_end, plan) as source:
            attempt, first = 0, True
            while True:
                try:
                    self._deliver(work, source, sink, target_end, beat, direct=first)
                    break
                except (StageLost, ReadAnew) as error:
                    # What is to be read anew is to be read without something: that comes to an end by itself.
                    attempt += isinstance(error, StageLost)
                    first = False
                    self._restage(work, error, last=attempt == _ATTEMPTS)
                    # A takeover that was not to read has not looked at what it is going to read.
                    looks, work.unseen = self.structures.look(plan, source_end, target_end)
                    self.structures.demand(plan, looks, by=work.by)
                finally:
                    if work.held is not None:
                        work.held.close()
            if work.state == RunState.COMMITTED:
                self._settlement.pay(work.run, plan, source, sink, self._manifest(work.run), by=work.by)
                work.observe("9.settled", {"run": work.run})

    def _deliver(
        self, work: _Work, source: Source, sink: Sink, target_end: Endpoint, beat: lease.Heartbeat, *, direct: bool
    ) -> None:
        """Steps 3 to 8, from where the run stands; it may end on the way."""
        if work.state == RunState.PLANNED:
            # Time has gone by since it was planned.
            later = not work.asked or work.held is not None
            if later and not self._still_granted(work):
                return
            self._guard_target(work, sink)
            with self._failing(work, sink):
                if work.unseen is not None:
                    raise work.unseen
                if self._read(work, source, sink, target_end, beat, direct=direct):
                    return
        beat.check()
        if work.state == RunState.STAGED and not self._gate(work):
            return
        if work.state == RunState.COMMITTING:
            self._commit(work, sink)

    def _restage(self, work: _Work, error: StageLost | ReadAnew, *, last: bool) -> None:
        """Nothing of what was staged was committed, and it is gone or is to go: the run starts again under its key."""
        with self._owned(work) as (session, run):
            if run.state != RunState.PLANNED:
                self._authorisation.release(session, run.delivery)
                run.state = moved(run.state, RunState.PLANNED)
                run.manifest = run.manifest_digest = run.stage_epoch = None
            self._event(session, events.RunRestaged(reason=error.message), work.by, run)
            work.state = run.state
        work.in_doubt = False
        self._sweep(work)
        if last:
            with translated(f"目标端 {work.plan.target.endpoint}"):
                raise Unavailable(error.message, remedy="稍后重试；总不成功时请检查对方数据库")

    @contextmanager
    def _source(self, end: Endpoint, plan: Plan) -> Iterator[Source]:
        with translated(f"来源端 {plan.source.endpoint}"):
            source = end.source(binding(plan.source, plan.key, plan.version, plan.items))
        with self._database.reading() as session:
            source = self._resends.source(session, plan, self._replays.source(session, plan, source))
        with source:
            yield source

    # --- steps 1 and 2 -------------------------------------------------------------------------

    def _begin(
        self,
        exchange: str,
        by: Actor,
        observe: Observer,
        asked: _Asked,
    ) -> tuple[_Work, tuple[Endpoint, Endpoint]]:
        """Plan, take the lease and make run and delivery key durable, before the first read."""
        redeliver, after_restore, replay, accepted = asked.redeliver, asked.after_restore, asked.replay, asked.accepted
        anew = redeliver or after_restore
        with self._database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            if row is None:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            demand_active(session, row)
            standing = self._unfinished(session, exchange)
            stands = _stand(row, standing)
            if not asked.about(standing):
                raise _overtaken(exchange)
            given_up = standing is not None and (
                after_restore or (redeliver and standing.state in (RunState.PLANNED, RunState.STAGED))
            )
            if standing is not None and not given_up:
                plan = Plan(**standing.plan)
                ends = self._endpoint(session, plan.source), self._endpoint(session, plan.target)
            else:
                ends = self._endpoint(session, End(**row.source)), self._endpoint(session, End(**row.target))
                able = ends[0].capabilities, ends[1].capabilities
                lost = not self._notes.intact(row.position)
                args = session, row, *able, self._settings, self._catalog
                plan = plan_exchange(*args, redeliver=anew, forgotten=lost, accepted=accepted)
                if asked.resend is not None:
                    plan = self._resends.planned(session, row, plan, asked.resend)
                else:
                    plan = self._replays.planned(session, row, plan) if replay else self.mailroom.planned(session, plan)
            known = row.last_delivery is not None or row.shape is not None
            delivered = known or bool(predecessors(session, row, Places(session, self._settings, self._catalog)))
            reads = standing is None or given_up or self._would_read(session, standing)
            if asked.cut is not None and plan.digest() != asked.cut.plan:
                raise _overtaken(exchange)
        observe("1.planned", {"plan": plan.digest()})
        looks, unseen = self.structures.look(plan, *ends) if reads else ((), _unlooked(exchange))
        self.structures.demand(plan, looks, by=by)
        target = binding(plan.target, plan.key, plan.version)
        with translated(f"目标端 {plan.target.endpoint}"), ends[1].sink(target) as sink:
            seen = sink.epoch(exchange)
        owner = lease.owner_name()
        with self._database.transaction() as session:
            epoch = lease.acquire(
                session,
                exchange,
                owner=owner,
                seconds=self._settings.lease_seconds,
                at_least=seen if after_restore else 0,
            )
            if seen >= epoch:
                raise Red(
                    f"交换 {exchange} 的目标端已到第 {seen} 任，而本库只到第 {epoch} 任：枢纽数据库像是从旧备份恢复的",
                    remedy=f"确认后执行 shutong run {exchange} --after-restore，已送达的行会计为未变化",
                )
            row = session.get_one(ExchangeRow, exchange)
            demand_active(session, row)
            run = self._unfinished(session, exchange)
            if _stand(row, run) != stands:
                raise _overtaken(exchange)
            if run is not None and given_up:
                self._abandon(session, run, by, restored=after_restore)
                run = None
            if run is None:
                run = self._new_run(session, plan, epoch, by)
                self._replays.claim(session, run, plan)
                self._resends.claim(session, run, plan, by)
                self.mailroom.claim(session, run, plan)
                if anew:
                    self._forget_delivered(session, row, run, by, lost=redeliver)
                new = True
            else:
                new = False
                run.epoch = epoch
                self._event(session, events.RunTakenOver(epoch=epoch, state=run.state), by, run)
            self.structures.record(session, run.id, plan, looks, by=by)
            fresh = not delivered and not seen
            if asked.cut is not None:
                self.parts.begin(session, run, asked.cut.cut, fresh=fresh, by=by)
                # The parts have leases of their own; who finishes takes that of the exchange.
                lease.release(session, exchange, owner=owner, epoch=epoch)
            work = _Work(
                run=run.id,
                plan=Plan(**run.plan),
                delivery=run.delivery,
                owner=owner,
                epoch=epoch,
                by=by,
                previous=row.last_delivery,
                position=row.position,
                state=run.state,
                fresh=fresh,
                in_doubt=run.state == RunState.COMMITTING,
                asked=new,
                observe=observe,
                started=time.monotonic(),
                unseen=unseen,
            )
        return work, ends

    def _unfinished(self, session: Session, exchange: str) -> RunRow | None:
        unfinished = select(RunRow).where(RunRow.exchange == exchange, RunRow.state.in_(UNFINISHED))
        return session.scalar(unfinished.order_by(RunRow.started_at, RunRow.id).limit(1))

    def _would_read(self, session: Session, run: RunRow) -> bool:
        """Whether an unfinished run has yet to read; one whose grant is no more ends without."""
        grant = session.get_one(GrantRow, run.plan["grant"])
        granted = not standing(grant, now(session)) and grant.version == run.plan["grant_version"]
        return run.state == RunState.PLANNED and granted

    def _forget_delivered(self, session: Session, row: ExchangeRow, run: RunRow, by: Actor, *, lost: bool) -> None:
        """What the recipient has is no longer known: until this is done, every run is a full pass."""
        row.shape = ""
        if lost and row.kind == "synchronisation":
            # What is read from the restored library by its journal may have numbers that were read before.
            readers = select(ExchangeRow).where(ExchangeRow.kind == "sharing", ExchangeRow.table == row.table)
            for reader in session.scalars(readers.where(ExchangeRow.shape.is_not(None))):
                reader.shape = ""
        if lost and row.last_delivery is not None:
            event = events.TargetRedelivered(lost=row.last_delivery, delivery=run.delivery)
            self._event(session, event, by, run)
            row.last_delivery = None

    def _endpoint(self, session: Session, end: End) -> Endpoint:
        spec = self._catalog.endpoint(session, end.endpoint)
        home, keyring = self._settings.home, self._keyring
        found = open_registered(
            spec.kind, spec.options, spec.zone, home=home, name=spec.name, keyring=keyring, documents=self.documents
        )
        return self.mailroom.opened(found, spec.name)

    def _new_run(self, session: Session, plan: Plan, epoch: int, by: Actor) -> RunRow:
        name = secrets.token_hex(8)
        digest = plan.digest()
        run = RunRow(
            id=name,
            exchange=plan.exchange,
            delivery=f"{digest}-{name}",
            state=RunState.PLANNED.value,
            plan=plan.model_dump(mode="json"),
            plan_digest=digest,
            epoch=epoch,
            started_at=now(session),
        )
        session.add(run)
        session.flush()
        self._event(session, events.RunStarted(plan=digest, delivery=run.delivery), by, run)
        if plan.refresh is not None and plan.refresh.accepted is not None:
            self._event(session, events.FallAccepted(rows=plan.refresh.accepted), by, run)
        return run

    def _abandon(self, session: Session, run: RunRow, by: Actor, *, restored: bool) -> None:
        """Give an unfinished run up; one that was committed stays, since it still owes something."""
        if run.state != RunState.COMMITTED:
            if run.state != RunState.COMMITTING:  # that one may have reached the target: its quota stays taken
                self._authorisation.release(session, run.delivery)
            run.state = moved(run.state, RunState.ABANDONED)
            run.ended_at = now(session)
            tallying.note(session, run)
            self._tidying.owe(session, run)
        event = events.HubRecovered(run=run.id) if restored else events.RunAborted(reason="改为重新送达")
        self._event(session, event, by, run)

    # --- steps 3 to 5 --------------------------------------------------------------------------

    def _guard_target(self, work: _Work, sink: Sink) -> None:
        """The target must still hold what it acknowledged last, or a person must decide."""
        if work.previous is None:
            return
        with translated(f"目标端 {work.plan.target.endpoint}"):
            kept = sink.settled(work.previous)
        if kept is None:
            error = Red(
                f"目标端 {work.plan.target.endpoint} 没有上一次交付的台账：目标库像是被恢复或清空过",
                remedy=f"与接收方确认后执行 shutong run {work.plan.exchange} --redeliver 重新送达",
            )
            self._redden(work, error)
            raise error

    def _read(
        self, work: _Work, source: Source, sink: Sink, target_end: Endpoint, beat: lease.Heartbeat, *, direct: bool
    ) -> bool:
        """Read, check and stage everything, then make the manifest durable. True: stopped for good."""
        plan = work.plan
        claim = Claim(key=work.delivery, exchange=plan.exchange, epoch=work.epoch)
        header = Header(delivery=work.delivery)
        digest = Digest(plan.digest_algorithm, key=plan.key)
        if not work.asked:
            self._sweep(work)
        with translated(f"交换 {plan.exchange}"):
            if self.parts.is_split(work.run):
                self._gather(work, sink, claim, beat, digest, header)
            else:
                self._read_whole(work, source, sink, target_end, claim, beat, digest, header, direct=direct)
        demand_balance(plan.exchange, header)
        work.observe("5.staged", {"staged": header.staged})
        return self._note_staged(work, header)

    def _gather(
        self, work: _Work, sink: Sink, claim: Claim, beat: lease.Heartbeat, digest: Digest, header: Header
    ) -> None:
        """Put what the parts have staged and noted together."""
        work.held = self.parts.gather(work.run, sink, claim, by=work.by, check=beat.check, observe=work.observe)
        work.observe("4.gathered", {})
        with self.vault.write(work.file) as writer:
            manifest = ManifestWriter(writer)
            self.parts.joined(work.run, manifest, digest, header)
            header.content = digest.root()
            header.seconds = time.monotonic() - work.started
            manifest.seal(header)

    def _read_whole(
        self,
        work: _Work,
        source: Source,
        sink: Sink,
        target_end: Endpoint,
        claim: Claim,
        beat: lease.Heartbeat,
        digest: Digest,
        header: Header,
        *,
        direct: bool,
    ) -> None:
        plan = work.plan
        passage = self._staging.passage(plan, sink=None if work.fresh else sink, target=target_end)
        kept: AbstractContextManager[Any] = nullcontext()
        if not plan.aside:
            kept = self._notes.open(plan.exchange, work.epoch, work.position, full=plan.full)
        with self.vault.write(work.file) as writer, kept as notebook:
            manifest = ManifestWriter(writer)
            whole = work.fresh or plan.full or plan.source.capture == "snapshot"
            work.held = sink.direct(claim, passage.schema, empty=plan.refresh is not None) if direct and whole else None
            work.held = work.held or sink.begin(claim, passage.schema)
            after = None if plan.full else work.position
            again = self.files.again(plan.exchange)
            selection = Selection(after=after, batch_rows=plan.batch_rows, notebook=notebook, again=again)
            self._staging.carry(
                source, selection, passage, work.held, manifest, header, digest, check=beat.check, observe=work.observe
            )
            position = source.position()
            manifest.files(_counted(source.files(), work.files))
            header.position = notebook.sealed(position) if notebook else dict(position) if position else None
            header.content = digest.root()
            header.seconds = time.monotonic() - work.started
            manifest.seal(header)

    def _note_staged(self, work: _Work, header: Header) -> bool:
        """Make the manifest the run's own. True: too many rows were refused."""
        plan = work.plan
        stop = plan.tolerance.exceeded(header.refused, header.read)
        with self._owned(work) as (session, run):
            run.state = moved(run.state, RunState.STOPPED if stop else RunState.STAGED)
            run.manifest = work.file
            run.manifest_digest = self.vault.digest(work.file)
            run.stage_epoch = work.epoch
            run.after = header.position
            run.counts = {"read": header.read, "filtered": header.filtered, "refused": header.refused}
            figures = {**run.counts, "staged": header.staged}
            self._event(session, events.RunStaged(counts=figures), work.by, run)
            if stop:
                reason = f"拒收 {header.refused} 行，共读 {header.read} 行，超过容许（{plan.tolerance.words()}）"
                self._promotion.quarantine(session, run, self._manifest_of(run), {}, stopped=True)
                self.files.record(session, run, plan, self._manifest_of(run), work.by, delivered=False)
                self._end(session, run, reason, work.by)
            work.state = run.state
        work.observe("5.manifest", {"stopped": stop})
        return stop

    def _sweep(self, work: _Work) -> None:
        """Remove what earlier owners of this run wrote and died over: none of it became its manifest."""
        self.vault.sweep()
        for name in self.vault.names():
            if name.startswith(f"{work.run}."):
                self.vault.remove(name)

    # --- step 6 --------------------------------------------------------------------------------

    def _still_granted(self, work: _Work) -> bool:
        """Before a takeover reads: nothing is put beside the recipient's table under a grant that is no more."""
        plan = work.plan
        with self._owned(work) as (session, run):
            reasons = self._reasons_against(session, plan)
            if reasons:
                self._bar(session, run, reasons, work.by)
            work.state = run.state
        return not reasons

    def _reasons_against(self, session: Session, plan: Plan) -> list[str]:
        grant = session.get_one(GrantRow, plan.grant)
        reasons = standing(grant, now(session))
        return reasons or ([f"授权 {grant.id} 已变更"] if grant.version != plan.grant_version else [])

    def _bar(self, session: Session, run: RunRow, reasons: list[str], by: Actor) -> None:
        run.state = moved(run.state, RunState.BARRED)
        run.error = "；".join(reasons)
        run.ended_at = now(session)
        tallying.note(session, run)
        self._tidying.owe(session, run)
        self._event(session, events.RunRefusedAtGate(reasons=tuple(reasons)), by, run)

    def _gate(self, work: _Work) -> bool:
        """Let the delivery through if the grant still allows it, by compare-and-set; else drop it."""
        plan = work.plan
        work.observe("6.gate", {})
        staged = self._manifest(work.run).header().staged
        with self._owned(work) as (session, run):
            reasons = self._authorisation.gate(
                session, plan.grant, plan.grant_version, staged, work.delivery, now(session)
            )
            if reasons:
                self._bar(session, run, reasons, work.by)
            else:
                run.state = moved(run.state, RunState.COMMITTING)
                self._event(session, events.RunGated(grant=plan.grant, version=plan.grant_version), work.by, run)
            work.state = run.state
        work.observe("6.gated", {"reasons": list(reasons)})
        return not reasons

    # --- steps 7, 8 and 10 ---------------------------------------------------------------------

    def _commit(self, work: _Work, sink: Sink) -> None:
        plan = work.plan
        with self._database.reading() as session:
            run = session.get_one(RunRow, work.run)
            manifest = self._manifest_of(run)
            claim = self._claim(run)
            digest = run.manifest_digest or ""
        header = manifest.header()
        head = self._audit.head()
        work.observe("7.commit", {})
        try:
            delivery = work.held or sink.resume(claim, delivered_schema(plan))
            acknowledged = delivery.commit(
                CommitManifest(
                    claim=replace(claim, epoch=work.epoch),
                    digest=digest,
                    rows=header.staged,
                    overwrite=plan.overwrite,
                    previous=work.previous,
                    head=head,
                    refresh=Refresh(**plan.refresh.model_dump()) if plan.refresh else None,
                    tolerable=plan.tolerance.left(header.refused, header.read),
                    schema_version=plan.resource_version,
                )
            )
        except StageLost:
            raise
        except TooManyRefused as error:
            self._take_back(work, delivery, manifest, header, error)
            return
        except AdapterError as error:
            # Unless the target's own books say no, an answer that was lost may have been a yes: then only
            # committing again under the same key can tell, and the state says so already.
            if not isinstance(error, Overtaken | Restored | Unbalanced | Diminished) and (error.retry or work.in_doubt):
                with translated(f"目标端 {plan.target.endpoint}"):
                    raise
            remedy = error.remedy
            if isinstance(error, Diminished):
                remedy = (
                    f"与提供方核实；确认无误的，执行 shutong run {plan.exchange} --accept-fall {error.left} 接受一次"
                )
            failure = Red(f"目标端 {plan.target.endpoint}: {error.message}", remedy=remedy)
            self._redden(work, failure, release=True)
            raise failure from error
        work.observe("7.committed", {})
        self._promote(work, manifest, header, acknowledged, head)
        work.observe("8.promoted", {})

    def _take_back(
        self, work: _Work, delivery: Delivery, manifest: Manifest, header: Header, error: TooManyRefused
    ) -> None:
        """The target refuses more than is tolerated and has taken its transaction back: stop, and name the rows."""
        # First the stage: an earlier owner that wakes up must not find anything that it could commit after all.
        with translated(f"目标端 {work.plan.target.endpoint}"):
            delivery.abort()
        refused = header.refused + len(error.refused)
        work.observe("7.refused", {"refused": refused})
        with self._owned(work) as (session, run):
            run.state = moved(run.state, RunState.STOPPED)
            run.counts = {"read": header.read, "filtered": header.filtered, "refused": refused}
            self._authorisation.release(session, run.delivery)
            rows = conflicts(manifest, error.refused)
            self._promotion.quarantine(session, run, manifest, rows, stopped=True)
            self.files.record(session, run, work.plan, manifest, work.by, delivered=False)
            told = f"拒收 {refused} 行，其中目标端提交时拒收 {len(error.refused)} 行，共读 {header.read} 行"
            self._end(session, run, f"{told}，超过容许（{work.plan.tolerance.words()}）", work.by)
            work.state = run.state

    def _promote(
        self, work: _Work, manifest: Manifest, header: Header, acknowledged: Acknowledgement, head: str
    ) -> None:
        counts = {
            "read": header.read + acknowledged.gone,  # and deletes found by comparing what is there
            "filtered": header.filtered,
            "refused": header.refused + len(acknowledged.refused),
            "unchanged": acknowledged.unchanged,
            "superseded": acknowledged.superseded,
            "written": acknowledged.written,
            "deleted": acknowledged.deleted,
        }
        if counts["read"] != sum(counts[name] for name in BALANCE):
            error = Red(f"交换 {work.plan.exchange} 账不平：读取 {counts['read']} 行，去向合计不等", remedy="保全现场")
            self._redden(work, error, counts=counts)
            raise error
        with self._owned(work) as (session, run):
            self._promotion.promote(session, run, work.plan, manifest, header, acknowledged, counts, head, work.by)
            run.state = moved(run.state, RunState.COMMITTED)
            tallying.note(session, run)
            work.state = run.state

    # --- states --------------------------------------------------------------------------------

    @contextmanager
    def _owned(self, work: _Work) -> Iterator[tuple[Session, RunRow]]:
        """A hub transaction in which run and lease are locked and still this worker's."""
        with self._database.transaction() as session:
            if not lease.holds(session, work.plan.exchange, owner=work.owner, epoch=work.epoch):
                raise Busy(f"交换 {work.plan.exchange} 已被其他执行者接管", remedy="无需处理：由接管者继续")
            run = session.get_one(RunRow, work.run, with_for_update=True)
            yield session, run

    @contextmanager
    def _failing(self, work: _Work, sink: Sink) -> Iterator[None]:
        """Record why reading failed; nothing was delivered, so the next run plans anew."""
        try:
            yield
        except Busy:
            self._drop_stale(work, sink)
            raise
        except HubError as error:
            with self._owned(work) as (session, run):
                run.state = moved(run.state, RunState.RED if isinstance(error, Red) else RunState.FAILED)
                self._end(session, run, error.message, work.by)
            raise

    def _drop_stale(self, work: _Work, sink: Sink) -> None:
        """Take away what was staged under a lost lease, unless it became the run's own before."""
        with self._database.reading() as session:
            if session.get_one(RunRow, work.run).stage_epoch == work.epoch:
                return
        self.vault.remove(work.file)
        if work.held is not None:
            work.held.close()
        self._notes.drop(work.plan.exchange, work.epoch)
        with suppress(AdapterError):
            claim = Claim(key=work.delivery, exchange=work.plan.exchange, epoch=work.epoch)
            sink.resume(claim, delivered_schema(work.plan)).abort()

    def _redden(self, work: _Work, error: Red, *, release: bool = False, counts: dict[str, int] | None = None) -> None:
        with self._owned(work) as (session, run):
            run.state = moved(run.state, RunState.RED)
            run.counts = counts or run.counts
            if release:
                self._authorisation.release(session, run.delivery)
            self._end(session, run, error.message, work.by)

    def _end(self, session: Session, run: RunRow, reason: str, by: Actor) -> None:
        run.error = reason
        run.ended_at = now(session)
        tallying.note(session, run)
        self._tidying.owe(session, run)
        self._event(session, events.RunReddened(state=run.state, reason=reason), by, run)

    def _event(self, session: Session, event: Any, by: Actor, run: RunRow) -> None:
        self._audit.record(
            session, event, by=by, resource=run.plan["resource"], exchange=run.exchange, run=run.id,
            department=run.plan["recipient"],
        )  # fmt: skip

    def _claim(self, run: RunRow) -> Claim:
        """The claim the run was staged under."""
        return Claim(key=run.delivery, exchange=run.exchange, epoch=run.stage_epoch or run.epoch)

    def _manifest(self, run: str) -> Manifest:
        with self._database.reading() as session:
            return self._manifest_of(session.get_one(RunRow, run))

    def _manifest_of(self, run: RunRow) -> Manifest:
        return Manifest(self.vault, run.manifest or "", run.manifest_digest or "")

    def _result(self, work: _Work) -> RunResult:
        with self._database.reading() as session:
            return self._told(session.get_one(RunRow, work.run), work.started, work.files)

    def _told(self, run: RunRow, started: float, files: Mapping[str, int] = MappingProxyType({})) -> RunResult:
        """What a run has come to."""
        with self._database.reading() as session:
            receipt = session.scalar(select(ReceiptRow.id).where(ReceiptRow.run == run.id))
            unpaid = select(OwedRow.kind).where(OwedRow.run == run.id, OwedRow.done_at.is_(None))
            owed = session.scalars(unpaid.where(OwedRow.kind != answering.KIND))  # the recipient takes its time
            zero = dict.fromkeys(("read", *BALANCE, "deleted"), 0)
            return RunResult(
                id=run.id,
                plan=Plan(**run.plan),
                state=run.state,
                counts={**zero, **(run.counts or {})},
                seconds=time.monotonic() - started,
                receipt=receipt,
                reasons=(run.error,) if run.error else (),
                owed=tuple(owed),
                files=dict(files),
            )
