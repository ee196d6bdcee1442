"""Accounts, tokens and access credentials (账号、令牌、接入凭据)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from exchange.api.calls import Asked, Call, Cursor, Filter, Limit, Match, Moment, Name, Page, Sent, Why, paged
from exchange.api.door import Door
from exchange.db.tables import AccountRow
from exchange.hub.access import Credential
from exchange.hub.accounts import Account, Handed, Seen
from exchange.hub.tokens import Token
from exchange.settings import Role

router = APIRouter(route_class=Door)
Word = Annotated[str, Field(max_length=200)]


class Me(BaseModel):
    """Who calls (本人)."""

    account: str
    name: str
    department: str | None
    roles: list[Role]
    scopes: list[str]


class NewAccount(Sent):
    """An account to be made (新账号)."""

    login: Annotated[str, Field(max_length=64)] = Field(description="登录名")
    name: Word = Field(description="姓名，或程序的名称；各账号不同")
    department: Annotated[str, Field(max_length=64)] = Field(description="部门代码")
    programme: bool = Field(default=False, description="程序的账号，只用令牌")
    password: bool = Field(default=True, description="给一次性口令；否则只用统一身份登录")


class HandedAccount(BaseModel):
    """An account, with its one-time password, told this once (一次性口令)."""

    login: str
    name: str
    department: str
    roles: list[Role]
    password: str | None = Field(description="一次性口令，只告知这一次；首次登录须更改")


class Assignment(Why):
    """Roles of an account, and its department (授予角色)."""

    roles: list[Role] = Field(max_length=10, description="这些角色，没有别的")
    department: str | None = Field(None, max_length=64, description="换到这个部门")


class Ended(BaseModel):
    """Sessions that were ended (强制退出)."""

    sessions: int


class NewToken(Sent):
    """A token to be issued (新令牌)."""

    purpose: Word = Field(description="用途")
    scopes: list[Literal["read", "write"]] = Field(default=["read"], max_length=2, description="范围")
    days: int = Field(90, ge=-(2**31), le=2**31, description="有效天数")
    login: str | None = Field(None, max_length=64, description="程序的账号；不写则为本人")


class IssuedToken(BaseModel):
    """A token just made, told this once (令牌签发结果)."""

    id: str
    account: str
    scopes: list[str]
    secret: str = Field(description="令牌，只告知这一次")
    expires_at: datetime


class NewCredential(Sent):
    """An access credential to be issued (新接入凭据)."""

    department: Annotated[str, Field(max_length=64)] = Field(description="部门代码")
    kind: Literal["token", "password", "gateway", "certificate"] = Field(description="种类")
    name: Annotated[str, Field(max_length=300)] | None = Field(None, description="用户名、请求方标识或证书主题")
    purpose: Word = Field("", description="用途")
    until: Moment | None = Field(None, description="到什么时候")


class IssuedCredential(BaseModel):
    """A credential just made, told this once (接入凭据签发结果)."""

    id: str
    kind: str
    department: str
    name: str | None
    secret: str | None = Field(description="只告知这一次；证书没有")
    expires_at: datetime | None


@router.get("/me", summary="本人", tags=["账号"])
def me(call: Asked) -> Me:
    """Who calls, and what by this token."""
    by = call.by
    return Me(
        account=call.presence.account,
        name=by.name,
        department=by.department,
        roles=sorted(by.roles),
        scopes=sorted(call.presence.scopes or ()),
    )


@router.get("/accounts", summary="列出账号", tags=["账号"])
def accounts(call: Asked, department: Filter = None, cursor: Cursor = None, limit: Limit = 50) -> Page[Account]:
    """All accounts, or those of a department, by login, to the three administrators."""
    found = call.hub.accounts.accounts(by=call.by, department=department)
    return paged(call, found, lambda each: each.login, cursor=cursor, limit=limit)


@router.post("/accounts", summary="建立账号", tags=["账号"], status_code=201)
def create(call: Asked, given: NewAccount) -> HandedAccount:
    """Make an account, which has no roles yet: the system administrator."""
    call.secret()
    made = call.hub.accounts.create(
        given.login, given.name, given.department, by=call.by, programme=given.programme, password=given.password
    )
    call.response.headers["Location"] = f"/api/v1/accounts/{made.login}"
    return _handed(made)


@router.get("/accounts/{login:code}", summary="查看账号", tags=["账号"])
def account(call: Asked, login: Name) -> Account:
    """One account; one's own, to everybody."""
    found = call.hub.accounts.account(login, by=call.by)
    call.tagged(_steady(found))
    return found


@router.post("/accounts/{login:code}/disabling", summary="停用账号", tags=["账号"])
def disable(call: Asked, login: Name, given: Why, if_match: Match = None) -> Account:
    """Disable an account at once: its sessions end, its tokens are revoked."""
    with _as_seen(call, login):
        call.hub.accounts.disable(login, reason=given.reason, by=call.by)
    return call.hub.accounts.account(login, by=call.by)


@router.post("/accounts/{login:code}/enabling", summary="启用账号", tags=["账号"])
def enable(call: Asked, login: Name, given: Why, if_match: Match = None) -> Account:
    """Let a disabled account sign in again."""
    with _as_seen(call, login):
        call.hub.accounts.enable(login, reason=given.reason, by=call.by)
    return call.hub.accounts.account(login, by=call.by)


@router.post("/accounts/{login:code}/unlocking", summary="解锁账号", tags=["账号"])
def unlock(call: Asked, login: Name) -> Account:
    """Forget the wrong passwords of a login."""
    call.hub.accounts.unlock(login, by=call.by)
    return call.hub.accounts.account(login, by=call.by)


@router.post("/accounts/{login:code}/unlinking", summary="解除绑定", tags=["账号"])
def unlink(call: Asked, login: Name, given: Why, if_match: Match = None) -> Account:
    """Untie an account from its unified identity; its sessions end."""
    with _as_seen(call, login):
        call.hub.accounts.unlink(login, reason=given.reason, by=call.by)
    return call.hub.accounts.account(login, by=call.by)


@router.post("/accounts/{login:code}/password", summary="重置口令", tags=["账号"])
def reset(call: Asked, login: Name) -> HandedAccount:
    """Give an account a one-time password: sessions end, tokens are revoked, a lock is lifted."""
    call.secret()
    return _handed(call.hub.accounts.reset(login, by=call.by))


@router.put("/accounts/{login:code}/roles", summary="授予角色", tags=["账号"])
def assign(call: Asked, login: Name, given: Assignment, if_match: Match = None) -> Account:
    """Give an account these roles and no others: the security administrator, never himself."""
    with _as_seen(call, login):
        call.hub.accounts.assign(login, given.roles, by=call.by, reason=given.reason, department=given.department)
    return call.hub.accounts.account(login, by=call.by)


@router.post("/accounts/{login:code}/sign-out", summary="强制退出", tags=["账号"])
def end_sessions(call: Asked, login: Name, given: Why) -> Ended:
    """Sign somebody out everywhere."""
    return Ended(sessions=call.hub.accounts.end_sessions(login, reason=given.reason, by=call.by))


@router.get("/sessions", summary="查看在线情况", tags=["账号"])
def sessions(call: Asked, login: Filter = None, cursor: Cursor = None, limit: Limit = 50) -> Page[Seen]:
    """Who is signed in, and from where, newest first; the look is logged."""
    found = call.hub.accounts.sign_ins(by=call.by, login=login)
    return paged(call, found, lambda each: each.id, cursor=cursor, limit=limit)


@router.get("/tokens", summary="列出令牌", tags=["令牌"])
def tokens(
    call: Asked,
    login: Annotated[str | None, Query(max_length=64, description="谁的；不写为本人的，管理员为全部")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Token]:
    """Tokens of one's own account; of others, to the three administrators."""
    found = call.hub.tokens.tokens(by=call.by, login=login)
    return paged(call, found, lambda each: each.id, cursor=cursor, limit=limit)


@router.post("/tokens", summary="签发令牌", tags=["令牌"], status_code=201)
def issue(call: Asked, given: NewToken) -> IssuedToken:
    """Issue a token: never by a token, so that here it is always refused, and logged; people do it signed in."""
    call.secret()
    made = call.hub.tokens.issue(
        by=call.by, purpose=given.purpose, scopes=given.scopes, days=given.days, login=given.login
    )
    return IssuedToken(
        id=made.id,
        account=made.account,
        scopes=list(made.scopes),
        secret=made.secret.get_secret_value(),
        expires_at=made.expires_at,
    )


@router.post("/tokens/{name:code}/revocation", summary="吊销令牌", tags=["令牌"])
def revoke_token(call: Asked, name: Name, given: Why) -> dict[str, str]:
    """Take a token back; it does not hold from this moment."""
    call.hub.tokens.revoke(name, reason=given.reason, by=call.by)
    return {"id": name, "state": "revoked"}


@router.get("/access", summary="列出接入凭据", tags=["接入"])
def credentials(call: Asked, department: Filter = None, cursor: Cursor = None, limit: Limit = 50) -> Page[Credential]:
    """Credentials of one's own department's programmes; of all, to the hub's people."""
    found = call.hub.access.credentials(by=call.by, department=department)
    return paged(call, found, lambda each: each.id, cursor=cursor, limit=limit)


@router.post("/access", summary="签发接入凭据", tags=["接入"], status_code=201)
def issue_credential(call: Asked, given: NewCredential) -> IssuedCredential:
    """Give a department's programme something to sign in with; its secret is told this once."""
    call.secret()
    made = call.hub.access.issue(
        given.department, given.kind, by=call.by, name=given.name, purpose=given.purpose, until=given.until
    )
    return IssuedCredential(
        id=made.id,
        kind=made.kind,
        department=made.department,
        name=made.name,
        secret=made.secret.get_secret_value() if made.secret is not None else None,
        expires_at=made.expires_at,
    )


@router.post("/access/{name:code}/revocation", summary="吊销接入凭据", tags=["接入"])
def revoke_credential(call: Asked, name: Name, given: Why) -> dict[str, str]:
    """Take a credential back; it does not hold from this moment."""
    call.hub.access.revoke(name, reason=given.reason, by=call.by)
    return {"id": name, "state": "revoked"}


def _handed(made: Handed) -> HandedAccount:
    return HandedAccount(
        login=made.login,
        name=made.name,
        department=made.department,
        roles=sorted(made.roles),
        password=made.password.get_secret_value() if made.password is not None else None,
    )


def _steady(found: Account) -> Any:
    """What of an account changes only when somebody changes it."""
    return {name: value for name, value in found.__dict__.items() if name not in ("signed_in_at", "sessions")}


def _as_seen(call: Call, login: str) -> Any:
    def current() -> Any:
        return _steady(call.hub.accounts.account(login, by=call.by))

    return call.matching(current, hold=lambda s: s.get(AccountRow, login, with_for_update=True))
