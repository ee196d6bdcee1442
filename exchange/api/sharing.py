"""Applications, decisions and grants (申请、审核、授权)."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from exchange.api.calls import Asked, Cursor, Filter, Limit, Match, Name, Page, Sent, Why, only, turned
from exchange.api.door import Door
from exchange.authorisation import Explanation, expression, masks
from exchange.db.tables import ApplicationRow, GrantRow
from exchange.hub.directory import ApplicationEntry, GrantEntry
from exchange.hub.drafts import asked

router = APIRouter(route_class=Door)


class Assessed(BaseModel):
    """What the rules would say to an application (预审结果)."""

    outcome: str = Field(description="granted 平台直接授权、refer 由提供部门审核、refused 不能共享")
    reasons: list[str] = Field(description="理由")
    remarks: list[str] = Field(description="使用时与申请不同之处")
    items: list[str] = Field(description="会交付的信息项")
    masks: dict[str, Any] = Field(description="信息项的脱敏方式")
    filter: Any = Field(description="会交付的行；null：全部")


class Decision(Sent):
    """An answer to an application (审核); what is not named stays as it was asked for."""

    approved: bool = Field(description="同意或不同意")
    reasons: list[str] = Field(default_factory=list, max_length=50, description="理由；不同意须写")
    items: list[str] | None = Field(None, max_length=2000, description="只授权这些信息项")
    filter: dict[str, Any] | None = Field(None, description="只授权这些行")
    masks: dict[str, Any] | None = Field(None, description="信息项的脱敏方式，比申请的更严")
    quota: int | None = Field(None, ge=1, description="行数上限")
    calls_per_minute: int | None = Field(None, ge=1, description="每分钟调用次数上限")
    rows_per_minute: int | None = Field(None, ge=1, description="每分钟行数上限")
    until: str | None = Field(None, max_length=10, description="使用期限的最后一天")


class Withdrawal(Sent):
    """Taking an application back (撤回)."""

    reason: str = Field("", max_length=500, description="理由")


class GrantMove(Why):
    """A change of a grant (变更授权)."""

    action: Literal["suspend", "resume", "revoke"] = Field(description="中止、恢复、撤销")
    recall: bool = Field(default=False, description="撤销时一并撤回已送达的文件")


class GrantMoved(BaseModel):
    """A changed grant (授权变更结果)."""

    grant: GrantEntry
    recalls: list[str] = Field(description="撤回的编号")


@router.get("/applications", summary="列出申请", tags=["申请"])
def applications(
    call: Asked, state: Filter = None, resource: Filter = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[ApplicationEntry]:
    """Applications the caller may see, newest first."""
    states = () if state is None else (state,)
    page = call.hub.waiting.applications(by=call.by, states=states, resource=resource, cursor=cursor, limit=limit)
    found = call.hub.directory.applications(by=call.by, names=[each.id for each in page.lines])
    return turned(call, found, page.cursor)


@router.post(
    "/applications", summary="提出申请", tags=["申请"], status_code=201, openapi_extra={"x-body": "Application"}
)
def apply(call: Asked, given: dict[str, Any]) -> ApplicationEntry:
    """Apply for the use of a resource; unconditional ones are granted at once. What is missing is told all at once."""
    name = call.hub.sharing.apply(asked(given), by=call.by)
    call.response.headers["Location"] = f"/api/v1/applications/{name}"
    return call.hub.directory.application(name, by=call.by)


@router.post("/applications/checks", summary="预审申请", tags=["申请"], openapi_extra={"x-body": "Application"})
def assess(call: Asked, given: dict[str, Any]) -> Assessed:
    """What the rules would say to an application if it were made now; nothing is made."""
    found = call.hub.sharing.assess(asked(given), by=call.by)
    return Assessed(
        outcome=found.outcome,
        reasons=list(found.reasons),
        remarks=list(found.remarks),
        items=list(found.items),
        masks={name: masks.dump(mask) for name, mask in found.masks.items()},
        filter=None if found.filter is None else expression.dump(found.filter),
    )


@router.get("/applications/{name:code}", summary="查看申请", tags=["申请"])
def application(call: Asked, name: Name) -> ApplicationEntry:
    """One application with its answers."""
    found = call.hub.directory.application(name, by=call.by)
    call.tagged(found)
    return found


@router.post("/applications/{name:code}/decision", summary="审核申请", tags=["申请"])
def decide(call: Asked, name: Name, given: Decision, if_match: Match = None) -> ApplicationEntry:
    """Answer an application: only the provider's reviewer, never the applicant, with reasons."""
    narrower = only(**given.model_dump(exclude={"approved", "reasons"}))

    def current() -> Any:
        return call.hub.directory.application(name, by=call.by)

    with call.matching(current, hold=lambda s: s.get(ApplicationRow, name, with_for_update=True)):
        call.hub.sharing.decide(name, approved=given.approved, reasons=given.reasons, by=call.by, **narrower)
    return call.hub.directory.application(name, by=call.by)


@router.post("/applications/{name:code}/withdrawal", summary="撤回申请", tags=["申请"])
def withdraw(call: Asked, name: Name, given: Withdrawal) -> ApplicationEntry:
    """Take back an application that has not been answered."""
    call.hub.sharing.withdraw(name, reason=given.reason, by=call.by)
    return call.hub.directory.application(name, by=call.by)


@router.get("/grants", summary="列出授权", tags=["授权"])
def grants(
    call: Asked,
    state: Filter = None,
    resource: Filter = None,
    kind: Filter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[GrantEntry]:
    """Grants the caller may see, newest first."""
    states = () if state is None else (state,)
    page = call.hub.waiting.grants(by=call.by, states=states, kind=kind, resource=resource, cursor=cursor, limit=limit)
    found = call.hub.directory.grants(by=call.by, names=[each.id for each in page.lines])
    return turned(call, found, page.cursor)


@router.get("/grants/{name:code}", summary="查看授权", tags=["授权"])
def grant(call: Asked, name: Name) -> GrantEntry:
    """One grant."""
    found = call.hub.directory.grant(name, by=call.by)
    call.tagged(found)
    return found


@router.get("/grants/{name:code}/explanation", summary="说明授权", tags=["授权"])
def explain(call: Asked, name: Name) -> Explanation:
    """Who may have what under a grant, an application or an exchange, why, and would it pass now."""
    return call.hub.directory.explain(name, by=call.by)


@router.post("/grants/{name:code}/changes", summary="中止、恢复或撤销授权", tags=["授权"])
def change(call: Asked, name: Name, given: GrantMove, if_match: Match = None) -> GrantMoved:
    """Suspend, resume or revoke a grant: the provider's reviewer or the security administrator."""

    def current() -> Any:
        return call.hub.directory.grant(name, by=call.by)

    with call.matching(current, hold=lambda s: s.get(GrantRow, name, with_for_update=True)):
        recalls = call.hub.sharing.change(name, given.action, reason=given.reason, recall=given.recall, by=call.by)
    return GrantMoved(grant=call.hub.directory.grant(name, by=call.by), recalls=recalls)
