"""Grants as they are issued, moved, explained and used (共享授权).

Every method takes the caller's transaction and is part of it. A refusal that is an answer (an
application refused by rule, a delivery stopped at the gate) is kept and logged with it. A refusal that
is raised, :class:`~exchange.errors.Denied`, undoes the transaction: whoever began it logs it after.
"""

from __future__ import annotations

import json
import secrets
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import Entry, Resource
from exchange.audit import events
from exchange.authorisation import application as applications
from exchange.authorisation import explanation, gate, policy
from exchange.authorisation.answering import Answering
from exchange.authorisation.explanation import Explanation
from exchange.authorisation.gate import Held
from exchange.authorisation.literals import BEIJING
from exchange.authorisation.reading import askable, sentences
from exchange.db import now
from exchange.db.tables import ApplicationRow, GrantRow, UsageRow
from exchange.errors import Denied, Invalid, Misplaced, Problem, Unknown
from exchange.identity import PLATFORM, Actor
from exchange.settings import Role

_MOVES: dict[str, tuple[frozenset[str], str, str]] = {
    "suspend": (frozenset({"active"}), "suspended", "中止"),
    "resume": (frozenset({"suspended"}), "active", "恢复"),
    "revoke": (frozenset({"active", "suspended"}), "revoked", "撤销"),
}
"""Move of a grant: states it starts from, state it reaches, its word."""

_REMEMBERED = 256
"""Grants of which it is kept in mind what the directory says against them."""


class Authorisation(Answering):
    """Who may have what, why and until when.

    Args:
        audit: The log.
        settings: Name the hub's department and the digest of keyed masks.
        catalog: The directory.
        longest: Longest period of use.
    """

    def collect(self, session: Session, actor: Actor, entry: Entry) -> GrantRow | None:
        """Grant the hub the collection of a published resource into the base library (归集授权).

        A republished version renews the grant that stands.

        Returns:
            The grant, None where the whole resource is 不予共享 and nothing is collected.

        Raises:
            Misplaced: The version is not in force.
        """
        resource = entry.resource
        if not entry.in_force:
            raise Misplaced(f"资源 {entry.code} 第 {entry.version} 版没有发布，不能归集", remedy="先办理发布")
        items = policy.collectable(resource)
        row = session.scalar(
            select(GrantRow)
            .where(
                GrantRow.kind == "collection",
                GrantRow.resource == entry.code,
                GrantRow.state.in_(("active", "suspended")),
            )
            .with_for_update()
        )
        if not items:
            if row is not None:
                self._moved(session, row, actor, "revoke", f"资源 {entry.code} 现为不予共享")
            return None
        moment = now(session)
        body = {
            "items": list(items),
            "filter": None,
            "masks": {},
            "purpose": {"basis": "资源目录发布", "scene": "归集到基础库", "scope": "按授权共享，平台不作他用"},
            "way": self._way_of_collection(session, resource),
            "target": None,
        }
        if row is None:
            row = GrantRow(
                id="G" + secrets.token_hex(8),
                kind="collection",
                resource=entry.code,
                department=self._settings.hub_department,
                state="active",
                version=0,
                valid_from=moment,
                issued_at=moment,
            )
            session.add(row)
        elif row.resource_version == entry.version and row.body == body:
            return row
        row.resource_version = entry.version
        row.body = body
        row.version += 1
        session.flush()
        self._record(session, events.GrantIssued(grant=row.id, kind="collection"), actor, row)
        return row

    def suspend(self, session: Session, actor: Actor, grant_id: str, reason: str) -> None:
        """Suspend a grant for the time being (中止授权). See :meth:`revoke` for who may and what is raised."""
        self._change(session, actor, grant_id, "suspend", reason)

    def resume(self, session: Session, actor: Actor, grant_id: str, reason: str) -> None:
        """Bring a suspended grant into force again (恢复授权). See :meth:`revoke` for who may and what is raised."""
        self._change(session, actor, grant_id, "resume", reason)

    def revoke(self, session: Session, actor: Actor, grant_id: str, reason: str) -> tuple[str, ...]:
        """Take a grant back for good (撤销授权).

        Returns:
            Keys of the deliveries that had passed the gate before, the latest first; the log says how
            many they were.

        Raises:
            Denied: The actor is neither a reviewer of the provider or of the hub nor the security
                administrator.
            Unknown: There is no such grant.
            Misplaced: Its state does not allow the move.
            Invalid: No reason is given.
        """
        return self._change(session, actor, grant_id, "revoke", reason)

    def expire_due(self, session: Session) -> list[str]:
        """End the grants whose period is over (授权到期).

        Returns:
            Their ids.
        """
        due = session.scalars(
            select(GrantRow)
            .where(GrantRow.state.in_(("active", "suspended")), GrantRow.valid_until <= now(session))
            .order_by(GrantRow.id)
            .with_for_update()
        ).all()
        for row in due:
            row.state = "expired"
            row.version += 1
            self._record(session, events.GrantExpired(grant=row.id), PLATFORM, row)
            self._notify(session, row.department, f"授权 {row.id} 已到期，仍需要的请再次申请", PLATFORM, row.resource)
        return [row.id for row in due]

    def explain(self, session: Session, name: str) -> Explanation:
        """Who may have what, why, until when, and would a delivery pass the gate now (授权说明).

        Args:
            session: The caller's; nothing is changed.
            name: Id of a grant or an application.

        Raises:
            Unknown: There is neither.
        """
        grant = session.get(GrantRow, name) if askable(name) else None
        row = session.get(ApplicationRow, name) if grant is None and askable(name) else None
        if row is not None:
            grant = session.scalar(select(GrantRow).where(GrantRow.application == row.id))
        if grant is not None:
            standing = granted = self._entry(session, grant.resource)
            if granted.version != grant.resource_version:
                granted = self._entry(session, grant.resource, grant.resource_version)
            in_force = standing.resource if standing.in_force else None
            return explanation.of_grant(session, grant, granted.resource, in_force, now(session))
        if row is None:
            raise Unknown(f"没有授权或申请 {name}", remedy="用 shutong grant list 或 shutong application list 查看")
        entry, assessment = self._assessed(session, applications.parse(row.body))
        return explanation.of_application(session, row, entry.resource, assessment)

    # --- the gate ------------------------------------------------------------------------------

    def gate(self, session: Session, grant_id: str, version: int, rows: int, delivery: str, now: datetime) -> list[str]:
        """Let a delivery pass, or say every reason why not (放行).

        Passing reserves its rows; the same delivery again reserves them once.

        Args:
            session: The caller's transaction; the grant stays locked until it ends.
            grant_id: Id of the grant.
            version: Version of the grant the delivery was planned under.
            rows: Rows it would hand over.
            delivery: Delivery key.
            now: This moment by the hub database's clock.

        Returns:
            The reasons against it; empty: it passes.
        """
        session.flush()
        grant = gate.held(session, grant_id)
        if grant is None:
            return [f"没有授权 {grant_id}"]
        against = [*gate.standing(grant, now), *self._lapsed(session, grant)]
        if grant.version != version:
            against.append(f"授权 {grant.id} 已由第 {version} 版变为第 {grant.version} 版，须重新制定方案")
        against += gate.over_quota(session, grant, rows, delivery)
        if not against:
            gate.reserve(session, grant, delivery, rows, now)
        return against

    def _lapsed(self, session: Session, grant: Held) -> tuple[str, ...]:
        """What the directory as it is now says against a grant.

        It follows from what is written in the two, and from nothing else: so long as both read the same, it is not
        found out again.
        """
        written = self._catalog.written(session, grant.resource)
        about = (grant.resource, grant.kind, grant.body, written)
        found = self._said.get(about)
        if found is None:
            resource = None if written is None else Resource.model_validate(json.loads(written))
            found = tuple(policy.lapsed(resource, grant.resource, grant.kind, json.loads(grant.body)))
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            self._said[about] = found
        return found

    def settle_usage(self, session: Session, delivery: str, rows: int) -> None:
        """Correct what a delivery reserved at the gate to what it delivered.

        Raises:
            Misplaced: The delivery never passed the gate.
        """
        gate.settle(session, delivery, rows)

    def release(self, session: Session, delivery: str) -> None:
        """Give back what a delivery reserved that will never be made; repeatable."""
        gate.release(session, delivery)

    def _way_of_collection(self, session: Session, resource: Resource) -> str:
        if resource.offer is None:
            return ""
        return self._catalog.endpoint(session, resource.offer.endpoint).kind

    def _change(self, session: Session, actor: Actor, grant_id: str, action: str, reason: str) -> tuple[str, ...]:
        word = _MOVES[action][2]
        what = f"{word}授权 {grant_id}"
        row = gate.locked(session, grant_id) if askable(grant_id) else None
        if row is None:
            raise Unknown(f"没有授权 {grant_id}", remedy="用 shutong grant list 查看")
        provider = self._entry(session, row.resource, row.resource_version).resource.provider_code
        reviews = Role.REVIEWER in actor.roles and actor.department in (provider, self._settings.hub_department)
        if not reviews and Role.SECURITY not in actor.roles:
            raise Denied(f"{actor.name} 不能{what}", ["只有提供部门或平台的审核员、安全管理员可以变更授权"])
        why = sentences([reason], f"{word}理由")
        if not why:
            raise Invalid(f"不能{what}", [Problem(where=f"{word}理由", message="须说明理由")])
        return self._moved(session, row, actor, action, why[0])

    def _moved(self, session: Session, row: GrantRow, actor: Actor, action: str, reason: str) -> tuple[str, ...]:
        """Move a grant, raising its version; what was planned under the old one does not pass the gate."""
        starts, reached, word = _MOVES[action]
        if row.state not in starts:
            raise Misplaced(f"授权 {row.id} {gate.GRANT_STATES[row.state]}，不能{word}")
        row.state = reached
        row.version += 1
        session.flush()
        deliveries: tuple[str, ...] = ()
        said = reason
        if action == "revoke":
            deliveries, before = _deliveries(session, row.id)
            said = f"{reason}（{before}）"
        event = {"suspend": events.GrantSuspended, "resume": events.GrantResumed, "revoke": events.GrantRevoked}[action]
        self._record(session, event(grant=row.id, reason=said), actor, row)
        self._notify(
            session, row.department, f"授权 {row.id} {gate.GRANT_STATES[reached]}：{said}", actor, row.resource
        )
        return deliveries


def _deliveries(session: Session, grant: str, most: int = 100) -> tuple[tuple[str, ...], str]:
    """The latest deliveries that passed the gate under a grant, and all of them in words."""
    total = session.scalar(select(func.count()).select_from(UsageRow).where(UsageRow.grant == grant)) or 0
    if not total:
        return (), "此前没有放行过交付"
    latest = session.execute(
        select(UsageRow.delivery, UsageRow.at).where(UsageRow.grant == grant).order_by(UsageRow.at.desc()).limit(most)
    ).all()
    at = latest[0].at.astimezone(BEIJING)
    said = f"此前已放行 {total} 次交付，最近一次 {latest[0].delivery}，北京时间 {at:%Y-%m-%d %H:%M:%S}"
    return tuple(row.delivery for row in latest), said
