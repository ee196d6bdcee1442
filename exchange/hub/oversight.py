"""Oversight (监管): running exchanges, following what moved, quarantine, and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session, aliased

from exchange.audit import Sealer, Verification, events
from exchange.checks import KEPT
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow, NoticeRow, QuarantineRow, ReceiptRow, RunRow
from exchange.engine import (
    MAILBOX,
    PUSHED,
    UNFINISHED,
    Observer,
    Reconciliation,
    RunPart,
    RunResult,
    RunState,
    SplitRun,
    compared,
    held,
    resting,
)
from exchange.errors import Busy, Denied, HubError, Tampered, Unknown
from exchange.hub.evidence import evidence
from exchange.hub.overdue import timely
from exchange.hub.rhythm import rhythm_of
from exchange.hub.roster import CYCLES, ZONE
from exchange.hub.splitting import stage_side_by_side
from exchange.identity import PLATFORM, SCHEDULER, SYSTEM, Actor
from exchange.plan import Tolerance, tolerance_of
from exchange.receipts import addenda, as_issued, witnessed
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

T = TypeVar("T")

SOON = timedelta(minutes=5)
"""How long after a failure that may heal by itself the next try is due."""
HELD: dict[str, str] = {"suspended": "paused", "revoked": "ended", "expired": "ended"}
"""State of a grant to what it makes of its exchanges."""


@dataclass(frozen=True)
class ExchangeStatus:
    """An exchange and how its last run ended.

    Attributes:
        held: Why it is held until somebody answers for a changed structure (结构待批准).
        noted: What the last run found changed about a structure, and took over.
        resting: Who paused it or one of its ends, why and until when.
    """

    id: str
    kind: str
    resource: str
    provider: str
    recipient: str
    state: str
    due_at: datetime | None
    tolerance: Tolerance
    """How many refused rows stop a run, by the exchange's own figures or the hub's."""
    run: str | None
    run_state: str | None
    counts: dict[str, Any]
    error: str | None
    ended_at: datetime | None
    held: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    resting: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefusedRow:
    """A refused row, or one kept with a state, as it may be listed: never its content.

    ``id`` is what it is asked for by; ``state`` is one of :class:`exchange.engine.RowState`.
    """

    id: int
    state: str
    run: str
    exchange: str
    number: int
    item: str | None
    rule: str
    reason: str
    key_hash: str
    kept: bool
    at: datetime


class Oversight:
    """What administrators and schedulers ask for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # --- running -------------------------------------------------------------------------------

    def run(self, exchange: str, *, by: Actor, parts: int = 1, **options: Any) -> RunResult:
        """Run an exchange now; options as of :meth:`exchange.engine.Engine.run`.

        Args:
            exchange: Id of the exchange.
            by: Who asks.
            parts: In so many processes, if it can be split.
            options: Further ones.
        """
        what = self.demand_may_run(
            exchange,
            by=by,
            replay=bool(options.get("replay")),
            accept_fall=options.get("accept_fall") is not None,
            resend=options.get("resend"),
        )
        with Sealer(self._hub.audit):
            # What was asked for in some other way than usual says nothing of what is owed.
            return self._carried(exchange, by, what, noted=options.keys() <= {"observe"}, parts=parts, **options)

    def demand_may_run(
        self, exchange: str, *, by: Actor, replay: bool = False, accept_fall: bool = False, resend: str | None = None
    ) -> str:
        """What running an exchange is called, if somebody may; whether it can be run shows in the run.

        Args:
            exchange: Id of the exchange.
            by: Who asks.
            replay: Refused rows are to be run again, and nothing else.
            accept_fall: A recipient's rows may become fewer.
            resend: What this run delivered is to be delivered once more, and nothing else.

        Raises:
            Denied: The actor may not; the refusal is logged.
            Unknown: There is no such exchange.
        """
        hub = self._hub
        parties = self._parties(exchange)
        what = f"重送交换 {exchange} 的隔离行" if replay else f"执行交换 {exchange}"
        what = f"重新送达批次 {resend}" if resend is not None else what
        roles = [Role.INTEGRATOR, Role.SYSTEM]
        if replay and by.department in parties[:1]:
            roles.append(Role.CLERK)  # what she corrected of her own department's data she may send again
        with hub.permitted(by, *roles, action=what, of=parties, exchange=exchange):
            if not parties:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            try:
                if accept_fall:
                    self._may_accept(by, exchange, parties)
            except Denied as error:
                hub.denied(by, what, error, exchange=exchange)
                raise
        return what

    def carry_out(
        self,
        exchange: str,
        *,
        by: Actor = PLATFORM,
        scheduled: bool = False,
        redeliver: bool = False,
        observe: Observer | None = None,
    ) -> RunResult:
        """Run an exchange because a delivery is owed or its time has come: a rule of the platform (投递、按时执行).

        Args:
            exchange: Its id.
            by: The platform, or who had a scheduler run it, see :func:`exchange.identity.through_scheduler`.
            scheduled: A scheduler runs it: what it owed to recipients of files is noted with it, as for a run that
                somebody asked for. Whoever works at messages keeps those books himself.
            redeliver: Deliver everything again; only a person may want that.
            observe: Told about every step.

        Raises:
            Denied: The platform itself never delivers again what it delivered; or the grant does not hold.
        """
        hub = self._hub
        if by.established not in (SYSTEM, SCHEDULER) or (redeliver and by == PLATFORM):
            what = f"重新送达交换 {exchange}" if redeliver else f"按时执行交换 {exchange}"
            reasons = ["重新送达须由人提出" if redeliver else "本人执行交换须有角色，用 shutong run"]
            error = Denied(f"不能{what}", reasons, remedy=f"用 shutong run {exchange} 办理")
            hub.denied(by, what, error, exchange=exchange)
            raise error
        options: dict[str, Any] = {"observe": observe} if observe else {}
        if not scheduled:
            return self._carried(exchange, by, f"投递交换 {exchange}", noted=False, **options)
        options |= {"redeliver": True} if redeliver else {}
        with Sealer(hub.audit):
            return self._carried(exchange, by, f"按时执行交换 {exchange}", noted=not redeliver, **options)

    def split(self, exchange: str, parts: int) -> SplitRun | None:
        """Begin a run in parts for a scheduler, as a rule of the platform: see :meth:`exchange.engine.Engine.split`.

        None: it is to be run as ever.
        """
        return self._scheduled(exchange, lambda: self._hub.engine.split(exchange, parts, by=PLATFORM))

    def stage_part(self, run: str, number: int) -> RunPart:
        """Stage one part for a scheduler: see :meth:`exchange.engine.Engine.stage_part`."""
        with self._hub.told():
            return self._hub.engine.stage_part(run, number, by=PLATFORM)

    def finish(self, run: str) -> RunResult:
        """Deliver a split run for a scheduler (:meth:`exchange.engine.Engine.finish`), and say when it is due again."""
        with self._hub.database.reading() as session:
            row = session.get(RunRow, run)
        if row is None:
            raise Unknown(f"没有批次 {run}", remedy="批次见切分时的答复")
        began = time.monotonic()
        result = self._scheduled(row.exchange, lambda: self._hub.engine.finish(run, by=PLATFORM))
        self._schedule(row.exchange, began)
        return result

    def _scheduled(self, exchange: str, do: Callable[[], T]) -> T:
        """Do something of a run for a scheduler; a refusal is in the log, and what may heal is due again soon."""
        hub, began = self._hub, time.monotonic()
        try:
            with hub.told():
                return do()
        except HubError as error:
            if isinstance(error, Denied):
                hub.denied(PLATFORM, f"执行交换 {exchange}", error, exchange=exchange)
            if not isinstance(error, Unknown):
                self._schedule(exchange, began, soon=error.retry)
            raise

    def _carried(
        self, exchange: str, by: Actor, what: str, *, noted: bool, parts: int = 1, **options: Any
    ) -> RunResult:
        """Run, and say when it is due again; noted: and in the books of what is owed, too."""
        hub, began = self._hub, time.monotonic()
        aside = bool(options.get("replay") or options.get("resend"))
        books = hub.engine.dispatches
        owed = noted and bool(books.take(exchange, by=by))
        try:
            with hub.told():
                if parts > 1:
                    stage_side_by_side(hub, exchange, parts, by=by)
                result = hub.engine.run(exchange, by=by, **options)
        except HubError as error:
            if isinstance(error, Denied):
                hub.denied(by, what, error, exchange=exchange)
            if owed:
                books.ended(exchange, error, by=by)
            self._schedule(exchange, began, soon=error.retry, aside=aside)
            raise
        if owed:
            books.ended(exchange, result.state, result.reasons, by=by)
        # What is still owed after its delivery is tried again soon: the source, or the recipient, is away.
        self._schedule(exchange, began, soon=result.state == RunState.COMMITTED, aside=aside)
        return result

    def _may_accept(self, by: Actor, exchange: str, parties: list[str]) -> None:
        """How much a recipient may lose is for the recipient and the hub to say, and not for who provides the rows."""
        if by.department not in (*parties[1:], self._hub.settings.hub_department):
            reasons = ["接受行数下降由使用部门或平台管理单位的集成工程师办理"]
            raise Denied(f"不能接受交换 {exchange} 的行数下降", reasons, remedy="请使用部门核实后办理")

    def reconcile(self, exchange: str, *, by: Actor, keys: bool = False, **options: Any) -> Reconciliation:
        """Compare what the recipient of an exchange holds with what it should hold (对账); nothing is delivered.

        Args:
            exchange: Id of the exchange.
            by: Who asks: an integrator of either party or of the hub, or the audit administrator.
            keys: Show the keys of differing rows in clear: to the two parties and the audit administrator alone.
            options: As of :meth:`exchange.engine.Reconciler.reconcile`.
        """
        hub = self._hub
        parties = self._parties(exchange)
        action, about = f"核对交换 {exchange}", {"exchange": exchange}
        concerned = None if Role.AUDIT in by.roles else parties
        with hub.permitted(by, Role.INTEGRATOR, Role.AUDIT, action=action, of=concerned, **about):
            if keys and by.department not in parties and Role.AUDIT not in by.roles:
                reasons = ["业务主键只给交换双方的人员和审计管理员看"]
                error = Denied(f"不能查看交换 {exchange} 的业务主键", reasons, remedy="去掉 --keys：主键以密钥散列显示")
                hub.denied(by, f"查看交换 {exchange} 的业务主键", error, **about)
                raise error
            try:
                with hub.told():
                    found = hub.reconciler.reconcile(
                        exchange, keys=keys, beyond_grant=self._beyond_grant(by, exchange), **options
                    )
            except Denied as error:
                hub.denied(by, action, error, **about)
                raise
            self._record_reconciliation(found, by, shown=keys)
        return found

    def _beyond_grant(self, by: Actor, exchange: str) -> bool:
        """Whether the actor may know of rows that the recipient was never to have."""
        with self._hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            return row is not None and (by.department == row.provider or self.oversees(by))

    def _record_reconciliation(self, found: Reconciliation, by: Actor, *, shown: bool) -> None:
        """Into the log, before anybody sees it."""
        hub = self._hub
        counts = {"read": found.read, "expected": found.expected, "held": found.held, **found.counts}
        event = events.ExchangeReconciled(
            agrees=found.agrees, counts=counts, expected=found.expected_digest, held=found.held_digest
        )
        with hub.database.transaction() as session:
            row = session.get_one(ExchangeRow, found.exchange)
            about = {"resource": row.resource, "exchange": row.id, "department": row.recipient}
            hub.audit.record(session, event, by=by, **about)
            if shown and (found.rows or found.found_ranges):
                hub.audit.record(session, events.KeysRevealed(rows=len(found.rows)), by=by, **about)
        hub.audit.seal()

    def due(self) -> list[str]:
        """Exchanges whose time has come, synchronisations first: what they bring is shared at once.

        One with an unfinished run is always due unless it is paused: whatever became of its grant, what was begun is
        ended. One that
        carries out pushed messages is due when there is one, and one that delivers into a box when it is asked for.
        What is owed to recipients of files besides is in :class:`exchange.engine.Dispatches`.
        """
        with self._hub.database.reading() as session:
            present = now(session)
            unfinished = select(RunRow.exchange).where(RunRow.state.in_(UNFINISHED))
            begun = set(session.scalars(unfinished))
            pushed = self._hub.engine.mailroom.waiting(session)
            boxes = {each.name for each in self._hub.catalog.endpoints(session) if each.kind == MAILBOX}
            rows = session.scalars(
                select(ExchangeRow)
                .join(GrantRow, GrantRow.id == ExchangeRow.grant)
                .where(
                    or_(
                        and_(
                            ExchangeRow.state == "active",
                            GrantRow.state == "active",
                            or_(timely(present, present), ExchangeRow.id.in_(pushed)),
                        ),
                        and_(ExchangeRow.id.in_(unfinished), ExchangeRow.state != "paused"),
                    )
                )
                .order_by(ExchangeRow.kind.desc(), ExchangeRow.id)
            )
            return [
                row.id
                for row in rows
                if row.id in begun
                or (row.target["endpoint"] not in boxes and (row.source["capture"] != PUSHED or row.id in pushed))
            ]

    def run_due(
        self, *, by: Actor, watch: Callable[[str], AbstractContextManager[Observer | None]] | None = None
    ) -> Iterator[tuple[str, RunResult | HubError]]:
        """Run everything that is due, each with its result or with what kept it.

        One that fails does not keep the others, and one in other hands is left to them. Before that there is
        housekeeping, see :meth:`exchange.hub.timetable.Timetable.keep`.

        Args:
            by: Who asks.
            watch: What accompanies each exchange, by its id, with the observer of its steps or None.
        """
        hub = self._hub
        hub.timetable.keep(by=by)
        ran = set()
        # What the first ones bring into the library is owed to recipients of files at once.
        for due in (self.due, hub.engine.dispatches.overdue):
            for exchange in due():
                if exchange not in ran:
                    ran.add(exchange)
                    yield from self._run_one(exchange, by, watch)

    def _run_one(
        self, exchange: str, by: Actor, watch: Callable[[str], AbstractContextManager[Observer | None]] | None
    ) -> Iterator[tuple[str, RunResult | HubError]]:
        try:
            with watch(exchange) if watch else nullcontext() as observe:
                options: dict[str, Any] = {"observe": observe} if observe else {}
                result = self.run(exchange, by=by, **options)
        except Busy:
            return
        except HubError as error:
            yield exchange, error
        else:
            yield exchange, result

    def _schedule(self, exchange: str, began: float, *, soon: bool = False, aside: bool = False) -> None:
        """When the exchange is due next: after its update cycle, or soon where that may heal it.

        Args:
            exchange: Its id.
            began: When it was set out to be run, by this process's clock.
            soon: That may heal it.
            aside: Refused rows were run again, or a delivery was made once more, and nothing else.
        """
        if aside:
            return  # its source was not read
        hub = self._hub
        with hub.told(), hub.database.transaction() as session:
            row = session.get(ExchangeRow, exchange)
            if row is not None:
                cycle = str(hub.catalog.resource(session, row.resource).resource.update_cycle)
                moment = now(session)
                named = None if soon else rhythm_of(exchange, row.settings).following(moment.astimezone(ZONE))
                row.tried_at = moment - timedelta(seconds=time.monotonic() - began)
                row.due_at = named or moment + (SOON if soon else CYCLES.get(cycle, CYCLES["daily"]))

    # --- following -----------------------------------------------------------------------------

    def status(self) -> list[ExchangeStatus]:
        """Every exchange and how its last run ended."""
        with self._hub.database.reading() as session:
            return self.standing(session)

    def standing(self, session: Session, exchanges: Collection[str] | None = None) -> list[ExchangeStatus]:
        """How exchanges stand in a transaction of the caller's; None: all of them."""
        of = aliased(RunRow)
        # However many runs there were, the last of each exchange is found at once.
        last = (
            select(of.id)
            .where(of.exchange == ExchangeRow.id)
            .order_by(of.started_at.desc())
            .limit(1)
            .correlate(ExchangeRow)
            .scalar_subquery()
        )
        wanted = select(ExchangeRow, GrantRow.state, RunRow).join(GrantRow, GrantRow.id == ExchangeRow.grant)
        if exchanges is not None:
            wanted = wanted.where(ExchangeRow.id.in_(exchanges))
        query = wanted.outerjoin(RunRow, RunRow.id == last).order_by(ExchangeRow.kind.desc(), ExchangeRow.id)
        rows = session.execute(query).all()
        known = compared(session)
        return [
            self._status(exchange, grant, run, *held(session, exchange, known), self._resting(session, exchange))
            for exchange, grant, run in rows
        ]

    @staticmethod
    def _resting(session: Session, exchange: ExchangeRow) -> tuple[str, ...]:
        return tuple(resting(session, exchange)) if exchange.state == "paused" else ()

    def _status(
        self,
        exchange: ExchangeRow,
        grant: str,
        run: RunRow | None,
        reasons: tuple[str, ...],
        noted: tuple[str, ...],
        rests: tuple[str, ...],
    ) -> ExchangeStatus:
        state = HELD.get(grant, exchange.state)
        return ExchangeStatus(
            id=exchange.id,
            kind=exchange.kind,
            resource=exchange.resource,
            provider=exchange.provider,
            recipient=exchange.recipient,
            state="held" if reasons and state == "active" else state,
            due_at=exchange.due_at,
            tolerance=tolerance_of(exchange.settings, self._tolerance()),
            run=run.id if run else None,
            run_state=run.state if run else None,
            counts=dict(run.counts or {}) if run else {},
            error=run.error if run else None,
            ended_at=run.ended_at if run else None,
            held=reasons,
            noted=noted,
            resting=rests,
        )

    def _tolerance(self) -> Tolerance:
        settings = self._hub.settings
        return Tolerance(rows=settings.tolerance_rows, share=settings.tolerance_share)

    def trace(self, name: str, *, by: Actor, faulty: bool = False) -> dict[str, Any]:
        """One delivery from application to receipt (追溯): by run id, receipt id or exchange id.

        Args:
            name: The id.
            by: Who follows it.
            faulty: Tell of a receipt that is not as it was issued under ``fault``, instead of telling nothing, and
                under ``witnessed`` whether the log holds the head that it names.

        Raises:
            Unknown: There is nothing under that name.
            Tampered: The receipt is not as it was issued.
        """
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            of_receipt = select(ReceiptRow.run).where(ReceiptRow.id == name).scalar_subquery()
            of_exchange = select(RunRow).where(RunRow.exchange == name).order_by(RunRow.started_at.desc()).limit(1)
            # One after the other: each is found by an index.
            run = (
                session.get(RunRow, name)
                or session.scalar(select(RunRow).where(RunRow.id == of_receipt))
                or session.scalar(of_exchange)
            )
            if run is None:
                raise Unknown(f"没有批次、回执或交换 {name}", remedy="用 shutong status 查看已有的交换和批次")
            self.may_see(by, session, run.exchange)
            kept = session.scalar(select(ReceiptRow).where(ReceiptRow.run == run.id))
            document, added, fault = None, [], None
            try:
                document = as_issued(kept, key=hub.keyring.derive("receipt")) if kept is not None else None
                added = addenda(session, document, key=hub.keyring.derive("receipt")) if document else []
            except Tampered as error:
                if not faulty:
                    raise
                fault = error.message
            notices = session.scalars(select(NoticeRow).where(NoticeRow.run == run.id).order_by(NoticeRow.id))
            told: dict[str, Any] = {
                "run": run.id,
                "exchange": run.exchange,
                "state": run.state,
                "error": run.error,
                **({"fault": fault, "witnessed": kept and witnessed(session, kept)} if faulty else {}),
                "started_at": run.started_at,
                "ended_at": run.ended_at,
                "plan": run.plan,
                "delivery": run.delivery,
                "counts": run.counts,
                "receipt": {"id": document.id, "digest": document.digest, **document.body} if document else None,
                "answers": [{"number": a.number, "at": a.at, "counts": a.body["counts"]} for a in added],
                "notices": [{"department": n.department, "text": n.text, "at": n.at} for n in notices],
            }
            told["grant"] = hub.authorisation.explain(session, run.plan["grant"])
        told["events"] = hub.audit.search(run=told["run"], by=by).events
        return told

    def quarantine(
        self,
        *,
        by: Actor,
        exchange: str | None = None,
        run: str | None = None,
        state: str | None = None,
        rule: str | None = None,
        before: int | None = None,
        after: int | None = None,
        most: int | None = None,
    ) -> list[RefusedRow]:
        """Refused rows with rule and reason, to their provider and to the administrators (隔离清单).

        A recipient is shown nothing: what was refused was never granted to it.

        Args:
            by: Who asks.
            exchange: Of this exchange alone.
            run: Of this run alone.
            state: In this state alone.
            rule: Refused by this rule alone.
            before: With lower numbers than this one alone.
            after: With higher numbers than this one alone, the first first.
            most: So many at most, the last first where nothing else is said; None: all, the first first.
        """
        hub = self._hub
        wide = self.oversees(by)
        with hub.database.transaction() as session:
            upwards = most is None or after is not None
            query = select(QuarantineRow).order_by(QuarantineRow.id if upwards else QuarantineRow.id.desc())
            query = query.limit(most)
            if after is not None:
                query = query.where(QuarantineRow.id > after)
            if rule:
                query = query.where(QuarantineRow.rule == rule)
            if before is not None:
                query = query.where(QuarantineRow.id < before)
            if exchange:
                query = query.where(QuarantineRow.exchange == exchange)
            if run:
                query = query.where(QuarantineRow.run == run)
            if state:
                query = query.where(QuarantineRow.state == state)
            if not wide:
                own = select(ExchangeRow.id).where(ExchangeRow.provider == by.department)
                query = query.where(QuarantineRow.exchange.in_(own))
            rows = [
                RefusedRow(
                    id=row.id,
                    state=row.state,
                    run=row.run,
                    exchange=row.exchange,
                    number=row.number,
                    item=row.item,
                    rule=row.rule,
                    reason=row.reason,
                    key_hash=row.key_hash,
                    kept=row.rule in KEPT,
                    at=row.at,
                )
                for row in session.scalars(query)
            ]
            hub.audit.record(session, events.QuarantineRead(rows=len(rows)), by=by, exchange=exchange, run=run)
        return rows

    def notices(
        self, *, by: Actor, after: int = 0, before: int | None = None, latest: bool = False, most: int | None = None
    ) -> list[NoticeRow]:
        """Notifications to the actor's department (通知).

        Args:
            by: Who asks.
            after: With higher numbers than this one alone.
            before: With lower numbers than this one alone.
            latest: The last first.
            most: So many at most; None: all.
        """
        query = select(NoticeRow).where(NoticeRow.department == by.department, NoticeRow.id > after)
        if before is not None:
            query = query.where(NoticeRow.id < before)
        with self._hub.database.reading() as session:
            return list(session.scalars(query.order_by(NoticeRow.id.desc() if latest else NoticeRow.id).limit(most)))

    def _parties(self, exchange: str) -> list[str]:
        with self._hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            return [row.provider, row.recipient] if row is not None else []

    def oversees(self, by: Actor) -> bool:
        """The audit administrator, and the hub's own integrator, see every exchange."""
        at_hub = by.department == self._hub.settings.hub_department
        return Role.AUDIT in by.roles or (at_hub and Role.INTEGRATOR in by.roles)

    def may_see(self, by: Actor, session: Session, exchange: str) -> None:
        """Both parties of an exchange and the administrators may follow it; nobody else.

        Raises:
            Denied: So it is here; it is logged.
        """
        row = session.get_one(ExchangeRow, exchange)
        parties = {row.provider, row.recipient}
        if by.department not in parties and not self.oversees(by):
            error = Denied(f"不能查看交换 {exchange}", ["只有交换双方和管理员可以查看"])
            self._hub.denied(by, f"查看交换 {exchange}", error, exchange=exchange)
            raise error

    # --- the log -------------------------------------------------------------------------------

    def verify(self, *, by: Actor) -> Verification:
        """Whether the log is as it was written (日志核验), with receipts, ledgers and runs as witnesses.

        Nothing is sealed before: that would write into the evidence.
        """
        hub = self._hub
        # The platform looks by itself, day by day; it is no person who might look for another.
        allowed = nullcontext() if by == PLATFORM else hub.permitted(by, Role.AUDIT, action="核验日志")
        with allowed:
            known = evidence(hub)
            found = hub.audit.verify(known.heads)
            faults = (*found.faults, *known.faults)
            warnings = (*found.warnings, *known.warnings)
            verification = replace(found, verified=not faults, faults=faults, warnings=warnings)
            with hub.database.transaction() as session:
                event = events.LogVerified(verified=verification.verified, faults=len(verification.faults))
                hub.audit.record(session, event, by=by)
            hub.audit.seal()
        return verification

    def acknowledge(self, *, by: Actor, reason: str) -> None:
        """Answer for what the log or its file of heads lost with a restored backup (恢复确认).

        Raises:
            Misplaced: Nothing is missing.
        """
        hub = self._hub
        with hub.permitted(by, Role.AUDIT, action="确认日志随恢复备份而失"):
            hub.audit.acknowledge_restore(by, reason, evidence(hub).heads)
            hub.audit.seal()

    def search(self, *, by: Actor, **filters: Any) -> Any:
        """Events by department, resource, exchange, run, type, actor, way, class, outcome, period, text (日志检索)."""
        with self._hub.permitted(by, Role.AUDIT, action="检索日志"):
            return self._hub.audit.search(by=by, **filters)

    def export(self, path: Path | BinaryIO, *, by: Actor, **filters: Any) -> int:
        """Write what a search finds to a file (日志导出): see :meth:`exchange.audit.AuditLog.export`."""
        with self._hub.permitted(by, Role.AUDIT, action="导出日志"):
            return int(self._hub.audit.export(path, by=by, **filters))
