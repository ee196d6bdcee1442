"""Looking things up (查阅): what is registered, applied for and granted, each to those who may see it.

Everyone may read the directory. Drafts are for their provider, the centre and the administrators;
applications and grants for both parties and the administrators; the address of an endpoint for its
department and the administrators. Nothing here changes anything.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import (
    Change,
    Cube,
    DemandEntry,
    Department,
    EndpointSpec,
    Entry,
    Facets,
    Found,
    Resource,
    ResponsibilityList,
    Step,
)
from catalog.tables import DepartmentRow
from exchange.authorisation import APPLICATION_STATES, GRANT_STATES, Explanation
from exchange.authorisation.reading import askable
from exchange.db.tables import ApplicationRow, DecisionRow, GrantRow
from exchange.errors import Denied, Unknown
from exchange.hub.oversight import ExchangeStatus
from exchange.identity import Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

OVERSEERS = frozenset({Role.INTEGRATOR, Role.SYSTEM, Role.SECURITY, Role.AUDIT})
"""Who may see what concerns others: administrators, and who configures the exchanges."""
_AT_MOST = 20
"""Counting all resources takes one part of the time in so many, however often some of them move."""
_NAMES_SECONDS = 1.0
"""Within which a name that another process has changed is seen."""


@dataclass(frozen=True)
class DecisionEntry:
    """An answer to an application (审核意见)."""

    approved: bool
    decider: str
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class ApplicationEntry:
    """An application as its parties see it (共享申请).

    Attributes:
        label: The state in words.
        asked: What was asked for: items, filter, masks, purpose, way, period, target.
        grant: Id of the grant it led to, if any.
    """

    id: str
    resource: str
    resource_name: str
    provider: str
    department: str
    state: str
    label: str
    applicant: str
    submitted_at: datetime
    decided_at: datetime | None
    asked: Mapping[str, Any]
    decisions: tuple[DecisionEntry, ...]
    grant: str | None


@dataclass(frozen=True)
class GrantEntry:
    """A grant as its parties see it (授权).

    Attributes:
        kind: ``collection`` or ``sharing``.
        label: The state in words.
        granted: What may move: items, filter, masks, purpose, way, target, and limits of a minute where there are.
    """

    id: str
    kind: str
    resource: str
    resource_version: int
    resource_name: str
    provider: str
    department: str
    application: str | None
    state: str
    label: str
    version: int
    granted: Mapping[str, Any]
    valid_from: datetime
    valid_until: datetime | None
    quota_rows: int | None
    issued_at: datetime


def concerns(hub: Hub, by: Actor, *parties: str) -> bool:
    """Whether somebody may see what is between these departments."""
    # An integrator sees everything only from the hub's own department.
    whole = OVERSEERS if by.department == hub.settings.hub_department else OVERSEERS - {Role.INTEGRATOR}
    return by.department in parties or not whole.isdisjoint(by.roles)


class Directory:
    """Answers what doors ask without changing anything."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._cube: tuple[Cube | None, float] = (None, 0.0)
        self._names: tuple[dict[str, str] | None, float] = (None, 0.0)

    # --- departments and endpoints -------------------------------------------------------------

    def departments(self) -> tuple[Department, ...]:
        """All departments, by credit code."""
        with self._hub.told(), self._hub.database.reading() as session:
            return self._hub.catalog.departments(session)

    def department_names(self) -> dict[str, str]:
        """What people call each department, by its credit code; asked for by every page.

        They are kept for a second, and no longer than until they are changed here.
        """
        names, until = self._names
        if names is None or time.monotonic() > until:
            if names is None and not until:
                self._hub.database.changes.follow({DepartmentRow: frozenset()}, self._renamed)
            until = time.monotonic() + _NAMES_SECONDS
            with self._hub.told(), self._hub.database.reading() as session:
                names = self._hub.catalog.department_names(session)
            self._names = names, until
        return names

    def _renamed(self) -> None:
        self._names = None, self._names[1]

    def department(self, name: str) -> Department:
        """The department of a credit code, a name or a short name.

        Raises:
            Unknown: There is none.
        """
        with self._hub.told(), self._hub.database.reading() as session:
            return self._hub.catalog.department(session, name)

    def endpoints(self, *, by: Actor, department: str | None = None) -> list[EndpointSpec]:
        """All endpoints or those of one department, by name; others' without their options."""
        with self._hub.told(), self._hub.database.reading() as session:
            code = self._code(session, department)
            found = self._hub.catalog.endpoints(session, code)
        return [
            spec if self._concerns(by, spec.department) else spec.model_copy(update={"options": {}}) for spec in found
        ]

    def endpoint(self, name: str, *, by: Actor) -> EndpointSpec:
        """An endpoint with its options; secrets in them are references.

        Raises:
            Unknown: There is none of that name.
            Denied: It is another department's.
        """
        with self._hub.told(), self._hub.database.reading() as session:
            spec = self._hub.catalog.endpoint(session, name)
        self._must_concern(by, f"查看端点 {name} 的地址", spec.department)
        return spec

    # --- resources -----------------------------------------------------------------------------

    def resources(
        self,
        *,
        by: Actor,
        provider: str | None = None,
        state: str | None = None,
        record_class: str | None = None,
        published: bool = False,
        after: str = "",
        most: int | None = None,
    ) -> list[Entry]:
        """Resources by code: the newest version where the actor may see it, else the one in force.

        Args:
            by: Who asks.
            provider: Of this department alone.
            state: In this state alone, as it is shown.
            record_class: Of this class alone, as it is shown.
            published: Only what is in force.
            after: With higher codes than this one alone.
            most: So many at most; None: all.
        """
        own = None if self.sees_drafts(by) else by.department
        with self._hub.told(), self._hub.database.reading() as session:
            found = self._hub.catalog.resources(
                session,
                provider=self._code(session, provider),
                state=state,
                record_class=record_class,
                published=published,
                drafts_of=own,
                after=after,
                most=most,
            )
        return list(found)

    def resource(self, code: str, version: int | None = None, *, by: Actor) -> Entry:
        """A resource: a given version, else the newest one the actor may see.

        Raises:
            Unknown: There is none under that code, or none the actor may see.
        """
        with self._hub.told(), self._hub.database.reading() as session:
            return self._entry(session, code, version, by)

    def history(self, code: str, *, by: Actor) -> tuple[Step, ...]:
        """Every move of a resource, oldest first (流转记录), to its provider, the centre and the administrators."""
        with self._hub.told(), self._hub.database.reading() as session:
            entry = self._hub.catalog.resource(session, code)
            steps = self._hub.catalog.history(session, code)
        if not self._sees_drafts(by, entry):
            self._refuse(by, f"查看资源 {code} 的流转记录", ["只有提供部门、平台管理单位和管理员可以查看"])
        return steps

    def difference(
        self, code: str, old: int | None = None, new: int | None = None, *, by: Actor
    ) -> tuple[Entry, Entry, tuple[Change, ...]]:
        """Two versions of a resource and what differs; by default the one in force and the newest one."""
        with self._hub.told(), self._hub.database.reading() as session:
            after = self._entry(session, code, new, by)
            before = self._entry(session, code, old or after.version_in_force or max(after.version - 1, 1), by)
            return before, after, self._hub.catalog.difference(before.resource, after.resource)

    def against(self, code: str, resource: Resource, *, by: Actor) -> tuple[Entry, tuple[Change, ...]]:
        """The newest version as it stands, and what would differ if this were registered in its place."""
        with self._hub.told(), self._hub.database.reading() as session:
            entry = self._entry(session, code, None, by)
        # The provider's name is the register's, whatever is written.
        same = resource.model_copy(update={"provider": entry.resource.provider})
        return entry, self._hub.catalog.difference(entry.resource, same)

    def search(self, text: str = "", *, provider: str | None = None, **filters: Any) -> Found:
        """Find published resources; the filters are those of the catalogue's search (目录检索)."""
        with self._hub.told(), self._hub.database.reading() as session:
            code = self._code(session, provider)
            return self._hub.catalog.search(session, text, provider=code, **filters)

    def facets(self, text: str = "", *, provider: str | None = None, **filters: Any) -> Facets:
        """How many published resources there are of each kind (分面计数); the filters are those of :meth:`search`.

        Without words nothing is counted as long as no resource moves.
        """
        with self._hub.told(), self._hub.database.reading() as session:
            code = self._code(session, provider)
            cube = None if text.strip() else self._current(session)
            return self._hub.catalog.facets(session, text, provider=code, cube=cube, **filters)

    def _current(self, session: Session) -> Cube:
        """All resources, counted: anew where some have moved, but not all the time where some move all the time."""
        cube, until = self._cube
        if cube is None or time.monotonic() >= until:
            begun = time.monotonic()
            cube = self._hub.catalog.cube(session, cube)
            ended = time.monotonic()
            self._cube = (cube, ended + _AT_MOST * (ended - begun))
        return cube

    def responsibility(self, department: str, *, by: Actor) -> ResponsibilityList:
        """What a department has to provide (责任清单); others see what is published."""
        with self._hub.told(), self._hub.database.reading() as session:
            found = self._hub.catalog.responsibility_list(session, department)
        entries = tuple(entry for entry in found.resources if entry.in_force or self._sees_drafts(by, entry))
        return ResponsibilityList(department=found.department, resources=entries, demands=found.demands)

    def demands(
        self, *, department: str | None = None, provider: str | None = None, state: Any = None
    ) -> tuple[DemandEntry, ...]:
        """The list of demand (需求清单), oldest first."""
        with self._hub.told(), self._hub.database.reading() as session:
            parties = {"department": self._code(session, department), "provider": self._code(session, provider)}
            return self._hub.catalog.demands(session, **parties, state=state)

    # --- applications and grants ---------------------------------------------------------------

    def applications(
        self,
        *,
        by: Actor,
        state: str | None = None,
        resource: str | None = None,
        names: Collection[str] | None = None,
    ) -> list[ApplicationEntry]:
        """Applications the actor may see, newest first; of these names, where they are given."""
        query = select(ApplicationRow).order_by(ApplicationRow.submitted_at.desc(), ApplicationRow.id)
        if state is not None:
            query = query.where(ApplicationRow.state == state)
        if resource is not None:
            query = query.where(ApplicationRow.resource == resource)
        if names is not None:
            query = query.where(ApplicationRow.id.in_(names))
        with self._hub.told(), self._hub.database.reading() as session:
            rows = session.scalars(query).all()
            shown = self._applications(session, rows)
        return [entry for entry in shown if self._concerns(by, entry.department, entry.provider)]

    def application(self, name: str, *, by: Actor) -> ApplicationEntry:
        """One application with its answers.

        Raises:
            Unknown: There is none of that id.
            Denied: It concerns neither the actor's department nor his office.
        """
        with self._hub.told(), self._hub.database.reading() as session:
            row = session.get(ApplicationRow, name) if askable(name) else None
            found = self._applications(session, [row]) if row is not None else []
        if not found:
            raise Unknown(f"没有申请 {name}", remedy="用 shutong application list 查看")
        self._must_concern(by, f"查看申请 {name}", found[0].department, found[0].provider)
        return found[0]

    def grants(
        self,
        *,
        by: Actor,
        state: str | None = None,
        resource: str | None = None,
        kind: str | None = None,
        names: Collection[str] | None = None,
    ) -> list[GrantEntry]:
        """Grants the actor may see, newest first; of these names, where they are given."""
        query = select(GrantRow).order_by(GrantRow.issued_at.desc(), GrantRow.id)
        for column, value in ((GrantRow.state, state), (GrantRow.resource, resource), (GrantRow.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        if names is not None:
            query = query.where(GrantRow.id.in_(names))
        with self._hub.told(), self._hub.database.reading() as session:
            shown = self._grants(session, session.scalars(query).all())
        return [entry for entry in shown if self._concerns(by, entry.department, entry.provider)]

    def grant(self, name: str, *, by: Actor) -> GrantEntry:
        """One grant.

        Raises:
            Unknown: There is none of that id.
            Denied: It concerns neither the actor's department nor his office.
        """
        with self._hub.told(), self._hub.database.reading() as session:
            row = session.get(GrantRow, name) if askable(name) else None
            found = self._grants(session, [row]) if row is not None else []
        if not found:
            raise Unknown(f"没有授权 {name}", remedy="用 shutong grant list 查看")
        self._must_concern(by, f"查看授权 {name}", found[0].department, found[0].provider)
        return found[0]

    def explain(self, name: str, *, by: Actor) -> Explanation:
        """Who may have what under a grant, an application or an exchange, why, and would it pass now.

        Raises:
            Unknown: There is nothing under that name.
            Denied: It concerns neither the actor's department nor his office.
        """
        found = self._hub.sharing.explain(name, by=by)
        self._must_concern(by, f"查看 {name}", found.department, found.provider)
        return found

    def exchanges(self, *, by: Actor) -> list[ExchangeStatus]:
        """The exchanges the actor may see, and how the last run of each ended."""
        shown = self._hub.oversight.status()
        return [each for each in shown if self._concerns(by, each.provider, each.recipient)]

    def description(self, *, by: Actor) -> str:
        """Everything described, as YAML; for who configures the hub and the administrators.

        Raises:
            Denied: The actor is neither.
        """
        with self._hub.permitted(by, *sorted(OVERSEERS), action="导出配置", of=()):
            return self._hub.configuration.export()

    def _applications(self, session: Session, rows: Sequence[ApplicationRow]) -> list[ApplicationEntry]:
        ids = [row.id for row in rows]
        answers: dict[str, list[DecisionEntry]] = {}
        for told in session.scalars(
            select(DecisionRow).where(DecisionRow.application.in_(ids)).order_by(DecisionRow.id)
        ):
            entry = DecisionEntry(told.approved, told.decider, tuple(told.reasons), told.at)
            answers.setdefault(told.application, []).append(entry)
        grants = {
            grant.application: grant.id
            for grant in session.scalars(select(GrantRow).where(GrantRow.application.in_(ids)))
        }
        known = {code: self._standing(session, code) for code in {row.resource for row in rows}}
        return [
            ApplicationEntry(
                id=row.id,
                resource=row.resource,
                resource_name=known[row.resource].name,
                provider=known[row.resource].provider_code,
                department=row.department,
                state=row.state,
                label=APPLICATION_STATES.get(row.state, row.state),
                applicant=row.applicant,
                submitted_at=row.submitted_at,
                decided_at=row.decided_at,
                asked=dict(row.body),
                decisions=tuple(answers.get(row.id, ())),
                grant=grants.get(row.id),
            )
            for row in rows
        ]

    def _grants(self, session: Session, rows: Sequence[GrantRow]) -> list[GrantEntry]:
        wanted = {(row.resource, row.resource_version) for row in rows}
        known = {of: self._hub.catalog.resource(session, *of).resource for of in wanted}
        return [self._granted(row, known[row.resource, row.resource_version]) for row in rows]

    def _granted(self, row: GrantRow, resource: Resource) -> GrantEntry:
        return GrantEntry(
            id=row.id,
            kind=row.kind,
            resource=row.resource,
            resource_version=row.resource_version,
            resource_name=resource.name,
            provider=resource.provider_code,
            department=row.department,
            application=row.application,
            state=row.state,
            label=GRANT_STATES.get(row.state, row.state),
            version=row.version,
            granted=dict(row.body),
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            quota_rows=row.quota_rows,
            issued_at=row.issued_at,
        )

    def _standing(self, session: Session, code: str) -> Resource:
        """What a resource was when it could be applied for: a draft of the next version is not for everyone."""
        newest = self._hub.catalog.resource(session, code)
        return self._hub.catalog.resource(session, code, newest.version_in_force or newest.version).resource

    # --- who may see what ----------------------------------------------------------------------

    def oversees(self, by: Actor) -> bool:
        """Whether somebody sees applications and grants to which his department is no party."""
        return self._concerns(by)

    def sees_drafts(self, by: Actor) -> bool:
        """Whether somebody sees what other departments have not published yet."""
        return self._concerns(by, self._hub.settings.hub_department)

    def _code(self, session: Session, department: str | None) -> str | None:
        return None if department is None else self._hub.catalog.department(session, department).code

    def _entry(self, session: Session, code: str, version: int | None, by: Actor) -> Entry:
        newest = self._hub.catalog.resource(session, code)
        if self._sees_drafts(by, newest):
            return newest if version is None else self._hub.catalog.resource(session, code, version)
        standing = newest.version_in_force
        if standing is None or version not in (None, standing):
            what = f"资源 {code} 的第 {version} 版" if version is not None and standing is not None else f"资源 {code}"
            raise Unknown(f"{what}没有发布", remedy="只有提供部门、平台管理单位和管理员可以查看没有发布的内容")
        return self._hub.catalog.resource(session, code, standing)

    def _sees_drafts(self, by: Actor, entry: Entry) -> bool:
        return self._concerns(by, entry.resource.provider_code, self._hub.settings.hub_department)

    def _concerns(self, by: Actor, *parties: str) -> bool:
        return concerns(self._hub, by, *parties)

    def _must_concern(self, by: Actor, what: str, *parties: str) -> None:
        if not self._concerns(by, *parties):
            self._refuse(by, what, ["只有当事部门和管理员可以查看"])

    def _refuse(self, by: Actor, what: str, reasons: list[str]) -> None:
        error = Denied(f"{by.name} 不能{what}", reasons)
        self._hub.denied(by, what, error)
        raise error
