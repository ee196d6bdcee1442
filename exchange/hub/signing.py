"""Signing in and out (登录与退出): by password, or by the city's unified identity.

Whatever is wrong, who tries is told one thing; the log is told which. Unknown logins, wrong passwords and disabled
accounts cost the same: one password hash, one event. A login that is locked costs none, and unknown ones are locked
like others, so that this too tells nobody which accounts there are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from exchange.audit import events
from exchange.db import now
from exchange.db.tables import AccountRow, SessionRow
from exchange.errors import Busy, Invalid, Problem
from exchange.hub.attempts import Attempts, Bounded, Counted, Waiting
from exchange.hub.sessions import Begun, NotSignedIn, Presence, Sessions, SignedIn, actor_of
from exchange.identity import ACCOUNT, PLATFORM, passwords

if TYPE_CHECKING:
    from exchange.hub.core import Hub
    from exchange.hub.unified import UnifiedIdentity

__all__ = ["Begun", "NotSignedIn", "Presence", "SignedIn", "Signing", "TooMany"]

WRITTEN = 30
"""Refusals of those that wait out a lock, of which one worker writes into the log in a minute."""
_TOGETHER = 4
"""Passwords that one process hashes at once: each takes 19 MiB."""
_PATIENCE = 10.0
_LONGEST = 64


class TooMany(Busy):
    """Too many came at once, or failed from one address; ``seconds`` says when to come again."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, remedy=f"{seconds} 秒后再试")
        self.seconds = seconds


class Signing:
    """Signs people in and out.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.attempts = Attempts(hub)
        self.sessions = Sessions(hub)
        self._written = Bounded(WRITTEN)
        self._hashing = threading.BoundedSemaphore(_TOGETHER)
        # Held against what is typed under a login that there is not.
        self._nobody: str | None = None

    @cached_property
    def _unified(self) -> UnifiedIdentity:
        # Imported only where somebody signs in by it: every command opens the hub.
        from exchange.hub.unified import UnifiedIdentity

        return UnifiedIdentity(self._hub)

    # --- in ------------------------------------------------------------------------------------

    def sign_in(self, login: str, password: str | SecretStr, *, address: str) -> SignedIn:
        """Open a session for whoever knows the password (登录).

        Args:
            login: As typed.
            password: As typed.
            address: Where the call comes from.

        Raises:
            NotSignedIn: The login, the password or the account does not hold, or it is locked; all in the same words.
            TooMany: So many failed from this address, or come at once, that this one must wait.
        """
        typed = login.strip().lower()
        secret = password if isinstance(password, SecretStr) else SecretStr(password)
        counted = self._begun(typed, address, "password")
        with self._hub.database.reading() as session:
            row = session.get(AccountRow, typed) if _askable(typed) else None
        kept = row.password if row is not None else None
        right = self._matches(kept, secret)
        if row is None or kept is None or not right or row.state != "active":
            reason = "unknown" if row is None else "disabled" if right and row.state != "active" else "wrong"
            raise self._failed(counted, row, address, "password", reason)
        fresh = self._hashed(secret) if passwords.outdated(kept) else kept
        with self._hub.database.transaction() as session:
            row = session.get(AccountRow, typed, with_for_update=True, populate_existing=True)
            # It may have been changed while the hash was made.
            if row is not None and row.state == "active" and row.password == kept:
                row.password = fresh
                self.attempts.succeeded(session, counted)
                made = self.sessions.open(session, row, ACCOUNT, address)
                event = events.SignedIn(account=row.login, how="password", peer=address[:100])
                self._hub.audit.record(session, event, by=actor_of(row, ACCOUNT))
                return made
        raise self._failed(counted, row, address, "password", "wrong")

    def begin(self, redirect: str) -> Begun:
        """Begin to sign in by the city's unified identity (统一身份认证).

        Args:
            redirect: The hub's own address to come back to, as it is registered there.

        Raises:
            Misplaced: It is not enabled.
            Failed: The provider does not answer.
        """
        return self._unified.begin(redirect)

    def finish(self, secret: str | SecretStr, answer: Mapping[str, str], *, address: str) -> SignedIn:
        """Open a session for whoever the unified identity vouches for.

        Args:
            secret: What :meth:`begin` gave for the browser's cookie.
            answer: The parameters the browser came back with.
            address: Where the call comes from.

        Raises:
            NotSignedIn: Something does not hold, or there is no account for him; all in the same words.
            Misplaced: It is not enabled.
            Failed: The provider does not answer.
        """
        kept = secret if isinstance(secret, SecretStr) else SecretStr(secret)
        return self._unified.finish(kept, answer, address=address)

    def present(self, secret: str | SecretStr) -> Presence | None:
        """Who has this secret; None: nobody, or no longer."""
        return self.sessions.present(secret if isinstance(secret, SecretStr) else SecretStr(secret))

    # --- out -----------------------------------------------------------------------------------

    def sign_out(self, secret: str | SecretStr) -> None:
        """End a session (退出登录); one that there is not is ended already."""
        key = self.sessions.id_of(secret if isinstance(secret, SecretStr) else SecretStr(secret))
        with self._hub.database.transaction() as session:
            row = session.get(SessionRow, key, with_for_update=True)
            if row is None:
                return
            account = session.get_one(AccountRow, row.account)
            by = actor_of(account, row.established)
            session.delete(row)
            self._hub.audit.record(session, events.SignedOut(account=account.login), by=by)

    # --- the password --------------------------------------------------------------------------

    def change_password(
        self, secret: str | SecretStr, old: str | SecretStr, new: str | SecretStr, *, address: str
    ) -> SignedIn:
        """Change one's own password (修改口令); all sessions end, and a fresh one is opened.

        Args:
            secret: Of the session.
            old: The password that holds.
            new: The one that shall hold.
            address: Where the call comes from.

        Raises:
            NotSignedIn: There is no such session, or the old password is wrong.
            TooMany: As for signing in.
            Invalid: The new password is too weak; every problem is listed.
        """
        present = self.present(secret)
        if present is None:
            raise NotSignedIn("没有登录，或登录已经过期", ["会话不存在或已超时"], remedy="重新登录")
        before, after = (each if isinstance(each, SecretStr) else SecretStr(each) for each in (old, new))
        login = present.account
        counted = self._begun(login, address, "change")
        with self._hub.database.reading() as session:
            row = session.get_one(AccountRow, login)
        kept = row.password
        if not self._matches(kept, before) or kept is None:
            raise self._failed(counted, row, address, "change", "wrong")
        problems = passwords.weaknesses(
            after, shortest=self._hub.current.accounts.password_length, about=(login, row.name)
        )
        if before == after:
            problems.append("与原口令相同")
        made = self._hashed(after) if not problems else ""
        with self._hub.database.transaction() as session:
            self.attempts.succeeded(session, counted)
            if not problems:
                row = session.get_one(AccountRow, login, with_for_update=True, populate_existing=True)
                if row.state == "active" and row.password == kept:
                    moment = now(session)
                    row.password, row.must_change, row.password_at, row.changed_at = made, False, moment, moment
                    self.sessions.end(session, login)
                    self._hub.audit.record(session, events.PasswordChanged(account=login), by=actor_of(row, ACCOUNT))
                    return self.sessions.open(session, row, ACCOUNT, address)
        if problems:
            raise Invalid("不能修改口令", [Problem("新口令", text) for text in problems])
        raise NotSignedIn("没有登录，或登录已经过期", ["账号在此期间被改动"], remedy="重新登录")

    # --- what they share -----------------------------------------------------------------------

    def _begun(self, login: str, address: str, how: str) -> Counted:
        """Count an attempt, or say why it is not looked at."""
        begun = self.attempts.begin(login[:_LONGEST], address)
        if isinstance(begun, Counted):
            return begun
        self._tell(login, address, how, begun)
        if begun.reason == "address":
            raise TooMany("来自这个地址的登录失败过多", begun.seconds)
        raise self._refusal(how)

    def _failed(self, counted: Counted, row: AccountRow | None, address: str, how: str, reason: str) -> NotSignedIn:
        """Write down a failure, and what to raise."""
        account = row.login if row is not None else None
        department = row.department if row is not None else None
        with self._hub.database.transaction() as session:
            event = events.SignInFailed(account=account, how=how, peer=address[:100], reason=reason, unwritten=0)
            self._hub.audit.record(session, event, by=PLATFORM, department=department)
            if counted.last:
                minutes = self._hub.current.accounts.lock_minutes
                locked = events.SignInLocked(account=account, peer=address[:100], minutes=minutes)
                self._hub.audit.record(session, locked, by=PLATFORM, department=department)
        return self._refusal(how)

    def _tell(self, login: str, address: str, how: str, waiting: Waiting) -> None:
        held = self._written.through()
        if held is None:
            return
        reason = "address" if waiting.reason == "address" else "locked"
        with self._hub.database.transaction() as session:
            row = session.get(AccountRow, login) if _askable(login) else None
            account = row.login if row is not None else None
            event = events.SignInFailed(account=account, how=how, peer=address[:100], reason=reason, unwritten=held)
            department = row.department if row is not None else None
            self._hub.audit.record(session, event, by=PLATFORM, department=department)

    def _refusal(self, how: str) -> NotSignedIn:
        limits = self._hub.current.accounts
        locking = f"连续失败 {limits.failures} 次，锁定 {limits.lock_minutes} 分钟"
        if how == "change":
            return NotSignedIn("原口令不对", ["原口令不对，或尝试过多", locking], remedy="核对原口令")
        return NotSignedIn(
            "登录没有成功",
            ["登录名或口令不对，或账号不能使用", locking],
            remedy="核对登录名和口令；忘记口令的，请系统管理员重置",
        )

    def _matches(self, kept: str | None, secret: SecretStr) -> bool:
        """Whether a password holds; as much work where there is none."""
        long = len(secret.get_secret_value()) > passwords.LONGEST
        with self._turn():
            if self._nobody is None:
                self._nobody = passwords.hashed(passwords.one_time())
            held = passwords.matches(kept or self._nobody, SecretStr("") if long else secret)
        return held and kept is not None and not long

    def _hashed(self, secret: SecretStr) -> str:
        with self._turn():
            return passwords.hashed(secret)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._hashing.acquire(timeout=_PATIENCE):
            raise TooMany("同时登录的人过多", round(_PATIENCE))
        try:
            yield
        finally:
            self._hashing.release()

    def prune(self) -> int:
        """Remove sessions that are over, and failures that no longer count; how many sessions there were."""
        with self._hub.database.transaction() as session:
            self.attempts.prune(session)
            return self.sessions.prune(session)


def _askable(login: str) -> bool:
    return login.isascii() and login.isprintable() and 0 < len(login) <= _LONGEST
