"""Quarantine (隔离): refused rows listed, corrected, given up; what a row holds, its provider's clerk alone sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from exchange.console import terms
from exchange.console.fields import beside
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import HubError, Invalid, Misplaced
from exchange.messages import _
from exchange.web.errors import status_of

router = APIRouter(include_in_schema=False)

MOST = 50
"""Rows of a page."""
Before = Annotated[int | None, Query(ge=0, lt=10**18)]


@router.get("/quarantine")
def listed(
    view: Page, exchange: str = "", run: str = "", state: str = "", rule: str = "", before: Before = None
) -> Response:
    """Refused rows, the last first: never what they hold."""
    if state not in terms.ROW_STATES:
        state = ""
    given: dict[str, Any] = {"exchange": exchange, "run": run, "state": state, "rule": rule}
    wanted = {name: value or None for name, value in given.items()}
    rows = view.hub.oversight.quarantine(by=view.by, **wanted, before=before, most=MOST)
    following = None
    if len(rows) == MOST:
        asked = {name: value for name, value in given.items() if value} | {"before": str(rows[-1].id)}
        following = f"/quarantine?{urlencode(asked)}"
    return view.render("quarantine.html", rows=rows, following=following, terms=terms, **given)


@router.get("/quarantine/{number:number}")
def show(number: int, view: Page) -> Response:
    """A refused row, masked; the look is in the log."""
    return _page(view, number)


@router.post("/quarantine/{number:number}/repair")
def repair(number: int, view: Page, form: Sent) -> Response:
    """Correct it, if it then passes the checks."""
    try:
        view.hub.mending.repair(number, _changes(form), reason=form["reason"], by=view.by)
    except (Invalid, Misplaced) as error:
        return _page(view, number, error=error, form=form)
    return view.go(f"/quarantine/{number}", _("已更正，符合规则；重送后送达"))


@router.post("/quarantine/{number:number}/drop")
def drop(number: int, view: Page, form: Sent) -> Response:
    """Say that it will never be delivered."""
    try:
        view.hub.mending.drop(number, reason=form["why"], by=view.by)
    except (Invalid, Misplaced) as error:
        return _page(view, number, error=error, form=form)
    return view.go(f"/quarantine/{number}", _("已注明不再送"))


def _changes(form: Form) -> dict[str, str | None]:
    """Items that somebody set: what differs from what was shown, and what is to be empty."""
    changes: dict[str, str | None] = {}
    for field in form.names():
        kind, _dash, item = field.partition("-")
        if kind == "empty":
            changes[item] = None
        elif kind == "item" and form[field] and form.raw(field) != form.raw(f"was-{item}"):
            changes.setdefault(item, form[field])
    return changes


def _page(view: View, number: int, *, error: HubError | None = None, form: Form | None = None) -> Response:
    row = view.hub.mending.show(number, by=view.by)
    typed: Mapping[str, str] = {}
    if form is not None:
        typed = {name: form[name] for name in form.names() if name.startswith("item-")}
        typed |= {"reason": form["reason"], "why": form["why"]}
    known = {reason for item in row.items for reason in item.reasons}
    return view.render(
        "quarantine-row.html",
        200 if error is None else status_of(error),
        row=row,
        wrong_items=[item for item in row.items if item.reasons or item.corrected],
        further=[item for item in row.items if not (item.reasons or item.corrected)],
        others=[reason for _rule, reason in row.findings if reason not in known],
        typed=typed,
        error=error,
        wrong=beside(error, {f"item-{item.name}": item.name for item in row.items}),
        mendable=row.state in ("open", "repaired") and bool(row.items),
        terms=terms,
    )
