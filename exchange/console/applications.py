"""Applications (申请): sent and received, and the provider's answer with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog.vocabulary import SHARE_WAYS
from exchange.authorisation import APPLICATION_STATES, masks
from exchange.console.asked import NUMBERS, TITLES, whole
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import HubError, Invalid, Problem, Unknown
from exchange.hub.directory import ApplicationEntry
from exchange.hub.waiting import Side
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted

router = APIRouter(include_in_schema=False)

TONES = {"pending": "warn", "granted": "good", "refused": "bad", "withdrawn": ""}


@router.get("/applications")
def listed(view: Page, side: str = "", state: str = "", cursor: str = "") -> Response:
    """Applications, newest first."""
    page: Any = None
    error: HubError | None = None
    chosen = side_of(side)
    try:
        page = view.hub.waiting.applications(
            by=view.by,
            side=chosen,
            states=(state,) if state in APPLICATION_STATES else (),
            cursor=cursor or None,
            counted=not cursor,
        )
    except HubError as failed:
        error = failed
    following = following_of("/applications", page, side=side, state=state)
    return view.render(
        "applications/list.html",
        status_of(error) if error else 200,
        error=error,
        page=page,
        following=following,
        chosen={"side": side, "state": state},
        sides=[("", _("全部")), ("sent", _("本部门提出的")), ("received", _("本部门收到的"))],
        states=[("", _("全部")), *APPLICATION_STATES.items()],
        TONES=TONES,
    )


@router.get("/applications/{name}")
def show(view: Page, name: str) -> Response:
    """One application, with its answers."""
    return _shown(view, name)


@router.post("/applications/{name}/decide")
def decide(view: Page, name: str, form: Sent) -> Response:
    """Answer it: yes, perhaps with less than was asked for, or no; with reasons."""
    entry = view.hub.directory.application(name, by=view.by)
    approved = {"approve": True, "refuse": False}.get(form["answer"])
    reasons = [line.strip() for line in form.raw("reasons").splitlines() if line.strip()]
    try:
        if approved is None:
            raise Invalid(_("没有办理"), [Problem(_("答复"), _("没有选择同意或不同意"))])
        less = _less(form, entry) if approved else {}
        view.hub.sharing.decide(name, approved=approved, reasons=reasons, by=view.by, **less)
    except HubError as error:
        return _shown(view, name, error=error, form=form, status=status_of(error))
    return view.go(f"/applications/{quoted(name)}", _("已答复：同意") if approved else _("已答复：不同意"))


@router.post("/applications/{name}/withdraw")
def withdraw(view: Page, name: str, form: Sent) -> Response:
    """Take it back."""
    view.hub.directory.application(name, by=view.by)
    try:
        view.hub.sharing.withdraw(name, reason=form["reason"], by=view.by)
    except HubError as error:
        return _shown(view, name, error=error, form=form, status=status_of(error))
    return view.go(f"/applications/{quoted(name)}", _("申请已撤回"))


def _less(form: Form, entry: ApplicationEntry) -> dict[str, Any]:
    """What the answer gives less than was asked for; what is left as it is, is not named."""
    less: dict[str, Any] = {}
    if form["narrows"]:
        less["items"] = form.all("items")
    asked = entry.asked
    if form["until"] and form["until"] != asked.get("until"):
        less["until"] = form["until"]
    for name in NUMBERS:
        if form[name] and form[name] != str(asked.get(name) or ""):
            less["quota" if name == "quota_rows" else name] = whole(form[name])
    return less


def _shown(
    view: View, name: str, *, error: HubError | None = None, form: Form | None = None, status: int = 200
) -> Response:
    entry = view.hub.directory.application(name, by=view.by)
    told = view.hub.directory.explain(name, by=view.by)
    pending = entry.state == "pending"
    decides = pending and view.has(Role.REVIEWER) and view.by.department == entry.provider
    typed = form or Form.empty()
    kept = {each: typed[each] or str(entry.asked.get(each) or "") for each in ("until", *NUMBERS)}
    return view.render(
        "applications/application.html",
        status,
        entry=entry,
        told=told,
        error=error,
        asked=_asked(entry.asked),
        items=_items(view, entry),
        kept=kept,
        ticked=typed.all("items") if form is not None else [item.name for item in told.items],
        reasons=typed.raw("reasons"),
        reason=typed["reason"],
        decides=decides,
        withdraws=pending and view.has(Role.CLERK) and view.by.department == entry.department,
        TONES=TONES,
    )


def _asked(asked: Mapping[str, Any]) -> list[tuple[str, Any]]:
    target = asked.get("target") or {}
    until, way = asked.get("until"), asked["way"]
    period = _("{since} 至 {until}").format(since=asked.get("since") or _("授权之日"), until=until) if until else ""
    return [
        (TITLES["basis"], asked.get("basis")),
        (TITLES["scene"], asked.get("scene")),
        (TITLES["scope"], asked.get("scope")),
        (TITLES["way"], SHARE_WAYS.get(way, way)),
        (_("使用期限"), period),
        (TITLES["target"], " › ".join(part for part in (target.get("endpoint"), target.get("object")) if part)),
        *((TITLES[name], asked.get(name)) for name in NUMBERS),
    ]


def _items(view: View, entry: ApplicationEntry) -> list[tuple[str, str, str, str]]:
    """Label, name, how it was asked for, and why, of each item that was asked for."""
    try:
        resource = view.hub.directory.resource(entry.resource, by=view.by).resource
        labels = {item.name: item.label for item in resource.items}
    except Unknown:
        labels = {}  # it has been taken down since
    found = []
    for name in entry.asked.get("items", ()):
        chosen = (entry.asked.get("masks") or {}).get(name)
        mask = masks.parse(chosen) if chosen else None
        why = mask.justification if isinstance(mask, masks.Clear) else ""
        found.append((labels.get(name, name), name, masks.describe(mask) if mask is not None else _("按规则"), why))
    return found


def side_of(text: str) -> Side | None:
    """The side of a list, as an address names it."""
    return "sent" if text == "sent" else "received" if text == "received" else None


def following_of(path: str, page: Any, **given: str) -> str | None:
    """Address of the next page."""
    if page is None or page.cursor is None:
        return None
    asked = [f"{name}={quoted(value)}" for name, value in (*given.items(), ("cursor", page.cursor)) if value]
    return f"{path}?{'&'.join(asked)}"
