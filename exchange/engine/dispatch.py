"""What is owed to recipients of files (待送), as rows of the hub's own books.

Written in the transaction that promotes the run which changed the base library; done in the transaction that promotes
the run which delivered: whoever carried it out, and however often a message says that there is something. Rows of one
exchange that were there when a run began are all done by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from adapters import AdapterError
from adapters.registry import open_endpoint
from catalog import Catalog
from catalog.errors import CatalogError
from exchange.audit import AuditLog, events
from exchange.authorisation.gate import standing
from exchange.db import HubDatabase, clock, now
from exchange.db.tables import DispatchRow, ExchangeRow, GrantRow, LeaseRow, RunRow
from exchange.engine.states import UNFINISHED, RunState
from exchange.errors import Busy, HubError, Misplaced, Unknown
from exchange.identity import Actor
from exchange.plan import LIBRARY

FILE = "file"
"""The way whose recipients are told by messages."""
_LONGEST = 3600.0
"""Seconds between two tries at most."""
_SOON = 2.0
"""Seconds after which what somebody else had in hand is looked at again."""
_OVER = ("revoked", "expired")
_SLICE, _SLICES = 200, 5
"""Rows withdrawn in one transaction, each with its event, and transactions at a time: others write meanwhile."""


class DispatchState(StrEnum):
    """Where a row stands."""

    OWED = "owed"  # to be published when it is due
    PUBLISHED = "published"  # a message says so; published again when it is due and still not done
    DONE = "done"  # a run has delivered it
    DEAD = "dead"  # it cannot be delivered until somebody has looked; the reason stands in the row
    WITHDRAWN = "withdrawn"  # it is not to be delivered: its grant is no more, or somebody said so


OPEN = (DispatchState.OWED.value, DispatchState.PUBLISHED.value)
"""States in which a delivery is still going to be made."""
_UNDELIVERED = (*OPEN, DispatchState.DEAD.value)


@dataclass(frozen=True)
class Due:
    """A row whose message is to be published."""

    id: int
    exchange: str
    resource: str
    recipient: str
    run: str
    again: bool
    """It was published before, or a delivery failed: the other recipients need not hear of it."""


@dataclass(frozen=True)
class Dispatched:
    """A row as it may be listed (待送条目).

    Attributes:
        run: The run that changed the library; None: it is the exchange's first delivery.
        published: How often a message was published.
        attempts: How often the delivery failed and may yet succeed.
        error: Why it failed last, is dead, or was withdrawn.
        done_by: The run that delivered it.
    """

    id: int
    exchange: str
    resource: str
    recipient: str
    run: str | None
    state: str
    made_at: datetime
    due_at: datetime
    published_at: datetime | None
    published: int
    attempts: int
    error: str | None
    done_at: datetime | None
    done_by: str | None


def owe(session: Session, run: RunRow, catalog: Catalog, moment: datetime) -> int:
    """Owe a delivery to every recipient of files of what a run changed in the library.

    Args:
        session: The transaction that promotes the run.
        run: A synchronisation that wrote something.
        catalog: Knows the recipients' endpoints.
        moment: Now; later than the run's commit in the library.

    Returns:
        How many rows were written.
    """
    changed = session.get_one(ExchangeRow, run.exchange)
    sharing = (
        select(ExchangeRow)
        .join(GrantRow, GrantRow.id == ExchangeRow.grant)
        .where(
            ExchangeRow.kind == "sharing",
            ExchangeRow.resource == changed.resource,
            ExchangeRow.table == changed.table,
            ExchangeRow.state != "ended",
            # What is suspended now is delivered when it is resumed.
            GrantRow.state.not_in(_OVER),
        )
        .order_by(ExchangeRow.id)
    )
    ways: dict[str, str] = {}
    told = [row for row in session.scalars(sharing) if _told_by_message(session, row, catalog, ways)]
    session.add_all(_row(row, run.id, moment) for row in told)
    return len(told)


def owe_first(session: Session, row: ExchangeRow, catalog: Catalog, moment: datetime) -> bool:
    """Owe the first delivery of a new exchange, if the library has ever been given anything of its resource."""
    filled = exists().where(
        ExchangeRow.kind == "synchronisation",
        ExchangeRow.resource == row.resource,
        ExchangeRow.table == row.table,
        ExchangeRow.last_delivery.is_not(None),
    )
    if not _told_by_message(session, row, catalog, {}) or not session.scalar(select(filled)):
        return False
    session.add(_row(row, None, moment))
    return True


def carried(session: Session, run: RunRow, moment: datetime) -> int:
    """Call everything done that was owed when a sharing run began; in the transaction that promotes it."""
    rows = session.scalars(
        select(DispatchRow)
        .where(
            DispatchRow.exchange == run.exchange,
            DispatchRow.state.in_(_UNDELIVERED),
            # A row is written after the library was changed: a run that begins after it reads the change.
            DispatchRow.made_at <= run.started_at,
        )
        .with_for_update()
    ).all()
    for row in rows:
        row.state, row.done_at, row.done_by = DispatchState.DONE.value, moment, run.id
        row.taken, row.error = 0, None
    return len(rows)


def _row(exchange: ExchangeRow, run: str | None, moment: datetime) -> DispatchRow:
    return DispatchRow(
        exchange=exchange.id,
        resource=exchange.resource,
        recipient=exchange.recipient,
        run=run,
        state=DispatchState.OWED.value,
        made_at=moment,
        due_at=moment,
    )


def _told_by_message(session: Session, row: ExchangeRow, catalog: Catalog, ways: dict[str, str]) -> bool:
    """Whether an exchange is served from the library and delivers files."""
    if row.source["endpoint"] != LIBRARY:
        return False
    name = row.target["endpoint"]
    if name not in ways:
        try:
            spec = catalog.endpoint(session, name)
            ways[name] = open_endpoint(spec.kind, dict(spec.options), spec.zone).capabilities.way
        except (AdapterError, CatalogError):
            # A registration that is wrong shows when its exchange is run, and must not stop the others' rows.
            ways[name] = ""
    return ways[name] == FILE


class Dispatches:
    """The books of what is owed.

    Args:
        database: The hub's.
        audit: The log.
        again: Seconds after which what was published and is not done is published again, then twice as long.
        retry: Seconds after which a delivery that failed is tried again, then twice as long.
        deaths: How many may die over a delivery until it is dead itself.
    """

    def __init__(
        self, database: HubDatabase, audit: AuditLog, *, again: float = 60.0, retry: float = 15.0, deaths: int = 5
    ) -> None:
        self._database = database
        self._audit = audit
        self._again = again
        self._retry = retry
        self._deaths = deaths

    # --- publishing ----------------------------------------------------------------------------

    def queues(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Recipients with the resources they are told of, and with those they are told of no longer."""
        bound: dict[str, set[str]] = {}
        loosed: dict[str, set[str]] = {}
        living = and_(ExchangeRow.state != "ended", GrantRow.state.not_in(_OVER))
        query = (
            select(ExchangeRow.recipient, ExchangeRow.resource, living)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            # Told of by messages ever.
            .where(ExchangeRow.kind == "sharing", exists().where(DispatchRow.exchange == ExchangeRow.id))
        )
        with self._database.reading() as session:
            every = session.execute(query).all()
        for recipient, resource, alive in every:
            topics = bound.setdefault(recipient, set())
            if alive:
                topics.add(resource)
        for recipient, resource, _ in every:
            if resource not in bound[recipient]:
                loosed.setdefault(recipient, set()).add(resource)
        return bound, loosed

    def due(self, limit: int = 1000) -> list[Due]:
        """Rows whose message is to be published now: of living exchanges that nobody is running."""
        with self._database.reading() as session:
            rows = session.scalars(self._timely(session).order_by(DispatchRow.id).limit(limit))
            return [
                Due(
                    id=row.id,
                    exchange=row.exchange,
                    resource=row.resource,
                    recipient=row.recipient,
                    run=row.run or "",
                    again=row.published > 0 or row.attempts > 0,
                )
                for row in rows
            ]

    def _timely(self, session: Session, grace: timedelta = timedelta(0)) -> Select[DispatchRow]:
        return (
            select(DispatchRow)
            .join(ExchangeRow, ExchangeRow.id == DispatchRow.exchange)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(
                DispatchRow.state.in_(OPEN),
                DispatchRow.due_at <= now(session) - grace,
                ExchangeRow.state == "active",
                GrantRow.state == "active",
                ~_running(DispatchRow.exchange, session),
            )
        )

    def published(self, ids: Collection[int]) -> None:
        """Note that a message lies with the transport for each of these rows."""
        with self._database.transaction() as session:
            moment = now(session)
            for row in self._locked(session, DispatchRow.id.in_(ids), DispatchRow.state.in_(OPEN)):
                pause = min(self._again * 2.0**row.published, max(self._again, _LONGEST))
                row.state, row.published_at = DispatchState.PUBLISHED.value, moment
                row.published += 1
                row.due_at = moment + timedelta(seconds=pause)

    # --- delivering ----------------------------------------------------------------------------

    def wanted(self, recipient: str, resource: str) -> list[str]:
        """Exchanges of a recipient on a resource with a delivery to make now."""
        with self._database.reading() as session:
            found = self._unhurried(session, DispatchRow.recipient == recipient, DispatchRow.resource == resource)
            return sorted(set(found))

    def begun(self) -> list[tuple[str, str, str]]:
        """Exchange, recipient and resource of deliveries that were begun and that nobody is at any more.

        What they owe after their promotion, the recipient's notification above all, is paid by whoever ends them.
        """
        with self._database.reading() as session:
            query = (
                select(ExchangeRow.id, ExchangeRow.recipient, ExchangeRow.resource)
                .join(RunRow, RunRow.exchange == ExchangeRow.id)
                .where(
                    RunRow.state.in_(UNFINISHED),
                    ExchangeRow.state != "paused",
                    exists().where(DispatchRow.exchange == ExchangeRow.id),
                    ~_running(ExchangeRow.id, session),
                )
                .distinct()
                .order_by(ExchangeRow.id)
            )
            return [(exchange, recipient, resource) for exchange, recipient, resource in session.execute(query)]

    def overdue(self, grace: timedelta = timedelta(0)) -> list[str]:
        """Exchanges with a delivery to make that no message is on its way for: where nobody works at messages, all.

        Args:
            grace: For so long at least.
        """
        with self._database.reading() as session:
            return sorted({row.exchange for row in session.scalars(self._timely(session, grace))})

    def open(self) -> int:
        """How many deliveries are to be made now or are under way."""
        with self._database.reading() as session:
            published = DispatchRow.state == DispatchState.PUBLISHED.value
            return len(self._unhurried(session, or_(published, DispatchRow.due_at <= now(session))))

    def _unhurried(self, session: Session, *which: ColumnElement[bool]) -> Sequence[str]:
        """Exchanges of open rows, those left out that wait for their next try."""
        other = aliased(DispatchRow)
        waits = exists().where(
            other.exchange == DispatchRow.exchange,
            other.state == DispatchState.OWED.value,
            other.attempts > 0,
            other.due_at > now(session),
        )
        query = (
            select(DispatchRow.exchange)
            .join(ExchangeRow, ExchangeRow.id == DispatchRow.exchange)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(DispatchRow.state.in_(OPEN), ExchangeRow.state == "active", GrantRow.state == "active", ~waits)
        )
        return session.scalars(query.where(*which)).all()

    def take(self, exchange: str, *, by: Actor) -> list[int]:
        """Set out to deliver: the rows of an exchange that are owed; none: there is nothing to do.

        What so many have set out to do and died over is dead itself.
        """
        with self._database.reading() as session:
            some = select(DispatchRow.id).where(DispatchRow.exchange == exchange, DispatchRow.state.in_(OPEN))
            if session.scalar(some.limit(1)) is None:
                return []
        with self._database.transaction() as session:
            rows = self._locked(session, DispatchRow.exchange == exchange, DispatchRow.state.in_(OPEN))
            died = max((row.taken for row in rows), default=0)
            for row in rows:
                if died >= self._deaths:
                    self._bury(session, row, f"执行者连续 {died} 次在执行中死亡", by)
                else:
                    row.taken = died + 1
            return [row.id for row in rows if row.state in OPEN]

    def ended(
        self, exchange: str, outcome: HubError | RunState | str, reasons: Iterable[str] = (), *, by: Actor
    ) -> str:
        """Note how a try to deliver ended; the state of what is still owed then.

        Args:
            exchange: The exchange.
            outcome: The error, or the state that its run ended in.
            reasons: Why the run ended so.
            by: Who ran it.

        Returns:
            ``done``: nothing is owed any more; else the state of the rows.
        """
        with self._database.transaction() as session:
            rows = self._locked(session, DispatchRow.exchange == exchange, DispatchRow.state.in_(OPEN))
            if not rows:
                return DispatchState.DONE.value
            moment = now(session)
            row = session.get_one(ExchangeRow, exchange)
            grant = session.get_one(GrantRow, row.grant)
            failed = isinstance(outcome, HubError)
            delivered = not failed and outcome in (RunState.COMMITTED, RunState.SETTLED)
            error = outcome.message if isinstance(outcome, HubError) else "；".join(reasons) or f"批次状态 {outcome}"
            for each in rows:
                each.taken = 0
                if delivered:  # it was an older run that ended; this is delivered by the next
                    each.state, each.due_at = DispatchState.OWED.value, moment
                elif (over := _over(row, grant, moment)) is not None:
                    self._withdraw(session, each, over, by)
                elif row.state != "active" or grant.state != "active" or grant.valid_from > moment:
                    # Not published before it is resumed.
                    each.state, each.due_at, each.error = DispatchState.OWED.value, max(moment, grant.valid_from), error
                elif isinstance(outcome, Busy):
                    each.state, each.due_at = DispatchState.OWED.value, moment + timedelta(seconds=_SOON)
                elif isinstance(outcome, HubError) and outcome.retry:
                    pause = min(self._retry * 2.0 ** min(each.attempts, 30), max(self._retry, _LONGEST))
                    each.attempts += 1
                    each.state, each.error = DispatchState.OWED.value, error
                    each.due_at = moment + timedelta(seconds=pause)
                else:
                    self._bury(session, each, error, by)
            return rows[-1].state

    def died(self, exchange: str) -> str | None:
        """Why what is owed by an exchange is dead; None: nothing of it is."""
        query = select(DispatchRow.error).where(
            DispatchRow.exchange == exchange, DispatchRow.state == DispatchState.DEAD.value
        )
        with self._database.reading() as session:
            return session.scalar(query.order_by(DispatchRow.id.desc()).limit(1))

    def tend(self, *, by: Actor) -> int:
        """Take back what is owed under grants that are no more, and let what is suspended rest.

        Of very many rows some; the others at the next call.

        Returns:
            How many rows were withdrawn.
        """
        self._rest()
        return self._withdraw_ended(by)

    def _rest(self) -> None:
        """What is paused or suspended is published when it is resumed, at once."""
        resting = or_(ExchangeRow.state == "paused", GrantRow.state == "suspended")
        query = (
            select(DispatchRow.id)
            .join(ExchangeRow, ExchangeRow.id == DispatchRow.exchange)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(DispatchRow.state == DispatchState.PUBLISHED.value, resting)
        )
        with self._database.reading() as session:
            ids = session.scalars(query).all()
        if ids:
            with self._database.transaction() as session:
                for row in self._locked(session, DispatchRow.id.in_(ids), DispatchRow.state.in_(OPEN)):
                    row.state, row.due_at, row.published = DispatchState.OWED.value, row.made_at, 0

    def _withdraw_ended(self, by: Actor) -> int:
        withdrawn = 0
        for _ in range(_SLICES):
            withdrawn += (many := self._withdraw_some(by))
            if many < _SLICE:
                break
        return withdrawn

    def _withdraw_some(self, by: Actor) -> int:
        with self._database.reading() as session:
            moment = now(session)
            over = or_(
                ExchangeRow.state == "ended",
                GrantRow.state.in_(_OVER),
                and_(GrantRow.valid_until.is_not(None), GrantRow.valid_until <= moment),
            )
            query = (
                select(DispatchRow.id)
                .join(ExchangeRow, ExchangeRow.id == DispatchRow.exchange)
                .join(GrantRow, GrantRow.id == ExchangeRow.grant)
                .where(DispatchRow.state.in_(_UNDELIVERED), over)
                .order_by(DispatchRow.id)
                .limit(_SLICE)
            )
            ids = session.scalars(query).all()
        if not ids:
            return 0
        with self._database.transaction() as session:
            moment = now(session)
            rows = self._locked(session, DispatchRow.id.in_(ids), DispatchRow.state.in_(_UNDELIVERED))
            many = 0
            for row in rows:
                exchange = session.get_one(ExchangeRow, row.exchange)
                reason = _over(exchange, session.get_one(GrantRow, exchange.grant), moment)
                if reason is not None:
                    self._withdraw(session, row, reason, by)
                    many += 1
        return many

    # --- by people -----------------------------------------------------------------------------

    def listed(
        self, *, recipient: str | None = None, state: str | None = None, id: int | None = None, limit: int | None = None
    ) -> list[Dispatched]:
        """Rows, the newest first."""
        query = select(DispatchRow).order_by(DispatchRow.id.desc())
        for column, value in (
            (DispatchRow.recipient, recipient), (DispatchRow.state, state), (DispatchRow.id, id),
        ):  # fmt: skip
            if value is not None:
                query = query.where(column == value)
        with self._database.reading() as session:
            return [_listed(row) for row in session.scalars(query.limit(limit))]

    def counts(self, recipient: str | None = None) -> dict[str, int]:
        """How many rows there are of each state."""
        query = select(DispatchRow.state, func.count()).group_by(DispatchRow.state)
        if recipient is not None:
            query = query.where(DispatchRow.recipient == recipient)
        with self._database.reading() as session:
            found = {state: int(many) for state, many in session.execute(query)}
        return {state.value: found.get(state.value, 0) for state in DispatchState}

    def requeue(self, id: int, *, by: Actor) -> None:
        """Try again at once what is dead, was withdrawn, or waits (重新排队).

        Raises:
            Unknown: There is no such row.
            Misplaced: It was delivered, or its grant is no more.
        """
        with self._database.transaction() as session:
            row = self._one(session, id)
            if row.state == DispatchState.DONE:
                raise Misplaced(f"待送 {id} 已经送达", remedy=f"重新送达用 shutong files resend {row.done_by}")
            exchange = session.get_one(ExchangeRow, row.exchange)
            moment = now(session)
            if (over := _over(exchange, session.get_one(GrantRow, exchange.grant), moment)) is not None:
                raise Misplaced(f"待送 {id} 不能重新排队：{over}", remedy="由使用部门重新申请")
            row.state, row.due_at = DispatchState.OWED.value, moment
            row.published = row.attempts = row.taken = 0
            self._event(session, events.DispatchRequeued(dispatch=row.id), row, by)

    def withdraw(self, id: int, reason: str, *, by: Actor) -> None:
        """Do not deliver for this reason; the exchange itself goes on by its own time (撤回).

        Raises:
            Unknown: There is no such row.
            Misplaced: It was delivered or withdrawn.
        """
        with self._database.transaction() as session:
            row = self._one(session, id)
            if row.state not in _UNDELIVERED:
                word = "已经送达" if row.state == DispatchState.DONE else "已经撤回"
                raise Misplaced(f"待送 {id} {word}", remedy="要停止一个交换，请中止或撤销其授权")
            self._withdraw(session, row, reason, by)

    def _one(self, session: Session, id: int) -> DispatchRow:
        row = session.get(DispatchRow, id, with_for_update=True)
        if row is None:
            raise Unknown(f"没有待送 {id}", remedy="用 shutong messages list 查看")
        return row

    def _locked(self, session: Session, *which: ColumnElement[bool]) -> Sequence[DispatchRow]:
        # In one order, so that two who lock several do not wait for each other.
        return session.scalars(select(DispatchRow).where(*which).order_by(DispatchRow.id).with_for_update()).all()

    def _bury(self, session: Session, row: DispatchRow, reason: str, by: Actor) -> None:
        row.state, row.error, row.taken = DispatchState.DEAD.value, reason, 0
        self._event(session, events.DispatchBuried(dispatch=row.id, reason=reason), row, by)

    def _withdraw(self, session: Session, row: DispatchRow, reason: str, by: Actor) -> None:
        row.state, row.error, row.taken = DispatchState.WITHDRAWN.value, reason, 0
        self._event(session, events.DispatchWithdrawn(dispatch=row.id, reason=reason), row, by)

    def _event(self, session: Session, event: Any, row: DispatchRow, by: Actor) -> None:
        about = {"resource": row.resource, "exchange": row.exchange, "run": row.run, "department": row.recipient}
        self._audit.record(session, event, by=by, **about)


def _running(exchange: Any, session: Session) -> ColumnElement[bool]:
    """Whether somebody holds the lease of an exchange."""
    return exists().where(LeaseRow.exchange == exchange, LeaseRow.owner.is_not(None), LeaseRow.expires > clock(session))


def _over(exchange: ExchangeRow, grant: GrantRow, moment: datetime) -> str | None:
    """Why nothing will ever be delivered by an exchange any more; None: it may."""
    if exchange.state == "ended":
        return f"交换 {exchange.id} 已终止"
    expired = grant.valid_until is not None and grant.valid_until <= moment
    return "；".join(standing(grant, moment)) if grant.state in _OVER or expired else None


def _listed(row: DispatchRow) -> Dispatched:
    return Dispatched(
        id=row.id,
        exchange=row.exchange,
        resource=row.resource,
        recipient=row.recipient,
        run=row.run,
        state=row.state,
        made_at=row.made_at,
        due_at=row.due_at,
        published_at=row.published_at,
        published=row.published,
        attempts=row.attempts,
        error=row.error,
        done_at=row.done_at,
        done_by=row.done_by,
    )
