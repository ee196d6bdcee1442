"""Tokens (令牌): what programmes call the hub's interface with, in the name of an account.

A token holds for what its account's roles allow, and of that only what its scopes name. It is told once; the hub keeps
a keyed hash.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db import now
from exchange.db.tables import AccountRow, TokenRow
from exchange.errors import Busy, Denied, Invalid, Misplaced, Problem, Unknown
from exchange.hub.accounts import LOGIN
from exchange.hub.attempts import Bounded
from exchange.hub.reasons import read_reason
from exchange.hub.sessions import TOUCHED, Presence, actor_of
from exchange.identity import PLATFORM, TOKEN, Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

SCOPES = ("read", "write")
"""What a token may be used for (用途范围)."""
MARK = "shutong_"
"""How every token begins, so that one that lies about is known for what it is."""
WRITTEN = 30
"""Refused tokens that one worker writes into the log in a minute; of the others it writes how many."""
_LONGEST = 200
_WORDS = 200


@dataclass(frozen=True)
class IssuedToken:
    """A token just made (令牌签发结果); the secret is told once and kept nowhere in clear."""

    id: str
    account: str
    scopes: tuple[str, ...]
    secret: SecretStr
    expires_at: datetime


@dataclass(frozen=True)
class Token:
    """A token as it may be listed (令牌)."""

    id: str
    account: str
    name: str
    """Of the account's owner."""
    purpose: str
    scopes: tuple[str, ...]
    state: str
    """``active``, ``expired``, ``revoked``, or ``disabled`` as its account is."""
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    used_at: datetime | None


class Tokens:
    """Tokens of accounts.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._written = Bounded(WRITTEN)

    def issue(
        self,
        *,
        by: Actor,
        purpose: str,
        scopes: Collection[str] = ("read",),
        days: int = 90,
        login: str | None = None,
    ) -> IssuedToken:
        """Issue a token for one's own account, or as system administrator for a programme's (签发令牌).

        Args:
            by: Who issues it; never a programme that itself came by a token.
            purpose: What it is for, in words.
            scopes: ``read`` to look, ``write`` to change; whoever may change may look.
            days: For how long it holds.
            login: Of a programme's account; None: one's own.

        Raises:
            Denied: It is somebody else's account, or the caller came by a token.
            Unknown: There is no such account.
            Invalid: Purpose, scopes or days are wrong.
        """
        hub = self._hub
        what = f"为账号 {login[:64]} 签发令牌" if login is not None else "签发令牌"
        chosen = tuple(scope for scope in SCOPES if scope in scopes or (scope == "read" and "write" in scopes))
        secret = SecretStr(MARK + secrets.token_urlsafe(32))
        try:
            with hub.database.transaction() as session:
                row = self._account(session, by, login, what)
                self._demand(purpose, scopes, days)
                moment = now(session)
                token = "T" + secrets.token_hex(8)
                ends = moment + timedelta(days=days)
                session.add(
                    TokenRow(
                        id=token,
                        account=row.login,
                        digest=self._digest(secret),
                        purpose=" ".join(purpose.split()),
                        scopes=list(chosen),
                        issued_by=by.name,
                        issued_at=moment,
                        expires_at=ends,
                    )
                )
                event = events.TokenIssued(token=token, account=row.login, scopes=chosen, days=days)
                hub.audit.record(session, event, by=by, department=row.department)
        except Denied as error:
            hub.denied(by, what, error)
            raise
        return IssuedToken(token, row.login, chosen, secret, ends)

    def _account(self, session: Session, by: Actor, login: str | None, what: str) -> AccountRow:
        """The account a token is issued for, if he may."""
        if by.established == TOKEN:
            raise Denied(f"{by.name} 不能{what}", ["凭令牌不能再签发令牌"], remedy="登录后办理")
        if not by.roles:
            # Nor whoever has yet to change his password: until then he has none.
            raise Denied(f"{by.name} 不能{what}", ["没有任何角色"], remedy="请安全管理员授予角色")
        query = select(AccountRow).where(AccountRow.name == by.name if login is None else AccountRow.login == login)
        row = session.scalar(query.with_for_update()) if login is None or LOGIN.fullmatch(login) else None
        if row is None:
            who = f"{by.name} 没有账号" if login is None else f"没有账号 {login[:64]}"
            raise Unknown(who, remedy="请系统管理员建立账号")
        own = row.name == by.name
        governed = Role.SYSTEM in by.roles and by.department == self._hub.settings.hub_department
        if not own and (not governed or row.kind != "programme"):
            reasons = ["令牌由本人签发；程序账号的由平台管理单位的系统管理员签发"]
            raise Denied(f"{by.name} 不能{what}", reasons, remedy="由账号本人办理")
        if row.state != "active":
            raise Misplaced(f"账号 {row.login} 已经停用", remedy="先启用账号")
        return row

    def _demand(self, purpose: str, scopes: Collection[str], days: int) -> None:
        most = self._hub.current.accounts.token_days
        problems = []
        if not purpose.strip() or len(purpose) > _WORDS or not purpose.isprintable():
            problems.append(Problem("用途", f"应为不超过 {_WORDS} 个可见字符"))
        if not scopes or set(scopes) - set(SCOPES):
            problems.append(Problem("范围", "不在可选范围内", f"可选：{'、'.join(SCOPES)}"))
        if not 1 <= days <= most:
            problems.append(Problem("有效期", f"应为 1 至 {most} 天"))
        if problems:
            raise Invalid("不能签发令牌", problems)

    def tokens(self, *, by: Actor, login: str | None = None) -> list[Token]:
        """Tokens of one's own account; of others, to the three administrators (列出令牌).

        Args:
            by: Who looks.
            login: Whose; None: one's own, to the three administrators all.
        """
        hub = self._hub
        with hub.database.reading() as session:
            own = session.scalar(select(AccountRow.login).where(AccountRow.name == by.name))
            administrator = not by.roles.isdisjoint({Role.SYSTEM, Role.SECURITY, Role.AUDIT})
        wanted = login if login is not None or administrator else own
        if wanted is None and not administrator:
            return []
        if wanted != own:
            with hub.permitted(by, Role.SYSTEM, Role.SECURITY, Role.AUDIT, action="列出他人的令牌", of=[]):
                pass
        with hub.database.reading() as session:
            query = select(TokenRow, AccountRow).join(AccountRow, AccountRow.login == TokenRow.account)
            if wanted is not None:
                query = query.where(TokenRow.account == (wanted if LOGIN.fullmatch(wanted) else ""))
            moment = now(session)
            ordered = query.order_by(TokenRow.issued_at.desc(), TokenRow.id)
            return [_listed(row, account, moment) for row, account in session.execute(ordered)]

    def revoke(self, token: str, *, reason: str, by: Actor) -> None:
        """Take a token back; it does not hold from this moment (吊销令牌).

        Raises:
            Denied: It is somebody else's, and the caller is neither system nor security administrator.
            Unknown: There is none of that id.
            Misplaced: It was revoked before.
        """
        hub = self._hub
        what = f"吊销令牌 {token[:40]}"
        with hub.database.reading() as session:
            row = session.get(TokenRow, token) if token.isascii() and token.isalnum() else None
            owner = session.get_one(AccountRow, row.account).name if row is not None else None
        if owner != by.name:
            with hub.permitted(by, Role.SYSTEM, Role.SECURITY, action=what, of=[]):
                pass
        if row is None:
            raise Unknown(f"没有令牌 {token[:40]}", remedy="用 shutong token list 查看")
        why = read_reason(reason, what)
        with hub.database.transaction() as session:
            row = session.get_one(TokenRow, token, with_for_update=True)
            if row.revoked_at is not None:
                raise Misplaced(f"令牌 {token} 已经吊销")
            account = session.get_one(AccountRow, row.account)
            self._revoke(session, row, account, why, by)

    def revoke_all(self, session: Session, account: AccountRow, reason: str, by: Actor) -> int:
        """Revoke what an account has, in the transaction of its cause; how many there were."""
        held = select(TokenRow).where(TokenRow.account == account.login, TokenRow.revoked_at.is_(None))
        rows = list(session.scalars(held.with_for_update()))
        for row in rows:
            self._revoke(session, row, account, reason, by)
        return len(rows)

    def _revoke(self, session: Session, row: TokenRow, account: AccountRow, reason: str, by: Actor) -> None:
        row.revoked_at = now(session)
        event = events.TokenRevoked(token=row.id, account=account.login, reason=reason)
        self._hub.audit.record(session, event, by=by, department=account.department)

    # --- used ----------------------------------------------------------------------------------

    def bearer(self, secret: str | SecretStr, *, address: str = "") -> Presence | None:
        """Who calls with this token; None: it does not hold, which is logged.

        Args:
            secret: As shown.
            address: Where the call comes from.
        """
        shown = secret if isinstance(secret, SecretStr) else SecretStr(secret)
        row, account, moment = self._found(shown)
        reason = (
            "unknown" if row is None or account is None
            else "revoked" if row.revoked_at is not None
            else "expired" if row.expires_at <= moment
            else "disabled" if account.state != "active"
            else None
        )  # fmt: skip
        if reason is not None or row is None or account is None:
            self._tell(row, account, address, reason or "unknown")
            return None
        if row.used_at is None or moment - row.used_at >= TOUCHED:
            # Who reads is not to wait for a writer, nor to fail by him; the next call notes it.
            with suppress(Busy), self._hub.database.transaction() as session:
                session.execute(update(TokenRow).where(TokenRow.id == row.id).values(used_at=moment))
        return Presence(actor_of(account, TOKEN), account.login, None, frozenset(row.scopes), token=row.id)

    def _found(self, secret: SecretStr) -> tuple[TokenRow | None, AccountRow | None, datetime]:
        text = secret.get_secret_value()
        with self._hub.database.reading() as session:
            moment = now(session)
            if not text.startswith(MARK) or len(text) > _LONGEST:
                return None, None, moment
            row = session.scalar(select(TokenRow).where(TokenRow.digest == self._digest(secret)))
            return row, session.get_one(AccountRow, row.account) if row is not None else None, moment

    def _tell(self, row: TokenRow | None, account: AccountRow | None, address: str, reason: str) -> None:
        held = self._written.through()
        if held is None:
            return
        event = events.SignInRefused(
            kind="token", peer=address[:100], credential=row.id if row else None, reason=reason, unwritten=held
        )
        with self._hub.database.transaction() as session:
            self._hub.audit.record(session, event, by=PLATFORM, department=account.department if account else None)

    def _digest(self, secret: SecretStr) -> str:
        key = self._hub.keyring.derive("account", "token")
        return hmac.digest(key, secret.get_secret_value().encode("utf-8", "surrogatepass"), "sha256").hex()


def _listed(row: TokenRow, account: AccountRow, moment: datetime) -> Token:
    state = (
        "revoked" if row.revoked_at is not None
        else "expired" if row.expires_at <= moment
        else "disabled" if account.state != "active"
        else "active"
    )  # fmt: skip
    return Token(
        id=row.id,
        account=row.account,
        name=account.name,
        purpose=row.purpose,
        scopes=tuple(row.scopes),
        state=state,
        issued_by=row.issued_by,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        used_at=row.used_at,
    )
