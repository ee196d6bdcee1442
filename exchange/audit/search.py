"""Searching the log (日志检索).

What an event is found by stands in its context (:mod:`exchange.audit.contexts`); there are few contexts, and under each
its events lie in the order of time. So a page is put together from the newest events of the contexts that fit, newest
first, and costs the same however long the log is, also where there is little or nothing to be found. What would have
to be looked for event by event, is looked for in a part of the log that is bounded; the page says where to go on.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import islice
from typing import Any, get_args

from sqlalchemy import ColumnElement, Text, and_, bindparam, cast, column, false, func, or_, select, text
from sqlalchemy.orm import Session

from catalog.tables import Instant, Serial
from catalog.vocabulary import ShareWay
from exchange.audit.chain import Stored, Unreadable, instant_text, stored
from exchange.audit.contexts import Facets, facets
from exchange.audit.events import REGISTRY
from exchange.audit.outcomes import OUTCOMES, types_of
from exchange.db.tables import ContextRow, EventRow
from exchange.errors import Invalid, Problem, Tampered

# A table's own columns: what is asked of them does not pass through the mapper, which takes as long as the answer.
_EVENT, _CONTEXT = EventRow.__table__.c, ContextRow.__table__.c

LARGEST_PAGE = 1000
LARGE = 100_000
"""Events beyond which a text is looked for in a period only."""
WINDOW = 10_000
"""Events that are looked through for one page, where each has to be looked at."""
_PROBED = 2000
"""Contexts that are asked for their events of a period; where more fit, the log is full of what fits."""
_GROUP = 16
"""Contexts that are read in one statement."""
_UNSEALED = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_DIGITS = 18
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_FACETS = tuple(field.name for field in fields(Facets))


@dataclass(frozen=True)
class Query:
    """What to look for; every field given narrows it.

    Attributes:
        department: Credit code of the department the event is about.
        resource: Code of a resource.
        exchange: Id of an exchange.
        run: Id of a run.
        type: Name of a type of event.
        actor: Name of who acted.
        way: Way of the exchange it is about (方式).
        record_class: Class of the resource it is about (数据类).
        outcome: How it ended, one of :data:`exchange.audit.outcomes.OUTCOMES` (结果).
        since: No earlier than this.
        until: Earlier than this.
        text: Occurs in what the event says.
    """

    department: str | None = None
    resource: str | None = None
    exchange: str | None = None
    run: str | None = None
    type: str | None = None
    actor: str | None = None
    way: str | None = None
    record_class: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could find nothing.

        Raises:
            Invalid: There is no such type of event, way or outcome, or a time has no zone.
        """
        if self.type is not None and self.type not in REGISTRY:
            near = get_close_matches(self.type, REGISTRY, n=3)
            raise Invalid(f"没有审计事件类型 {self.type}", remedy=f"是否指 {'、'.join(near or sorted(REGISTRY))}")
        for word, value, known in (("方式", self.way, get_args(ShareWay)), ("结果", self.outcome, tuple(OUTCOMES))):
            if value is not None and value not in known:
                raise Invalid(f"日志中没有{word} {value}", remedy=f"可用：{'、'.join(known)}")
        if any(moment is not None and moment.utcoffset() is None for moment in (self.since, self.until)):
            raise Invalid("检索日志的起止时间须带时区", remedy="例如 2026-01-31T08:00:00+08:00")

    def said(self) -> dict[str, str]:
        """What was asked for, as the log notes it."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: instant_text(value) if isinstance(value, datetime) else value
            for name, value in given.items()
            if value is not None
        }

    def facets(self) -> dict[str, str]:
        """What is asked of contexts."""
        return {name: value for name in _FACETS if (value := getattr(self, name)) is not None}

    def fits(self, found: Facets) -> bool:
        """Whether something is found by what is asked."""
        return all(getattr(found, name) == value for name, value in self.facets().items())

    def contexts(self) -> list[ColumnElement[bool]]:
        """The same as conditions on contexts."""
        return [getattr(_CONTEXT, name) == value for name, value in self.facets().items()]

    def conditions(self, row: Any = _EVENT) -> list[ColumnElement[bool]]:
        """What is asked of each event besides, as conditions on rows."""
        found: list[ColumnElement[bool]] = []
        if self.run is not None:
            found.append(row.run == self.run)
        if self.since is not None:
            found.append(row.at >= self.since)
        if self.until is not None:
            found.append(row.at < self.until)
        if self.text is not None:
            # As it is written inside the JSON.
            inside = json.dumps(self.text, ensure_ascii=False)[1:-1]
            body = cast(row.body, Text)
            # Most of what is looked for has no small and large letters, and making all of a body small takes long.
            cased = inside.lower() != inside.upper()
            found.append((body.icontains if cased else body.contains)(inside, autoescape=True))
        return found


@dataclass(frozen=True)
class Page:
    """Some of the events found, newest first.

    Attributes:
        events: The events; fewer than asked for, even none, where a long stretch of the log holds no more.
        cursor: Give this to get the next page; None on the last one.
    """

    events: tuple[Stored, ...]
    cursor: str | None


@dataclass(frozen=True, order=True)
class Place:
    """Where an event stands in the order of time."""

    at: datetime
    id: int

    def cursor(self) -> str:
        """As people hand it on."""
        return f"{self.id}.{(self.at - _EPOCH) // _INSTANT}"

    def before(self, row: Any) -> ColumnElement[bool]:
        """What is older."""
        return and_(row.at <= self.at, or_(row.at < self.at, row.id < self.id))


def page(session: Session, query: Query, own: int, *, limit: int, cursor: str | None) -> Page:
    """One page of what a query finds, without the event of this very search.

    Raises:
        Invalid: The limit or the cursor is wrong, or a text is looked for in all of a large log.
        Tampered: A row found cannot be read.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(f"每页条数应在 1 到 {LARGEST_PAGE} 之间")
    if query.text is not None and query.since is None and query.run is None and _is_large(session):
        problem = Problem(where="text", message="日志较大，按文字检索须同时给出起始时间")
        raise Invalid("不能在全部日志中按文字检索", [problem], remedy="写明起始时间，例如最近一个月")
    look = _Look(session, query, own, _place(cursor), limit + 1)
    try:
        places, floor = look.found()
    except (ValueError, TypeError) as error:
        # What other hands have written need not be a time.
        raise Tampered(
            "日志中有无法读取的时间，与写入时不符", remedy="用 shutong audit verify 核验，并保全现场"
        ) from error
    more = len(places) > limit
    kept = places[:limit]
    events = {event.id: event for event in _readable(stored(session, *_of(kept), order=_EVENT.id.desc(), few=True))}
    ordered = tuple(events[place.id] for place in kept if place.id in events)
    last = kept[-1] if more else floor
    return Page(ordered, last.cursor() if last else None)


def every(session: Session, query: Query, own: int) -> Generator[Stored, None, None]:
    """Everything a query finds, oldest first and without the event of this very look.

    Raises:
        Tampered: A row found cannot be read.
    """
    where = [*query.conditions(), _EVENT.id != own]
    asked = query.contexts()
    if not asked:
        yield from _readable(stored(session, *where, order=_EVENT.id.asc()))
        return
    fitting = _EVENT.context.in_(select(_CONTEXT.id).where(*asked))
    yield from _readable(stored(session, *where, fitting, order=_EVENT.id.asc()))
    waiting = stored(session, *where, *_plainly(query), _EVENT.context.is_(None), order=_EVENT.id.asc())
    events = _readable(waiting)
    while some := list(islice(events, _UNSEALED)):
        yield from (event for event, each in zip(some, facets(session, some), strict=True) if query.fits(each))


_LOOKED_AT = (_EVENT.at, _EVENT.id, _EVENT.run, _EVENT.body, _EVENT.context)
_LAST = Place(datetime(9999, 12, 30, tzinfo=UTC), 2**62)
_PART = (
    "SELECT at, id FROM (SELECT at, id FROM event WHERE context = :c{place} AND (at, id) < (:until, :id)"
    " AND at >= :since ORDER BY at DESC, id DESC LIMIT :many) AS p{place}"
)
_NEWEST = (
    text(
        " UNION ALL ".join(_PART.format(place=place) for place in range(_GROUP))
        + " ORDER BY 1 DESC, 2 DESC LIMIT :many"
    )
    .bindparams(*(bindparam(name, type_=Instant) for name in ("since", "until")))
    .columns(column("at", Instant), column("id", Serial))
)
"""The newest events of some contexts; made once, as putting it together takes longer than answering it.

It is short enough for drivers to remember: PostgreSQL then plans it once for all.
"""


class _Look:
    """One search of the log for some events older than a place."""

    def __init__(self, session: Session, query: Query, own: int, before: Place | None, many: int) -> None:
        self._session = session
        self._query = query
        self._own = own
        self._before = before
        self._many = many

    def found(self) -> tuple[list[Place], Place | None]:
        """Places of what fits, newest first, and how far was looked if that was not to the end."""
        query = self._query
        if query.run is None and query.text is None and not query.contexts():
            return self._newest(_EVENT, *self._bounds(_EVENT)), None
        waiting, floor = self._unsealed()
        if query.run is not None:
            # A run has few events.
            fitting = [_EVENT.context.in_(select(_CONTEXT.id).where(*asked))] if (asked := query.contexts()) else []
            return self._merged(waiting, self._newest(_EVENT, *self._bounds(_EVENT), *fitting), floor)
        if query.text is not None:
            return self._looked_through(waiting, floor)
        tops = self._tops()
        if tops is None:
            return self._looked_through(waiting, floor)
        return self._merged(waiting, self._collected(tops), floor)

    def _bounds(self, row: Any) -> list[ColumnElement[bool]]:
        older = [self._before.before(row)] if self._before is not None else []
        return [*self._query.conditions(row), row.id != self._own, *older]

    def _newest(self, row: Any, *where: ColumnElement[bool]) -> list[Place]:
        rows = select(row.at, row.id).where(*where).order_by(row.at.desc(), row.id.desc()).limit(self._many)
        return [Place(at, number) for at, number in self._session.execute(rows)]

    def _merged(self, ours: list[Place], theirs: list[Place], floor: Place | None) -> tuple[list[Place], Place | None]:
        both = sorted({*ours, *theirs}, reverse=True)
        if floor is not None:
            both = [place for place in both if place >= floor]
        return both[: self._many], floor

    # --- what has no context yet ---------------------------------------------------------------

    def _unsealed(self) -> tuple[list[Place], Place | None]:
        """What fits of what is not sealed yet, or never will be, and how far that was looked for."""
        query = self._query
        where = [_EVENT.context.is_(None), *self._bounds(_EVENT), *_plainly(query)]
        rows = select(_EVENT.at, _EVENT.id).where(*where).order_by(_EVENT.at.desc(), _EVENT.id.desc())
        many = _UNSEALED if query.facets() else self._many
        places = [Place(at, number) for at, number in self._session.execute(rows.limit(many))]
        floor = places[-1] if len(places) == many else None
        if not query.facets():
            return places, floor
        events = (
            list(_readable(stored(self._session, *_of(places), order=_EVENT.id.desc(), few=True))) if places else []
        )
        fitting = {
            event.id for event, each in zip(events, facets(self._session, events), strict=True) if query.fits(each)
        }
        return [place for place in places if place.id in fitting], floor

    # --- by contexts ---------------------------------------------------------------------------

    def _tops(self) -> Iterable[tuple[datetime, int]] | None:
        """The contexts that fit with the newest time of each, the newest first; None: there are too many."""
        if self._before is None and self._query.until is None:
            return self._freshest()
        asked = self._query.contexts()
        if self._query.since is not None:
            asked.append(_CONTEXT.newest >= self._query.since)
        some = select(_CONTEXT.id).where(*asked).limit(_PROBED + 1).subquery()
        found = EventRow.__table__.alias().c
        top = (
            select(found.at)
            .where(found.context == some.c.id, *self._bounds(found))
            .order_by(found.at.desc(), found.id.desc())
            .limit(1)
            .correlate(some)
            .scalar_subquery()
        )
        if (self._session.scalar(select(func.count()).select_from(some)) or 0) > _PROBED:
            return None
        rows = self._session.execute(select(top, some.c.id)).all()
        return sorted(((at, number) for at, number in rows if at is not None), reverse=True)

    def _freshest(self) -> Iterator[tuple[datetime, int]]:
        """All contexts that fit, as far as somebody wants to know."""
        asked = self._query.contexts()
        if self._query.since is not None:
            asked.append(_CONTEXT.newest >= self._query.since)
        query = select(_CONTEXT.newest, _CONTEXT.id).where(*asked)
        query = query.order_by(_CONTEXT.newest.desc(), _CONTEXT.id.desc()).limit(8 * _GROUP)
        last: tuple[datetime, int] | None = None
        while True:
            older = [] if last is None else [_older_context(*last)]
            rows = [(at, number) for at, number in self._session.execute(query.where(*older))]
            yield from rows
            if len(rows) < 8 * _GROUP:
                return
            last = rows[-1]

    def _collected(self, tops: Iterable[tuple[datetime, int]]) -> list[Place]:
        """The newest events of contexts: no context is read whose newest event is older than all that are wanted."""
        found: list[Place] = []
        group: list[int] = []
        for newest, number in tops:
            if len(found) == self._many and newest < found[-1].at:
                break
            group.append(number)
            if len(group) == _GROUP:
                found = self._with(found, group)
                group = []
        return self._with(found, group)

    def _with(self, found: list[Place], group: list[int]) -> list[Place]:
        if not group:
            return found
        # What is older than what there is already is not wanted.
        since = found[-1].at if len(found) == self._many else self._query.since or _FIRST
        return sorted([*found, *self._of_contexts(group, since)], reverse=True)[: self._many]

    def _of_contexts(self, contexts: Sequence[int], since: datetime) -> list[Place]:
        end = min(self._before or _LAST, Place(self._query.until or _LAST.at, -1))
        # Always as many, and as large, so that the statement is always the same.
        filled = (*contexts, *([-contexts[0]] * (_GROUP - len(contexts))))
        given = {
            **{f"c{place}": number for place, number in enumerate(filled)},
            "since": since,
            "until": end.at,
            "id": end.id,
            "many": self._many + 1,
        }
        found = (Place(at, number) for at, number in self._session.execute(_NEWEST, given))
        return [place for place in found if place.id != self._own]

    # --- event by event ------------------------------------------------------------------------

    def _looked_through(self, waiting: list[Place], floor: Place | None) -> tuple[list[Place], Place | None]:
        """What fits in the next part of the log."""
        session, newest = self._session, (_EVENT.at.desc(), _EVENT.id.desc())
        period = self._period()
        asked = self._query.contexts()
        found: list[Place] = []
        # A page that is full early is not looked for any further.
        for many in (WINDOW // 8, WINDOW):
            part = select(*_LOOKED_AT).where(*period).order_by(*newest).limit(many + 1).subquery().c
            fitting = [part.context.in_(select(_CONTEXT.id).where(*asked))] if asked else []
            # Together with what is not sealed, which has no context to fit.
            found = self._newest(part, *self._bounds(part), *fitting)
            if len(found) == self._many:
                break
        last = None
        if len(found) < self._many:
            end = select(_EVENT.at, _EVENT.id).where(*period).order_by(*newest).offset(WINDOW).limit(1)
            last = next((Place(at, number) for at, number in session.execute(end)), None)
        floors = [place for place in (floor, last) if place is not None]
        return self._merged(waiting, found, max(floors, default=None))

    def _period(self) -> list[ColumnElement[bool]]:
        """The bounds without what needs each event to be looked at."""
        whole = Query(since=self._query.since, until=self._query.until)
        older = [self._before.before(_EVENT)] if self._before is not None else []
        return [*whole.conditions(), *older]


def _older_context(newest: datetime, number: int) -> ColumnElement[bool]:
    return and_(
        _CONTEXT.newest <= newest,
        or_(_CONTEXT.newest < newest, and_(_CONTEXT.newest == newest, _CONTEXT.id < number)),
    )


def _plainly(query: Query) -> list[ColumnElement[bool]]:
    """What can be asked of a row that has no context yet; others that pass are looked at one by one."""
    found = [
        getattr(_EVENT, name) == value
        for name, value in query.facets().items()
        if name in ("type", "actor", "department", "exchange")
    ]
    if query.outcome is not None:
        found.append(_EVENT.type.in_(sorted(types_of(query.outcome))))
    of_exchange = _EVENT.exchange.is_not(None)
    if query.way is not None:
        found.append(of_exchange)
    if query.record_class is not None:
        found.append(or_(of_exchange, _EVENT.resource.is_not(None)))
    if query.resource is not None:
        found.append(or_(of_exchange, _EVENT.resource == query.resource))
    return found


def _of(places: Sequence[Place]) -> list[ColumnElement[bool]]:
    return [_EVENT.id.in_([place.id for place in places]) if places else false()]


def _is_large(session: Session) -> bool:
    return (session.scalar(select(func.max(_EVENT.id))) or 0) > LARGE


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    number, _, micros = cursor.partition(".")
    if number.isdecimal() and micros.isdecimal() and max(len(number), len(micros)) <= _DIGITS:
        try:
            return Place(_EPOCH + int(micros) * _INSTANT, int(number))
        except (ValueError, OverflowError):
            pass
    raise Invalid("翻页标记不对", remedy="原样使用上一页给出的标记")


def _readable(rows: Iterable[Stored | Unreadable]) -> Generator[Stored, None, None]:
    for row in rows:
        if isinstance(row, Unreadable):
            raise Tampered(
                f"日志记录 {row.id} 无法读取，内容与写入时不符", remedy="用 shutong audit verify 核验，并保全现场"
            )
        yield row
