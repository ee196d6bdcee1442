"""Registration (登记): departments, endpoints and resources, and the two approvals of a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import Department, EndpointSpec, Resource, file_name
from exchange.audit import events
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.engine import problems_of_options
from exchange.errors import Denied, HubError, Invalid, Problem
from exchange.identity import Actor
from exchange.library import library_end, library_schema, library_table, offer_end
from exchange.plan import End
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

MOVE_ROLES: dict[str, Role] = {
    "submit_registration": Role.CLERK,
    "submit_publication": Role.CLERK,
    "recall": Role.CLERK,
    "withdraw": Role.REVIEWER,
    "agree_registration": Role.REVIEWER,
    "reject_registration": Role.REVIEWER,
    "agree_publication": Role.REVIEWER,
    "reject_publication": Role.REVIEWER,
}
"""Who may make which move; that they are different people is the catalogue's rule."""


class Registration:
    """What clerks and integrators register."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # --- departments and endpoints -------------------------------------------------------------

    def put_department(self, department: Department, *, by: Actor) -> None:
        """Register a department or correct its entry (部门登记)."""
        hub = self._hub
        with hub.permitted(by, Role.INTEGRATOR, Role.SYSTEM, action=f"登记部门 {department.name}"):
            with hub.told(), hub.database.transaction() as session:
                hub.catalog.put_department(session, department)
                event = events.DepartmentRegistered(code=department.code, name=department.name)
                hub.audit.record(session, event, by=by, department=department.code)

    def put_endpoint(self, endpoint: EndpointSpec, *, by: Actor) -> None:
        """Register an endpoint or change it (端点登记); every wrong option is told at once."""
        hub = self._hub
        with hub.permitted(by, Role.INTEGRATOR, action=f"登记端点 {endpoint.name}", department=endpoint.department):
            problems = problems_of_options(endpoint.kind, endpoint.options, where=f"端点 {endpoint.name}")
            if problems:
                raise Invalid(f"端点 {endpoint.name} 的登记有误", problems)
            with hub.told(), hub.database.transaction() as session:
                hub.catalog.put_endpoint(session, endpoint)
                event = events.EndpointRegistered(name=endpoint.name, kind=endpoint.kind)
                hub.audit.record(session, event, by=by, department=endpoint.department)

    def test_endpoint(self, name: str, *, by: Actor) -> list[Any]:
        """Try what a run will need of an endpoint (连通测试)."""
        hub = self._hub
        with hub.permitted(by, Role.INTEGRATOR, action=f"测试端点 {name}"), hub.told():
            with hub.database.reading() as session:
                spec = hub.catalog.endpoint(session, name)
                probes = hub.endpoints.test(session, name)
            with hub.database.transaction() as session:
                passed = all(probe.passed for probe in probes)
                event = events.EndpointTested(name=name, passed=passed)
                hub.audit.record(session, event, by=by, department=spec.department)
        return probes

    def inspect_endpoint(self, name: str, object: str | None = None, *, by: Actor) -> list[Any]:
        """What lies at an endpoint: tables, operations or files, with their columns (探查)."""
        hub = self._hub
        roles = (Role.INTEGRATOR, Role.CLERK)
        with hub.permitted(by, *roles, action=f"探查端点 {name}"), hub.told(), hub.database.reading() as session:
            return hub.endpoints.inspect(session, name, object)

    # --- resources -----------------------------------------------------------------------------

    def register(self, resource: Resource, *, by: Actor) -> list[Problem]:
        """Register a resource, or a new version of it, as a draft (资源登记).

        Returns:
            Warnings; errors are raised.

        Raises:
            Invalid: With everything that is wrong at once.
            Denied: It belongs to another department.
        """
        hub = self._hub
        about = {"resource": resource.code, "department": resource.provider_code}
        with hub.permitted(by, Role.CLERK, action=f"登记资源 {resource.code}", **about):
            if by.department != resource.provider_code:
                error = Denied(
                    f"不能登记资源 {resource.code}", ["只能登记本部门的资源"], remedy="由提供部门的经办员登记"
                )
                hub.denied(by, f"登记资源 {resource.code}", error, **about)
                raise error
            with hub.told(), hub.database.transaction() as session:
                version, warnings = hub.catalog.register(session, resource, actor=by.name, department=by.department)
                event = events.ResourceRegistered(code=resource.code, version=version, name=resource.name)
                hub.audit.record(session, event, by=by, **about)
        return [Problem(where=w.where, message=w.message, remedy=w.remedy) for w in warnings]

    def move(self, code: str, action: str, *, opinion: str = "", by: Actor) -> str:
        """Make a move in the life of a resource: submit, agree, reject, recall, withdraw (资源流转).

        Publication brings the collection grant, the library's table and the synchronisation with it.

        Returns:
            The new state.
        """
        hub = self._hub
        role = MOVE_ROLES.get(action, Role.CLERK)
        with hub.permitted(by, role, action=f"资源 {code}：{action}", resource=code):
            try:
                with hub.told(), hub.database.transaction() as session:
                    before, after = hub.catalog.move(
                        session, code, action, actor=by.name, department=by.department, opinion=opinion
                    )
                    event = events.ResourceMoved(
                        code=code, action=action, before=before, after=after, opinion=opinion
                    )
                    hub.audit.record(session, event, by=by, resource=code)
                    if action == "agree_publication":
                        self._publish(session, code, by)
                    elif action == "withdraw":
                        self._unpublish(session, code, by)
            except Denied as error:
                hub.denied(by, f"资源 {code}：{action}", error, resource=code)
                raise
        return after

    def _publish(self, session: Session, code: str, by: Actor) -> None:
        """Grant the collection into the base library and set the synchronisation up."""
        hub = self._hub
        resource = hub.catalog.resource(session, code, published=True)
        grant = hub.authorisation.collect(session, by, resource)
        if resource.offer is None:
            return
        self._alone(session, resource)
        source = offer_end(resource)
        items = resource.items
        check = {"key": resource.key, "version": resource.version_item}
        misfits = hub.endpoints.check_source(session, source, items=items, **check)
        if misfits:
            raise Invalid(f"资源 {code} 的挂接与来源端不符", misfits)
        target = library_end(resource)
        schema = library_schema(resource)
        whole = library_end(resource, names=tuple(schema.names))
        hub.endpoints.install(session, whole, schema=schema, **check)
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
        row.source = source.model_dump(mode="json")
        row.target = target.model_dump(mode="json")
        row.state = "active"
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

    def ends(self, session: Session, exchange: str) -> tuple[End, End]:
        """Both ends of an exchange."""
        row = session.get_one(ExchangeRow, exchange)
        return End(**row.source), End(**row.target)


__all__ = ["MOVE_ROLES", "HubError", "Registration"]
