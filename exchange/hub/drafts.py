"""Registrations and applications before they are made (草稿): read, checked, proposed; all of it without a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from catalog import Column, Department, Form, Rejected, Resource, from_table, write_sheet
from catalog.reading import read_department, read_resource
from exchange.authorisation import Application, parse_application
from exchange.errors import Invalid, Problem, Unknown
from exchange.identity import Actor
from schemas import RecordTable, SchemaError, record_class

if TYPE_CHECKING:
    from exchange.hub.core import Hub


def described_department(given: Mapping[str, Any]) -> Department:
    """A department as somebody wrote it, before there is a hub to register it at.

    Raises:
        Invalid: With everything that is wrong with it.
    """
    try:
        return read_department(given)
    except Rejected as error:
        raise _told(error) from error


def checked(hub: Hub, given: Form | Mapping[str, Any]) -> Resource:
    """A registration as written, as a resource that can be registered.

    Args:
        hub: Where it is to be registered.
        given: What was written: plain values, or a form as :func:`catalog.read_sheet` reads it.

    Raises:
        Invalid: With everything that is wrong with it.
    """
    found = examined(hub, given)
    if found.errors:
        raise Invalid(f"{found.here} 登记有误，共 {len(found.errors)} 处", found.errors)
    return found.resource


@dataclass(frozen=True)
class Examined:
    """A registration as written, and what is to be said of it before it is made.

    Attributes:
        resource: As far as it can be read, with stand-ins where it cannot.
        here: Where it is, as the problems begin.
        errors: What stops it.
        warnings: What is worth a second look.
    """

    resource: Resource
    here: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def examined(hub: Hub, given: Form | Mapping[str, Any]) -> Examined:
    """Everything wrong with a registration as written, and what is worth a second look; changes nothing.

    Args:
        hub: Where it is to be registered.
        given: What was written: plain values, or a form as :func:`catalog.read_sheet` reads it.
    """
    with hub.told(), hub.database.reading() as session:
        found = hub.catalog.check(session, given)
        draft = read_resource(given)
    told: dict[str, list[Problem]] = {"error": [], "warning": []}
    for each in found:
        told[each.severity].append(Problem(where=each.where, message=each.message, remedy=each.remedy))
    return Examined(draft.resource, draft.here, tuple(told["error"]), tuple(told["warning"]))


def next_code(hub: Hub, under: str) -> str:
    """The next free code of a class (取资源代码).

    Raises:
        Invalid: There can be no codes in it.
    """
    with hub.told(), hub.database.reading() as session:
        return hub.catalog.next_code(session, under)


def asked(given: Mapping[str, Any]) -> Application:
    """An application as written, as one that can be made.

    Raises:
        Invalid: With everything that is wrong with its form.
    """
    return parse_application(given)


def empty_sheet(
    of_class: str | None = None, table: str | None = None, *, format: Literal["csv", "xlsx"] = "csv"
) -> bytes:
    """The empty registration form (目录登记表), or one with the items of a class's table.

    Args:
        of_class: Record class.
        table: One of its tables, where it has several.
        format: CSV, or a workbook.

    Raises:
        Unknown: There is no such class or table.
        Invalid: The class has several tables.
    """
    return write_sheet(table=None if of_class is None else class_table(of_class, table), format=format)


def filled_sheet(resource: Resource, *, format: Literal["csv", "xlsx"] = "csv") -> bytes:
    """The registration form as a resource fills it.

    Raises:
        Invalid: A form has no place for what it holds.
    """
    try:
        return write_sheet(resource, format=format)
    except Rejected as error:
        raise _told(error) from error


def class_table(of_class: str, table: str | None = None) -> RecordTable:
    """The table of a class (数据类别的数据表); the only one need not be named.

    Raises:
        Unknown: There is no such class or table.
        Invalid: The class has several tables.
    """
    try:
        tables = record_class(of_class).tables
    except SchemaError as error:
        raise Unknown(str(error)) from error
    names = [known.name for known in tables]
    if table is None and len(tables) > 1:
        raise Invalid(f"数据类别 {of_class} 有多张数据表", remedy=f"指明其中一张：{'、'.join(names)}")
    chosen = next((known for known in tables if table in (None, known.name)), None)
    if chosen is None:
        raise Unknown(f"数据类别 {of_class} 没有数据表 {table}", remedy=f"可选：{'、'.join(names)}")
    return chosen


def proposed(
    hub: Hub,
    endpoint: str,
    object: str,
    *,
    by: Actor,
    code: str | None = None,
    under: str | None = None,
    name: str | None = None,
) -> Resource:
    """The draft of a resource over a table found at an endpoint (库表反向编目).

    Args:
        hub: Where it is to be registered.
        endpoint: Name of the endpoint.
        object: Name of the table there.
        by: Who asks.
        code: Code of the resource to be.
        under: Class whose next free code it gets, where no code is given.
        name: Name of the resource to be; by default the table's own.

    Raises:
        Unknown: There is no such table there.
        Invalid: Neither a code nor a class is given.
    """
    if code is None and under is None:
        raise Invalid("缺少资源代码", remedy="指明资源代码，或指明信息资源分类以取得下一个代码")
    found = hub.registration.inspect_endpoint(endpoint, object, by=by)
    # A pattern of files is shown by its last file, whose name is another.
    table = next((each for each in found if each.name == object or len(found) == 1), None)
    if table is None:
        near = get_close_matches(object, [each.name for each in found], n=3)
        remedy = f"是否指 {'、'.join(near)}" if near else f"用 shutong endpoint inspect {endpoint} 查看有哪些表"
        raise Unknown(f"端点 {endpoint} 没有 {object}", remedy=remedy)
    columns = [
        Column(c.name, c.type, length=c.length, scale=c.scale, nullable=c.nullable, label=c.label)
        for c in table.columns
    ]
    with hub.told(), hub.database.reading() as session:
        spec = hub.catalog.endpoint(session, endpoint)
        chosen = code or hub.catalog.next_code(session, under or "")
    return from_table(
        columns,
        code=chosen,
        name=name or table.label or table.name,
        provider_code=spec.department,
        endpoint=endpoint,
        object=object,
        key=table.key,
        product=str(spec.options.get("product") or ""),
    )


def _told(error: Rejected) -> Invalid:
    problems = [Problem(where=fault.where, message=fault.message, remedy=fault.remedy) for fault in error.problems]
    return Invalid(error.message, problems, remedy=error.remedy)
