"""Exchanges looked up (查看交换): page by page, and one with everything it is made of; to those whom they concern.

Nothing here changes anything, and nothing here is a record's: names of columns, figures and states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from exchange.db import clock
from exchange.db.tables import (
    ExchangeRow,
    GrantRow,
    LeaseRow,
    PauseRow,
    QuarantineRow,
    ReceiptRow,
    RunRow,
    StructureRow,
)
from exchange.engine import UNFINISHED, RowState
from exchange.errors import Denied, Unknown
from exchange.hub.directory import concerns
from exchange.hub.oversight import ExchangeStatus
from exchange.identity import Actor
from exchange.plan import End
from schemas import Item

if TYPE_CHECKING:
    from exchange.hub.core import Hub

MOST = 50
"""Exchanges of a page."""
RUNS = 10
"""Runs of an exchange that are told with it."""

State = Literal["active", "paused", "held", "ended"]


@dataclass(frozen=True)
class ExchangePage:
    """Some exchanges in their order.

    Attributes:
        exchanges: How they stand.
        following: The exchange after which the next page begins; None: there is none.
    """

    exchanges: tuple[ExchangeStatus, ...]
    following: str | None


@dataclass(frozen=True)
class RunEntry:
    """A run as it is listed with its exchange (批次)."""

    id: str
    state: str
    counts: Mapping[str, int]
    error: str | None
    started_at: datetime
    ended_at: datetime | None
    receipt: str | None

    @property
    def unfinished(self) -> bool:
        """Whether it is not at its end yet."""
        return self.state in UNFINISHED


@dataclass(frozen=True)
class PauseEntry:
    """What rests, by whom and until when (暂停)."""

    kind: str
    name: str
    reason: str
    by: str
    at: datetime
    until: datetime | None


@dataclass(frozen=True)
class ShownExchange:
    """One exchange with what it is made of (交换).

    Attributes:
        status: How it stands.
        name: Of its resource.
        items: What its resource consists of.
        delivered: Names of the items that are handed over.
        masks: Item to mask in words, where one is granted masked.
        source: Where it reads.
        target: Where it delivers.
        runs: Its last runs, the newest first.
        pauses: What of it rests.
        open_rows: Whether refused rows wait to be mended, as far as the actor may know of any.
        leased: Whether somebody runs it at this moment.
        open_ends: Names of the endpoints of it that the actor may look at.
    """

    status: ExchangeStatus
    name: str
    version: int
    grant: str
    items: tuple[Item, ...]
    delivered: tuple[str, ...]
    masks: Mapping[str, str]
    source: End
    target: End
    created_at: datetime
    runs: tuple[RunEntry, ...]
    pauses: tuple[PauseEntry, ...]
    open_rows: bool
    leased: bool
    open_ends: frozenset[str]

    @property
    def unfinished(self) -> RunEntry | None:
        """The run that is not at its end yet."""
        return next((each for each in self.runs if each.unfinished), None)


class Exchanges:
    """Answers what doors ask about exchanges."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def listed(
        self,
        *,
        by: Actor,
        text: str = "",
        state: State | None = None,
        department: str | None = None,
        resource: str | None = None,
        kind: str | None = None,
        after: str | None = None,
        most: int = MOST,
    ) -> ExchangePage:
        """Exchanges that concern somebody, collections first (列出交换).

        Args:
            by: Who asks; of others' exchanges he sees none.
            text: Part of an exchange's id or of its resource's code.
            state: In this state alone.
            department: Of which one party is this department.
            resource: Of this resource alone.
            kind: ``synchronisation`` or ``sharing`` alone.
            after: Begin after this exchange.
            most: So many at most.
        """
        query = (
            select(ExchangeRow.id)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .order_by(ExchangeRow.kind.desc(), ExchangeRow.id)
            .limit(most + 1)
        )
        if not concerns(self._hub, by):
            query = query.where(or_(ExchangeRow.provider == by.department, ExchangeRow.recipient == by.department))
        if department:
            query = query.where(or_(ExchangeRow.provider == department, ExchangeRow.recipient == department))
        if resource is not None:
            query = query.where(ExchangeRow.resource == resource)
        if kind is not None:
            query = query.where(ExchangeRow.kind == kind)
        if text:
            query = query.where(
                or_(
                    ExchangeRow.id.contains(text, autoescape=True), ExchangeRow.resource.contains(text, autoescape=True)
                )
            )
        if state is not None:
            query = query.where(_in_state(state))
        with self._hub.told(), self._hub.database.reading() as session:
            last = session.get(ExchangeRow, after) if after else None
            if last is not None:
                later = and_(ExchangeRow.kind == last.kind, ExchangeRow.id > last.id)
                query = query.where(or_(ExchangeRow.kind < last.kind, later))
            found = list(session.scalars(query))
            shown = self._hub.oversight.standing(session, found[:most])
        return ExchangePage(tuple(shown), found[most - 1] if len(found) > most else None)

    def show(self, name: str, *, by: Actor) -> ShownExchange:
        """One exchange with everything it is made of (查看交换).

        Raises:
            Unknown: There is none of that id.
            Denied: It concerns neither the actor's department nor his office; the refusal is logged.
        """
        hub = self._hub
        self.demand_party(name, f"查看交换 {name}", by=by)
        with hub.told(), hub.database.reading() as session:
            return self._shown(session, session.get_one(ExchangeRow, name), by)

    def status(self, name: str, *, by: Actor) -> ExchangeStatus:
        """How one exchange stands, and how its last run ended.

        Raises:
            Unknown: There is none of that id.
            Denied: It concerns neither the actor's department nor his office; the refusal is logged.
        """
        self.demand_party(name, f"查看交换 {name}", by=by)
        with self._hub.told(), self._hub.database.reading() as session:
            return next(iter(self._hub.oversight.standing(session, [name])))

    def demand_party(self, name: str, what: str, *, by: Actor) -> None:
        """Let only both parties of an exchange and the administrators look at something of it.

        Args:
            name: The exchange.
            what: What somebody wants to look at, for the refusal.
            by: Who wants to.

        Raises:
            Unknown: There is none of that id.
            Denied: It concerns neither the actor's department nor his office; the refusal is logged.
        """
        with self._hub.database.reading() as session:
            row = session.get(ExchangeRow, name)
            if row is None:
                raise Unknown(f"没有交换 {name}", remedy="到交换列表中查找")
            parties = (row.provider, row.recipient)
        if not concerns(self._hub, by, *parties):
            error = Denied(f"{by.name} 不能{what}", ["只有交换双方和管理员可以查看"])
            self._hub.denied(by, what, error, exchange=name)
            raise error

    def pause(self, *, kind: str, name: str) -> PauseEntry | None:
        """What is said of a pause; None: it does not rest."""
        with self._hub.database.reading() as session:
            row = session.get(PauseRow, (kind, name))
            return None if row is None else _pause(row)

    def at(self, endpoint: str, *, by: Actor) -> tuple[str, ...]:
        """The exchanges that read from an endpoint or deliver to it, of those that concern somebody."""
        with self._hub.database.reading() as session:
            rows = session.scalars(
                select(ExchangeRow)
                .where(
                    ExchangeRow.state != "ended",
                    or_(
                        ExchangeRow.source["endpoint"].as_string() == endpoint,
                        ExchangeRow.target["endpoint"].as_string() == endpoint,
                    ),
                )
                .order_by(ExchangeRow.kind.desc(), ExchangeRow.id)
            )
            return tuple(row.id for row in rows if concerns(self._hub, by, row.provider, row.recipient))

    def _shown(self, session: Session, row: ExchangeRow, by: Actor) -> ShownExchange:
        hub = self._hub
        (status,) = hub.oversight.standing(session, [row.id])
        grant = session.get_one(GrantRow, row.grant)
        entry = hub.catalog.resource(session, row.resource, version=grant.resource_version)
        runs = session.execute(
            select(RunRow, ReceiptRow.id)
            .outerjoin(ReceiptRow, ReceiptRow.run == RunRow.id)
            .where(RunRow.exchange == row.id)
            .order_by(RunRow.started_at.desc(), RunRow.id)
            .limit(RUNS)
        ).all()
        pauses = session.scalars(
            select(PauseRow).where(
                or_(
                    and_(PauseRow.kind == "exchange", PauseRow.name == row.id),
                    and_(
                        PauseRow.kind == "endpoint",
                        PauseRow.name.in_((row.source["endpoint"], row.target["endpoint"])),
                    ),
                )
            )
        )
        waiting = select(QuarantineRow.id).where(
            QuarantineRow.exchange == row.id,
            QuarantineRow.state.in_((RowState.OPEN.value, RowState.REPAIRED.value)),
        )
        # What was refused is nothing to a recipient: it was never to have it.
        sees_rows = by.department == row.provider or hub.oversight.oversees(by)
        granted = hub.authorisation.explain(session, row.grant).items
        ends = {row.source["endpoint"], row.target["endpoint"]}
        return ShownExchange(
            status=status,
            name=entry.resource.name,
            version=entry.version,
            grant=row.grant,
            items=tuple(entry.resource.items),
            delivered=tuple(each.name for each in granted),
            masks={each.name: each.mask for each in granted if each.mask},
            source=End(**row.source),
            target=End(**row.target),
            created_at=row.created_at,
            runs=tuple(_run(*each) for each in runs),
            pauses=tuple(map(_pause, pauses)),
            open_rows=sees_rows and session.scalar(waiting.limit(1)) is not None,
            leased=_leased(session, row.id),
            open_ends=frozenset(
                each for each in ends if concerns(hub, by, hub.catalog.endpoint(session, each).department)
            ),
        )


def _in_state(state: State) -> Any:
    grants = {"active": ("active",), "paused": ("active", "suspended"), "held": ("active",)}
    holding = select(StructureRow.exchange).where(StructureRow.found_at.is_not(None))
    if state == "ended":
        return or_(ExchangeRow.state == "ended", GrantRow.state.in_(("revoked", "expired")))
    stands = GrantRow.state.in_(grants[state])
    if state == "paused":
        return and_(stands, or_(ExchangeRow.state == "paused", GrantRow.state == "suspended"))
    held = ExchangeRow.id.in_(holding)
    return and_(stands, ExchangeRow.state == "active", held if state == "held" else ~held)


def _leased(session: Session, exchange: str) -> bool:
    held = select(LeaseRow.exchange).where(
        LeaseRow.exchange == exchange, LeaseRow.owner.is_not(None), LeaseRow.expires > clock(session)
    )
    return session.scalar(held) is not None


def _run(row: RunRow, receipt: str | None) -> RunEntry:
    counts = {name: value for name, value in (row.counts or {}).items() if isinstance(value, int)}
    return RunEntry(row.id, row.state, counts, row.error, row.started_at, row.ended_at, receipt)


def _pause(row: PauseRow) -> PauseEntry:
    return PauseEntry(row.kind, row.name, row.reason, row.by, row.at, row.until)
