"""Departments and endpoints (部门、端点): who takes part, and where their data can be reached."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from catalog import DemandEntry, Department, EndpointSpec, Resource
from catalog.reading import read_endpoint
from catalog.tables import DepartmentRow, EndpointRow
from exchange.api.calls import Asked, Cursor, Filter, Limit, Match, Moment, Name, Page, Why, only, paged
from exchange.api.door import Door
from exchange.api.lines import ResourceLine, line_of
from exchange.errors import Misplaced
from exchange.hub.drafts import described_department, proposed

router = APIRouter(route_class=Door)


class Responsibility(BaseModel):
    """What a department has to provide (责任清单)."""

    department: Department
    resources: list[ResourceLine] = Field(description="登记的资源")
    demands: list[DemandEntry] = Field(description="向它提出的需求")


class Trial(BaseModel):
    """One thing that was tried at an endpoint (连通测试的一步)."""

    name: str = Field(description="试了什么")
    passed: bool = Field(description="通过没有")
    detail: str = Field(description="说明")
    remedy: str = Field(description="没有通过的怎么办")


class Tested(BaseModel):
    """A tested endpoint (连通测试)."""

    endpoint: str
    passed: bool = Field(description="全部通过")
    steps: list[Trial]


class FoundColumn(BaseModel):
    """A column, element or header that was found (探查到的字段)."""

    name: str
    type: str = Field(description="信息项类型的字母")
    length: int | None
    scale: int | None
    nullable: bool
    label: str


class Proposed(BaseModel):
    """How an object could be read, and why (读取方式建议)."""

    capture: str
    profile: str | None
    options: dict[str, Any]
    reasons: list[str]


class FoundObject(BaseModel):
    """A table, an operation or files that were found at an endpoint (探查结果)."""

    name: str
    label: str
    key: list[str]
    columns: list[FoundColumn]
    proposals: list[Proposed]


class Changed(BaseModel):
    """Exchanges that rest now, or do not any more (受影响的交换)."""

    exchanges: list[str] = Field(description="交换编号")


class Pause(Why):
    """A pause (暂停)."""

    until: Moment | None = Field(None, description="到什么时候自动恢复；不写则由人恢复")


def found_of(each: Any) -> FoundObject:
    """An object that was found, as it is told."""
    return FoundObject(
        name=each.name,
        label=each.label,
        key=list(each.key),
        columns=[FoundColumn(**column.__dict__) for column in each.columns],
        proposals=[
            Proposed(capture=way.capture, profile=way.profile, options=dict(way.options), reasons=list(way.reasons))
            for way in each.proposals
        ],
    )


@router.get("/departments", summary="列出部门", tags=["部门"])
def departments(call: Asked, cursor: Cursor = None, limit: Limit = 50) -> Page[Department]:
    """All departments, by credit code."""
    return paged(call, call.hub.directory.departments(), lambda each: each.code, cursor=cursor, limit=limit)


@router.get("/departments/{code:code}", summary="查看部门", tags=["部门"])
def department(call: Asked, code: Name) -> Department:
    """One department, by its credit code, name or short name."""
    found = call.hub.directory.department(code)
    call.tagged(found)
    return found


@router.put("/departments/{code:code}", summary="登记或更正部门", tags=["部门"], openapi_extra={"x-body": "Department"})
def put_department(call: Asked, code: Name, given: dict[str, Any], if_match: Match = None) -> Department:
    """Register a department, or correct its entry: then by ``If-Match``."""
    wanted = described_department({"code": code, **given})
    _same(code, wanted.code)

    def current() -> Any:
        return call.hub.directory.department(wanted.code)

    with call.matching(current, hold=lambda s: s.get(DepartmentRow, wanted.code, with_for_update=True), required=True):
        call.hub.registration.put_department(wanted, by=call.by)
    found = call.hub.directory.department(wanted.code)
    call.tagged(found)
    return found


@router.get("/departments/{code:code}/responsibility", summary="查看责任清单", tags=["部门"])
def responsibility(call: Asked, code: Name) -> Responsibility:
    """What a department has to provide, and what is asked of it."""
    found = call.hub.directory.responsibility(code, by=call.by)
    return Responsibility(
        department=found.department,
        resources=[line_of(each) for each in found.resources],
        demands=list(found.demands),
    )


@router.get("/endpoints", summary="列出端点", tags=["端点"])
def endpoints(call: Asked, department: Filter = None, cursor: Cursor = None, limit: Limit = 50) -> Page[EndpointSpec]:
    """All endpoints, or those of one department; others' without their options."""
    found = call.hub.directory.endpoints(by=call.by, department=department)
    return paged(call, found, lambda each: each.name, cursor=cursor, limit=limit)


@router.get("/endpoints/{name:code}", summary="查看端点", tags=["端点"])
def endpoint(call: Asked, name: Name) -> EndpointSpec:
    """An endpoint with its options; secrets in them are references."""
    found = call.hub.directory.endpoint(name, by=call.by)
    call.tagged(found)
    return found


@router.put("/endpoints/{name:code}", summary="登记或更改端点", tags=["端点"], openapi_extra={"x-body": "EndpointSpec"})
def put_endpoint(call: Asked, name: Name, given: dict[str, Any], if_match: Match = None) -> EndpointSpec:
    """Register an endpoint, or change it: then by ``If-Match``; every wrong option is told at once."""
    with call.hub.told():
        wanted = read_endpoint({"name": name, **given})
    _same(name, wanted.name)

    def current() -> Any:
        return call.hub.directory.endpoint(name, by=call.by)

    with call.matching(current, hold=lambda s: s.get(EndpointRow, name, with_for_update=True), required=True):
        call.hub.registration.put_endpoint(wanted, by=call.by)
    found = call.hub.directory.endpoint(name, by=call.by)
    call.tagged(found)
    return found


@router.post("/endpoints/{name:code}/tests", summary="测试端点", tags=["端点"])
def test(call: Asked, name: Name) -> Tested:
    """Try what a run will need of an endpoint, and of each resource that is offered there."""
    steps = call.hub.registration.test_endpoint(name, by=call.by)
    told = [Trial(name=each.name, passed=each.passed, detail=each.detail, remedy=each.remedy) for each in steps]
    return Tested(endpoint=name, passed=all(each.passed for each in steps), steps=told)


@router.get("/endpoints/{name:code}/objects", summary="探查端点", tags=["端点"])
def inspect(call: Asked, name: Name, cursor: Cursor = None, limit: Limit = 50) -> Page[FoundObject]:
    """What lies at an endpoint: tables, operations or files."""
    found = [found_of(each) for each in call.hub.registration.inspect_endpoint(name, by=call.by)]
    return paged(call, found, lambda each: each.name, cursor=cursor, limit=limit)


@router.get("/endpoints/{name:code}/objects/{object:code}", summary="探查一张表、一个操作或一种文件", tags=["端点"])
def inspect_one(call: Asked, name: Name, object: Name) -> list[FoundObject]:
    """One table, operation or pattern of files, with its columns."""
    return [found_of(each) for each in call.hub.registration.inspect_endpoint(name, object, by=call.by)]


@router.get("/endpoints/{name:code}/objects/{object:code}/draft", summary="由表生成资源草稿", tags=["端点"])
def draft(
    call: Asked,
    name: Name,
    object: Name,
    code: Annotated[str | None, Query(max_length=64, description="资源代码")] = None,
    under: Annotated[str | None, Query(max_length=64, description="信息资源分类，取其中下一个代码")] = None,
    called: Annotated[str | None, Query(max_length=255, description="资源名称")] = None,
) -> Resource:
    """The draft of a resource over a table; nothing is registered."""
    return proposed(call.hub, name, object, by=call.by, **only(code=code, under=under, name=called))


@router.post("/endpoints/{name:code}/pause", summary="暂停端点", tags=["端点"])
def pause(call: Asked, name: Name, given: Pause) -> Changed:
    """Let all exchanges of an endpoint rest; what runs already is carried to its end."""
    found = call.hub.pausing.pause("endpoint", name, reason=given.reason, until=given.until, by=call.by)
    return Changed(exchanges=list(found))


@router.post("/endpoints/{name:code}/resume", summary="恢复端点", tags=["端点"])
def resume(call: Asked, name: Name, given: Why) -> Changed:
    """Wake what rests."""
    return Changed(exchanges=list(call.hub.pausing.resume("endpoint", name, reason=given.reason, by=call.by)))


def _same(path: str, given: str) -> None:
    if path != given:
        raise Misplaced("地址中的编号与内容中的不同", remedy="改成一致")
