"""Settings that may change at run time (可调设置): seen, changed for a reason, and set back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console.views import Form, Page, Sent, View
from exchange.errors import Denied, HubError
from exchange.hub.overrides import BELIEVED
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.words import SETTINGS

router = APIRouter(include_in_schema=False)


@router.get("/settings")
def listed(view: Page) -> Response:
    """All of them, as they hold."""
    return _page(view)


@router.post("/settings/{name:code}")
def change(name: str, view: Page, form: Sent) -> Response:
    """Change one."""
    value = form["value"]
    return _done(view, name, form, lambda: view.hub.overrides.set(name, value, reason=form["reason"], by=view.by))


@router.post("/settings/{name:code}/reset")
def reset(name: str, view: Page, form: Sent) -> Response:
    """Have the file's own value hold again."""
    return _done(view, name, form, lambda: view.hub.overrides.reset(name, reason=form["reason"], by=view.by))


def _done(view: View, name: str, form: Form, do: Callable[[], Any]) -> Response:
    try:
        do()
    except Denied:
        raise
    except HubError as error:
        return _page(view, error=error, at=name, given={each: form[each] for each in ("value", "reason")})
    return view.go("/settings", _("已变更，各进程在 {seconds:g} 秒内照办").format(seconds=BELIEVED))


def _page(view: View, *, error: HubError | None = None, at: str = "", given: dict[str, str] | None = None) -> Response:
    return view.render(
        "settings.html",
        200 if error is None else status_of(error),
        found=view.hub.overrides.settings(by=view.by),
        error=error,
        at=at,
        given=given or {"value": "", "reason": ""},
        titles=SETTINGS,
        may=view.has(Role.SYSTEM),
    )
