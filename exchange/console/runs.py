"""Runs (批次): the list, and one from its plan to its receipt and what its target's ledger says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from catalog.vocabulary import SHARE_WAYS
from exchange.checks import RULES
from exchange.console.log import Line, line
from exchange.console.periods import begins, ends
from exchange.console.views import Page, View
from exchange.errors import HubError
from exchange.hub.runs import LedgerAnswer
from exchange.messages import _
from exchange.receipts import BALANCE, balanced
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.words import ANSWERS, BOOKS, GUARANTEES, RUN_STATES, refresh_words, tolerance_words

router = APIRouter(include_in_schema=False)

FILTERS = ("since", "until", "department", "state", "resource", "exchange")
STATE_TONES = {
    "settled": "good", "committed": "good", "stopped": "warn", "barred": "warn", "failed": "bad", "red": "bad",
    "abandoned": "bad",
}  # fmt: skip
ASKERS = (Role.INTEGRATOR, Role.SYSTEM, Role.AUDIT)
"""Who is offered to ask a ledger; the rule is the hub's."""


@dataclass(frozen=True)
class Part:
    """One term of a run's books."""

    term: str
    count: int | None
    shows: str = ""


@dataclass(frozen=True)
class Moment:
    """One event of a run, and how long after the first."""

    line: Line
    after: float


@router.get("/runs")
def runs(view: Page) -> Response:
    """Runs, the last begun first."""
    asked = view.request.query_params
    given = {name: text for name in FILTERS if (text := asked.get(name, "").strip())}
    cursor = asked.get("cursor") or None
    found, error = None, None
    try:
        found = view.hub.runs.found(by=view.by, cursor=cursor, **_filters(view, given))
    except HubError as failure:
        error = failure
    every = ("", _("全部"))
    return view.render(
        "runs.html",
        status_of(error) if error else 200,
        error=error,
        given={name: given.get(name, "") for name in FILTERS},
        query=urlencode(given),
        cursor=cursor,
        runs=found.runs if found else (),
        next=f"/runs?{urlencode({**given, 'cursor': found.cursor})}" if found and found.cursor else None,
        states=[every, *RUN_STATES.items()],
        departments=[every, *view.names().items()],
        ways=SHARE_WAYS,
        words=RUN_STATES,
        tones=STATE_TONES,
    )


def _filters(view: View, given: dict[str, str]) -> dict[str, Any]:
    wanted: dict[str, Any] = {name: given[name] for name in ("state", "resource", "exchange") if name in given}
    if "department" in given:
        wanted["department"] = view.hub.directory.department(given["department"]).code
    wanted["since"] = begins(given.get("since", ""), _("起"))
    wanted["until"] = ends(given.get("until", ""), _("止"))
    return wanted


@router.get("/runs/{name:code}")
def run(view: Page, name: str) -> Response:
    """One run: what it was to do, its events, its books, its receipt."""
    return _shown(view, name, None)


@router.get("/runs/{name:code}/ledger")
def ledger(view: Page, name: str) -> Response:
    """The same, with what the target's ledger says of it now."""
    return _shown(view, name, view.hub.runs.ledger(name, by=view.by))


def _shown(view: View, name: str, answer: LedgerAnswer | None) -> Response:
    told = view.hub.oversight.trace(name, by=view.by, faulty=True)
    events: list[Any] = sorted(told["events"], key=lambda event: event.id)
    first = told["started_at"]
    counts: dict[str, int] = told["counts"] or {}
    receipt = told["receipt"]
    titles = {item.name: item.label for item in told["grant"].items}
    return view.render(
        "run.html",
        told=told,
        grant=told["grant"],
        plan=told["plan"],
        receipt=receipt,
        acknowledged=datetime.fromisoformat(receipt["acknowledgement"]["at"]) if receipt else None,
        witnessed=told["witnessed"],
        checks=[
            (RULES[code].title if code in RULES else code, count)
            for code, count in sorted((receipt or {}).get("report", {}).items())
        ],
        guarantees=GUARANTEES,
        labels=[titles.get(name, name) for name in told["plan"]["deliver"]],
        books=_books(counts),
        balance=balanced(counts) if "read" in counts else None,
        moments=[Moment(line(view, event), (event.at - first).total_seconds()) for event in events],
        took=(told["ended_at"] - first).total_seconds() if told["ended_at"] else None,
        way=SHARE_WAYS.get(told["plan"].get("way"), told["plan"].get("way")),
        tolerance=tolerance_words(told["plan"]["tolerance"]),
        refresh=refresh_words(receipt.get("refresh")) if receipt else None,
        answers=[(each["at"], [each["counts"].get(name) for name in ANSWERS]) for each in told["answers"]],
        answer_terms=list(ANSWERS.values()),
        words=RUN_STATES,
        tones=STATE_TONES,
        ledger=answer,
        may_ask=view.has(*ASKERS),
        resendable=_resendable(told["plan"], counts, delivered=receipt is not None),
    )


def _resendable(plan: dict[str, Any], counts: dict[str, int], *, delivered: bool) -> bool:
    """Whether it is offered to make a delivery once more; the rule is the hub's."""
    return delivered and bool(counts.get("written")) and (plan.get("kind"), plan.get("way")) == ("sharing", "file")


def _books(counts: dict[str, int]) -> list[Part]:
    """The terms of the books, as they sum up: read = filtered + refused + unchanged + superseded + written."""
    if "read" not in counts:
        return []
    signs = dict(zip(BALANCE, ("=", *("+" * (len(BALANCE) - 1))), strict=True))
    rest = [Part(BOOKS[name], counts.get(name, 0), sign) for name, sign in signs.items()]
    return [Part(BOOKS["read"], counts["read"]), *rest]
