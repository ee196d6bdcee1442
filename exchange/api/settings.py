"""Settings that may change at run time (可调设置)."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from exchange.api.calls import Asked, Name, Why
from exchange.api.door import Door
from exchange.hub.overrides import Setting

router = APIRouter(route_class=Door)


class NewValue(Why):
    """What a setting is to be (变更设置)."""

    value: int = Field(ge=-(2**53), le=2**53, strict=True, description="新的值")


@router.get("/settings", summary="列出可调设置", tags=["设置"])
def settings(call: Asked) -> list[Setting]:
    """All settings that may change at run time, as they hold: to the system and the audit administrator."""
    return call.hub.overrides.settings(by=call.by)


@router.put("/settings/{name:code}", summary="变更设置", tags=["设置"])
def change(call: Asked, name: Name, given: NewValue) -> Setting:
    """Change one, in every process within seconds: the system administrator."""
    return call.hub.overrides.set(name, given.value, reason=given.reason, by=call.by)


@router.post("/settings/{name:code}/reset", summary="恢复设置", tags=["设置"])
def reset(call: Asked, name: Name, given: Why) -> Setting:
    """Have the file's own value hold again."""
    return call.hub.overrides.reset(name, reason=given.reason, by=call.by)
