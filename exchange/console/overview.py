"""The front page (首页): what waits for whoever looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console.views import Page, View
from exchange.hub.waiting import Lines
from exchange.messages import _
from exchange.settings import Role
from exchange.web.paths import quoted

router = APIRouter(include_in_schema=False)

Waiting = tuple[str, str | None, int, list[tuple[str, str]]]
"""A title, where all of it is, how many, and the first few as line and address."""
SHOWN = 6
"""Lines of each."""
_CORRECTED = ("returned", "registration_rejected", "publication_rejected")


@router.get("/")
def overview(view: Page) -> Response:
    """What waits."""
    waiting = [found for each in WAITING if (found := each(view)) is not None]
    return view.render("overview.html", waiting=waiting)


def to_register(view: View) -> Waiting | None:
    """Resources a reviewer of their provider has to look at."""
    if not view.has(Role.REVIEWER):
        return None
    found = _resources(view, ("registering",), own=True)
    return _resource_lines(view, _("待注册审核的资源"), "/resources?state=registering", found)


def to_publish(view: View) -> Waiting | None:
    """Resources a reviewer of the centre has to look at."""
    if not view.has(Role.REVIEWER) or view.by.department != view.hub.settings.hub_department:
        return None
    return _resource_lines(
        view, _("待发布审核的资源"), "/resources?state=publishing", _resources(view, ("publishing",), own=False)
    )


def to_answer(view: View) -> Waiting | None:
    """Applications a reviewer has to answer."""
    if not view.has(Role.REVIEWER):
        return None
    found = view.hub.waiting.applications(by=view.by, side="received", states=("pending",), limit=SHOWN, counted=True)
    lines = [
        (
            _("{who}申请{what}").format(
                who=view.names().get(line.department, line.department), what=line.resource_name
            ),
            f"/applications/{quoted(line.id)}",
        )
        for line in found.lines
    ]
    return _("待答复的申请"), "/applications?side=received&state=pending", found.total or 0, lines


def to_correct(view: View) -> Waiting | None:
    """Resources that came back to their clerk."""
    if not view.has(Role.CLERK):
        return None
    return _resource_lines(view, _("退回或拒绝，等待修改的资源"), "/resources?state=open", _resources(view, _CORRECTED))


def to_submit(view: View) -> Waiting | None:
    """Resources their clerk has not submitted yet."""
    if not view.has(Role.CLERK):
        return None
    found = _resources(view, ("draft", "registered"))
    return _resource_lines(view, _("等待提交的资源"), "/resources?state=open", found)


def asked_for(view: View) -> Waiting | None:
    """Applications of the department that have no answer yet."""
    if not view.has(Role.CLERK):
        return None
    found = view.hub.waiting.applications(by=view.by, side="sent", states=("pending",), limit=SHOWN, counted=True)
    lines = [
        (
            _("{what}，等待{who}答复").format(
                what=line.resource_name, who=view.names().get(line.provider, line.provider)
            ),
            f"/applications/{quoted(line.id)}",
        )
        for line in found.lines
    ]
    return _("已提出、等待答复的申请"), "/applications?side=sent&state=pending", found.total or 0, lines


def ending(view: View) -> Waiting | None:
    """Grants of the department that end soon: whoever still needs them applies again."""
    if not view.has(Role.CLERK):
        return None
    found = view.hub.waiting.grants(
        by=view.by, side="sent", states=("active", "suspended"), ending=True, limit=SHOWN, counted=True
    )
    if not found.lines:
        return None
    lines = [(line.resource_name, f"/grants/{quoted(line.id)}") for line in found.lines]
    return _("三十天内到期的授权"), "/grants?side=sent&state=active", found.total or 0, lines


def to_approve(view: View) -> Waiting | None:
    """Exchanges that are held until an integrator answers for a changed structure."""
    if not view.has(Role.INTEGRATOR):
        return None
    held = view.hub.exchanges.listed(by=view.by, state="held").exchanges
    lines = [
        (_("{name}：{why}").format(name=each.id, why=each.held[0]), f"/structures/{quoted(each.id)}")
        for each in held[:SHOWN]
    ]
    return _("结构有变化、待批准的交换"), "/structures", len(held), lines


WAITING: tuple[Callable[[View], Waiting | None], ...] = (
    to_register,
    to_publish,
    to_answer,
    to_correct,
    to_submit,
    asked_for,
    ending,
    to_approve,
)
"""What may wait, in the order in which it is shown; each says None where it is not for who looks."""


def _resources(view: View, states: tuple[str, ...], *, own: bool = True) -> Lines[Any]:
    provider = view.by.department if own else None
    return view.hub.waiting.resources(by=view.by, provider=provider, states=states, limit=SHOWN, counted=True)


def _resource_lines(view: View, title: str, path: str, found: Lines[Any]) -> Waiting:
    lines = [
        (
            _("{name}（{code}）：{state}").format(name=line.name, code=line.code, state=line.label)
            if line.provider == view.by.department
            else _("{name}（{code}，{who}）").format(
                name=line.name, code=line.code, who=view.names().get(line.provider, line.provider)
            ),
            f"/resources/{quoted(line.code)}",
        )
        for line in found.lines
    ]
    return title, path, found.total or 0, lines
