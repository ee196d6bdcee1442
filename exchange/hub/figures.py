"""Figures (统计): what moved in a period, by day and way, between whom, how well and how fast.

Everything is read from the day's tallies, a row for each exchange and day, never from runs or the log. People see the
exchanges their department gives or receives by; who oversees the hub sees all.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from catalog.vocabulary import UPDATE_CYCLES
from exchange.audit import events
from exchange.audit.exporting import FORMATS, write
from exchange.db import now
from exchange.db.tables import ExchangeRow, TallyRow
from exchange.engine import Tally
from exchange.errors import Invalid
from exchange.hub.files import oversees
from exchange.hub.freshness import Freshness, freshness
from exchange.hub.roster import ZONE
from exchange.identity import Actor

if TYPE_CHECKING:
    from exchange.hub.core import Hub

LONGEST = timedelta(days=366)
"""Period that is looked at in one view."""
DEFAULT = timedelta(days=30)
_FOREMOST = 10
_AT_MOST = 20
"""Adding up and looking for what is overdue takes one part of the time in so many, however many dashboards are open."""
_REMEMBERED = 100
_FIGURES = tuple(each.name for each in fields(Tally))


@dataclass(frozen=True)
class DayVolume:
    """What ended on one day in one way (每日交换量).

    Attributes:
        day: In China.
    """

    day: date
    way: str
    figures: Tally


@dataclass(frozen=True)
class Flow:
    """What one department gave to another (流向).

    Attributes:
        provider: Credit code.
        recipient: Credit code; the hub's own where it is the base library.
        exchanges: How many exchanges ran.
    """

    provider: str
    recipient: str
    exchanges: int
    figures: Tally


@dataclass(frozen=True)
class ExchangeFigures:
    """What the runs of one exchange came to (交换统计)."""

    exchange: str
    resource: str
    provider: str
    recipient: str
    figures: Tally

    @property
    def seconds(self) -> float:
        """How long a run takes on average."""
        return self.figures.milliseconds / 1000 / self.figures.runs if self.figures.runs else 0.0

    @property
    def refused_share(self) -> float:
        """Refused rows as a share of the rows read."""
        return self.figures.refused / self.figures.read if self.figures.read else 0.0


@dataclass(frozen=True)
class CycleFreshness:
    """How exchanges of one update cycle stand against it (更新时效).

    Attributes:
        cycle: The update cycle, as the catalogue has it.
        timely: Refreshed in time.
        overdue: Older than their cycle.
        resting: Not expected to be refreshed now.
    """

    cycle: str
    timely: int = 0
    overdue: int = 0
    resting: int = 0


@dataclass(frozen=True)
class Dashboard:
    """What moved in a period (概览).

    Attributes:
        since: First day.
        until: Last day.
        whole: Everything together.
        volume: By day and way, in this order; days on which nothing ended are left out.
        flows: Who gives to whom, the most rows first.
        slowest: Exchanges whose runs take longest on average.
        most_refused: Exchanges with the most refused rows.
        overdue: How many resources are older than their update cycle.
        stalest: Those, the most overdue first.
        cycles: How many of each update cycle are in time, overdue or resting, the shortest cycle first.
    """

    since: date
    until: date
    whole: Tally
    volume: tuple[DayVolume, ...]
    flows: tuple[Flow, ...]
    slowest: tuple[ExchangeFigures, ...]
    most_refused: tuple[ExchangeFigures, ...]
    overdue: int
    stalest: tuple[Freshness, ...]
    cycles: tuple[CycleFreshness, ...]

    @property
    def success(self) -> float | None:
        """Runs that delivered as a share of all that ended; None: there was none."""
        return self.whole.delivered / self.whole.runs if self.whole.runs else None

    @property
    def refusal(self) -> float | None:
        """Refused rows as a share of those read; None: none was read."""
        return self.whole.refused / self.whole.read if self.whole.read else None


class Figures:
    """What people ask about volumes, rates and durations."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._found: tuple[tuple[Freshness, ...], float] = ((), 0.0)
        self._dashboards: dict[tuple[Any, ...], tuple[Dashboard, float]] = {}

    def dashboard(
        self, *, by: Actor, since: date | None = None, until: date | None = None, foremost: int = _FOREMOST
    ) -> Dashboard:
        """What moved in a period, as far as it concerns the actor's department, or all to who oversees the hub.

        Args:
            by: Who asks.
            since: First day in China; by default 30 days with the last.
            until: Last day; by default today.
            foremost: Exchanges that are named where only the first ones are.

        Raises:
            Invalid: The period ends before it begins, or is longer than a year.
        """
        with self._hub.database.reading() as session:
            first, last = _period(session, since, until)
        whose = "" if oversees(self._hub, by) else by.department
        asked = (whose, first, last, foremost)
        found, holds = self._dashboards.get(asked, (None, 0.0))
        begun = time.monotonic()
        if found is None or begun >= holds:
            found = self._dashboard(by, first, last, foremost)
            ended = time.monotonic()
            if len(self._dashboards) >= _REMEMBERED:
                self._dashboards.clear()
            self._dashboards[asked] = found, ended + _AT_MOST * (ended - begun)
        return found

    def _dashboard(self, by: Actor, first: date, last: date, foremost: int) -> Dashboard:
        with self._hub.database.reading() as session:
            volume = self._volume(session, by, first, last)
            exchanges = self._exchanges(session, by, first, last)
        fresh = [each for each in self._freshness() if self._concerns(by, each)]
        late = [each for each in fresh if each.overdue]
        return Dashboard(
            since=first,
            until=last,
            whole=sum((day.figures for day in volume), Tally()),
            volume=tuple(volume),
            flows=tuple(_flows(exchanges)),
            slowest=tuple(sorted(exchanges, key=lambda each: (-each.seconds, each.exchange))[:foremost]),
            most_refused=tuple(
                sorted(
                    (each for each in exchanges if each.figures.refused),
                    key=lambda each: (-each.figures.refused, each.exchange),
                )[:foremost]
            ),
            overdue=len(late),
            stalest=tuple(late[:foremost]),
            cycles=_cycles(fresh),
        )

    def volume(self, *, by: Actor, since: date | None = None, until: date | None = None) -> tuple[DayVolume, ...]:
        """The volume of a dashboard alone, by day and way."""
        with self._hub.database.reading() as session:
            return tuple(self._volume(session, by, *_period(session, since, until)))

    def cycles(self, *, by: Actor) -> tuple[CycleFreshness, ...]:
        """The freshness of a dashboard alone, by update cycle."""
        return _cycles(each for each in self._freshness() if self._concerns(by, each))

    def exchanges(
        self, *, by: Actor, since: date | None = None, until: date | None = None
    ) -> tuple[ExchangeFigures, ...]:
        """Every exchange that ran in a period, with what its runs came to, by id."""
        with self._hub.database.reading() as session:
            return tuple(self._exchanges(session, by, *_period(session, since, until)))

    def export(
        self, out: BinaryIO, format: str, *, by: Actor, since: date | None = None, until: date | None = None
    ) -> int:
        """Write the exchanges of a period with their figures to an open file (统计导出); an event says so.

        Returns:
            How many exchanges were written.

        Raises:
            Invalid: The period or the format is wrong.
        """
        if format not in FORMATS:
            raise Invalid("统计只能导出为 " + "、".join(FORMATS), remedy="写明其中一种格式")
        found = self.exchanges(by=by, since=since, until=until)
        hub = self._hub
        with hub.database.transaction() as session:
            event = events.FiguresExported(exchanges=len(found), format=format)
            hub.audit.record(session, event, by=by, department=by.department)
        return write(out, format, _SCHEMA, (_told(each) for each in found))

    def _freshness(self) -> tuple[Freshness, ...]:
        """Everything against its update cycle, looked up anew, but not all the time where many look."""
        found, until = self._found
        if time.monotonic() >= until:
            begun = time.monotonic()
            found = tuple(freshness(self._hub))
            ended = time.monotonic()
            self._found = (found, ended + _AT_MOST * (ended - begun))
        return found

    def _volume(self, session: Session, by: Actor, first: date, last: date) -> list[DayVolume]:
        query = self._summed(by, first, last, TallyRow.day, TallyRow.way).order_by(TallyRow.day, TallyRow.way)
        return [DayVolume(day, way, _tally(row)) for day, way, *row in session.execute(query)]

    def _exchanges(self, session: Session, by: Actor, first: date, last: date) -> list[ExchangeFigures]:
        summed = self._summed(by, first, last, TallyRow.exchange).subquery()
        query = (
            select(ExchangeRow.id, ExchangeRow.resource, ExchangeRow.provider, ExchangeRow.recipient, *summed.c[1:])
            .join(summed, summed.c.exchange == ExchangeRow.id)
            .order_by(ExchangeRow.id)
        )
        return [
            ExchangeFigures(exchange, resource, provider, recipient, _tally(row))
            for exchange, resource, provider, recipient, *row in session.execute(query)
        ]

    def _summed(self, by: Actor, first: date, last: date, *keys: Any) -> Any:
        sums = [func.sum(getattr(TallyRow, name)).label(name) for name in _FIGURES if name != "slowest"]
        query = select(*keys, *sums, func.max(TallyRow.slowest).label("slowest"))
        query = query.where(TallyRow.day >= first, TallyRow.day <= last).group_by(*keys)
        own = self._own(by)
        return query if own is None else query.where(TallyRow.exchange.in_(select(ExchangeRow.id).where(own)))

    def _own(self, by: Actor) -> ColumnElement[bool] | None:
        """Exchanges that concern somebody; None: all do."""
        if oversees(self._hub, by):
            return None
        return or_(ExchangeRow.provider == by.department, ExchangeRow.recipient == by.department)

    def _concerns(self, by: Actor, each: Freshness) -> bool:
        return oversees(self._hub, by) or by.department in (each.provider, each.recipient)


_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("exchange", "resource", "provider", "recipient")),
        *(pa.field(name, pa.int64(), nullable=False) for name in _FIGURES),
    ]
)


def _told(each: ExchangeFigures) -> Mapping[str, Any]:
    about = {name: getattr(each, name) for name in ("exchange", "resource", "provider", "recipient")}
    return {**about, **vars(each.figures)}


def _tally(row: Iterable[Any]) -> Tally:
    """Sums are decimals on some products."""
    return Tally(*(int(value or 0) for value in row))


def _cycles(fresh: Iterable[Freshness]) -> tuple[CycleFreshness, ...]:
    counted = Counter(
        (each.cycle, "resting" if each.resting else "overdue" if each.overdue else "timely") for each in fresh
    )
    return tuple(
        CycleFreshness(cycle, **{state: counted[cycle, state] for state in ("timely", "overdue", "resting")})
        for cycle in UPDATE_CYCLES
        if any(of == cycle for of, _state in counted)
    )


def _flows(exchanges: Iterable[ExchangeFigures]) -> list[Flow]:
    found: dict[tuple[str, str], list[Tally]] = defaultdict(list)
    for each in exchanges:
        found[each.provider, each.recipient].append(each.figures)
    flows = [Flow(*parties, len(many), sum(many, Tally())) for parties, many in found.items()]
    return sorted(flows, key=lambda flow: (-flow.figures.written, flow.provider, flow.recipient))


def _period(session: Session, since: date | None, until: date | None) -> tuple[date, date]:
    last = until or now(session).astimezone(ZONE).date()
    first = since or last - DEFAULT + timedelta(days=1)
    if first > last:
        raise Invalid(f"统计的起始日 {first} 在截止日 {last} 之后", remedy="调换两者")
    if last - first > LONGEST:
        raise Invalid(f"统计期限最长 {LONGEST.days} 天", remedy="缩短期限，分几次查看")
    return first, last
