"""The directory (资源目录): finding published resources, and the public page of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog.vocabulary import CLASS_NAMES, SHARE_TYPES, SHARE_WAYS, UPDATE_CYCLES
from exchange.console.resources import TONES, WAITS, about, belongs
from exchange.console.views import Page
from exchange.errors import HubError, Unknown
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from schemas import GRADES, ITEM_TYPES, record_classes

router = APIRouter(include_in_schema=False)

SHARE_TONES = {1: "good", 2: "warn", 3: "bad"}
PAGE = 20


@router.get("/directory")
def search(
    view: Page,
    q: str = "",
    kind: str = "",
    provider: str = "",
    share: str = "",
    way: str = "",
    cycle: str = "",
    under: str = "",
    cursor: str = "",
) -> Response:
    """Published resources that fit, those with most hits first."""
    chosen = {
        "q": q, "kind": kind, "provider": provider, "share": share, "way": way, "cycle": cycle, "under": under,
    }  # fmt: skip
    wanted: dict[str, Any] = {
        "record_class": kind or None, "provider": provider or None, "share_type": share or None, "way": way or None,
        "cycle": cycle or None,
    }  # fmt: skip
    found: Any = None
    counts: Mapping[str, Mapping[Any, int]] = {}
    error: HubError | None = None
    try:
        found = view.hub.directory.search(q, **wanted, under=under or None, limit=PAGE, cursor=cursor or None)
        if not q.strip() and not under:  # Under words each page would count anew.
            counts = view.hub.directory.facets(**wanted).counts
    except HubError as failed:
        error = failed
    asked = "&".join(f"{name}={quoted(value)}" for name, value in chosen.items() if value)
    following = None
    if found is not None and found.cursor:
        following = f"/directory?{asked}{'&' if asked else ''}cursor={quoted(found.cursor)}"
    everything = ("", _("全部"))
    return view.render(
        "directory/search.html",
        status_of(error) if error else 200,
        error=error,
        found=found,
        following=following,
        chosen=chosen,
        narrowed=any(chosen.values()),
        later=bool(cursor),
        facets=[
            (name, title, [everything, *_counted(options, counts.get(facet))])
            for name, title, facet, options in (
                ("kind", _("数据类别"), "record_class", {each.name: each.label for each in record_classes().values()}),
                ("provider", _("提供部门"), "provider", view.names()),
                ("share", _("共享类型"), "share_type", SHARE_TYPES),
                ("way", _("共享方式"), "way", SHARE_WAYS),
                ("cycle", _("更新周期"), "cycle", UPDATE_CYCLES),
            )
        ]
        + [
            ("under", _("资源分类"), [everything, *CLASS_NAMES.items()]),
        ],
        SHARE_TYPES=SHARE_TYPES,
        SHARE_WAYS=SHARE_WAYS,
        UPDATE_CYCLES=UPDATE_CYCLES,
        SHARE_TONES=SHARE_TONES,
    )


def _counted(options: Mapping[Any, str], numbers: Mapping[Any, int] | None) -> list[tuple[Any, str]]:
    """The values of a facet, with how many resources there are of each where that was counted (分面计数)."""
    if numbers is None:
        return list(options.items())
    return [
        (key, _("{title}（{n}）").format(title=title, n=f"{numbers.get(key, 0):,}")) for key, title in options.items()
    ]


@router.get("/directory/{code:code}")
def show(view: Page, code: str) -> Response:
    """The public page of a resource: the version in force."""
    entry = view.hub.directory.resource(code, by=view.by)
    if entry.version_in_force is None:
        raise Unknown(_("资源 {code} 没有发布").format(code=code), remedy=_("提供部门可在“我的资源”中查看"))
    if not entry.in_force:
        entry = view.hub.directory.resource(code, entry.version_in_force, by=view.by)
    own = view.by.department == entry.resource.provider_code
    return view.render(
        "directory/resource.html",
        entry=entry,
        belongs=belongs(view, entry),
        applies=view.has(Role.CLERK) and not own,
        own=own,
        **about(entry),
        WAITS=WAITS,
        TONES=TONES,
        SHARE_TYPES=SHARE_TYPES,
        SHARE_TONES=SHARE_TONES,
        ITEM_TYPES=ITEM_TYPES,
        GRADES=GRADES,
    )
