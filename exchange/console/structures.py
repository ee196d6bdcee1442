"""Changed structures (结构变更): what is no longer as it was approved, as a difference to approve."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.fields import beside
from exchange.console.views import Page, Sent, View
from exchange.engine import Comparison
from exchange.errors import Failed, HubError, Invalid, Misplaced
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted

router = APIRouter(include_in_schema=False)


@router.get("/structures")
def held(view: Page, after: str = "") -> Response:
    """The exchanges that are held until somebody answers for a change."""
    page = view.hub.exchanges.listed(by=view.by, state="held", after=after or None)
    following = f"/structures?{urlencode({'after': page.following})}" if page.following else None
    return view.render("structures.html", exchanges=page.exchanges, following=following, terms=terms)


@router.get("/structures/{exchange:code}")
def diff(exchange: str, view: Page) -> Response:
    """Both ends as they are now, beside what was approved."""
    return _page(view, exchange)


@router.post("/structures/{exchange:code}/approve")
def approve(exchange: str, view: Page, form: Sent) -> Response:
    """Accept what holds the exchange, with a reason."""
    try:
        view.hub.structures.approve(exchange, reason=form["reason"], by=view.by)
    except (Invalid, Misplaced) as error:
        return _page(view, exchange, error=error, reason=form["reason"])
    return view.go(f"/exchanges/{quoted(exchange)}", _("已批准，下次执行以现在的结构为准"))


def _page(view: View, exchange: str, *, error: HubError | None = None, reason: str = "") -> Response:
    compared: tuple[Comparison, ...] = ()
    unseen: HubError | None = None
    try:
        compared = view.hub.structures.diff(exchange, by=view.by)
    except Failed as away:
        unseen = away
    wrong = error or unseen
    return view.render(
        "structure.html",
        200 if wrong is None else status_of(wrong),
        exchange=exchange,
        compared=compared,
        held=any(each.holds for each in compared),
        error=wrong,
        wrong=beside(error, {"reason": _("理由")}),
        reason=reason,
        may=view.has(Role.INTEGRATOR),
        terms=terms,
    )
