"""Accounts (账号): made and unlocked by the system administrator, given roles by the security administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console.views import Form, Page, Sent, View
from exchange.errors import Denied, HubError, Invalid, Problem
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from exchange.words import ACCOUNT_KINDS, ACCOUNT_STATES, ESTABLISHED, TOKEN_SCOPES, TOKEN_STATES

router = APIRouter(include_in_schema=False)

STATE_TONES = {"active": "good", "disabled": "bad", "locked": "warn"}
TOKEN_TONES = {"active": "good", "expired": "", "revoked": "bad", "disabled": "warn"}
_CREATED = ("login", "name", "department", "kind")


@router.get("/accounts")
def accounts(view: Page) -> Response:
    """All accounts, or those of a department."""
    return _listed(view)


def _listed(view: View, *, error: HubError | None = None, given: dict[str, str] | None = None) -> Response:
    department = view.request.query_params.get("department") or None
    found = view.hub.accounts.accounts(by=view.by, department=department)
    return view.render(
        "accounts.html",
        status_of(error) if error else 200,
        accounts=found,
        department=department or "",
        error=error,
        wrong=beside(error, {_("登录名"): "login", _("姓名"): "name", _("部门"): "department"}),
        given=given or dict.fromkeys(_CREATED, ""),
        **_words(view),
    )


@router.post("/accounts")
def create(view: Page, form: Sent) -> Response:
    """Make an account; its one-time password is shown here and never again."""
    given = {name: form[name] for name in _CREATED}
    try:
        form.demand(login=_("登录名"), name=_("姓名"), department=_("部门"))
        made = view.hub.accounts.create(
            given["login"], given["name"], given["department"], by=view.by, programme=given["kind"] == "programme",
            password=given["kind"] != "unified",
        )  # fmt: skip
    except Denied:
        raise
    except HubError as error:
        return _listed(view, error=error, given=given)
    if made.password is None:
        return view.go(f"/accounts/{quoted(made.login)}", _("已建立账号，还没有角色；请安全管理员授予"))
    return _handed(
        view, made.login, made.name, made.password.get_secret_value(), _("已建立账号，还没有角色；请安全管理员授予")
    )


@router.get("/accounts/{login:code}")
def account(view: Page, login: str) -> Response:
    """One account: to the three administrators, and to whom it belongs."""
    return _shown(view, login)


def _shown(view: View, login: str, *, error: HubError | None = None, reason: str = "") -> Response:
    found = view.hub.accounts.account(login, by=view.by)
    own = found.login == view.presence.account
    watches = view.has(Role.SECURITY, Role.AUDIT)
    governs = watches or view.has(Role.SYSTEM)
    return view.render(
        "account.html",
        status_of(error) if error else 200,
        account=found,
        own=own,
        error=error,
        reason=reason,
        seen=view.hub.accounts.sign_ins(by=view.by, login=found.login) if watches else None,
        tokens=view.hub.tokens.tokens(by=view.by, login=found.login) if governs or own else [],
        token_days=view.hub.current.accounts.token_days,
        **_words(view),
    )


def _done(view: View, login: str, form: Form, do: Callable[[], Any], said: str) -> Response:
    """Do something about an account and show it again; what was wrong is said beside what was written."""
    try:
        do()
    except Denied:
        raise
    except HubError as error:
        return _shown(view, login, error=error, reason=form["reason"])
    return view.go(f"/accounts/{quoted(login)}", said)


@router.post("/accounts/{login:code}/disable")
def disable(view: Page, login: str, form: Sent) -> Response:
    """Disable it at once."""
    do = view.hub.accounts.disable
    return _done(
        view, login, form, lambda: do(login, reason=form["reason"], by=view.by), _("已停用，会话和令牌一并终止")
    )


@router.post("/accounts/{login:code}/enable")
def enable(view: Page, login: str, form: Sent) -> Response:
    """Let it sign in again."""
    do = view.hub.accounts.enable
    return _done(view, login, form, lambda: do(login, reason=form["reason"], by=view.by), _("已启用"))


@router.post("/accounts/{login:code}/unlock")
def unlock(view: Page, login: str, form: Sent) -> Response:
    """Forget its wrong passwords."""
    return _done(view, login, form, lambda: view.hub.accounts.unlock(login, by=view.by), _("已解锁"))


@router.post("/accounts/{login:code}/unlink")
def unlink(view: Page, login: str, form: Sent) -> Response:
    """Untie it from its unified identity."""
    do = view.hub.accounts.unlink
    return _done(
        view, login, form, lambda: do(login, reason=form["reason"], by=view.by), _("已解除绑定，原有的会话都已终止")
    )


@router.post("/accounts/{login:code}/reset")
def reset(view: Page, login: str, form: Sent) -> Response:
    """Give it a one-time password, shown here and never again."""
    try:
        made = view.hub.accounts.reset(login, by=view.by)
    except Denied:
        raise
    except HubError as error:
        return _shown(view, login, error=error, reason=form["reason"])
    assert made.password is not None  # noqa: S101 - a reset makes one
    secret = made.password.get_secret_value()
    return _handed(view, made.login, made.name, secret, _("口令已重置，原有的会话和令牌都已终止"))


@router.post("/accounts/{login:code}/roles")
def assign(view: Page, login: str, form: Sent) -> Response:
    """Give it these roles and no others, and its department."""

    def do() -> None:
        try:
            roles = frozenset(Role(each) for each in form.all("roles"))
        except ValueError:
            raise Invalid(_("没有授予角色"), [Problem(_("角色"), _("没有这个角色"))]) from None
        department = form["department"] or None
        begun = form["begun"] or None
        view.hub.accounts.assign(login, roles, by=view.by, reason=form["reason"], department=department, begun=begun)

    return _done(view, login, form, do, _("已授予，原有的会话都已终止"))


@router.post("/accounts/{login:code}/sign-out")
def end_sessions(view: Page, login: str, form: Sent) -> Response:
    """Sign it out everywhere."""
    do = view.hub.accounts.end_sessions
    return _done(view, login, form, lambda: do(login, reason=form["reason"], by=view.by), _("会话都已终止"))


@router.get("/sign-ins")
def sign_ins(view: Page) -> Response:
    """Who is signed in now, and from where."""
    return view.render("sign-ins.html", seen=view.hub.accounts.sign_ins(by=view.by), established=ESTABLISHED)


def _handed(view: View, login: str, name: str, secret: str, said: str) -> Response:
    facts = [(_("登录名"), login), (_("姓名"), name)]
    trail = [(_("账号"), "/accounts"), (login, f"/accounts/{quoted(login)}")]
    hint = _("把口令当面或经可靠途径交给本人；本人首次登录时须改成只有自己知道的。")
    return view.render(
        "handed.html", title=_("一次性口令"), said_above=said, facts=facts, label=_("一次性口令"), secret=secret,
        hint=hint, trail=trail, back=f"/accounts/{quoted(login)}",
    )  # fmt: skip


def beside(error: HubError | None, labels: dict[str, str]) -> dict[str, str]:
    """What is wrong with each field of a form, by its name; what is wrong with none stands above them all."""
    problems = getattr(error, "problems", ()) or ()
    return dict.fromkeys(labels.values(), "") | {
        labels[each.where]: each.message for each in problems if each.where in labels
    }


def _words(view: View) -> dict[str, Any]:
    return {
        "states": ACCOUNT_STATES,
        "kinds": ACCOUNT_KINDS,
        "tones": STATE_TONES,
        "token_states": TOKEN_STATES,
        "token_tones": TOKEN_TONES,
        "scopes": TOKEN_SCOPES,
        "established": ESTABLISHED,
        "roles": list(Role),
        "departments": list(view.names().items()),
    }
