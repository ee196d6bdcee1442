"""Whether it is well (健康检查): ``/healthz`` lives, ``/readyz`` can do its work, each part by name; ``/metrics``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from exchange import api

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(request: Request) -> Response:
    """Every part it needs answers; 503 names those that do not."""
    told: dict[str, Any] = request.app.state.parts.states()
    well = all(each["ok"] for each in told.values())
    return JSONResponse({"status": "ok" if well else "unavailable", "parts": told}, 200 if well else 503)


@router.get("/openapi.json")
def description(request: Request) -> Response:
    """The REST interface, as OpenAPI 3.1."""
    return JSONResponse(api.describe(request.app))


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    content, kind = request.app.state.metrics.told()
    return Response(content, media_type=kind)
