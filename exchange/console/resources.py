"""My department's resources (我的资源): what each waits for, its versions, and its way through the reviews."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog import MOVES, STATES, Entry, in_words
from catalog.reading import CHECKS
from catalog.vocabulary import SHARE_TYPES, SHARE_WAYS, UPDATE_CYCLES, class_path
from exchange.console.registering import CAPTURES, SERVED
from exchange.console.views import Page, Sent, View
from exchange.console.written import options_text
from exchange.errors import HubError, Invalid, Problem, Unknown
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from schemas import GRADES, ITEM_TYPES, record_classes

router = APIRouter(include_in_schema=False)

WAITS = {
    "draft": _("经办员核对后提交注册"),
    "returned": _("经办员按意见修改后重新提交"),
    "registration_rejected": _("经办员按意见修改后重新提交"),
    "discarded": _("已作废，不再办理"),
    "registering": _("提供部门的审核员注册审核"),
    "registered": _("经办员提交发布"),
    "publishing": _("平台管理单位的审核员发布审核"),
    "publication_rejected": _("经办员按意见修改，或重新提交发布"),
    "withdrawn": _("已下架；需要的可重新提交发布"),
    "superseded": _("已有新版本"),
    "published": _("已发布，可供申请"),
}
"""What a resource waits for, by its state."""
TONES = {
    "published": "good", "registered": "good", "registering": "warn", "publishing": "warn", "returned": "bad",
    "registration_rejected": "bad", "publication_rejected": "bad", "withdrawn": "bad",
}  # fmt: skip
LEADING = frozenset({"submit_registration", "agree_registration", "submit_publication", "agree_publication"})
"""Moves that lead on."""
OPEN = ("draft", "returned", "registration_rejected", "registering", "registered", "publishing", "publication_rejected")
"""States in which somebody has something to do."""


@router.get("/resources")
def mine(view: Page, state: str = "", q: str = "", provider: str = "", cursor: str | None = None) -> Response:
    """Resources, the last changed first."""
    error: HubError | None = None
    states = OPEN if state == "open" else (state,) if state in STATES else ()
    whole = view.hub.directory.sees_drafts(view.by)
    try:
        page: Any = view.hub.waiting.resources(
            by=view.by, provider=provider or None, states=states, text=q, cursor=cursor or None, counted=cursor is None
        )
    except HubError as failed:
        page, error = None, failed
    following = None
    if page is not None and page.cursor is not None:
        following = _query("/resources", state=state, q=q, provider=provider, cursor=page.cursor)
    return view.render(
        "resources/list.html",
        status_of(error) if error else 200,
        error=error,
        page=page,
        following=following,
        chosen={"state": state, "q": q, "provider": provider},
        states=[("", _("全部")), ("open", _("办理中")), *((name, term.label) for name, term in STATES.items())],
        providers=[("", _("全部")), *view.names().items()] if whole else None,
        registers=view.has(Role.CLERK),
        **_words(),
    )


@router.get("/resources/{code:code}")
def show(view: Page, code: str, version: str = "") -> Response:
    """One resource: a version of it, by default the newest; to others, its page in the directory."""
    if not belongs(view, view.hub.directory.resource(code, by=view.by)):
        return view.go(f"/directory/{quoted(code)}")
    return _shown(view, code, number(version))


def _shown(
    view: View,
    code: str,
    version: int | None = None,
    *,
    error: HubError | None = None,
    opinion: str = "",
    status: int = 200,
) -> Response:
    entry = view.hub.directory.resource(code, version, by=view.by)
    newest = entry.version == entry.latest
    return view.render(
        "resources/resource.html",
        status,
        entry=entry,
        newest=newest,
        error=error,
        opinion=opinion,
        moves=moves(view, entry) if newest else [],
        edits=newest and _clerk(view, entry) and bool({"update", "revise"} & set(entry.actions)),
        revises="revise" in entry.actions,
        **about(entry),
        **_words(),
    )


@router.post("/resources/{code:code}/move")
def move(view: Page, code: str, form: Sent) -> Response:
    """Make a move: submit, agree, refuse, recall, take down; only from what one has seen."""
    seen = belongs(view, view.hub.directory.resource(code, by=view.by))
    action, opinion = form["action"], form["opinion"]
    try:
        if action not in MOVES:
            raise Unknown(_("没有这种办理"))
        after = view.hub.registration.move(code, action, opinion=opinion, by=view.by, begun=form["begun"])
    except HubError as error:
        if not seen:
            raise
        return _shown(view, code, error=error, opinion=opinion, status=status_of(error))
    said = _("{action}：已办理，现在是“{state}”").format(
        action=MOVES[action].label,
        state=STATES[after].label,  # type: ignore[index]  # a state of the catalogue's
    )
    return view.go(f"/resources/{quoted(code)}", said)


@router.get("/resources/{code:code}/history")
def history(view: Page, code: str) -> Response:
    """Who did what to it, when, and with what opinion."""
    steps = view.hub.directory.history(code, by=view.by)
    entry = view.hub.directory.resource(code, by=view.by)
    return view.render("resources/history.html", entry=entry, steps=steps[::-1], MOVES=MOVES, STATES=STATES)


@router.get("/resources/{code:code}/difference")
def difference(view: Page, code: str, old: str = "", new: str = "") -> Response:
    """What two versions differ in."""
    before, after, changes = view.hub.directory.difference(code, number(old), number(new), by=view.by)
    said = [(each.words, in_words(each.path, each.old), in_words(each.path, each.new)) for each in changes]
    return view.render("resources/difference.html", entry=after, before=before, after=after, changes=said)


def moves(view: View, entry: Entry) -> list[tuple[str, str, str, bool]]:
    """Moves somebody may want to make: action, label, tone, whether it needs an opinion; the hub judges."""
    possible = [action for action in entry.actions if action not in ("add", "update", "revise")]
    if entry.version_in_force is not None and "withdraw" not in possible:
        possible.append("withdraw")
    centre = view.by.department == view.hub.settings.hub_department
    own = view.by.department == entry.resource.provider_code
    mine = {
        "provider": own and view.has(Role.CLERK),
        "registration": own and view.has(Role.REVIEWER),
        "publication": centre and view.has(Role.REVIEWER),
    }
    tones = dict.fromkeys(LEADING, "primary") | dict.fromkeys(("discard", "withdraw"), "danger")
    found = [
        (action, MOVES[action].label, tones.get(action, ""), MOVES[action].needs_opinion)
        for action in possible
        if mine[MOVES[action].part]
    ]
    return sorted(found, key=lambda each: ("primary", "", "danger").index(each[2]))


def belongs(view: View, entry: Entry) -> bool:
    """Whether who looks sees its history and versions."""
    return view.by.department == entry.resource.provider_code or view.hub.directory.sees_drafts(view.by)


def about(entry: Entry) -> dict[str, Any]:
    """Metadata of a resource as a page shows them: names and values, items, and how it is offered."""
    resource = entry.resource
    group = record_classes().get(resource.record_class or "")
    table = next((each.label for each in group.tables if each.name == resource.table), "") if group else ""
    kind = " › ".join(part for part in (group.label if group else resource.record_class, table) if part)
    facts = [
        (_("信息资源代码"), resource.code),
        (_("信息资源分类"), "；".join(class_path(each) for each in resource.classes)),
        (_("信息资源提供方"), _join(resource.provider, resource.provider_unit)),
        (_("提供方代码"), resource.provider_code),
        (_("信息资源格式"), "；".join(resource.formats)),
        (_("更新周期"), UPDATE_CYCLES[resource.update_cycle]),
        (_("共享类型"), SHARE_TYPES[resource.share_type]),
        (_("共享条件"), resource.share_condition),
        (_("不予共享依据"), resource.legal_basis),
        (_("共享方式"), "、".join(SHARE_WAYS[way] for way in resource.share_ways)),
        (_("共享方式说明"), resource.share_ways_note),
        (_("是否向社会开放"), _("是") if resource.open_to_public else _("否")),
        (_("开放条件"), resource.open_condition),
        (_("发布日期"), resource.published_on),
        (_("关联资源代码"), "；".join(resource.related)),
        (_("数据类别"), kind),
    ]
    bound = dict(resource.offer.columns) if resource.offer is not None else {}
    options: Any = resource.offer.options if resource.offer is not None else {}
    for name, child in (options.get("children") or {}).items() if isinstance(options.get("children"), dict) else ():
        if isinstance(child, dict) and child.get("table"):
            bound[name] = child["table"]
    return {"facts": facts, "bound": bound, "options": options_text(options)}


def number(text: str) -> int | None:
    """The number of a version in an address; none where none is given."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 7 and int(text)):
        raise Invalid(_("没有这个版本"), [Problem(_("版本"), _("应为正整数"))])
    return int(text)


def _clerk(view: View, entry: Entry) -> bool:
    return view.has(Role.CLERK) and view.by.department == entry.resource.provider_code


def _join(*parts: str) -> str:
    return " › ".join(part for part in parts if part)


def _query(path: str, **given: str) -> str:
    asked = "&".join(f"{name}={quoted(value)}" for name, value in given.items() if value)
    return f"{path}?{asked}"


def _words() -> dict[str, Any]:
    return {
        "WAITS": WAITS,
        "TONES": TONES,
        "SHARE_TYPES": SHARE_TYPES,
        "SHARE_WAYS": SHARE_WAYS,
        "UPDATE_CYCLES": UPDATE_CYCLES,
        "ITEM_TYPES": ITEM_TYPES,
        "GRADES": GRADES,
        "CHECKS": CHECKS,
        "CAPTURES": CAPTURES,
        "SERVED": SERVED,
    }
