"""Resources and the directory (资源目录): registered, reviewed, looked up, searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from catalog import MOVES, Change, DemandEntry, Form, Step, read_sheet
from catalog.errors import CatalogError
from catalog.reading import read_resource
from catalog.tables import ResourceRow
from exchange.api.calls import (
    Asked,
    Call,
    Code,
    Cursor,
    Filter,
    Limit,
    Match,
    Page,
    Sent,
    cut,
    last_of,
    only,
    paged,
    turned,
)
from exchange.api.door import Door
from exchange.api.lines import ResourceEntry, ResourceLine, line_of, whole
from exchange.api.problems import Warned
from exchange.audit.exporting import MEDIA_TYPES
from exchange.errors import Misplaced, Problem
from exchange.hub import drafts
from exchange.web.paths import quoted

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
SheetFormat = Annotated[Literal["csv", "xlsx"], Query(description="文件格式")]
_FILES = {MEDIA_TYPES[each].partition(";")[0]: {"schema": {"type": "string"}} for each in ("csv", "xlsx")}
SHEET: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": _FILES}}}
"""How a form that is answered is described."""
FILLED: dict[str, Any] = {"requestBody": {"required": True, "content": _FILES}}
"""How a form that is sent is described."""


async def sent_sheet(request: Request) -> Form:
    """A form that was sent as the body, read; what cannot be read in it is told with the rest."""
    return await run_in_threadpool(read_sheet, await request.body())


Sheet = Annotated[Form, Depends(sent_sheet)]


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


class Faceted(BaseModel):
    """How many published resources there are of each kind (分面计数)."""

    counts: dict[str, dict[str, int]] = Field(
        description="各分面中每个值的资源个数：record_class、provider、share_type、way、cycle；每个分面不受它自己的条件限制"
    )
    complete: bool = Field(description="符合的全部数到了；否则只数了最先检索到的一部分")


class NextCode(BaseModel):
    """A code that is free (取资源代码)."""

    code: str = Field(description="分类中下一个没有用过的代码")


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


def sought(
    text: Annotated[str, Query(max_length=200, description="检索词，以空格隔开，每个都须出现")] = "",
    provider: Filter = None,
    record_class: Filter = None,
    share_type: Filter = None,
    way: Filter = None,
    cycle: Filter = None,
    under: Annotated[str | None, Query(max_length=64, description="信息资源分类，含其下各级")] = None,
) -> dict[str, Any]:
    """What to look for in the directory; filters combine."""
    filters = only(record_class=record_class, share_type=share_type, way=way, cycle=cycle, under=under)
    return {"text": text, "provider": provider, **filters}


Sought = Annotated[dict[str, Any], Depends(sought)]


@router.get("/directory", summary="检索目录", tags=["目录"])
def search(call: Asked, wanted: Sought, cursor: Cursor = None, limit: Limit = 20) -> Page[FoundLine]:
    """Published resources in which every word occurs, those with most hits first; filters combine."""
    found = call.hub.directory.search(limit=limit, cursor=cursor, **wanted)
    lines = [FoundLine(**line_of(hit.entry).model_dump(), score=hit.score) for hit in found.hits]
    return turned(call, lines, found.cursor)


@router.get("/directory/facets", summary="分面计数", tags=["目录"])
def facets(call: Asked, wanted: Sought) -> Faceted:
    """How many of what a search finds there are of each class, provider, sharing type, way and cycle."""
    found = call.hub.directory.facets(**wanted)
    counts = {name: {str(value): many for value, many in each.items()} for name, each in found.counts.items()}
    return Faceted(counts=counts, complete=found.complete)


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
    filters = {"provider": provider, "state": state, "record_class": record_class}
    found = call.hub.directory.resources(
        by=call.by, published=published, after=last_of(cursor), most=limit + 1, **filters
    )
    page = cut(call, found, lambda each: each.code, limit=limit)
    return Page(items=[line_of(each) for each in page.items], next=page.next)


@router.post("/resources", summary="登记资源", tags=["资源"], status_code=201, openapi_extra={"x-body": "Resource"})
def register(call: Asked, given: dict[str, Any], *, ignore_warnings: IgnoreWarnings = False) -> RegisteredResource:
    """Register a new resource as a draft: all problems at once; warned of it, nothing is done yet."""
    return _registered(call, given, ignore_warnings=ignore_warnings, begun="")


@router.post("/resources/checks", summary="检查登记内容", tags=["资源"], openapi_extra={"x-body": "Resource"})
def check(call: Asked, given: dict[str, Any]) -> Checked:
    """Everything wrong with a registration as written, and what is worth a second look; nothing is registered."""
    return _checked(call, given)


@router.get("/resources/codes/next", summary="取资源代码", tags=["资源"])
def next_code(
    call: Asked, under: Annotated[str, Query(max_length=64, description="信息资源分类，例如 101001001")]
) -> NextCode:
    """The next free code of a class; nothing is reserved."""
    return NextCode(code=drafts.next_code(call.hub, under))


@router.get("/resources/sheets/blank", summary="取空白登记表", tags=["资源"], **SHEET)
def empty_sheet(
    call: Asked,
    record_class: Annotated[str | None, Query(max_length=64, description="数据类别：登记表中写好它的信息项")] = None,
    table: Annotated[str | None, Query(max_length=64, description="它的数据表，有多张时指明")] = None,
    format: SheetFormat = "csv",
) -> Response:
    """The registration form as a spreadsheet, empty or with the items of a class."""
    return _sheet(drafts.empty_sheet(record_class, table, format=format), "form", format)


@router.post("/resources/sheets", summary="以登记表登记资源", tags=["资源"], status_code=201, openapi_extra=FILLED)
def register_sheet(
    call: Asked, sheet: Sheet, *, ignore_warnings: IgnoreWarnings = False, if_match: Match = None
) -> RegisteredResource:
    """Register what a filled-in form (CSV or XLSX) holds: a new resource, or by ``If-Match`` a change of its own."""
    if if_match is None:
        return _registered(call, sheet, ignore_warnings=ignore_warnings, begun="")
    with _as_seen(call, str(sheet.given.get("code", ""))):
        return _registered(call, sheet, ignore_warnings=ignore_warnings)


@router.post("/resources/sheets/checks", summary="检查登记表", tags=["资源"], openapi_extra=FILLED)
def check_sheet(call: Asked, sheet: Sheet) -> Checked:
    """Everything wrong with a filled-in form, and what is worth a second look; nothing is registered."""
    return _checked(call, sheet)


@router.get("/resources/{code:code}/sheet", summary="取登记表", tags=["资源"], **SHEET)
def filled_sheet(call: Asked, code: Code, version: Version = None, format: SheetFormat = "csv") -> Response:
    """The registration form as a resource fills it."""
    entry = call.hub.directory.resource(code, version, by=call.by)
    return _sheet(drafts.filled_sheet(entry.resource, format=format), code.replace("/", "-"), format)


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


def _checked(call: Call, given: Form | Mapping[str, Any]) -> Checked:
    found = drafts.examined(call.hub, given)
    return Checked(problems=list(map(_remark, found.errors)), warnings=list(map(_remark, found.warnings)))


def _sheet(content: bytes, name: str, format: str) -> Response:
    said = f"attachment; filename=\"{name}.{format}\"; filename*=UTF-8''{quoted(f'{name}.{format}')}"
    return Response(content, media_type=MEDIA_TYPES[format], headers={"Content-Disposition": said})


def _registered(
    call: Call, given: Form | Mapping[str, Any], *, ignore_warnings: bool, begun: str | None = None
) -> RegisteredResource:
    warnings = _Warnings(call, given, silent=ignore_warnings)
    with call.hub.database.accompanied(warnings):
        told = call.hub.registration.register(given, by=call.by, begun=begun)
    return RegisteredResource(
        entry=whole(told.entry),
        action=told.action,
        changes=list(told.changes),
        warnings=[_remark(each) for each in told.warnings],
    )


class _Warnings:
    """Tells of warnings in the transaction that would register, before it does: who may not register is told that."""

    def __init__(self, call: Call, given: Form | Mapping[str, Any], *, silent: bool) -> None:
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
