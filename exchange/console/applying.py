"""Applying for a resource (申请使用): a form, what the rules would say to it, and the application itself."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog import Resource
from catalog.vocabulary import SHARE_TYPES, SHARE_WAYS
from exchange.authorisation import Assessment
from exchange.console import asked as forms
from exchange.console.asked import Asked
from exchange.console.registering import endpoints
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import HubError, Problem, Unknown
from exchange.hub import drafts
from exchange.messages import _
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from schemas import GRADES, ITEM_TYPES

router = APIRouter(include_in_schema=False)

SAID = {
    "granted": _("已当场授权"),
    "pending": _("申请已提出，等待提供部门答复"),
    "refused": _("按规则当场答复：未同意"),
}


@router.get("/directory/{code:code}/apply")
def ask(view: Page, code: str) -> Response:
    """The form."""
    resource = view.hub.sharing.begin(code, by=view.by).resource
    ways = [way for way in resource.share_ways if way != "medium"]
    asked = Asked({"id": "A" + secrets.token_hex(8), "way": ways[0] if ways else "", "joined": "all"})
    return _shown(view, resource, asked)


@router.post("/directory/{code:code}/apply")
def apply(view: Page, code: str, form: Sent) -> Response:
    """Apply, or send the form back: with room for a condition, or with what the rules would say."""
    resource = view.hub.sharing.begin(code, by=view.by).resource
    asked = forms.of_form(form, resource)
    try:
        return _applied(view, form, resource, asked)
    except HubError as error:
        return _shown(view, resource, asked, error=error, status=status_of(error))


def _applied(view: View, form: Form, resource: Resource, asked: Asked) -> Response:
    do = form["do"] or "submit"
    if do == "add":
        asked.add_condition()
        return _shown(view, resource, asked)
    if do.startswith("remove-") and do[7:].isdecimal() and len(do) < 11:
        del asked.conditions[int(do[7:]) : int(do[7:]) + 1]
        return _shown(view, resource, asked)
    if do not in ("submit", "assess"):
        raise Unknown(_("没有这种办理"))
    # What is missing is told before it is refused for that.
    form.demand(**{name: forms.TITLES[name] for name in ("basis", "scene", "scope", "way", "until", "items")})
    application = drafts.asked(forms.given_of(asked, resource, view.by.department or ""))
    assessment = view.hub.sharing.assess(application, by=view.by)
    if do == "assess":
        return _shown(view, resource, asked, assessment=assessment)
    if assessment.outcome == "refused" and form["accepted"] != "refused":
        return _shown(view, resource, asked, assessment=assessment, status=422)
    name = view.hub.sharing.apply(application, by=view.by)
    entry = view.hub.directory.application(name, by=view.by)
    return view.go(f"/applications/{quoted(name)}", SAID.get(entry.state, entry.label))


def _shown(
    view: View,
    resource: Resource,
    asked: Asked,
    *,
    error: HubError | None = None,
    assessment: Assessment | None = None,
    status: int = 200,
) -> Response:
    problems: tuple[Problem, ...] = getattr(error, "problems", ())
    places = [(each, *forms.place(each.where)) for each in problems]
    own = [each for each in endpoints(view) if each]
    given: dict[str, Any] = {
        "ways": [(way, SHARE_WAYS[way]) for way in resource.share_ways if way != "medium"],
        "endpoints": [("", _("（不选：由本部门来取）")), *((name, name) for name in own)],
        "offered": {item.name: forms.mask_options(item, resource) for item in resource.items},
        "operators": list(forms.OPERATORS.items()),
        "filtered": [
            ("", _("请选择")),
            *((item.name, f"{item.label} {item.name}") for item in resource.items if not item.rows),
        ],
    }
    return view.render(
        "applications/apply.html",
        status,
        resource=resource,
        asked=asked,
        error=error,
        places=places,
        wrong={at: each.message for each, at, _words in places if at},
        assessment=assessment,
        SHARE_TYPES=SHARE_TYPES,
        ITEM_TYPES=ITEM_TYPES,
        GRADES=GRADES,
        **given,
    )
