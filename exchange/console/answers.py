"""Recipients' answers (处理结果): what became of a delivery's rows, looked at, and asked about now."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.exchanges import key_words
from exchange.console.views import Page, Sent
from exchange.messages import _
from exchange.settings import Role
from exchange.web.paths import quoted
from exchange.words import ANSWERS

router = APIRouter(include_in_schema=False)


@router.get("/runs/{name:code}/answers")
def show(name: str, view: Page, rows: str = "", keys: str = "") -> Response:
    """What is known of a delivery's rows; the failed ones, and their keys, only where that is asked for."""
    found = view.hub.answers.show(name, by=view.by, rows=bool(rows), keys=bool(keys))
    return view.render(
        "answers.html",
        found=found,
        counts=[(each, [each.counts.get(term) for term in ANSWERS]) for each in found.addenda],
        failures=[(each.number, key_words(each.key or each.key_hash), each.text) for each in found.failures],
        titles=list(ANSWERS.values()),
        # What they may see is the hub's rule: this offers it to the office it is for.
        reads=view.has(Role.INTEGRATOR) and view.by.department == found.recipient,
        asks=found.why is None and view.has(Role.INTEGRATOR, Role.SYSTEM),
        terms=terms,
    )


@router.post("/runs/{name:code}/answers")
def ask(name: str, view: Page, _form: Sent) -> Response:
    """Ask the recipient now."""
    new = view.hub.answers.ask(name, by=view.by)
    return view.go(f"/runs/{quoted(name)}/answers", _("已读回，有新的结果") if new else _("已读回，没有新的结果"))
