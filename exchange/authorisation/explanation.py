"""Who may have what, why and until when, in words (授权说明)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import Resource
from exchange.authorisation import expression, masks
from exchange.authorisation.gate import GRANT_STATES, over_quota, standing, used
from exchange.authorisation.policy import Assessment, lapsed
from exchange.db.tables import ApplicationRow, DecisionRow, GrantRow

APPLICATION_STATES: dict[str, str] = {
    "pending": "待提供部门答复",
    "granted": "已同意",
    "refused": "未同意",
    "withdrawn": "已撤回",
}
"""States of an application in words."""


@dataclass(frozen=True)
class GrantedItem:
    """One item and what is seen of it; ``mask`` is empty where the value itself is handed over."""

    name: str
    label: str
    mask: str


@dataclass(frozen=True)
class Answer:
    """One answer to an application; ``decider`` is ``platform`` where the rule itself decided."""

    approved: bool
    decider: str
    at: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything about one use of a resource, from application to the next delivery.

    Attributes:
        application: Id of the application; None for a collection.
        grant: Id of the grant; None while there is none.
        kind: ``sharing`` or ``collection``.
        resource: Code of the resource.
        resource_name: Its name.
        provider: Credit code of the provider.
        department: Credit code of the department that uses it.
        state: State of the grant, or of the application where there is no grant, in words.
        purpose: Basis, scene and scope.
        way: Way of exchange.
        target: Where the rows arrive.
        items: Items handed over, or that would be.
        rows: Which rows, in words.
        valid_from: First moment of use.
        valid_until: Moment at which it is over; None: no end.
        quota: Rows at most; None: no such limit.
        used: Rows delivered and reserved so far.
        calls_per_minute: Calls at the hub's door in a minute at most; None: no limit but the department's.
        rows_per_minute: Rows handed over there in a minute at most; None: no limit but the department's.
        decisions: Every answer with its reasons, oldest first.
        passes: A delivery would pass the gate now.
        obstacles: Why not.
    """

    application: str | None
    grant: str | None
    kind: str
    resource: str
    resource_name: str
    provider: str
    department: str
    state: str
    purpose: dict[str, str]
    way: str
    target: dict[str, Any] | None
    items: tuple[GrantedItem, ...]
    rows: str
    valid_from: datetime | None
    valid_until: datetime | None
    quota: int | None
    used: int
    calls_per_minute: int | None
    rows_per_minute: int | None
    decisions: tuple[Answer, ...]
    passes: bool
    obstacles: tuple[str, ...]


def of_grant(
    session: Session, grant: GrantRow, resource: Resource, in_force: Resource | None, now: datetime
) -> Explanation:
    """Explain a grant.

    Args:
        session: The caller's.
        grant: The grant.
        resource: The version of the resource it was granted on.
        in_force: The version published now, None if there is none.
        now: The moment it is asked about.
    """
    body = grant.body
    obstacles = [
        *standing(grant, now),
        *lapsed(in_force, grant.resource, grant.kind, body),
        *over_quota(session, grant, 1),
    ]
    return Explanation(
        application=grant.application,
        grant=grant.id,
        kind=grant.kind,
        resource=grant.resource,
        resource_name=resource.name,
        provider=resource.provider_code,
        department=grant.department,
        state=GRANT_STATES[grant.state],
        purpose=body["purpose"],
        way=body["way"],
        target=body["target"],
        items=_items(body["items"], body["masks"], resource),
        rows=_rows(body["filter"], resource),
        valid_from=grant.valid_from,
        valid_until=grant.valid_until,
        quota=grant.quota_rows,
        used=used(session, grant.id),
        calls_per_minute=body.get("calls_per_minute"),
        rows_per_minute=body.get("rows_per_minute"),
        decisions=_decisions(session, grant.application),
        passes=not obstacles,
        obstacles=tuple(obstacles),
    )


def of_application(session: Session, row: ApplicationRow, resource: Resource, assessment: Assessment) -> Explanation:
    """Explain an application that has led to no grant; ``assessment`` is what the rules say today."""
    body = row.body
    obstacles = [f"申请 {row.id} {APPLICATION_STATES[row.state]}，没有授权"]
    if row.state == "pending":
        obstacles += [*assessment.reasons, *assessment.remarks]
    return Explanation(
        application=row.id,
        grant=None,
        kind="sharing",
        resource=row.resource,
        resource_name=resource.name,
        provider=resource.provider_code,
        department=row.department,
        state=APPLICATION_STATES[row.state],
        purpose={name: body[name] for name in ("basis", "scene", "scope")},
        way=body["way"],
        target=body["target"],
        items=_items(assessment.items, {name: masks.dump(mask) for name, mask in assessment.masks.items()}, resource),
        rows=_rows(body["filter"], resource),
        valid_from=None,
        valid_until=None,
        quota=body["quota_rows"],
        used=0,
        calls_per_minute=body.get("calls_per_minute"),
        rows_per_minute=body.get("rows_per_minute"),
        decisions=_decisions(session, row.id),
        passes=False,
        obstacles=tuple(obstacles),
    )


def _items(names: Any, chosen: dict[str, Any], resource: Resource) -> tuple[GrantedItem, ...]:
    found = []
    for name in names:
        item = resource.item(name)
        mask = masks.parse(chosen[name]) if name in chosen else None
        shown = "" if mask is None or isinstance(mask, masks.Clear) else masks.describe(mask)
        found.append(GrantedItem(name=name, label=name if item is None else item.label, mask=shown))
    return tuple(found)


def _rows(filter: dict[str, Any] | None, resource: Resource) -> str:
    return "全部" if filter is None else expression.describe(expression.parse(filter), resource.items)


def _decisions(session: Session, application: str | None) -> tuple[Answer, ...]:
    if application is None:
        return ()
    rows = session.scalars(select(DecisionRow).where(DecisionRow.application == application).order_by(DecisionRow.id))
    return tuple(Answer(row.approved, row.decider, row.at, tuple(row.reasons)) for row in rows)
