"""Grants (授权): what may move, why, and whether it would pass now; suspended, resumed and revoked with reasons."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog.vocabulary import SHARE_WAYS
from exchange.authorisation import GRANT_STATES
from exchange.console.applications import following_of, side_of
from exchange.console.views import Page, Sent, View
from exchange.errors import HubError, Unknown
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted

router = APIRouter(include_in_schema=False)

TONES = {"active": "good", "suspended": "warn", "revoked": "bad", "expired": ""}
KINDS = {"sharing": _("共享"), "collection": _("归集")}
CHANGES = {"suspend": _("中止"), "resume": _("恢复"), "revoke": _("撤销")}
FROM = {"active": ("suspend", "revoke"), "suspended": ("resume", "revoke")}
"""What can be made of a grant, by its state."""
DONE = {"suspend": _("已中止"), "resume": _("已恢复"), "revoke": _("已撤销")}


@router.get("/grants")
def listed(view: Page, side: str = "", state: str = "", kind: str = "", cursor: str = "") -> Response:
    """Grants, newest first."""
    page: Any = None
    error: HubError | None = None
    try:
        page = view.hub.waiting.grants(
            by=view.by,
            side=side_of(side),
            states=(state,) if state in GRANT_STATES else (),
            kind=kind if kind in KINDS else None,
            cursor=cursor or None,
            counted=not cursor,
        )
    except HubError as failed:
        error = failed
    return view.render(
        "grants/list.html",
        status_of(error) if error else 200,
        error=error,
        page=page,
        following=following_of("/grants", page, side=side, state=state, kind=kind),
        chosen={"side": side, "state": state, "kind": kind},
        sides=[("", _("全部")), ("sent", _("给本部门的")), ("received", _("本部门给出的"))],
        states=[("", _("全部")), *GRANT_STATES.items()],
        kinds=[("", _("全部")), *KINDS.items()],
        KINDS=KINDS,
        TONES=TONES,
    )


@router.get("/grants/{name}")
def show(view: Page, name: str) -> Response:
    """One grant: who may have what, why, until when, and would it pass now."""
    return _shown(view, name)


@router.post("/grants/{name}/change")
def change(view: Page, name: str, form: Sent) -> Response:
    """Suspend, resume or revoke it."""
    view.hub.directory.grant(name, by=view.by)
    action = form["action"]
    try:
        if action not in CHANGES:
            raise Unknown(_("没有这种办理"))
        recall = action == "revoke" and form["recall"] == "yes"
        recalls = view.hub.sharing.change(name, action, reason=form["reason"], recall=recall, by=view.by)
    except HubError as error:
        return _shown(view, name, error=error, reason=form["reason"], status=status_of(error))
    said = DONE[action]
    if recalls:
        said = _("{done}；撤回 {n} 次交付").format(done=said, n=len(recalls))
    return view.go(f"/grants/{quoted(name)}", said)


def _shown(view: View, name: str, *, error: HubError | None = None, reason: str = "", status: int = 200) -> Response:
    entry = view.hub.directory.grant(name, by=view.by)
    told = view.hub.directory.explain(name, by=view.by)
    may = view.has(Role.SECURITY) or (view.has(Role.REVIEWER) and view.by.department == entry.provider)
    target = told.target or {}
    facts = [
        (_("授权编号"), entry.id),
        (_("种类"), KINDS.get(entry.kind, entry.kind)),
        (_("资源版本"), entry.resource_version),
        (_("提供部门"), view.names().get(entry.provider, entry.provider)),
        (_("使用部门"), view.names().get(entry.department, entry.department)),
        (_("使用依据"), told.purpose.get("basis")),
        (_("使用场景"), told.purpose.get("scene")),
        (_("使用范围"), told.purpose.get("scope")),
        (_("共享方式"), SHARE_WAYS.get(told.way, told.way)),  # type: ignore[call-overload]
        (_("接收端"), " › ".join(part for part in (target.get("endpoint"), target.get("object")) if part)),
        (_("数据范围"), told.rows),
        (_("每分钟调用次数上限"), told.calls_per_minute),
        (_("每分钟行数上限"), told.rows_per_minute),
    ]
    return view.render(
        "grants/grant.html",
        status,
        entry=entry,
        told=told,
        error=error,
        reason=reason,
        facts=facts,
        items=[(item.label, item.name, item.mask or _("原值")) for item in told.items],
        changes=[(each, CHANGES[each]) for each in FROM.get(entry.state, ())] if may else [],
        TONES=TONES,
    )
