"""The exchange log (交换日志): filters that combine, pages newest first, what is found as a file, and on paper."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from catalog.vocabulary import SHARE_WAYS
from exchange.audit.chain import Stored
from exchange.audit.exporting import MEDIA_TYPES
from exchange.audit.outcomes import OUTCOMES, outcome
from exchange.audit.telling import told
from exchange.console.periods import begins, ends
from exchange.console.views import Page, View
from exchange.errors import Denied, HubError, Invalid
from exchange.messages import _
from exchange.web.errors import status_of
from exchange.words import BEIJING, ESTABLISHED, EVENTS, event_type, word
from schemas import record_classes

router = APIRouter(include_in_schema=False)

FILTERS = (
    "since", "until", "department", "way", "record_class", "outcome", "text", "resource", "type", "actor", "exchange",
    "run",
)  # fmt: skip
"""What is asked by, as the address has it."""
FURTHER = ("resource", "type", "actor", "exchange", "run")
"""Those that are folded away while none is given."""
ON_A_PAGE = 50
ON_PAPER = 250
MOST = 200_000
"""Events of one download; whoever wants more narrows it, or asks at the command line."""
FILES = {"csv": "CSV", "xlsx": "XLSX", "parquet": "Parquet"}
"""Formats of downloads, and what they are called."""
TONES = {"succeeded": "good", "refused": "warn", "failed": "bad"}
_CHUNK = 1 << 18
_IN_MEMORY = 1 << 22


@dataclass(frozen=True)
class Line:
    """One event as it is shown."""

    event: Stored
    title: str
    tone: str
    known_by: str
    said: list[tuple[str, str]]


@router.get("/log")
def log(view: Page) -> Response:
    """What the log holds of what is asked for, newest first."""
    given = _given(view)
    printing = "print" in view.request.query_params
    cursor = view.request.query_params.get("cursor") or None
    error: HubError | None = None
    lines: list[Line] = []
    onward = None
    try:
        limit = ON_PAPER if printing else ON_A_PAGE
        found = view.hub.oversight.search(by=view.by, limit=limit, cursor=cursor, **filters(view, given))
    except Denied:
        raise
    except HubError as failure:
        error = failure
    else:
        lines = [line(view, event) for event in found.events]
        onward = found.cursor
    query = urlencode(given)
    return view.render(
        "log-print.html" if printing and error is None else "log.html",
        status_of(error) if error else 200,
        error=error,
        given={name: given.get(name, "") for name in FILTERS},
        asked=_asked(view, given),
        folded=not any(given.get(name) for name in FURTHER),
        lines=lines,
        query=query,
        cursor=cursor,
        next=f"/log?{urlencode({**given, 'cursor': onward})}" if onward else None,
        most=MOST,
        files=FILES,
        choices=_choices(view),
        moment=datetime.now(BEIJING),
    )


@router.get("/log/export")
def export(view: Page) -> Response:
    """What is on the screen, from its first page to its last, as a file."""
    chosen = view.request.query_params.get("format", "")
    if chosen not in FILES:
        raise Invalid(_("没有导出"), [], remedy=_("格式可选：{formats}").format(formats=_("、").join(FILES.values())))
    # It is whole before the first byte goes out: what fails, fails as a page that says so.
    out = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by who sends it
    try:
        view.hub.oversight.export(out, by=view.by, format=chosen, most=MOST, **filters(view, _given(view)))  # type: ignore[arg-type]  # as good as open in binary
    except BaseException:
        out.close()
        raise
    name = _("日志_{moment}.{format}").format(moment=f"{datetime.now(BEIJING):%Y%m%d-%H%M%S}", format=chosen)
    return sent_file(out, name, MEDIA_TYPES[chosen])


def sent_file(out: IO[bytes], name: str, media_type: str) -> Response:
    """An open file as a download, bit by bit, and closed at the end."""
    size = out.tell()
    out.seek(0)

    def parts() -> Iterator[bytes]:
        with out:
            while part := out.read(_CHUNK):
                yield part

    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "Content-Length": str(size)}
    return StreamingResponse(parts(), media_type=media_type, headers=headers)


def _given(view: View) -> dict[str, str]:
    asked = view.request.query_params
    return {name: text for name in FILTERS if (text := asked.get(name, "").strip())}


def filters(view: View, given: dict[str, str]) -> dict[str, Any]:
    """What was asked for, as the log is searched.

    Raises:
        Invalid: A day is none.
        Unknown: There is no such department.
    """
    asked: dict[str, Any] = {name: text for name, text in given.items() if name not in ("since", "until")}
    if "type" in asked:
        asked["type"] = event_type(asked["type"])
    if "department" in asked:
        asked["department"] = view.hub.directory.department(asked["department"]).code
    asked["since"] = begins(given.get("since", ""), _("起"))
    asked["until"] = ends(given.get("until", ""), _("止"))
    return {name: value for name, value in asked.items() if value is not None}


def line(view: View, event: Stored) -> Line:
    """An event as it is shown."""
    return Line(
        event=event,
        title=word(EVENTS, event.type),
        tone=TONES.get(outcome(event.type, event.body), ""),
        known_by=word(ESTABLISHED, event.established),
        said=told(event.body, view.names()),
    )


def _choices(view: View) -> dict[str, list[tuple[str, str]]]:
    every = ("", _("全部"))
    return {
        "department": [every, *view.names().items()],
        "way": [every, *SHARE_WAYS.items()],
        "record_class": [every, *((each.name, each.label) for each in record_classes().values())],
        "outcome": [every, *OUTCOMES.items()],
        "type": [every, *EVENTS.items()],
    }


def _asked(view: View, given: dict[str, str]) -> list[tuple[str, str]]:
    """What was asked for, in words: it stands above what is printed."""
    titles = {
        "since": _("起"), "until": _("止"), "department": _("部门"), "way": _("方式"), "record_class": _("数据类"),
        "outcome": _("结果"), "text": _("文字"), "resource": _("资源"), "type": _("事件"), "actor": _("操作人"),
        "exchange": _("交换"), "run": _("批次"),
    }  # fmt: skip
    choices = {name: dict(pairs) for name, pairs in _choices(view).items()}
    return [(titles[name], choices.get(name, {}).get(text, text)) for name, text in given.items()]
