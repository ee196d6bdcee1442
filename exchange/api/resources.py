"""Resources and the directory (资源目录): registered, reviewed, looked up, searched."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from catalog import MOVES, Change, DemandEntry, Step
from catalog.errors import CatalogError
from catalog.reading import read_resource
from catalog.tables import ResourceRow
from exchange.api.calls import Asked, Call, Code, Cursor, Filter, Limit, Match, Page, Sent, only, paged, turned
from exchange.api.door import Door
from exchange.api.lines import ResourceEntry, ResourceLine, line_of, whole
from exchange.api.problems import Warned
from exchange.errors import Misplaced, Problem

router = APIRouter(route_class=Door)
IgnoreWarnings = Annotated[bool, Query(description="已看过提醒，仍要办理")]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Verb = Literal["submit", "agree", "reject", "return", "recall", "withdraw", "discard"]
MEANT: dict[str, tuple[str, ...]] = {
    "submit": ("submit_registration", "submit_publication"),
    "agree": ("agree_registration", "agree_publication"),
    "reject": ("reject_registration", "reject_publication"),
    "return": ("return_registration", "return_publication"),
}
"""What a word means in the registration, and in the publication."""


class Remark(BaseModel):
    """What is wrong, or worth a second look (问题或提醒)."""

    where: str = Field(description="在哪里")
    message: str = Field(description="是什么")
    remedy: str = Field(description="怎么办")


class Checked(BaseModel):
    """A registration as written, looked through (登记检查)."""

    problems: list[Remark] = Field(description="不改正不能登记的")
    warnings: list[Remark] = Field(description="值得再看一眼的")


class RegisteredResource(BaseModel):
    """The answer to a registration (登记结果)."""

    entry: ResourceEntry
    action: str | None = Field(description="add 新登记、update 修改、revise 新版本；null：与已登记的相同")
    changes: list[Change] = Field(description="与前一版的差别")
    warnings: list[Remark] = Field(description="值得再看一眼的")


class FoundLine(ResourceLine):
    """A resource that was found (检索结果)."""

    score: int = Field(description="符合的程度")


class Compared(BaseModel):
    """Two versions of a resource (版本比较)."""

    code: str
    old: int = Field(description="前一个版本")
    new: int = Field(description="后一个版本")
    changes: list[Change]


class Move(Sent):
    """A move in the life of a resource (办理)."""

    action: Verb = Field(description="办理：提交、同意、拒绝、退回修改、撤回、下架、作废")
    opinion: str = Field("", max_length=2000, description="意见；拒绝、退回和下架须写")


class Moved(BaseModel):
    """What a move led to (办理结果)."""

    code: str
    version: int
    action: str = Field(description="办理了什么")
    label: str = Field(description="它的名称")
    before: str = Field(description="办理前的状态")
    after: str = Field(description="办理后的状态")


@router.get("/directory", summary="检索目录", tags=["目录"])
def search(
    call: Asked,
    text: Annotated[str, Query(max_length=200, description="检索词，以空格隔开，每个都须出现")] = "",
    provider: Filter = None,
    record_class: Filter = None,
    share_type: Filter = None,
    way: Filter = None,
    cycle: Filter = None,
    under: Annotated[str | None, Query(max_length=64, description="信息资源分类，含其下各级")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[FoundLine]:
    """Published resources in which every word occurs, those with most hits first; filters combine."""
    filters = only(record_class=record_class, share_type=share_type, way=way, cycle=cycle, under=under)
    found = call.hub.directory.search(text, provider=provider, limit=limit, cursor=cursor, **filters)
    lines = [FoundLine(**line_of(hit.entry).model_dump(), score=hit.score) for hit in found.hits]
    return turned(call, lines, found.cursor)


@router.get("/demands", summary="列出需求清单", tags=["目录"])
def demands(
    call: Asked,
    department: Filter = None,
    provider: Filter = None,
    state: Filter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DemandEntry]:
    """The list of demand, oldest first."""
    found = call.hub.directory.demands(department=department, provider=provider, state=state)
    return paged(call, found, lambda each: str(each.id), cursor=cursor, limit=limit)


@router.get("/resources", summary="列出资源", tags=["资源"])
def resources(
    call: Asked,
    provider: Filter = None,
    state: Filter = None,
    record_class: Filter = None,
    *,
    published: Annotated[bool, Query(description="只列发布中的版本")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ResourceLine]:
    """Resources by code: the newest version where the caller may see it, else the one in force."""
    found = call.hub.directory.resources(
        by=call.by, provider=provider, state=state, record_class=record_class, published=published
    )
    page = paged(call, found, lambda each: each.code, cursor=cursor, limit=limit)
    return Page(items=[line_of(each) for each in page.items], next=page.next)


@router.post("/resources", summary="登记资源", tags=["资源"], status_code=201, openapi_extra={"x-body": "Resource"})
def register(call: Asked, given: dict[str, Any], *, ignore_warnings: IgnoreWarnings = False) -> RegisteredResource:
    """Register a resource, or its next version, as a draft: all problems at once; warned of it, nothing is done yet."""
    return _registered(call, given, ignore_warnings=ignore_warnings)


@router.post("/resources/checks", summary="检查登记内容", tags=["资源"], openapi_extra={"x-body": "Resource"})
def check(call: Asked, given: dict[str, Any]) -> Checked:
    """Everything wrong with a registration as written, and what is worth a second look; nothing is registered."""
    with call.hub.told(), call.hub.database.reading() as session:
        found = call.hub.catalog.check(session, given)
    told: dict[str, list[Remark]] = {"error": [], "warning": []}
    for each in found:
        told[each.severity].append(_remark(each))
    return Checked(problems=told["error"], warnings=told["warning"])


@router.get("/resources/{code:code}", summary="查看资源", tags=["资源"])
def resource(call: Asked, code: Code, version: Version = None) -> ResourceEntry:
    """A resource: a given version, else the newest one the caller may see."""
    found = whole(call.hub.directory.resource(code, version, by=call.by))
    call.tagged(found)
    return found


@router.put(
    "/resources/{code:code}", summary="修改资源或登记新版本", tags=["资源"], openapi_extra={"x-body": "Resource"}
)
def revise(
    call: Asked, code: Code, given: dict[str, Any], *, ignore_warnings: IgnoreWarnings = False, if_match: Match = None
) -> RegisteredResource:
    """Change a draft, or open the next version of what is published, by ``If-Match``; warnings first."""
    if given.setdefault("code", code) != code:
        raise Misplaced("地址中的代码与内容中的不同", remedy="改成一致")
    with _as_seen(call, code, required=True):
        told = _registered(call, given, ignore_warnings=ignore_warnings)
    call.tagged(told.entry)
    return told


@router.get("/resources/{code:code}/history", summary="查看流转记录", tags=["资源"])
def history(call: Asked, code: Code) -> list[Step]:
    """Every move of a resource, oldest first."""
    return list(call.hub.directory.history(code, by=call.by))


@router.get("/resources/{code:code}/difference", summary="比较两个版本", tags=["资源"])
def difference(call: Asked, code: Code, old: Version = None, new: Version = None) -> Compared:
    """What differs between two versions; by default the one in force and the newest one."""
    before, after, changes = call.hub.directory.difference(code, old, new, by=call.by)
    return Compared(code=code, old=before.version, new=after.version, changes=list(changes))


@router.post("/resources/{code:code}/moves", summary="办理资源的流转", tags=["资源"])
def move(call: Asked, code: Code, given: Move, if_match: Match = None) -> Moved:
    """Submit, agree, reject, return, recall, withdraw or discard; what the word means goes by the state it is in."""
    entry = call.hub.directory.resource(code, by=call.by)
    meant = MEANT.get(given.action, (given.action,))
    action = next((each for each in meant if each in entry.actions), meant[0])
    with _as_seen(call, code):
        after = call.hub.registration.move(code, action, opinion=given.opinion, by=call.by)
    label = MOVES[action].label  # type: ignore[index]
    return Moved(code=code, version=entry.version, action=action, label=label, before=entry.state, after=after)


def _as_seen(call: Call, code: str, *, required: bool = False) -> Any:
    def current() -> Any:
        return whole(call.hub.directory.resource(code, by=call.by))

    def hold(session: Session) -> Any:
        return session.get(ResourceRow, code, with_for_update=True)

    return call.matching(current, hold=hold, required=required)


def _registered(call: Call, given: dict[str, Any], *, ignore_warnings: bool) -> RegisteredResource:
    warnings = _Warnings(call, given, silent=ignore_warnings)
    with call.hub.database.accompanied(warnings):
        told = call.hub.registration.register(given, by=call.by)
    return RegisteredResource(
        entry=whole(told.entry),
        action=told.action,
        changes=list(told.changes),
        warnings=[_remark(each) for each in told.warnings],
    )


class _Warnings:
    """Tells of warnings in the transaction that would register, before it does: who may not register is told that."""

    def __init__(self, call: Call, given: dict[str, Any], *, silent: bool) -> None:
        self._call = call
        self._given = given
        self._silent = silent

    def began(self, session: Session) -> None:
        if self._silent:
            return
        try:
            found = self._call.hub.catalog.check(session, self._given)
        except CatalogError:
            return  # the registration says it
        severe = any(each.severity == "error" for each in found)
        warnings = [Problem(each.where, each.message, each.remedy) for each in found if each.severity == "warning"]
        if warnings and not severe:
            here = read_resource(self._given).here
            raise Warned(f"{here} 有 {len(warnings)} 处提醒，还没有登记", warnings)

    def ending(self, session: Session) -> None:
        """Nothing more."""


def _remark(each: Any) -> Remark:
    return Remark(where=each.where, message=each.message, remedy=each.remedy)
