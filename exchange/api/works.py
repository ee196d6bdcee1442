"""Work that outlasts its call (后台办理): answered with 202 and a place to look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, Field

from exchange.api.calls import Asked, Call, Name
from exchange.api.door import Door
from exchange.errors import HubError, Unknown
from exchange.web.errors import kind_of, status_of
from exchange.web.working import Progress, Tell

router = APIRouter(route_class=Door)
PATIENCE = 5.0
"""Seconds in which a refusal is told by the call itself; what has begun to do something is answered at once."""


class WorkProblem(BaseModel):
    """What kept a piece of work (失败原因)."""

    type: str
    title: str
    status: int
    remedy: str
    retry: bool


class WorkStatus(BaseModel):
    """A piece of work, as it stands (后台办理的进度)."""

    id: str = Field(description="编号")
    about: str = Field(description="办理什么")
    state: str = Field(description="running 正在办理、done 办完、failed 没有办成")
    step: str | None = Field(description="最近的一步")
    figures: dict[str, Any] = Field(description="到这一步的数字")
    run: str | None = Field(description="批次编号，见 /runs/{name}；还不知道或不是批次时为 null")
    began_at: datetime
    ended_at: datetime | None
    result: Any = Field(description="办完后的结果")
    problem: WorkProblem | None = Field(description="没有办成的原因")


def begin(call: Call, key: str, work: Callable[[Tell], Any]) -> WorkStatus:
    """Have something carried out, and say where to look; what refuses it at once is told at once.

    Args:
        call: The call.
        key: What it is about; at most one of a key is carried out at a time.
        work: Does it; what it returns is told as the result.

    Raises:
        HubError: It was refused, or failed before it did anything.
        Busy: The same is under way, or too much is.
    """
    begun = call.working.start(key, work, owner=call.presence.account)
    seen = begun.wait(PATIENCE, lambda now: "run" in now.figures if _is_run(key) else now.step is not None)
    if isinstance(seen.error, HubError):
        raise seen.error
    call.response.status_code = 202
    call.response.headers["Location"] = f"/api/v1/works/{seen.id}"
    return status(seen)


def _is_run(key: str) -> bool:
    return key.startswith("run ")


def status(now: Progress) -> WorkStatus:
    """A piece of work, as it is told."""
    told = None
    if isinstance(now.error, HubError):
        told = WorkProblem(
            type=f"urn:shutong:{kind_of(now.error)}",
            title=now.error.message,
            status=status_of(now.error),
            remedy=now.error.remedy,
            retry=now.error.retry,
        )
    elif now.error is not None:
        told = WorkProblem(
            type="urn:shutong:defect", title="平台出错，这一步没有完成", status=500, remedy="", retry=False
        )
    run = now.figures.get("run") or (now.result or {}).get("id") if _is_run(now.key) else None
    return WorkStatus(
        id=now.id,
        about=now.key,
        state=now.state,
        step=now.step,
        figures=jsonable_encoder(dict(now.figures)),
        run=run,
        began_at=now.began_at,
        ended_at=now.ended_at,
        result=now.result,
        problem=told,
    )


@router.get("/works/{name:code}", summary="查看后台办理的进度", tags=["后台办理"])
def work(call: Asked, name: Name) -> WorkStatus:
    """A piece of work that the caller began, as it stands; kept by the process that carries it out."""
    found = call.working.find(name)
    if found is None or found.owner != call.presence.account:
        raise Unknown(f"没有后台办理 {name}", remedy="平台重启过的，从批次和日志查看结果")
    return status(found.progress())
