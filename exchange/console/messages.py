"""Messages (消息投递): what is owed to recipients of files, what could not be delivered, and trying again."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.views import Page, Sent, View
from exchange.errors import HubError, Invalid
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of

router = APIRouter(include_in_schema=False)

MOST = 100
"""What is owed that a page shows; older is found by the filters."""


@router.get("/messages")
def listed(view: Page, recipient: str = "", state: str = "") -> Response:
    """What is and was owed, and how the middleware stands."""
    if state not in terms.DISPATCH_STATES:
        state = ""
    rows = view.hub.messages.listed(by=view.by, recipient=recipient or None, state=state or None, limit=MOST)
    return view.render(
        "messages.html",
        rows=rows,
        most=MOST,
        counts=view.hub.messages.counts(by=view.by, recipient=recipient or None),
        transport=view.hub.messages.status(by=view.by, letters=state == "dead"),
        recipient=recipient,
        state=state,
        departments=sorted(view.names().items(), key=lambda each: each[1]),
        may=view.has(Role.INTEGRATOR, Role.SYSTEM),
        terms=terms,
    )


@router.post("/messages/requeue")
def requeue_dead(view: Page, form: Sent) -> Response:
    """Try again everything that is dead."""
    done = view.hub.messages.requeue_dead(by=view.by, recipient=form["recipient"] or None)
    return view.go("/messages", _("{many} 条已重新排队").format(many=len(done)))


@router.get("/messages/{number:number}")
def show(number: int, view: Page) -> Response:
    """One of them."""
    return _page(view, number)


@router.post("/messages/{number:number}/requeue")
def requeue(number: int, view: Page, _form: Sent) -> Response:
    """Try one again."""
    view.hub.messages.requeue(number, by=view.by)
    return view.go(f"/messages/{number}", _("已重新排队"))


@router.post("/messages/{number:number}/withdraw")
def withdraw(number: int, view: Page, form: Sent) -> Response:
    """Do not deliver it."""
    try:
        view.hub.messages.withdraw(number, reason=form["reason"], by=view.by)
    except Invalid as error:
        return _page(view, number, error=error)
    return view.go(f"/messages/{number}", _("已撤回"))


def _page(view: View, number: int, *, error: HubError | None = None) -> Response:
    return view.render(
        "message.html",
        200 if error is None else status_of(error),
        row=view.hub.messages.show(number, by=view.by),
        error=error,
        may=view.has(Role.INTEGRATOR, Role.SYSTEM),
        terms=terms,
    )
