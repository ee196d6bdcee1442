"""Running an exchange from its page (立即执行), and following it while it goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from exchange.console.attempts import Attempt, Attempts
from exchange.console.terms import RUN_STATES, word
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import HubError, Invalid, Problem
from exchange.messages import _
from exchange.web.paths import quoted

router = APIRouter(include_in_schema=False)

EVERY = 0.3
"""Seconds between looks at an attempt of this process."""
OF_OTHERS = 2.0
"""Seconds between looks at the books, where another process runs it."""
LONGEST = 20.0
"""Seconds after which a browser has to ask anew, and to be known anew: a session that ended is told nothing more."""
AGAIN = 500
"""Milliseconds after which it does."""


def attempts(view: View) -> Attempts:
    """The runs begun from pages of this process."""
    return cast(Attempts, view.request.app.state.attempts)


@router.post("/exchanges/{exchange:code}/run")
def run(exchange: str, view: Page, form: Sent) -> Response:
    """Begin a run."""
    options: dict[str, Any] = {"redeliver": True} if form["redeliver"] else {}
    if form["after_restore"]:
        options["after_restore"] = True
    if form["accept_fall"]:
        options["accept_fall"] = _rows(form)
    attempts(view).start(exchange, by=view.by, **options)
    return view.go(f"/exchanges/{quoted(exchange)}", _("已开始执行"))


@router.post("/exchanges/{exchange:code}/replay")
def replay(exchange: str, view: Page, _form: Sent) -> Response:
    """Send refused rows again that were corrected."""
    attempts(view).start(exchange, by=view.by, replay=True)
    return view.go(f"/exchanges/{quoted(exchange)}", _("已开始重送隔离行"))


@router.post("/runs/{name:code}/resend")
def resend(name: str, view: Page, _form: Sent) -> Response:
    """Make a delivery of files once more."""
    exchange, delivered = view.hub.files.delivery(name, by=view.by)
    attempts(view).start(exchange, by=view.by, resend=delivered)
    return view.go(f"/exchanges/{quoted(exchange)}", _("已开始重新送达"))


@router.get("/exchanges/{exchange:code}/progress")
def progress(exchange: str, view: Page) -> Response:
    """What happens, as it happens: steps, then the end."""
    view.hub.exchanges.show(exchange, by=view.by)
    return StreamingResponse(
        _told(view, exchange), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _told(view: View, exchange: str) -> AsyncIterator[str]:
    """Ends with the run, with the browser, or to be asked anew."""
    until = time.monotonic() + LONGEST
    before = ""
    yield f"retry: {AGAIN}\n\n"
    while time.monotonic() < until:
        attempt = attempts(view).of(exchange)
        if attempt is not None and not attempt.ended:
            now, wait = _line(attempt), EVERY
        else:
            words = await run_in_threadpool(_elsewhere, view, exchange)
            if words is None:
                yield _event("end", {})
                return
            now, wait = _event("step", {"words": words, "share": None}), OF_OTHERS
        # A line that says nothing shows that the connection is there.
        yield now if now != before else ": \n\n"
        before = now
        await asyncio.sleep(wait)


def _elsewhere(view: View, exchange: str) -> str | None:
    """What the books say of a run that goes on; None: none does, or nobody may know any more."""
    try:
        found = view.hub.exchanges.show(exchange, by=view.by)
    except HubError:
        return None
    if not found.leased:
        return None
    return word(RUN_STATES, found.unfinished.state) if found.unfinished else _("准备")


def _line(attempt: Attempt) -> str:
    return _event("step", {"words": attempt.step or _("准备"), "share": attempt.share})


def _event(kind: str, data: dict[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _rows(form: Form) -> int:
    text = form["accept_fall"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Invalid(_("没有执行"), [Problem(_("接受行数下降"), _("应为行数"))])
    return int(text)
