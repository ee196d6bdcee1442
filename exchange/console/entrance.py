"""Signing in and out, and one's own account (登录、退出、我的账号)."""

from __future__ import annotations

from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from exchange.console.views import COOKIE, Form, Open, Sent, View, from_elsewhere, read_form
from exchange.errors import Denied, HubError, Invalid, Problem, Unknown
from exchange.hub.sessions import SignedIn
from exchange.messages import _
from exchange.web.calling import address_of
from exchange.web.errors import status_of

router = APIRouter(include_in_schema=False)
UNIFIED = "/sign-in/unified"
"""Where signing in by the unified identity begins."""
BACK = f"{UNIFIED}/back"
"""Where the provider sends the browser back to, behind the address of the site."""
BEGUN = "shutong_unified"
"""Cookie with what was begun, sealed; another beside it says where to go on to."""
_ONWARD = "shutong_onward"


@router.get("/sign-in")
def ask(view: Open, next: str = "/") -> Response:
    """The form."""
    return view.go(local(next)) if view.signed_in else _asked(view, next)


def _asked(view: View, next: str, *, login: str = "", error: HubError | None = None, status: int = 200) -> Response:
    unified = view.hub.settings.accounts.oidc.enabled
    return view.render("sign-in.html", status, error=error, login=login, next=local(next), unified=unified)


@router.post("/sign-in")
async def sign_in(request: Request, view: Open) -> Response:
    """Sign in; whoever was signed in before in this browser is not any more."""
    # There is no session yet whose secret a form could hold; the browser says where it comes from.
    if from_elsewhere(request):
        raise Denied(_("没有登录"), [_("表单不是从本平台的页面提交的")], remedy=_("在本平台的登录页登录"))
    form = Form(await read_form(request, max_files=0, max_fields=8))
    return await run_in_threadpool(_signed_in, view, form)


def _signed_in(view: View, form: Form) -> Response:
    login, onward = form["login"], form["next"]
    try:
        signed = view.hub.signing.sign_in(login, form.raw("password"), address=address_of(view.request))
    except HubError as error:
        return _asked(view, onward, login=login, error=error, status=status_of(error))
    return _entered(view, signed, onward)


def _entered(view: View, signed: SignedIn, onward: str) -> Response:
    if (before := view.request.cookies.get(COOKIE)) is not None:
        view.hub.signing.sign_out(before)
    return _kept(view, view.go("/me" if signed.must_change else local(onward)), signed)


@router.get(UNIFIED)
def begin(view: Open, next: str = "/") -> Response:
    """To the unified identity; what is needed when the browser comes back travels in its own cookies."""
    _demand_unified(view)
    if view.signed_in:
        return view.go(local(next))
    try:
        # Never by the name the browser asked for: the provider sends people where this says.
        begun = view.hub.signing.begin(f"{view.request.app.state.address}{BACK}")
    except HubError as error:
        return _asked(view, next, error=error, status=status_of(error))
    answer = RedirectResponse(begun.address, 303)
    for name, value in ((BEGUN, begun.secret.get_secret_value()), (_ONWARD, quote(local(next)))):
        answer.set_cookie(name, value, httponly=True, samesite="lax", secure=view.secure, path=UNIFIED)
    return answer


@router.get(BACK)
def finish(view: Open) -> Response:
    """Back from the unified identity, signed in or not; whatever came of it, it is not tried again."""
    _demand_unified(view)
    cookies, said = view.request.cookies, dict(view.request.query_params)
    onward = unquote(cookies.get(_ONWARD, "/"))
    try:
        signed = view.hub.signing.finish(cookies.get(BEGUN, ""), said, address=address_of(view.request))
        answer = _entered(view, signed, onward)
    except HubError as error:
        answer = _asked(view, onward, error=error, status=status_of(error))
    for name in (BEGUN, _ONWARD):
        answer.delete_cookie(name, path=UNIFIED)
    return answer


def _demand_unified(view: View) -> None:
    if not view.hub.settings.accounts.oidc.enabled:
        raise Unknown(_("没有启用统一身份认证"), remedy=_("用账号和口令登录"))


def _kept(view: View, answer: Response, signed: SignedIn) -> Response:
    """Have the browser show the session's secret from now on."""
    secret = signed.secret.get_secret_value()
    answer.set_cookie(COOKIE, secret, httponly=True, samesite="lax", secure=view.secure, path="/")
    return answer


@router.post("/sign-out")
def sign_out(view: Open, _form: Sent) -> Response:
    """Sign out."""
    if (secret := view.request.cookies.get(COOKIE)) is not None:
        view.hub.signing.sign_out(secret)
    answer = view.go("/sign-in", _("已退出"))
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/me")
def me(view: Open) -> Response:
    """One's own account."""
    return _account(view)


def _account(view: View, *, error: HubError | None = None, status: int = 200) -> Response:
    return view.render("me.html", status, error=error, length=view.hub.current.accounts.password_length)


@router.post("/me/password")
def change_password(view: Open, form: Sent) -> Response:
    """Change one's own password; every session of the account ends, and this one begins anew."""
    try:
        form.demand(old=_("现在的口令"), new=_("新口令"), again=_("再写一次新口令"))
        old, new = form.raw("old"), form.raw("new")
        if new != form.raw("again"):
            error = Invalid(_("没有修改口令"), [Problem(_("再写一次新口令"), _("两次写的不一样"))])
            return _account(view, error=error, status=422)
        secret = view.request.cookies[COOKIE]
        fresh = view.hub.signing.change_password(secret, old, new, address=address_of(view.request))
    except HubError as error:
        return _account(view, error=error, status=status_of(error))
    return _kept(view, view.go("/", _("口令已修改")), fresh)


def local(path: str) -> str:
    """A path of ours to go on to; anything else is the front page."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours else "/"
