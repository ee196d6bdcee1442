"""The list of demand (需求清单): what departments need and do not find."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.entries import DemandEntry
from catalog.errors import Problem, Rejected, UnknownEntry, WrongState
from catalog.model import Demand
from catalog.tables import DemandRow, DepartmentRow, ResourceRow
from catalog.vocabulary import DEMAND_STATES, DemandState, choose

_IDS = range(1, 2**63)


def put(session: Session, demand: Demand, actor: str, at: datetime) -> DemandEntry:
    """Enter a demand.

    Raises:
        Rejected: a department or resource it names is not registered.
    """
    here = f"需求 {demand.title}"
    problems = [
        Problem(f"{here} › {term}", f"没有登记代码为 {code} 的部门", "先登记部门，或核对代码")
        for term, code in (("需求部门", demand.department), ("建议提供部门", demand.provider_code))
        if code is not None and session.get(DepartmentRow, code) is None
    ]
    if demand.provider_code == demand.department:
        problems.append(Problem(f"{here} › 建议提供部门", "是需求部门自己", "改为其他部门，或不写"))
    if demand.resource is not None and session.get(ResourceRow, demand.resource) is None:
        problems.append(Problem(f"{here} › 已知资源代码", f"目录中没有 {demand.resource}", "核对代码，或不写"))
    if problems:
        raise Rejected(f"{here} 填写有误", problems)
    row = DemandRow(
        department=demand.department,
        provider=demand.provider_code,
        title=demand.title,
        state="open",
        resource=None,
        body=demand.model_dump(mode="json"),
        actor=actor,
        answer="",
        answered_by=None,
        at=at,
        answered_at=None,
    )
    session.add(row)
    session.flush()
    return _entry(row)


def listed(
    session: Session,
    *,
    department: str | None = None,
    provider: str | None = None,
    state: DemandState | None = None,
) -> tuple[DemandEntry, ...]:
    """The demands, oldest first."""
    statement = select(DemandRow).order_by(DemandRow.id)
    if department is not None:
        statement = statement.where(DemandRow.department == department)
    if provider is not None:
        statement = statement.where(DemandRow.provider == provider)
    if state is not None:
        statement = statement.where(DemandRow.state == state)
    return tuple(_entry(row) for row in session.scalars(statement))


def answer(
    session: Session,
    number: int,
    state: str,
    *,
    resource: str | None,
    reason: str,
    actor: str,
    at: datetime,
) -> DemandEntry:
    """Answer a demand: met by a published resource, or declined with a reason.

    Raises:
        UnknownEntry: there is no demand of that number.
        WrongState: it has been answered.
        Rejected: no published resource is named, or no reason given.
    """
    row = session.get(DemandRow, number, with_for_update=True) if number in _IDS else None
    if row is None:
        raise UnknownEntry(f"没有编号为 {number} 的需求")
    here = f"需求 {number}"
    if row.state != "open":
        raise WrongState(f"{here} 已答复：{DEMAND_STATES[_state(row.state)]}", remedy="有新的需要请另提需求")
    problems = []
    if state not in ("met", "declined"):
        problems.append(Problem(f"{here} › 状态", "不在取值范围内", "可填：met（已满足）、declined（不予提供）"))
    if state == "met":
        met_by = session.get(ResourceRow, resource) if resource else None
        if met_by is None or met_by.in_force is None:
            problems.append(Problem(f"{here} › 资源", "没有写明已发布的资源", "写已发布资源的代码"))
    if state == "declined" and not reason.strip():
        problems.append(Problem(f"{here} › 答复", "缺少理由", "不予提供须说明理由"))
    if problems:
        raise Rejected(f"{here} 的答复有误", problems)
    row.state, row.resource, row.answer = state, resource if state == "met" else None, reason
    row.answered_by, row.answered_at = actor, at
    session.flush()
    return _entry(row)


def _state(word: str) -> DemandState:
    return choose("state", DEMAND_STATES, word)


def _entry(row: DemandRow) -> DemandEntry:
    return DemandEntry(
        id=row.id,
        demand=Demand.model_validate(row.body),
        state=_state(row.state),
        resource=row.resource,
        actor=row.actor,
        at=row.at,
        answer=row.answer,
        answered_by=row.answered_by,
        answered_at=row.answered_at,
    )
