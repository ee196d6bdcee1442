"""Sharing (共享): applications, decisions, grants, and the exchanges that carry them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import Entry
from exchange.audit import events
from exchange.authorisation import Application, Assessment, Explanation
from exchange.authorisation.reading import askable
from exchange.db import now
from exchange.db.tables import ApplicationRow, ExchangeRow, GrantRow
from exchange.engine import owe_first, plan_exchange, settle
from exchange.errors import Denied, Problem, Unknown
from exchange.identity import Actor
from exchange.library import library_table, served_end
from exchange.plan import End, Plan
from exchange.receipts import Refreshed
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub


class Sharing:
    """What departments ask of each other, and what follows from the answer."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def begin(self, code: str, *, by: Actor) -> Entry:
        """Open an application for a resource, before anything is written (打开申请表).

        Returns:
            The version in force.

        Raises:
            Denied: It is not for him to apply.
            Misplaced: The resource is not published.
        """
        hub = self._hub
        about = {"resource": code, "department": by.department}
        with (
            hub.permitted(by, Role.CLERK, action=f"申请资源 {code}", **about),
            hub.told(),
            hub.database.reading() as session,
        ):
            return hub.catalog.resource(session, code, published=True)

    def assess(self, application: Application, *, by: Actor) -> Assessment:
        """What the rules would say to an application if it were made now (预审); makes nothing.

        Raises:
            Denied: It is not for him to apply, or the target is another department's.
        """
        hub = self._hub
        what = f"申请资源 {application.resource}"
        about = {"resource": application.resource, "department": application.department}
        with hub.permitted(by, Role.CLERK, action=what, **about):
            try:
                with hub.told(), hub.database.reading() as session:
                    self._own_target(session, application)
                    return hub.authorisation.assess(session, by, application)
            except Denied as error:
                hub.denied(by, what, error, **about)
                raise

    def apply(self, application: Application, *, by: Actor) -> str:
        """Apply for the use of a resource (提出共享申请); unconditional ones are granted at once.

        Returns:
            The application's id; its state says what came of it.

        Raises:
            Invalid: Material is missing; all of it is named at once (一次性告知).
            Denied: Refused by rule, with every reason.
        """
        hub = self._hub
        what = f"申请资源 {application.resource}"
        about = {"resource": application.resource, "department": application.department}
        with hub.permitted(by, Role.CLERK, action=what, **about):
            try:
                with hub.told(), hub.database.transaction() as session:
                    return self.enter(session, application, by=by)
            except Denied as error:
                hub.denied(by, what, error, **about)
                raise

    def enter(self, session: Session, application: Application, *, by: Actor) -> str:
        """Enter an application in the caller's transaction, with the grant and exchange it leads to at once."""
        self._own_target(session, application)
        name = self._hub.authorisation.apply(session, by, application)
        self._exchange(session, name, by)
        return name

    def _own_target(self, session: Session, application: Application) -> None:
        """Rows go to an endpoint of the department that asks, to no other."""
        if application.target is None:
            return
        endpoint = self._hub.catalog.endpoint(session, application.target.endpoint)
        if endpoint.department != application.department:
            raise Denied(
                f"不能申请资源 {application.resource}",
                [f"端点 {endpoint.name} 不属于申请部门"],
                remedy="使用本部门登记的端点",
            )

    def decide(self, application: str, *, approved: bool, reasons: list[str], by: Actor, **narrower: Any) -> str | None:
        """Answer an application (审核申请): only the provider's reviewer, never the applicant, with reasons.

        Args:
            application: Its id.
            approved: Yes or no.
            reasons: Why; a refusal needs one.
            by: Who answers.
            narrower: Less than was asked for: items, filter, masks, quota, limits of a minute, end.

        Returns:
            Id of the grant, None if refused.
        """
        hub = self._hub
        what = f"审核申请 {application}"
        with hub.permitted(by, Role.REVIEWER, action=what):
            try:
                with hub.told(), hub.database.transaction() as session:
                    row = session.get(ApplicationRow, application) if askable(application) else None
                    if row is None:
                        raise Unknown(f"没有申请 {application}", remedy="用 shutong application list 查看")
                    hub.authorisation.decide(session, by, application, approved=approved, reasons=reasons, **narrower)
                    return self._exchange(session, application, by)
            except Denied as error:
                hub.denied(by, what, error)
                raise

    def withdraw(self, application: str, *, reason: str = "", by: Actor) -> None:
        """Take back an application that has not been answered (撤回申请)."""
        hub = self._hub
        what = f"撤回申请 {application}"
        with hub.permitted(by, Role.CLERK, action=what):
            try:
                with hub.told(), hub.database.transaction() as session:
                    hub.authorisation.withdraw(session, by, application, reason)
            except Denied as error:
                hub.denied(by, what, error)
                raise

    def _exchange(self, session: Session, application: str, by: Actor) -> str | None:
        """Set up the exchange that carries out the grant an application led to."""
        hub = self._hub
        grant = session.scalar(select(GrantRow).where(GrantRow.application == application))
        if grant is None:
            return None
        target = grant.body.get("target")
        if not target:
            return grant.id
        resource = hub.catalog.resource(session, grant.resource, version=grant.resource_version).resource
        source = served_end(resource)
        name = f"share-{grant.id}"
        if session.get(ExchangeRow, name) is not None:
            return grant.id  # the same application came again
        row = ExchangeRow(
            id=name,
            kind="sharing",
            grant=grant.id,
            resource=grant.resource,
            table=library_table(resource),
            provider=resource.provider_code,
            recipient=grant.department,
            source=source.model_dump(mode="json"),
            target=End(**{**target, "columns": target.get("columns") or {}}).model_dump(mode="json"),
            settings={},
            state="active",
            created_at=now(session),
        )
        session.add(row)
        session.flush()
        settle(session, row)
        owe_first(session, row, hub.catalog, row.created_at)
        event = events.ExchangeConfigured(exchange=name, kind="sharing", grant=grant.id)
        hub.audit.record(session, event, by=by, resource=grant.resource, exchange=name, department=grant.department)
        return grant.id

    def change(self, grant: str, action: str, *, reason: str, recall: bool = False, by: Actor) -> list[str]:
        """Suspend, resume or revoke a grant (中止、恢复、撤销).

        Only its provider's reviewer or the security administrator may.

        Args:
            grant: Its id.
            action: ``suspend``, ``resume`` or ``revoke``.
            reason: Why.
            recall: Call back what was delivered under a grant that is revoked.
            by: Who does it.

        Returns:
            Ids of the recalls.

        Raises:
            Misplaced: It is not in a state for that, or what was delivered cannot be called back; nothing is changed.
        """
        hub = self._hub
        word = {"suspend": "中止", "resume": "恢复", "revoke": "撤销"}[action]
        what = f"{word}授权 {grant}"
        with hub.permitted(by, Role.REVIEWER, Role.SECURITY, action=what):
            try:
                with hub.told(), hub.database.transaction() as session:
                    row = session.get(GrantRow, grant) if askable(grant) else None
                    if row is None:
                        raise Unknown(f"没有授权 {grant}", remedy="用 shutong grant list 查看")
                    provider = hub.catalog.resource(
                        session, row.resource, version=row.resource_version
                    ).resource.provider_code
                    self._may_change(by, what, provider)
                    getattr(hub.authorisation, action)(session, by, grant, reason)
                    # With the grant held: what passes the gate has passed it before, or never does.
                    recalls = hub.recalls.revoked(session, grant, reason=reason, by=by) if recall else []
            except Denied as error:
                hub.denied(by, what, error)
                raise
        hub.recalls.attend(recalls, by=by)
        return recalls

    def _may_change(self, by: Actor, what: str, provider: str) -> None:
        if Role.SECURITY not in by.roles and by.department != provider:
            raise Denied(f"不能{what}", ["只有提供部门的审核员或安全管理员可以变更授权"])

    def explain(self, name: str, *, by: Actor) -> Explanation:
        """Who may have what, why, until when, and would it pass now (授权说明)."""
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            exchange = session.get(ExchangeRow, name) if askable(name) else None
            return hub.authorisation.explain(session, exchange.grant if exchange else name)

    def plan(self, exchange: str) -> Plan:
        """The plan of the exchange's next run (执行方案)."""
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            if row is None:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            source = hub.endpoints.open(session, row.source["endpoint"]).capabilities
            target = hub.endpoints.open(session, row.target["endpoint"]).capabilities
            return plan_exchange(session, row, source, target, hub.settings, hub.catalog)

    def outlook(self, exchange: str, *, by: Actor) -> tuple[Plan, Refreshed | None]:
        """The plan of the next run, with how it would refresh its target as that is now (执行方案); changes nothing."""
        hub = self._hub
        hub.exchanges.demand_party(exchange, f"查看交换 {exchange} 的方案", by=by)
        plan = self.plan(exchange)
        with hub.told(), hub.database.reading() as session:
            return plan, hub.endpoints.refreshing(session, plan)

    def prepare(self, exchange: str) -> str:
        """The script a department's administrator runs before the first delivery (建表脚本).

        For a sharing it makes the recipient's table and ledger; for a synchronisation, whose target is the
        hub's own, the provider's error-return table where its family has one.
        """
        plan = self.plan(exchange)
        end = plan.source if plan.kind == "synchronisation" else plan.target
        with self._hub.told(), self._hub.database.reading() as session:
            return self._hub.endpoints.prepare(session, end, plan)

    def check(self, exchange: str) -> list[Problem]:
        """Everything about an exchange that does not fit its target (交换自检)."""
        plan = self.plan(exchange)
        with self._hub.told(), self._hub.database.reading() as session:
            return self._hub.endpoints.check_target(session, plan)
