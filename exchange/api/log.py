"""The log (日志): searched, exported, verified; and how fresh what is exchanged is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from exchange.api.calls import Asked, Cursor, Filter, Limit, Moment, Page, Why, only, paged, turned
from exchange.api.door import Door
from exchange.api.works import WorkStatus, begin
from exchange.audit import Stored
from exchange.audit.exporting import MEDIA_TYPES
from exchange.hub.freshness import Freshness
from exchange.hub.timetable import TimetableStatus

router = APIRouter(route_class=Door)
Text = Annotated[str | None, Query(max_length=200, description="内容里的文字")]


def sought(
    call: Asked,
    department: Filter = None,
    resource: Filter = None,
    exchange: Filter = None,
    run: Filter = None,
    type: Filter = None,
    actor: Filter = None,
    way: Filter = None,
    record_class: Filter = None,
    outcome: Filter = None,
    since: Moment | None = None,
    until: Moment | None = None,
    text: Text = None,
) -> dict[str, Any]:
    """What to look for in the log; filters combine."""
    code = call.hub.directory.department(department).code if department is not None else None
    return dict(
        only(
            department=code,
            resource=resource,
            exchange=exchange,
            run=run,
            type=type,
            actor=actor,
            way=way,
            record_class=record_class,
            outcome=outcome,
            since=since,
            until=until,
            text=text,
        )
    )


Sought = Annotated[dict[str, Any], Depends(sought)]


@router.get("/log", summary="检索日志", tags=["日志"])
def search(
    call: Asked,
    filters: Sought,
    cursor: Annotated[str | None, Query(max_length=40, pattern=r"^[0-9]+\.[0-9]+$")] = None,
    limit: Limit = 50,
) -> Page[Stored]:
    """Events, newest first, to the audit administrator; the look is an event itself."""
    found = call.hub.oversight.search(by=call.by, limit=limit, cursor=cursor, **filters)
    return turned(call, found.events, found.cursor)


@router.get(
    "/log/export",
    summary="导出日志",
    tags=["日志"],
    response_class=Response,
    responses={200: {"content": {media.partition(";")[0]: {} for media in MEDIA_TYPES.values()}}},
)
def export(call: Asked, filters: Sought, format: Literal["jsonl", "csv", "xlsx", "parquet"] = "jsonl") -> Response:
    """What a search finds, whole, as a file, oldest first."""
    folder = tempfile.TemporaryDirectory(prefix="shutong-log-")
    path = Path(folder.name) / f"log.{format}"
    try:
        call.hub.oversight.export(path, by=call.by, format=format, **filters)
    except BaseException:
        folder.cleanup()
        raise
    gone = BackgroundTask(folder.cleanup)
    return FileResponse(path, media_type=MEDIA_TYPES[format], filename=path.name, background=gone)


@router.post("/log/verifications", summary="核验日志", tags=["日志"], status_code=202)
def verify(call: Asked) -> WorkStatus:
    """Whether the log is as it was written, with receipts, ledgers and runs as witnesses."""
    hub, by = call.hub, call.by
    return begin(call, "verify", lambda _tell: hub.oversight.verify(by=by))


@router.post("/log/acknowledgements", summary="确认恢复备份", tags=["日志"], status_code=204, response_class=Response)
def acknowledge(call: Asked, given: Why) -> Response:
    """Answer for what the log lost with a restored backup."""
    call.hub.oversight.acknowledge(by=call.by, reason=given.reason)
    return Response(status_code=204)


@router.get("/freshness", summary="查看更新时效", tags=["时效"])
def freshness(
    call: Asked,
    overdue: Annotated[bool | None, Query(description="只列逾期的，或没有逾期的")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Freshness]:
    """Each resource against its update cycle, the most overdue first, as far as it concerns the caller."""
    found = [each for each in call.hub.timetable.freshness(by=call.by) if overdue in (None, each.overdue)]
    return paged(call, found, lambda each: each.exchange, cursor=cursor, limit=limit)


@router.get("/timetable", summary="查看排班状态", tags=["时效"])
def timetable(call: Asked) -> TimetableStatus:
    """How the snapshot that a scheduler reads stands, and what is overdue."""
    return call.hub.timetable.status(by=call.by)
