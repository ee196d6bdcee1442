"""Tokens (令牌): one's own, to call the interface with; and those of programmes, by the system administrator."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console.accounts import TOKEN_TONES, beside
from exchange.console.views import Page, Sent, View
from exchange.console.words import moment
from exchange.errors import Denied, HubError, Invalid, Problem
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from exchange.words import TOKEN_SCOPES, TOKEN_STATES

router = APIRouter(include_in_schema=False)

DAYS = 90
"""For how long a token holds that is asked for without a word about it."""
ADMINISTRATORS = (Role.SYSTEM, Role.SECURITY, Role.AUDIT)
"""Who is offered to see everybody's; the rule is the hub's."""


@router.get("/tokens")
def tokens(view: Page) -> Response:
    """One's own; with ``all`` everybody's, to the three administrators."""
    return _listed(view)


def _listed(
    view: View, *, error: HubError | None = None, given: dict[str, str] | None = None, reason: str = ""
) -> Response:
    every = "all" in view.request.query_params
    login = None if every else view.presence.account
    return view.render(
        "tokens.html",
        status_of(error) if error else 200,
        tokens=view.hub.tokens.tokens(by=view.by, login=login),
        every=every,
        may_see_all=view.has(*ADMINISTRATORS),
        may_revoke=not every or view.has(Role.SYSTEM, Role.SECURITY),
        error=error,
        wrong=beside(error, {_("用途"): "purpose", _("范围"): "scopes", _("有效期"): "days"}),
        given=given or {"purpose": "", "days": str(DAYS), "scopes": "read"},
        reason=reason,
        most=view.hub.current.accounts.token_days,
        states=TOKEN_STATES,
        tones=TOKEN_TONES,
        scopes=TOKEN_SCOPES,
    )


@router.post("/tokens")
def issue(view: Page, form: Sent) -> Response:
    """Issue one; it is shown here and never again."""
    given = {name: form[name] for name in ("purpose", "days", "scopes")}
    login = form["login"] or None
    try:
        if not given["days"].isascii() or not given["days"].isdecimal() or len(given["days"]) > 4:
            raise Invalid(_("没有签发令牌"), [Problem(_("有效期"), _("应为整数天"))])
        issued = view.hub.tokens.issue(
            by=view.by,
            purpose=given["purpose"],
            scopes=(given["scopes"] or "read",),
            days=int(given["days"]),
            login=login,
        )
    except Denied:
        raise
    except HubError as error:
        return _listed(view, error=error, given=given)
    facts = [
        (_("令牌编号"), issued.id),
        (_("账号"), issued.account),
        (_("用途"), given["purpose"]),
        (_("范围"), _("、").join(TOKEN_SCOPES[each] for each in issued.scopes)),
        (_("有效期至"), moment(issued.expires_at)),
    ]
    back = f"/accounts/{quoted(login)}" if login else "/tokens"
    hint = _("放进程序的密钥保管处；调用接口时写在 Authorization: Bearer 之后。泄露了就吊销它。")
    return view.render(
        "handed.html", title=_("新令牌"), said_above=_("令牌已签发"), facts=facts, label=_("令牌"),
        secret=issued.secret.get_secret_value(), hint=hint, trail=[(_("令牌"), back)], back=back,
    )  # fmt: skip


@router.post("/tokens/{token:code}/revoke")
def revoke(view: Page, token: str, form: Sent) -> Response:
    """Take one back."""
    try:
        view.hub.tokens.revoke(token, reason=form["reason"], by=view.by)
    except Denied:
        raise
    except HubError as error:
        return _listed(view, error=error, reason=form["reason"])
    return view.go(form["back"] if form["back"] in ("/tokens", "/tokens?all=1") else "/tokens", _("令牌已吊销"))
