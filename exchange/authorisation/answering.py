"""Applications and the answers to them (共享申请与审核)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from catalog import Entry, Resource
from exchange.audit import events
from exchange.authorisation import application as applications
from exchange.authorisation import narrowing
from exchange.authorisation.application import Application
from exchange.authorisation.books import Books
from exchange.authorisation.explanation import APPLICATION_STATES
from exchange.authorisation.narrowing import Terms
from exchange.authorisation.policy import Assessment
from exchange.authorisation.reading import askable, sentences
from exchange.db import now
from exchange.db.tables import ApplicationRow, DecisionRow, GrantRow
from exchange.errors import Denied, Invalid, Misplaced, Problem, Unknown
from exchange.identity import PLATFORM, Actor, require
from exchange.settings import Role


class Answering(Books):
    """Takes applications, answers them by rule where the rules can, and lets the provider answer the rest."""

    def assess(self, session: Session, actor: Actor, application: Application) -> Assessment:
        """What the rules say to an application, without making it.

        Raises:
            Denied: The actor may not apply for this department.
            Unknown: There is no such resource.
        """
        self._may_apply(actor, application)
        return self._assessed(session, application)[1]

    def _may_apply(self, actor: Actor, application: Application) -> None:
        what = f"申请资源 {application.resource}"
        # The hub's integrator may enter what departments sent in; he answers nothing.
        entering = Role.INTEGRATOR in actor.roles and actor.department == self._settings.hub_department
        if not entering:
            require(actor, Role.CLERK, action=what)
        if actor.department != application.department and not entering:
            raise Denied(
                f"{actor.name} 不能{what}",
                [f"只能以本部门的名义申请：申请部门 {application.department}，本人部门 {actor.department}"],
                remedy="由申请部门的经办员提出",
            )

    def apply(self, session: Session, actor: Actor, application: Application) -> str:
        """Make an application (提出共享申请) and answer it by rule where the rules can.

        The same application under the same id again changes nothing.

        Returns:
            Its id; its state is ``granted``, ``pending`` or ``refused``, with the reasons in its decision.

        Raises:
            Denied: The actor may not apply for this department.
            Unknown: There is no such resource.
            Misplaced: Another application bears the id.
        """
        self._may_apply(actor, application)
        name = application.id or "A" + secrets.token_hex(8)
        body = application.body()
        known = session.get(ApplicationRow, name)
        if known is not None:
            if known.body == body:
                return name
            raise Misplaced(f"申请 {name} 已经存在，内容不同", remedy="换一个编号再提出")
        entry, assessment = self._assessed(session, application)
        moment = now(session)
        row = ApplicationRow(
            id=name,
            resource=application.resource,
            department=application.department,
            state="pending",
            body=body,
            applicant=actor.name,
            submitted_at=moment,
        )
        session.add(row)
        session.flush()
        self._record(session, events.ApplicationSubmitted(application=name), actor, row)
        title = f"资源 {entry.resource.name}（{entry.code}）"
        if assessment.outcome == "refer":
            text = f"部门 {row.department} 申请使用{title}，申请编号 {name}，请审核答复"
            self._notify(session, entry.resource.provider_code, text, actor, entry.code)
            return name
        reasons = [*assessment.reasons, *assessment.remarks]
        if assessment.outcome == "refused":
            self._decided(session, row, PLATFORM, reasons, approved=False)
            return name
        self._decided(session, row, PLATFORM, reasons, approved=True)
        grant = self._issue(session, row, application, narrowing.terms_of(assessment, application), entry, PLATFORM)
        text = f"{title}为无条件共享，平台已授权部门 {row.department} 使用，授权编号 {grant.id}"
        self._notify(session, entry.resource.provider_code, text, PLATFORM, entry.code)
        return name

    def withdraw(self, session: Session, actor: Actor, application_id: str, reason: str = "") -> None:
        """Take back an application that has not been answered (撤回申请).

        Raises:
            Denied: The actor does not belong to the department that asked.
            Unknown: There is no such application.
            Misplaced: It has been answered.
            Invalid: The reason cannot be read.
        """
        what = f"撤回申请 {application_id}"
        require(actor, Role.CLERK, action=what)
        row = self._application(session, application_id)
        if actor.department != row.department:
            raise Denied(f"{actor.name} 不能{what}", ["只有申请部门可以撤回"])
        self._must_be_pending(row)
        row.state = "withdrawn"
        row.decided_at = now(session)
        reasons = ("：".join(["申请部门撤回", *sentences([reason], "撤回理由")]),)
        self._record(
            session, events.ApplicationDecided(application=row.id, approved=False, reasons=reasons), actor, row
        )

    def decide(
        self,
        session: Session,
        actor: Actor,
        application_id: str,
        *,
        approved: bool,
        reasons: Sequence[str] = (),
        **less: Any,
    ) -> str | None:
        """Answer an application for the provider (审核申请).

        Args:
            session: The caller's transaction.
            actor: Who answers: a reviewer of the provider, never the applicant.
            application_id: Id of the application.
            approved: The answer.
            reasons: Why; a refusal needs one.
            less: Less than was asked for, as in :class:`~exchange.authorisation.narrowing.Narrowing`:
                ``items``, ``filter``, ``masks``, ``quota``, ``calls_per_minute``, ``rows_per_minute``, ``until``.

        Returns:
            Id of the grant, None if refused.

        Raises:
            Denied: The actor may not answer it, or what he wants would widen what was asked, or the
                rules no longer allow it; with every reason.
            Unknown: There is no such application.
            Misplaced: It has been answered.
            Invalid: A refusal without a reason, or terms that cannot be read.
        """
        what = f"审核申请 {application_id}"
        require(actor, Role.REVIEWER, action=what)
        wishes = narrowing.parse({name: value for name, value in less.items() if value is not None})
        row = self._application(session, application_id)
        self._must_be_pending(row)
        application = applications.parse(row.body)
        entry, assessment = self._assessed(session, application)
        against = []
        if actor.department != entry.resource.provider_code:
            against.append(f"只有提供部门 {entry.resource.provider_code} 的审核员可以答复")
        if actor.name == row.applicant:
            against.append("申请人不能审核自己的申请")
        if against:
            raise Denied(f"{actor.name} 不能{what}", against)
        given = sentences(reasons, "审核意见")
        if not approved:
            if not given:
                raise Invalid(f"不能{what}", [Problem(where="审核意见", message="不同意须说明理由")])
            self._decided(session, row, actor, given, approved=False)
            self._notify(session, row.department, f"申请 {row.id} 未获同意：{'；'.join(given)}", actor, row.resource)
            return None
        terms = self._terms(what, assessment, application, wishes, entry.resource, self._today(session))
        self._decided(session, row, actor, [*given, *assessment.remarks], approved=True)
        grant = self._issue(session, row, application, terms, entry, actor)
        self._notify(session, row.department, f"申请 {row.id} 已获同意，授权编号 {grant.id}", actor, row.resource)
        return grant.id

    def _terms(
        self,
        what: str,
        assessment: Assessment,
        application: Application,
        wishes: narrowing.Narrowing,
        resource: Resource,
        today: date,
    ) -> Terms:
        if assessment.outcome == "refused":
            raise Denied(f"不能{what}：现行规则不允许", assessment.reasons, remedy="答复为不同意，由申请部门重新申请")
        terms = narrowing.terms_of(assessment, application)
        terms, against = narrowing.narrowed(terms, wishes, resource, today)
        if against:
            raise Denied(f"不能{what}：授权只能比申请更窄", against, remedy="改正后重新答复，或请申请部门重新申请")
        return terms

    def _application(self, session: Session, name: str) -> ApplicationRow:
        row = session.get(ApplicationRow, name, with_for_update=True, populate_existing=True) if askable(name) else None
        if row is None:
            raise Unknown(f"没有申请 {name}", remedy="用 shutong application list 查看")
        return row

    def _must_be_pending(self, row: ApplicationRow) -> None:
        if row.state != "pending":
            raise Misplaced(f"申请 {row.id} {APPLICATION_STATES[row.state]}，不能再答复或撤回")

    def _decided(
        self, session: Session, row: ApplicationRow, actor: Actor, reasons: Iterable[str], *, approved: bool
    ) -> None:
        told = tuple(reasons)
        row.state = "granted" if approved else "refused"
        row.decided_at = now(session)
        session.add(
            DecisionRow(
                application=row.id, approved=approved, reasons=list(told), decider=actor.name, at=row.decided_at
            )
        )
        session.flush()
        self._record(
            session, events.ApplicationDecided(application=row.id, approved=approved, reasons=told), actor, row
        )

    def _issue(
        self,
        session: Session,
        row: ApplicationRow,
        application: Application,
        terms: Terms,
        entry: Entry,
        actor: Actor,
    ) -> GrantRow:
        moment = now(session)
        since, until = terms.period(moment)
        grant = GrantRow(
            id="G" + secrets.token_hex(8),
            kind="sharing",
            resource=entry.code,
            resource_version=entry.version,
            department=row.department,
            application=row.id,
            state="active",
            version=1,
            body=terms.body(application),
            valid_from=since,
            valid_until=until,
            quota_rows=terms.quota,
            issued_at=moment,
        )
        session.add(grant)
        session.flush()
        self._record(session, events.GrantIssued(grant=grant.id, kind="sharing", application=row.id), actor, grant)
        return grant
