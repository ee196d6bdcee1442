"""Recalls (撤回): what was called back of what was delivered, what recipients say to that, and calling back."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import Denied, HubError
from exchange.hub.recalls import MAY
from exchange.messages import _
from exchange.web.errors import status_of

router = APIRouter(include_in_schema=False)

MOST = 200
"""Recalls that a page shows; older ones are found by the filters."""
_GIVEN = ("of", "document", "reason")


@router.get("/recalls")
def listed(view: Page) -> Response:
    """Recalls that concern who looks, the latest first."""
    return _page(view, {"of": view.request.query_params.get("exchange", "")})


@router.post("/recalls")
def recall(view: Page, form: Sent) -> Response:
    """Call back what was delivered."""
    try:
        made = _recalled(view, form)
    except Denied:
        raise
    except HubError as error:
        return _page(view, {name: form[name] for name in _GIVEN}, error=error)
    return view.go("/recalls", _("已撤回 {many} 次交付，通知随后送达接收方").format(many=len(made)))


def _recalled(view: View, form: Form) -> list[str]:
    document = form["document"] or None
    return view.hub.recalls.recall(form["of"], document=document, reason=form["reason"], by=view.by)


def _page(view: View, values: dict[str, str], *, error: HubError | None = None) -> Response:
    asked = view.request.query_params
    exchange, state = asked.get("exchange", ""), asked.get("state", "")
    if state not in terms.RECALL_STATES:
        state = ""
    found = view.hub.recalls.entries(by=view.by, exchange=exchange or None, state=state or None)
    return view.render(
        "recalls.html",
        200 if error is None else status_of(error),
        found=found[:MOST],
        more=len(found) > MOST,
        most=MOST,
        exchange=exchange,
        state=state,
        values={**dict.fromkeys(_GIVEN, ""), **values},
        error=error,
        may=view.has(*MAY),
        terms=terms,
    )
