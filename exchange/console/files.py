"""Files (文件): what runs took and refused, what lies and waits, and one followed from its drop to the receipts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.views import Page, Sent
from exchange.hub.files import MOST
from exchange.messages import _

router = APIRouter(include_in_schema=False)


@router.get("/files")
def listed(view: Page, exchange: str = "", state: str = "", name: str = "") -> Response:
    """The files of runs, the last first; names to their provider and who oversees the hub."""
    if state not in terms.FILE_STATES:
        state = ""
    found = view.hub.files.found(
        by=view.by, exchange=exchange or None, state=state or None, name=name or None, most=MOST
    )
    return view.render("files.html", found=found, most=MOST, exchange=exchange, state=state, name=name, terms=terms)


@router.get("/files/waiting")
def waiting(view: Page, name: str) -> Response:
    """What lies in a drop and is not taken yet, and why."""
    return view.render("files-waiting.html", name=name, found=view.hub.files.waiting(name, by=view.by))


@router.get("/files/{number:number}")
def show(number: int, view: Page) -> Response:
    """One file from its drop to the receipts."""
    return view.render("file.html", found=view.hub.files.show(str(number), by=view.by), terms=terms)


@router.post("/files/{number:number}/retry")
def retry(number: int, view: Page, form: Sent) -> Response:
    """Have it tried once more."""
    view.hub.files.retry(form["exchange"], str(number), by=view.by)
    return view.go(f"/files/{number}", _("下次执行时重试"))
