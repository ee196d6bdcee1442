"""Exchanges (交换): listed, looked at with their plan and mapping, scheduled, paused, compared with their recipient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.endpoints import moment_of
from exchange.console.fields import beside
from exchange.console.running import attempts
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import Busy, Failed, HubError, Invalid, Misplaced, Overtaken
from exchange.hub.exchanges import ShownExchange, State
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted

router = APIRouter(include_in_schema=False)

LABELS: Mapping[str, str] = {
    "schedule": _("执行时间"),
    "priority": _("优先级"),
    "all_of": _("还须等齐的资源"),
    "timeout_minutes": _("一次执行的时限（分钟）"),
    "parts": _("大表切分的段数"),
    "rows": _("容许拒收（行）"),
    "share": _("容许拒收（比例）"),
    "refresh": _("全量刷新"),
    "may_fall": _("刷新后行数可下降（比例）"),
}
"""Settings of an exchange of its own."""
_WHOLE = ("priority", "timeout_minutes", "parts")


@router.get("/exchanges")
def listed(view: Page, text: str = "", state: str = "", department: str = "", after: str = "") -> Response:
    """How exchanges stand, a page at a time."""
    if state not in terms.EXCHANGE_STATES:
        state = ""
    wanted = cast(State, state) if state else None
    page = view.hub.exchanges.listed(
        by=view.by, text=text, state=wanted, department=department or None, after=after or None
    )
    given: dict[str, Any] = {"text": text, "state": state, "department": department}
    following = None
    if page.following:
        following = "/exchanges?" + urlencode(
            {name: value for name, value in {**given, "after": page.following}.items() if value}
        )
    return view.render(
        "exchanges.html",
        exchanges=page.exchanges,
        following=following,
        terms=terms,
        departments=sorted(view.names().items(), key=lambda each: each[1]),
        **given,
    )


@router.get("/exchanges/{exchange:code}")
def show(exchange: str, view: Page) -> Response:
    """One exchange."""
    return _page(view, exchange)


@router.get("/exchanges/{exchange:code}/plan")
def plan(exchange: str, view: Page) -> Response:
    """What the next run would do, and whether both ends are such that it can; nothing is moved (试运行)."""
    shown = view.hub.exchanges.show(exchange, by=view.by)
    planned, refreshing = view.hub.sharing.outlook(exchange, by=view.by)
    findings: list[Any] = []
    compared: tuple[Any, ...] = ()
    error: HubError | None = None
    try:
        findings = view.hub.sharing.check(exchange)
        compared = view.hub.structures.diff(exchange, by=view.by)
    except Failed as unseen:
        error = unseen
    held = [change for each in compared for change in each.holds]
    return view.render(
        "exchange-plan.html",
        shown=shown,
        plan=planned,
        masked=_("、").join(_("{item}（{mask}）").format(item=item, mask=mask) for item, mask in shown.masks.items()),
        refreshing=refreshing,
        findings=findings,
        held=held,
        error=error,
        fits=error is None and not findings and not held and shown.status.state == "active",
        terms=terms,
    )


@router.get("/exchanges/{exchange:code}/preview")
def preview(exchange: str, view: Page) -> Response:
    """The first rows as they would be delivered, and what the checks find (脱敏预览)."""
    found: Any = None
    error: HubError | None = None
    try:
        found = view.hub.previewing.look(exchange, by=view.by)
    except (Failed, Invalid, Busy, Misplaced) as failed:
        error = failed
    shown = view.hub.exchanges.show(exchange, by=view.by)
    status = 200 if error is None else status_of(error)
    return view.render("exchange-preview.html", status, shown=shown, found=found, error=error, terms=terms)


@router.get("/exchanges/{exchange:code}/script")
def script(exchange: str, view: Page) -> Response:
    """What the target's administrator runs before the first delivery."""
    view.hub.sharing.outlook(exchange, by=view.by)
    text = view.hub.sharing.prepare(exchange)
    return view.render("exchange-script.html", exchange=exchange, script=text)


@router.get("/exchanges/{exchange:code}/settings")
def settings(exchange: str, view: Page) -> Response:
    """The form of what an exchange has of its own."""
    own = view.hub.configuration.own_of(exchange, by=view.by)
    tolerance = own.get("tolerance", {})
    values = {name: str(value) for name, value in {**own, **tolerance}.items() if name in LABELS and value is not None}
    values["all_of"] = " ".join(own.get("all_of", ()))
    return _settings(view, exchange, values)


@router.post("/exchanges/{exchange:code}/settings")
def configure(exchange: str, view: Page, form: Sent) -> Response:
    """Set it."""
    try:
        begun = json.loads(form["begun"]) if form["begun"] else None
    except ValueError:
        begun = {}
    try:
        changed = view.hub.configuration.configure(exchange, _described(form), by=view.by, begun=begun)
    except (Invalid, Overtaken) as error:
        return _settings(view, exchange, {name: form[name] for name in LABELS}, error=error)
    said = _("没有变化") if changed.action == "same" else _("设定已保存")
    return view.go(f"/exchanges/{quoted(exchange)}", said)


@router.post("/exchanges/{exchange:code}/pause")
def pause(exchange: str, view: Page, form: Sent) -> Response:
    """Let it rest."""
    try:
        until = moment_of(form["until"])
        view.hub.pausing.pause("exchange", exchange, reason=form["reason"], until=until, by=view.by)
    except Invalid as error:
        return _page(view, exchange, error=error, values={"reason": form["reason"], "until": form["until"]})
    return view.go(f"/exchanges/{quoted(exchange)}", _("交换已暂停"))


@router.post("/exchanges/{exchange:code}/resume")
def resume(exchange: str, view: Page, form: Sent) -> Response:
    """Wake it."""
    try:
        view.hub.pausing.resume("exchange", exchange, reason=form["reason"], by=view.by)
    except Invalid as error:
        return _page(view, exchange, error=error, values={"reason": form["reason"]})
    return view.go(f"/exchanges/{quoted(exchange)}", _("交换已恢复"))


@router.post("/exchanges/{exchange:code}/reconcile")
def reconcile(exchange: str, view: Page, form: Sent) -> Response:
    """Compare what the recipient holds with what it should hold; keys in clear only where that is asked for."""
    found = view.hub.oversight.reconcile(exchange, by=view.by, keys=bool(form["keys"]), most_rows=50, most_ranges=50)
    between = _("、")
    rows = [
        (
            terms.word(terms.DIFFERENCES, each.kind),
            key_words(each.key or each.key_hash),
            between.join(each.items),
            between.join(terms.word(terms.REASONS, why) for why in each.why),
            between.join(each.rules),
        )
        for each in found.rows
    ]
    kinds = [(terms.word(terms.DIFFERENCES, kind), f"{count:,}") for kind, count in found.counts.items() if count]
    return view.render("reconciliation.html", exchange=exchange, found=found, rows=rows, kinds=kinds)


def key_words(key: Any) -> str:
    """A business key, or the keyed hash in its place."""
    if isinstance(key, str):
        return key[:16]
    return _("，").join(f"{name}={value}" for name, value in (key or {}).items())


def _page(
    view: View, exchange: str, *, error: HubError | None = None, values: Mapping[str, str] | None = None
) -> Response:
    shown = view.hub.exchanges.show(exchange, by=view.by)
    attempt = attempts(view).of(exchange)
    running = shown.leased or (attempt is not None and not attempt.ended)
    return view.render(
        "exchange.html",
        200 if error is None else status_of(error),
        shown=shown,
        mapping=_mapping(shown),
        own=view.hub.configuration.own_of(exchange, by=view.by),
        labels=LABELS,
        attempt=attempt,
        running=running,
        terms=terms,
        error=error,
        wrong=beside(error, {"reason": _("理由"), "until": "until"}),
        values={"reason": "", "until": "", **(values or {})},
        may=view.has(Role.INTEGRATOR),
        runs=view.has(Role.INTEGRATOR, Role.SYSTEM),
    )


def _mapping(shown: ShownExchange) -> list[tuple[Any, str, str, str, bool]]:
    """Each item with its column at either end, its mask, and whether it is handed over."""
    source, target = shown.source.columns, shown.target.columns
    return [
        (
            item,
            source.get(item.name, ""),
            target.get(item.name, ""),
            shown.masks.get(item.name, ""),
            item.name in shown.delivered,
        )
        for item in shown.items
    ]


def _settings(view: View, exchange: str, values: Mapping[str, str], error: HubError | None = None) -> Response:
    shown = view.hub.exchanges.show(exchange, by=view.by)
    return view.render(
        "exchange-settings.html",
        200 if error is None else status_of(error),
        shown=shown,
        values={**dict.fromkeys(LABELS, ""), **values},
        begun=json.dumps(view.hub.configuration.own_of(exchange, by=view.by), ensure_ascii=False),
        labels=LABELS,
        error=error,
        wrong=beside(error, {name: name for name in LABELS}),
        terms=terms,
    )


def _described(form: Form) -> dict[str, Any]:
    """What the form says, as a file would; what is no number stays text, which is then refused."""
    given: dict[str, Any] = {name: form[name] for name in ("schedule", "refresh", "may_fall") if form[name]}
    given |= {name: _number(form[name]) for name in _WHOLE if form[name]}
    if form["all_of"]:
        given["all_of"] = form["all_of"].split()
    tolerance: dict[str, Any] = {}
    if form["rows"]:
        tolerance["rows"] = _number(form["rows"])
    if form["share"]:
        tolerance["share"] = form["share"]
    return given | ({"tolerance": tolerance} if tolerance else {})


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else text
