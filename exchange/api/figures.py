"""Figures (统计): what moved in a period, between whom, how well, how fast, and how fresh it all is."""

from __future__ import annotations

import io
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from exchange.api.calls import FIRST, LAST, Asked
from exchange.api.door import Door
from exchange.audit.exporting import MEDIA_TYPES
from exchange.hub.figures import Dashboard

router = APIRouter(route_class=Door)
Day = Annotated[date | None, Query(ge=FIRST.date(), le=LAST.date(), description="中国的日期；含当日")]
EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {media.partition(";")[0]: {} for media in MEDIA_TYPES.values()}}
}


@router.get("/figures", summary="查看统计", tags=["统计"])
def figures(call: Asked, since: Day = None, until: Day = None) -> Dashboard:
    """What moved in a period, as far as it concerns the caller; by default the last 30 days."""
    return call.hub.figures.dashboard(by=call.by, since=since, until=until)


@router.get("/figures/export", summary="导出统计", tags=["统计"], response_class=Response, responses=EXPORTED)
def export(
    call: Asked, since: Day = None, until: Day = None, format: Literal["jsonl", "csv", "xlsx", "parquet"] = "jsonl"
) -> Response:
    """The exchanges of a period with their figures, as a file."""
    out = io.BytesIO()
    call.hub.figures.export(out, format, by=call.by, since=since, until=until)
    said = f'attachment; filename="figures.{format}"'
    return Response(out.getvalue(), media_type=MEDIA_TYPES[format], headers={"Content-Disposition": said})
