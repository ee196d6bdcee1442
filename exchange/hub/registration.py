"""Registration (登记): departments, endpoints and resources, and the two approvals of a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import MOVES, Department, EndpointSpec, Entry, Form, Registered, Resource
from catalog.codes import file_name
from catalog.reading import read_resource
from exchange.audit import events
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.engine import problems_of_endpoint, settle
from exchange.errors import Denied, Invalid, Misplaced, Problem, Unknown
from exchange.identity import Actor
from exchange.library import library_end, library_schema, library_table, offer_end
from exchange.plan import canonical_digest
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

ROLES: dict[str, Role] = {"provider": Role.CLERK, "registration": Role.REVIEWER, "publication": Role.REVIEWER}
"""Who may make the moves of which part; that they are different people is the catalogue's rule."""


def mark_of(endpoint: EndpointSpec) -> str:
    """What tells whether an endpoint is still as somebody saw it (版本标记)."""
    return canonical_digest(endpoint.model_dump(mode="json"))


class Registration:
    """What clerks and integrators register."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # --- departments and endpoints -------------------------------------------------------------

    def put_department(self, department: Department, *, by: Actor) -> None:
        """Register a department or correct its entry (部门登记)."""
        hub = self._hub
        what = f"登记部门 {department.name}"
        with (
            hub.permitted(by, Role.INTEGRATOR, Role.SYSTEM, action=what, of=[department.code]),
            hub.told(),
            hub.database.transaction() as session,
        ):
            hub.catalog.put_department(session, department)
            event = events.DepartmentRegistered(code=department.code, name=department.name)
            hub.audit.record(session, event, by=by, department=department.code)

    def put_endpoint(self, endpoint: EndpointSpec, *, by: Actor, instead_of: str | None = None) -> None:
        """Register an endpoint or change it (端点登记); every wrong option is told at once.

        Args:
            endpoint: As it is to be.
            by: An integrator of its department or of the hub.
            instead_of: Mark of what it takes the place of (:func:`mark_of`), empty for nothing; None: whatever
                is there.

        Raises:
            Misplaced: What is there is not that; nothing was changed.
        """
        hub = self._hub
        about = {"of": [endpoint.department], "department": endpoint.department}
        with hub.permitted(by, Role.INTEGRATOR, action=f"登记端点 {endpoint.name}", **about):
            problems = problems_of_endpoint(endpoint, home=hub.settings.home)
            if problems:
                raise Invalid(f"端点 {endpoint.name} 的登记有误", problems)
            with hub.told(), hub.database.transaction() as session:
                if instead_of is not None:
                    self._demand_unchanged(session, endpoint.name, instead_of)
                hub.catalog.put_endpoint(session, endpoint)
                event = events.EndpointRegistered(name=endpoint.name, kind=endpoint.kind)
                hub.audit.record(session, event, by=by, department=endpoint.department)

    def _demand_unchanged(self, session: Session, name: str, mark: str) -> None:
        there = next((each for each in self._hub.catalog.endpoints(session) if each.name == name), None)
        if there is not None and not mark:
            raise Misplaced(f"已经有端点 {name}", remedy="换一个名称，或到这个端点的页面上修改")
        if mark and (there is None or mark_of(there) != mark):
            raise Misplaced(f"端点 {name} 已被他人改动", remedy="重新打开，核对现在的登记后再改")

    def test_endpoint(self, name: str, *, by: Actor) -> list[Any]:
        """Try what a run will need of an endpoint, and of each resource that is offered there (连通测试)."""
        hub = self._hub
        spec = self._endpoint(name)
        about = {"of": [spec.department], "department": spec.department}
        with hub.permitted(by, Role.INTEGRATOR, action=f"测试端点 {name}", **about), hub.told():
            with hub.database.reading() as session:
                probes = hub.endpoints.test(session, name)
                offered = [entry.resource for entry in hub.catalog.resources(session)]
                probes += [
                    hub.endpoints.test_offer(
                        session, offer_end(each), key=each.key, version=each.version_item, items=each.items
                    )
                    for each in offered
                    if each.offer is not None and each.offer.endpoint == name and probes[0].passed
                ]
            with hub.database.transaction() as session:
                passed = all(probe.passed for probe in probes)
                event = events.EndpointTested(name=name, passed=passed)
                hub.audit.record(session, event, by=by, department=spec.department)
        return probes

    def inspect_endpoint(self, name: str, object: str | None = None, *, by: Actor) -> list[Any]:
        """What lies at an endpoint: tables, operations or files, with their columns (探查)."""
        hub = self._hub
        spec = self._endpoint(name)
        about = {"of": [spec.department], "department": spec.department}
        allowed = hub.permitted(by, Role.INTEGRATOR, Role.CLERK, action=f"探查端点 {name}", **about)
        with allowed, hub.told(), hub.database.reading() as session:
            return hub.endpoints.inspect(session, name, object)

    def _endpoint(self, name: str) -> EndpointSpec:
        with self._hub.told(), self._hub.database.reading() as session:
            return self._hub.catalog.endpoint(session, name)

    # --- resources -----------------------------------------------------------------------------

    def begin(self, *, by: Actor) -> None:
        """Open the form for a new resource, before anything is written (打开登记表).

        Raises:
            Denied: It is not for him to register.
        """
        with self._hub.permitted(by, Role.CLERK, action="登记资源", department=by.department):
            pass

    def change(self, code: str, *, by: Actor, held: bool = False) -> Entry:
        """Open a resource for a change, before anything is written (打开资源修改).

        Args:
            code: Code of the resource.
            by: Who is to change it.
            held: It was opened before, and what was written since is at hand: its state is :meth:`register`'s to judge.

        Returns:
            The newest version, whose mark :meth:`register` is given.

        Raises:
            Denied: It is another department's, or not for him to register.
            Misplaced: Its newest version is under review.
        """
        hub = self._hub
        what, about = f"修改资源 {code}", {"resource": code}
        with hub.permitted(by, Role.CLERK, action=what, **about):
            entry = hub.directory.resource(code, by=by)
            if by.department != entry.resource.provider_code:
                error = Denied(f"{by.name} 不能{what}", ["只能登记本部门的资源"], remedy="由提供部门的经办员登记")
                hub.denied(by, what, error, **about)
                raise error
            if not held and not {"update", "revise"} & set(entry.actions):
                raise Misplaced(f"资源 {code} {entry.label}，现在不能修改", remedy="先撤回，再修改")
        return entry

    def register(
        self, given: Resource | Form | Mapping[str, Any], *, by: Actor, begun: str | None = None
    ) -> Registered:
        """Register a resource, or a new version of it, as a draft (资源登记).

        Args:
            given: What is registered.
            by: Who registers it.
            begun: Mark of the version one began from (:attr:`catalog.Entry.mark`), empty: there was none; None:
                whatever stands now.

        Returns:
            The entry as it stands, what changed, and warnings; errors are raised.

        Raises:
            Invalid: With everything that is wrong at once.
            Denied: It belongs to another department.
            Overtaken: Somebody else has changed it since.
        """
        hub = self._hub
        resource = read_resource(given).resource
        about = {"resource": resource.code, "department": resource.provider_code}
        with hub.permitted(by, Role.CLERK, action=f"登记资源 {resource.code}", **about):
            if by.department != resource.provider_code:
                error = Denied(
                    f"不能登记资源 {resource.code}", ["只能登记本部门的资源"], remedy="由提供部门的经办员登记"
                )
                hub.denied(by, f"登记资源 {resource.code}", error, **about)
                raise error
            with hub.told(), hub.database.transaction() as session:
                told = hub.catalog.register(session, given, by.name, by.department, begun=begun)
                event = events.ResourceRegistered(code=resource.code, version=told.entry.version, name=resource.name)
                hub.audit.record(session, event, by=by, **about)
        return told

    def move(self, code: str, action: str, *, opinion: str = "", by: Actor, begun: str | None = None) -> str:
        """Make a move in the life of a resource: submit, agree, reject, recall, withdraw (资源流转).

        Publication brings the collection grant, the library's table and the synchronisation with it.

        Args:
            code: Code of the resource.
            action: The move.
            opinion: Why.
            by: Who makes it.
            begun: Mark of the newest version one has seen; None: whatever stands now.

        Returns:
            The new state.

        Raises:
            Overtaken: Somebody else has changed or moved it since.
        """
        hub = self._hub
        step = next((move for name, move in MOVES.items() if name == action), None)
        if step is None:
            known = "、".join(name for name, move in MOVES.items() if not move.follows)
            raise Unknown(f"没有办理步骤 {action}", remedy=f"可用：{known}")
        what = f"办理资源 {code} 的{step.label}"
        with hub.permitted(by, ROLES[step.part], action=what, resource=code):
            self._in_charge(code, step.part, what, by)
            try:
                if action == "agree_publication":
                    self._make_room(code)
                with hub.told(), hub.database.transaction() as session:
                    before = hub.catalog.resource(session, code).state
                    moved = hub.catalog.move(session, code, action, by.name, by.department, opinion, begun)
                    after = moved.state
                    event = events.ResourceMoved(code=code, action=action, before=before, after=after, opinion=opinion)
                    hub.audit.record(session, event, by=by, resource=code)
                    if action == "agree_publication":
                        self._publish(session, code, by)
                    elif action == "withdraw":
                        self._unpublish(session, code, by)
            except Denied as error:
                hub.denied(by, what, error, resource=code)
                raise
        return after

    def _in_charge(self, code: str, part: str, what: str, by: Actor) -> None:
        """The provider's people register and approve the registration, the centre's the publication."""
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            provider = hub.catalog.resource(session, code).resource.provider_code
        needed = hub.settings.hub_department if part == "publication" else provider
        if by.department != needed:
            who = "平台管理单位" if part == "publication" else "提供部门"
            error = Denied(f"{by.name} 不能{what}", [f"这一步由{who}的人员办理"], remedy=f"请{who}办理")
            hub.denied(by, what, error, resource=code)
            raise error

    def _make_room(self, code: str) -> None:
        """Before publication: does the offer fit its source, and has the library a table for it.

        Outside the hub's transaction, which must not wait for a department's machine; repeatable.
        """
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            resource = hub.catalog.resource(session, code).resource
            if resource.offer is None:
                return
            self._alone(session, resource)
            key, version = resource.key, resource.version_item
            offered = offer_end(resource)
            misfits = hub.endpoints.check_source(session, offered, items=resource.items, key=key, version=version)
            if misfits:
                raise Invalid(f"资源 {code} 的挂接与来源端不符", misfits)
            if resource.offer.served == "provider":
                return
            schema = library_schema(resource)
            whole = library_end(resource, names=tuple(schema.names))
            # A later version finds the table there, and makes it hold more; never less, and nothing else.
            misfits = hub.endpoints.install(
                session, whole, schema=schema, key=key, version=version
            ) or hub.endpoints.check_sink(session, whole, schema=schema, key=key, version=version)
            if misfits:
                raise Invalid(f"资源 {code} 与基础库已有的表不符", misfits)

    def _publish(self, session: Session, code: str, by: Actor) -> None:
        """Grant the collection into the base library and set the synchronisation up."""
        hub = self._hub
        entry = hub.catalog.resource(session, code, published=True)
        resource = entry.resource
        if resource.offer is not None and resource.offer.served == "provider":
            return
        grant = hub.authorisation.collect(session, by, entry)
        if resource.offer is None or grant is None:
            return
        name = f"sync-{file_name(code)}"
        row = session.get(ExchangeRow, name)
        if row is None:
            row = ExchangeRow(
                id=name,
                kind="synchronisation",
                resource=code,
                table=library_table(resource),
                provider=resource.provider_code,
                recipient=hub.settings.hub_department,
                settings={},
                created_at=now(session),
            )
            session.add(row)
        row.grant = grant.id
        row.source = offer_end(resource).model_dump(mode="json")
        row.target = library_end(resource).model_dump(mode="json")
        row.state = "active"
        settle(session, row)
        event = events.ExchangeConfigured(exchange=name, kind="synchronisation", grant=grant.id)
        hub.audit.record(session, event, by=by, resource=code, exchange=name)

    def _alone(self, session: Session, resource: Resource) -> None:
        """Two resources of one provider in one library table would overwrite each other."""
        table = library_table(resource)
        others = session.scalars(
            select(ExchangeRow.resource).where(
                ExchangeRow.kind == "synchronisation",
                ExchangeRow.table == table,
                ExchangeRow.provider == resource.provider_code,
                ExchangeRow.resource != resource.code,
                ExchangeRow.state != "ended",
            )
        ).all()
        if others:
            raise Invalid(
                f"资源 {resource.code} 不能发布",
                [
                    Problem(
                        where=f"资源 {resource.code} › 数据表 {table}",
                        message=f"本部门的资源 {others[0]} 已归集到这张表",
                        remedy="合并为一个资源，或者不引用类别的数据表而自列信息项",
                    )
                ],
            )

    def _unpublish(self, session: Session, code: str, by: Actor) -> None:
        """Nothing moves any more under a resource that was taken down."""
        hub = self._hub
        for grant in session.scalars(
            select(GrantRow).where(GrantRow.resource == code, GrantRow.state.in_(("active", "suspended")))
        ):
            hub.authorisation.revoke(session, by, grant.id, f"资源 {code} 已下架")
