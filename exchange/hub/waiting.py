"""What waits for somebody (待办), and the lists it is taken from: resources, applications and grants, page by page.

A list holds what the directory would show of each (:mod:`exchange.hub.directory`), asked of the database at once: no
page of it costs more because there are many pages.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from catalog import STATES
from catalog.tables import ResourceRow, ResourceVersionRow
from exchange.authorisation import APPLICATION_STATES, GRANT_STATES
from exchange.db import now
from exchange.db.tables import ApplicationRow, GrantRow
from exchange.errors import Invalid, Problem
from exchange.identity import Actor

if TYPE_CHECKING:
    from exchange.hub.core import Hub

PAGE = 50
"""Lines of a page."""
SOON = timedelta(days=30)
"""How long before its end a grant is told to end."""
_TEXT = 100

Side = Literal["sent", "received"]
T = TypeVar("T")


@dataclass(frozen=True)
class ResourceLine:
    """A resource in a list: its newest version."""

    code: str
    name: str
    provider: str
    version: int
    in_force: int | None
    state: str
    label: str
    share_type: int
    update_cycle: str
    changed_at: datetime


@dataclass(frozen=True)
class ApplicationLine:
    """An application in a list."""

    id: str
    resource: str
    resource_name: str
    provider: str
    department: str
    applicant: str
    state: str
    label: str
    submitted_at: datetime


@dataclass(frozen=True)
class GrantLine:
    """A grant in a list."""

    id: str
    kind: str
    resource: str
    resource_name: str
    provider: str
    department: str
    state: str
    label: str
    valid_until: datetime | None
    issued_at: datetime


@dataclass(frozen=True)
class Lines(Generic[T]):
    """A page of a list.

    Attributes:
        lines: What is on it.
        cursor: Where the next one starts; None: this is the last.
        total: How many there are on all pages, where that was asked for.
    """

    lines: tuple[T, ...]
    cursor: str | None
    total: int | None = None


class Waiting:
    """Lists by pages."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def resources(
        self,
        *,
        by: Actor,
        provider: str | None = None,
        states: Collection[str] = (),
        text: str = "",
        cursor: str | None = None,
        limit: int = PAGE,
        counted: bool = False,
    ) -> Lines[ResourceLine]:
        """Newest versions of resources whose drafts one may see, the last changed first.

        Args:
            by: Who asks: of his own department; the centre and the administrators of every one.
            provider: Credit code of a department.
            states: Only these.
            text: Part of the name, or the beginning of the code.
            cursor: Where the last page said this one starts.
            limit: Lines of a page.
            counted: Whether to say how many there are.
        """
        version = ResourceVersionRow
        of_code = and_(version.resource == ResourceRow.code, version.version == ResourceRow.latest)
        query = select(ResourceRow, version).join(version, of_code)
        if not self._hub.directory.sees_drafts(by):
            query = query.where(ResourceRow.provider == by.department)
        if provider is not None:
            query = query.where(ResourceRow.provider == _plain(provider))
        if states:
            query = query.where(version.state.in_(states))
        if text:
            part = _plain(text)
            named = version.name.contains(part, autoescape=True)
            query = query.where(or_(named, ResourceRow.code.startswith(part, autoescape=True)))
        place = (version.changed_at, ResourceRow.code)
        return self._page(query, place, cursor, limit, _resource, counted=counted)

    def applications(
        self,
        *,
        by: Actor,
        side: Side | None = None,
        states: Collection[str] = (),
        resource: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
        counted: bool = False,
    ) -> Lines[ApplicationLine]:
        """Applications one may see, newest first.

        Args:
            by: Who asks: a party to it, or an administrator.
            side: ``sent`` by his department, or ``received`` by it; None: both, and for administrators all.
            states: Only these.
            resource: For this one alone, by its code.
            cursor: Where the last page said this one starts.
            limit: Lines of a page.
            counted: Whether to say how many there are.
        """
        row = ApplicationRow
        query = _named(select(row, ResourceRow.provider, ResourceVersionRow.name), row.resource)
        query = query.where(*self._seen(by, side, row.department))
        if states:
            query = query.where(row.state.in_(states))
        if resource is not None:
            query = query.where(row.resource == resource)
        return self._page(query, (row.submitted_at, row.id), cursor, limit, _application, counted=counted)

    def grants(
        self,
        *,
        by: Actor,
        side: Side | None = None,
        states: Collection[str] = (),
        kind: str | None = None,
        resource: str | None = None,
        ending: bool = False,
        cursor: str | None = None,
        limit: int = PAGE,
        counted: bool = False,
    ) -> Lines[GrantLine]:
        """Grants one may see, newest first.

        Args:
            by: Who asks: a party to it, or an administrator.
            side: ``sent``: given to his department on what it sent, ``received``: given by it; None: both.
            states: Only these.
            kind: ``collection`` or ``sharing``.
            resource: On this one alone, by its code.
            ending: Only those that end soon.
            cursor: Where the last page said this one starts.
            limit: Lines of a page.
            counted: Whether to say how many there are.
        """
        row = GrantRow
        query = _named(select(row, ResourceRow.provider, ResourceVersionRow.name), row.resource)
        query = query.where(*self._seen(by, side, row.department))
        if states:
            query = query.where(row.state.in_(states))
        if kind is not None:
            query = query.where(row.kind == kind)
        if resource is not None:
            query = query.where(row.resource == resource)
        if ending:
            with self._hub.database.reading() as session:
                query = query.where(row.valid_until <= now(session) + SOON)
        return self._page(query, (row.issued_at, row.id), cursor, limit, _grant, counted=counted)

    def _seen(self, by: Actor, side: Side | None, department: Any) -> list[ColumnElement[bool]]:
        sent, received = department == by.department, ResourceRow.provider == by.department
        if side is not None:
            return [sent if side == "sent" else received]
        return [] if self._hub.directory.oversees(by) else [or_(sent, received)]

    def _page(
        self,
        query: Any,
        place: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[str]],
        cursor: str | None,
        limit: int,
        line: Callable[[Any], T],
        *,
        counted: bool,
    ) -> Lines[T]:
        at, name = place
        shown = query
        if cursor is not None:
            moment, last = _opened(cursor)
            shown = shown.where(or_(at < moment, and_(at == moment, name > last)))
        shown = shown.add_columns(at.label("place_at"), name.label("place_name"))
        shown = shown.order_by(at.desc(), name).limit(limit + 1)
        with self._hub.told(), self._hub.database.reading() as session:
            found = session.execute(shown).all()
            whole = query.with_only_columns(func.count(), maintain_column_froms=True)
            total = session.scalar(whole) if counted else None
        page = found[:limit]
        following = _closed(page[-1].place_at, page[-1].place_name) if len(found) > limit else None
        return Lines(tuple(line(each) for each in page), following, total)


def _named(query: Any, code: Any) -> Any:
    """With the resource's provider, and its name as it could be applied for."""
    number = func.coalesce(ResourceRow.in_force, ResourceRow.latest)
    of_code = and_(ResourceVersionRow.resource == ResourceRow.code, ResourceVersionRow.version == number)
    return query.join(ResourceRow, ResourceRow.code == code).join(ResourceVersionRow, of_code)


def _resource(found: Any) -> ResourceLine:
    row, version = found[0], found[1]
    return ResourceLine(
        code=row.code,
        name=version.name,
        provider=row.provider,
        version=version.version,
        in_force=row.in_force,
        state=version.state,
        label=STATES[version.state].label,
        share_type=version.share_type,
        update_cycle=version.update_cycle,
        changed_at=version.changed_at,
    )


def _application(found: Any) -> ApplicationLine:
    row, provider, name = found[0], found[1], found[2]
    return ApplicationLine(
        id=row.id,
        resource=row.resource,
        resource_name=name,
        provider=provider,
        department=row.department,
        applicant=row.applicant,
        state=row.state,
        label=APPLICATION_STATES.get(row.state, row.state),
        submitted_at=row.submitted_at,
    )


def _grant(found: Any) -> GrantLine:
    row, provider, name = found[0], found[1], found[2]
    return GrantLine(
        id=row.id,
        kind=row.kind,
        resource=row.resource,
        resource_name=name,
        provider=provider,
        department=row.department,
        state=row.state,
        label=GRANT_STATES.get(row.state, row.state),
        valid_until=row.valid_until,
        issued_at=row.issued_at,
    )


def _plain(text: str) -> str:
    if len(text) > _TEXT or not text.isprintable():
        raise Invalid("查找条件无法使用", [Problem("查找条件", "过长或含看不见的字符", "请重新输入")])
    return text


def _closed(moment: datetime, name: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([moment.isoformat(), name]).encode()).decode()


def _opened(cursor: str) -> tuple[datetime, str]:
    try:
        told, name = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        moment = datetime.fromisoformat(told)
        moment = moment if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise _no_cursor() from error
    if moment.utcoffset() is None or not isinstance(name, str) or not name.isprintable():
        raise _no_cursor()
    return moment, name


def _no_cursor() -> Invalid:
    return Invalid("翻页位置无法使用", [Problem("翻页位置", "不是上一页给出的", "从第一页重新查看")])
