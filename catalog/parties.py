"""Departments and their endpoints (部门与端点) in the directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from catalog.asking import askable, unknown
from catalog.errors import Problem, Rejected
from catalog.model import Department, EndpointSpec
from catalog.tables import DepartmentRow, EndpointRow


def put_department(session: Session, department: Department, at: datetime) -> Department:
    """Register a department, or change it.

    Raises:
        Rejected: another department bears the name.
    """
    other = session.scalar(
        select(DepartmentRow.code).where(DepartmentRow.name == department.name, DepartmentRow.code != department.code)
    )
    if other is not None:
        here = f"部门 {department.name}"
        problem = Problem(
            f"{here} › 部门名称", f"已由代码为 {other} 的部门使用", "核对代码；确是两个部门的，用全称区分"
        )
        raise Rejected(f"{here} 登记有误", [problem])
    row = session.get(DepartmentRow, department.code, with_for_update=True)
    if row is None:
        row = DepartmentRow(code=department.code)
        session.add(row)
    elif Department.model_validate(row.body) == department:
        return department
    row.name, row.short_name, row.division = department.name, department.short_name, department.division
    row.body, row.changed_at = department.model_dump(mode="json"), at
    session.flush()
    return department


def find_department(session: Session, code: str) -> Department | None:
    """The department of a credit code, or None."""
    row = session.get(DepartmentRow, code) if askable(code, 18) else None
    return Department.model_validate(row.body) if row else None


def department(session: Session, name: str) -> Department:
    """The department of a credit code, or else of a name or short name only one bears.

    Raises:
        UnknownEntry: there is none.
    """
    found = find_department(session, name)
    if found is None and askable(name):
        named = or_(DepartmentRow.name == name, DepartmentRow.short_name == name)
        rows = session.scalars(select(DepartmentRow).where(named).limit(2)).all()
        found = Department.model_validate(rows[0].body) if len(rows) == 1 else None
    if found is None:
        known = session.execute(select(DepartmentRow.name, DepartmentRow.code))
        raise unknown("部门", name, (word for row in known for word in row))
    return found


def departments(session: Session) -> tuple[Department, ...]:
    """All departments, by credit code."""
    rows = session.scalars(select(DepartmentRow).order_by(DepartmentRow.code))
    return tuple(Department.model_validate(row.body) for row in rows)


def department_names(session: Session) -> dict[str, str]:
    """What people call each department, by its credit code: its short name where it has one."""
    columns = select(DepartmentRow.code, DepartmentRow.short_name, DepartmentRow.name)
    return {code: short or name for code, short, name in session.execute(columns.order_by(DepartmentRow.code))}


def put_endpoint(session: Session, endpoint: EndpointSpec, at: datetime) -> EndpointSpec:
    """Register an endpoint, or change it.

    Raises:
        Rejected: its department is not registered, or another one owns an endpoint of that name.
    """
    here = f"端点 {endpoint.name}"
    row = session.get(EndpointRow, endpoint.name, with_for_update=True)
    problem = None
    if find_department(session, endpoint.department) is None:
        problem = Problem(
            f"{here} › 所属部门", f"没有登记代码为 {endpoint.department} 的部门", "先登记部门，或核对代码"
        )
    elif row is not None and row.department != endpoint.department:
        problem = Problem(f"{here} › 所属部门", f"这个端点属于另一部门（{row.department}）", "换一个端点名称")
    if problem is not None:
        raise Rejected(f"{here} 登记有误", [problem])
    if row is None:
        row = EndpointRow(name=endpoint.name, department=endpoint.department)
        session.add(row)
    elif _spec(row) == endpoint:
        return endpoint
    row.kind, row.zone, row.options, row.changed_at = endpoint.kind, endpoint.zone, dict(endpoint.options), at
    session.flush()
    return endpoint


def find_endpoint(session: Session, name: str) -> EndpointSpec | None:
    """The endpoint of that name, or None."""
    row = session.get(EndpointRow, name) if askable(name, 64) else None
    return _spec(row) if row else None


def endpoint(session: Session, name: str) -> EndpointSpec:
    """The endpoint of that name.

    Raises:
        UnknownEntry: there is none.
    """
    found = find_endpoint(session, name)
    if found is None:
        raise unknown("端点", name, session.scalars(select(EndpointRow.name)))
    return found


def endpoints(session: Session, department: str | None = None) -> Sequence[EndpointSpec]:
    """All endpoints, or those of one department, by name."""
    statement = select(EndpointRow).order_by(EndpointRow.name)
    if department is not None:
        statement = statement.where(EndpointRow.department == department)
    return tuple(_spec(row) for row in session.scalars(statement))


def _spec(row: EndpointRow) -> EndpointSpec:
    return EndpointSpec.model_validate(
        {
            "name": row.name,
            "department": row.department,
            "kind": row.kind,
            "zone": row.zone,
            "options": row.options,
        }
    )
