"""Versions of resources (资源版本) as rows: how they are kept, opened, moved and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog import codes, parties, search
from catalog.comparison import Change, difference
from catalog.entries import Entry, Step
from catalog.errors import Overtaken, WrongState
from catalog.model import Resource
from catalog.tables import HistoryRow, ResourceClassRow, ResourceRow, ResourceVersionRow, ResourceWayRow
from catalog.validation import Surroundings
from catalog.workflow import CLOSED, MOVES, Action, Part, State, move, require_other_person

# China has no summer time, and the zone's data may be missing on a bare machine.
_CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")


@dataclass(frozen=True)
class Hand:
    """Who moves a version, and with what opinion."""

    actor: str
    department: str | None
    opinion: str
    at: datetime


def locked(session: Session, code: str) -> ResourceRow | None:
    """The row of a code as it is now, held against others until the transaction ends."""
    return session.get(ResourceRow, code, with_for_update=True, populate_existing=True)


def numbered(session: Session, row: ResourceRow, number: int) -> ResourceVersionRow:
    """One version of a resource as it is now; it exists, as numbers are given here."""
    # What the session read before the row was locked may be out of date.
    return session.get_one(ResourceVersionRow, (row.code, number), populate_existing=True)


def content(version: ResourceVersionRow) -> Resource:
    """What a version registers."""
    return Resource.model_validate(version.body)


def state(version: ResourceVersionRow) -> State:
    """Where a version stands."""
    return cast("State", version.state)


def entry(row: ResourceRow, version: ResourceVersionRow) -> Entry:
    """A version as the directory shows it."""
    return Entry(
        resource=content(version),
        version=version.version,
        state=state(version),
        in_force=row.in_force == version.version,
        version_in_force=row.in_force,
        latest=row.latest,
        changed_at=version.changed_at,
        published_at=version.published_at,
    )


def expect(session: Session, row: ResourceRow | None, code: str, begun: str | None) -> None:
    """Go on only from where somebody began.

    Args:
        session: The caller's.
        row: The row of the code, held; None: there is none.
        code: The code.
        begun: Mark of the newest version then, empty where there was none yet; None: whatever it is.

    Raises:
        Overtaken: it does not stand so any more.
    """
    if begun is None:
        return
    here = entry(row, numbered(session, row, row.latest)) if row is not None else None
    if begun == ("" if here is None else here.mark):
        return
    if here is None or not begun:
        raise Overtaken(
            f"资源 {code} 刚由他人登记" if here else f"资源 {code} 不在了", remedy="取下一个代码，或请对方修改"
        )
    raise Overtaken(
        f"资源 {code} 已由他人办理：现在是第 {here.version} 版，{here.label}", remedy="对照现在的内容，需要的再改一次"
    )


def history(session: Session, row: ResourceRow) -> tuple[Step, ...]:
    """Every move of every version of a resource, oldest first."""
    rows = session.scalars(select(HistoryRow).where(HistoryRow.resource == row.code).order_by(HistoryRow.id))
    return tuple(
        Step(
            version=step.version,
            action=cast("Action", step.action),
            from_state=cast("State | None", step.from_state),
            to_state=cast("State", step.to_state),
            part=cast("Part", step.part),
            actor=step.actor,
            department=step.department,
            opinion=step.opinion,
            changes=tuple(step.changes),
            at=step.at,
        )
        for step in rows
    )


def surroundings(session: Session, resource: Resource, pattern: str) -> Surroundings:
    """What is registered already around a resource."""
    provider, offer = resource.provider_code, resource.offer
    code = codes.parse(resource.code, pattern)
    row = session.get(ResourceRow, code.text) if code else None
    twin = None
    if code is not None and row is None:
        same = (ResourceRow.class_code == code.class_code, ResourceRow.sequence == code.sequence)
        twin = session.scalar(select(ResourceRow.code).where(*same))
    known = select(ResourceRow.code).where(ResourceRow.code.in_(resource.related))
    return Surroundings(
        provider=parties.find_department(session, provider),
        endpoint=parties.find_endpoint(session, offer.endpoint) if offer else None,
        endpoints=tuple(endpoint.name for endpoint in parties.endpoints(session, provider)),
        related=frozenset(session.scalars(known)) if resource.related else frozenset(),
        earlier=row.provider if row else None,
        sequence_of=twin,
    )


def added(session: Session, resource: Resource, by: Hand) -> Entry:
    """Enter a code that was never used, with its first draft.

    Raises:
        WrongState: somebody else has just entered it.
    """
    code = codes.split(resource.code)
    row = ResourceRow(
        code=code.text,
        class_code=code.class_code,
        sequence=code.sequence,
        provider=resource.provider_code,
        latest=0,
        in_force=None,
        words=None,
        created_at=by.at,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise WrongState(f"资源 {code.text} 刚由他人登记", remedy="取下一个代码，或请对方修改") from error
    return opened(session, row, resource, "add", None, by)


def changed(
    session: Session, row: ResourceRow, resource: Resource, by: Hand
) -> tuple[Entry, Action | None, tuple[Change, ...]]:
    """Bring a registered resource to new content: in its open version, else in the next one.

    Raises:
        WrongState: its newest version is under review.
        SamePerson: the actor has approved this version.
    """
    newest = numbered(session, row, row.latest)
    here = state(newest)
    standing = numbered(session, row, row.in_force) if here in CLOSED and row.in_force is not None else newest
    changes = difference(content(standing), resource)
    if not changes and state(standing) != "discarded":
        return entry(row, standing), None, ()
    if here in CLOSED:
        return opened(session, row, resource, "revise", newest, by, changes), "revise", changes
    target = move(here, "update")
    require_other_person("update", by.actor, hands(session, newest))
    _write(session, newest, resource)
    _record(session, newest, "update", target, by, changes)
    return entry(row, newest), "update", changes


def opened(
    session: Session,
    row: ResourceRow,
    resource: Resource,
    action: Action,
    before: ResourceVersionRow | None,
    by: Hand,
    changes: Sequence[Change] = (),
) -> Entry:
    """Open the next version of a resource; the one in force stays so."""
    start = state(before) if before else None
    target = move(start, action)
    row.latest += 1
    version = ResourceVersionRow(
        resource=row.code, version=row.latest, state=start or target, created_at=by.at, published_at=None
    )
    session.add(version)
    _write(session, version, resource.model_copy(update={"published_on": None}))
    _record(session, version, action, target, by, changes, first=before is None)
    return entry(row, version)


def moved(session: Session, row: ResourceRow, version: ResourceVersionRow, action: Action, by: Hand) -> Entry:
    """Move a version, with what follows from it: what is in force, and what can be found.

    Raises:
        WrongState: the action does not start from its state.
        SamePerson: the actor had another part in this version.
    """
    target = move(state(version), action)
    require_other_person(action, by.actor, hands(session, version))
    if target == "published":
        if row.in_force is not None and row.in_force != version.version:
            before = numbered(session, row, row.in_force)
            _record(session, before, "supersede", move(state(before), "supersede"), by)
        resource = content(version).model_copy(update={"published_on": by.at.astimezone(_CHINA).date()})
        version.body, version.published_at = resource.model_dump(mode="json"), by.at
        row.in_force = version.version
        _index(session, row, resource)
    if action == "withdraw":
        row.in_force = None
        search.remove(session, row)
    _record(session, version, action, target, by)
    return entry(row, version)


def reindex(session: Session, provider: str) -> None:
    """Make the resources of a renamed department findable by its new name."""
    statement = select(ResourceRow).where(ResourceRow.provider == provider, ResourceRow.in_force.is_not(None))
    for row in session.scalars(statement).all():
        _index(session, row, content(numbered(session, row, row.in_force or row.latest)))
    session.flush()


def hands(session: Session, version: ResourceVersionRow) -> list[tuple[str, str]]:
    """Who has had which part in a version so far."""
    statement = select(HistoryRow.actor, HistoryRow.part).where(
        HistoryRow.resource == version.resource, HistoryRow.version == version.version
    )
    return [(actor, part) for actor, part in session.execute(statement)]


def _index(session: Session, row: ResourceRow, resource: Resource) -> None:
    provider = parties.department(session, row.provider)
    search.index(session, row, resource, (provider.name, provider.short_name))


def _write(session: Session, version: ResourceVersionRow, resource: Resource) -> None:
    version.name, version.record_class = resource.name, resource.record_class
    version.share_type, version.update_cycle = resource.share_type, resource.update_cycle
    version.body = resource.model_dump(mode="json")
    if version.changed_at is None:
        version.changed_at = version.created_at
    session.flush()
    for facet in (ResourceClassRow, ResourceWayRow):
        session.execute(
            delete(facet).where(facet.resource == version.resource, facet.version == version.version),
            execution_options={"synchronize_session": "fetch"},
        )
    at = {"resource": version.resource, "version": version.version}
    session.add_all([ResourceClassRow(**at, class_code=code) for code in resource.classes])
    session.add_all([ResourceWayRow(**at, way=way) for way in resource.share_ways])
    session.flush()


def _record(
    session: Session,
    version: ResourceVersionRow,
    action: Action,
    target: State,
    by: Hand,
    changes: Sequence[Change] = (),
    *,
    first: bool = False,
) -> None:
    session.add(
        HistoryRow(
            resource=version.resource,
            version=version.version,
            action=action,
            from_state=None if first else version.state,
            to_state=target,
            part=MOVES[action].part,
            actor=by.actor,
            department=by.department,
            opinion=by.opinion,
            changes=[change.as_json() for change in changes],
            at=by.at,
        )
    )
    version.state, version.changed_at = target, by.at
    session.flush()
