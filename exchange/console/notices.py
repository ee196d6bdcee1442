"""Notifications (通知): what a department was told of its applications, grants, deliveries and refusals."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console.views import Page

router = APIRouter(include_in_schema=False)

ON_A_PAGE = 50
_DIGITS = 18


@router.get("/notices")
def listed(view: Page, before: str = "") -> Response:
    """What the department of who looks was told, the latest first."""
    known = before.isascii() and before.isdecimal() and len(before) <= _DIGITS
    last = int(before) if known else None
    found = view.hub.oversight.notices(by=view.by, before=last, latest=True, most=ON_A_PAGE + 1)
    page = found[:ON_A_PAGE]
    following = f"/notices?before={page[-1].id}" if len(found) > ON_A_PAGE else None
    return view.render("notices.html", page=page, first=not known, following=following)
