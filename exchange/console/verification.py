"""Verification of the log (日志核验): now, with its result; and answering for what a restored backup lost."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.responses import Response

from exchange.audit import Verification
from exchange.console.views import Page, Sent, View
from exchange.errors import Denied, HubError
from exchange.messages import _
from exchange.web.errors import status_of

router = APIRouter(include_in_schema=False)

EARLIER = 10
"""Verifications that are shown of those before."""
KINDS = {
    "edited": _("被改动"),
    "removed": _("被删除"),
    "inserted": _("被插入"),
    "reordered": _("被调换"),
    "cut": _("被截断"),
    "rewritten": _("被重写"),
    "heads": _("链头文件"),
}
"""What was done to the log, in words."""


@router.get("/log/verification")
def verification(view: Page) -> Response:
    """How it was the last times, and the button."""
    return _shown(view)


@router.post("/log/verification")
def verify(view: Page, _form: Sent) -> Response:
    """Verify now; what is found is shown at once, and kept nowhere but as a number of faults."""
    began = time.monotonic()
    found = view.hub.oversight.verify(by=view.by)
    return _shown(view, found=found, took=time.monotonic() - began)


@router.post("/log/acknowledgement")
def acknowledge(view: Page, form: Sent) -> Response:
    """Answer for what a restored backup lost."""
    try:
        form.demand(reason=_("理由"))
        view.hub.oversight.acknowledge(by=view.by, reason=form["reason"])
    except Denied:
        raise
    except HubError as error:
        return _shown(view, error=error, reason=form["reason"])
    return view.go("/log/verification", _("已记入日志：缺失的部分随恢复备份而失。再核验一次，应只作提示。"))


def _shown(
    view: View,
    *,
    found: Verification | None = None,
    took: float | None = None,
    error: HubError | None = None,
    reason: str = "",
) -> Response:
    before = view.hub.oversight.search(by=view.by, type="LogVerified", limit=EARLIER + 1).events
    return view.render(
        "verification.html",
        status_of(error) if error else 200,
        found=found,
        took=took,
        error=error,
        reason=reason,
        kinds=KINDS,
        # The one just done is shown above them.
        earlier=before[1 if found else 0 :][:EARLIER],
    )
