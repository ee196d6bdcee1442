"""The list of demand (需求清单): what departments need and do not find."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from catalog.vocabulary import DEMAND_STATES
from exchange.console.views import Page
from exchange.messages import _

router = APIRouter(include_in_schema=False)

TONES = {"open": "warn", "met": "good", "declined": "bad"}


@router.get("/demands")
def listed(view: Page, department: str = "", provider: str = "", state: str = "") -> Response:
    """The demands, the oldest first."""
    if state not in DEMAND_STATES:
        state = ""
    every = ("", _("全部"))
    return view.render(
        "demands.html",
        found=view.hub.directory.demands(department=department or None, provider=provider or None, state=state or None),
        department=department,
        provider=provider,
        state=state,
        states=[every, *DEMAND_STATES.items()],
        departments=[every, *sorted(view.names().items(), key=lambda each: each[1])],
        tones=TONES,
    )
