"""Runs and what became of them (批次、回执、追溯), and notices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from exchange.api.calls import Asked, Cursor, Filter, Limit, Moment, Name, Page, cut, number_of, turned
from exchange.api.door import Door
from exchange.api.exchanges import result_of
from exchange.api.works import WorkStatus, begin
from exchange.audit import Stored
from exchange.authorisation import Explanation
from exchange.errors import Unknown
from exchange.hub.answers import Answered
from exchange.hub.runs import LedgerAnswer, RunLine

router = APIRouter(route_class=Door)


class Notice(BaseModel):
    """What a department was told (通知)."""

    id: int
    department: str
    run: str | None
    text: str
    at: datetime


class Told(BaseModel):
    """A notice that a run led to (批次的通知)."""

    department: str
    text: str
    at: datetime


class Trace(BaseModel):
    """One delivery from application to receipt (追溯)."""

    run: str
    exchange: str
    state: str
    error: str | None
    started_at: datetime
    ended_at: datetime | None
    plan: dict[str, Any] = Field(description="执行方案，全文")
    delivery: str = Field(description="交付编号")
    counts: dict[str, Any] | None = Field(description="账目")
    receipt: dict[str, Any] | None = Field(description="回执，全文；没有交付时为 null")
    answers: list[dict[str, Any]] = Field(description="接收方处理结果")
    notices: list[Told]
    grant: Explanation = Field(description="授权的说明")
    events: list[Stored] = Field(description="经过，新的在前")


class Asking(BaseModel):
    """What came of asking a recipient (读回处理结果)."""

    new: bool = Field(description="有新的结果")


@router.get("/runs", summary="列出批次", tags=["批次"])
def runs(
    call: Asked,
    exchange: Filter = None,
    resource: Filter = None,
    department: Filter = None,
    state: Filter = None,
    since: Moment | None = None,
    until: Moment | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RunLine]:
    """Runs, the last begun first, as far as they concern the caller; filters combine."""
    found = call.hub.runs.found(
        by=call.by,
        exchange=exchange,
        resource=resource,
        department=department,
        state=state,
        since=since,
        until=until,
        cursor=cursor,
        limit=limit,
    )
    return turned(call, found.runs, found.cursor)


@router.get("/runs/{name:code}", summary="追溯一次交付", tags=["批次"])
def trace(call: Asked, name: Name) -> Trace:
    """One delivery from application to receipt, by the id of a run, a receipt or an exchange (its last run)."""
    return Trace(**call.hub.oversight.trace(name, by=call.by))


@router.get("/runs/{name:code}/receipt", summary="查看回执", tags=["批次"])
def receipt(call: Asked, name: Name) -> dict[str, Any]:
    """The receipt of a run as it was issued: whoever keeps it can hold the hub to it."""
    found = call.hub.oversight.trace(name, by=call.by)["receipt"]
    if found is None:
        raise Unknown(f"批次 {name} 没有回执：没有交付", remedy="经过见 /api/v1/runs")
    call.tagged(found)
    return found  # type: ignore[no-any-return]  # as the trace has it


@router.get("/runs/{name:code}/ledger", summary="核对台账", tags=["批次"])
def ledger(call: Asked, name: Name) -> LedgerAnswer:
    """What the target's ledger says of a delivery now, and how that differs from the receipt; nothing is changed."""
    return call.hub.runs.ledger(name, by=call.by)


@router.get("/runs/{name:code}/answers", summary="查看接收方处理结果", tags=["批次"])
def answers(call: Asked, name: Name, *, rows: bool = False, keys: bool = False) -> Answered:
    """What the recipient made of a delivery's rows; failed rows are for an integrator of the recipient alone."""
    return call.hub.answers.show(name, by=call.by, rows=rows, keys=keys)


@router.post("/runs/{name:code}/answers", summary="读回接收方处理结果", tags=["批次"])
def ask(call: Asked, name: Name) -> Asking:
    """Ask the recipient now what became of a delivery's rows."""
    return Asking(new=call.hub.answers.ask(name, by=call.by))


@router.post("/runs/{name:code}/resends", summary="重新送达一次文件交付", tags=["批次"], status_code=202)
def resend(call: Asked, name: Name) -> WorkStatus:
    """Deliver once more what a run delivered as files, its rows as they stand now; by its id or that of its receipt."""
    hub, by = call.hub, call.by
    exchange, delivered = hub.files.delivery(name, by=by)
    return begin(call, f"run {exchange}", lambda tell: result_of(hub.files.resend(delivered, by=by, observe=tell)))


@router.get("/notices", summary="列出通知", tags=["通知"])
def notices(call: Asked, cursor: Cursor = None, limit: Limit = 50) -> Page[Notice]:
    """What the caller's department was told, oldest first."""
    found = call.hub.oversight.notices(by=call.by, after=number_of(cursor), most=limit + 1)
    page = cut(call, found, lambda n: str(n.id), limit=limit)
    told = [Notice(id=n.id, department=n.department, run=n.run, text=n.text, at=n.at) for n in page.items]
    return Page(items=told, next=page.next)
