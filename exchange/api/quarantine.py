"""Refused rows (隔离): listed, looked at and mended by their provider's clerk, and by nobody else."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from exchange.api.calls import Asked, Cursor, Filter, Limit, Name, Number, Page, Sent, Why, cut, number_of
from exchange.api.door import Door
from exchange.engine import ShownRow
from exchange.hub.oversight import RefusedRow

router = APIRouter(route_class=Door, tags=["隔离"])
Value = Annotated[str, Field(max_length=100_000)]


class Repair(Sent):
    """Corrected items of a refused row (更正)."""

    changes: dict[Annotated[str, Field(max_length=64)], Value | None] = Field(
        min_length=1, max_length=500, description="信息项和它的新值；null 为空"
    )
    reason: str = Field("", max_length=500, description="理由，记入日志；勿写个人信息")


@router.get("/quarantine", summary="列出隔离行")
def rows(
    call: Asked,
    exchange: Filter = None,
    run: Filter = None,
    state: Filter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RefusedRow]:
    """Refused rows with rule and reason, never their content: to their provider and the administrators."""
    found = call.hub.oversight.quarantine(
        by=call.by, exchange=exchange, run=run, state=state, after=number_of(cursor), most=limit + 1
    )
    return cut(call, found, lambda each: str(each.id), limit=limit)


@router.get("/quarantine/{number}", summary="查看隔离行")
def row(call: Asked, number: Number) -> ShownRow:
    """A refused row, masked by the grades of its items but for what is to be mended; the look is logged."""
    return call.hub.mending.show(number, by=call.by)


@router.post("/quarantine/{number}/repair", summary="更正隔离行", status_code=204, response_class=Response)
def repair(call: Asked, number: Number, given: Repair) -> Response:
    """Correct items of a refused row, if it then passes the checks; it is delivered by a replay."""
    call.hub.mending.repair(number, given.changes, reason=given.reason, by=call.by)
    return Response(status_code=204)


@router.post("/quarantine/{number}/drop", summary="弃送隔离行", status_code=204, response_class=Response)
def drop(call: Asked, number: Number, given: Why) -> Response:
    """Say of a refused row that it will never be delivered."""
    call.hub.mending.drop(number, reason=given.reason, by=call.by)
    return Response(status_code=204)


@router.get("/exchanges/{name:code}/quarantine", summary="列出一个交换的隔离行")
def rows_of(
    call: Asked, name: Name, state: Filter = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[RefusedRow]:
    """The same of one exchange."""
    return rows(call, exchange=name, state=state, cursor=cursor, limit=limit)
