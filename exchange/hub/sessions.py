"""Sessions (会话): who is there, known by a secret that only his browser has.

The hub keeps a keyed hash of the secret; what forms must repeat against forgery is derived from it and kept nowhere.
"""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from exchange.db import now
from exchange.db.tables import AccountRow, SessionRow
from exchange.errors import Busy, Denied
from exchange.identity import Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

TOUCHED = timedelta(minutes=1)
"""How exactly it is known when somebody was last there."""
_LONGEST = 200


class NotSignedIn(Denied):
    """Nobody was signed in; says nothing about why."""


@dataclass(frozen=True)
class SignedIn:
    """A session just opened (登录结果); the secret is for the browser and kept nowhere in clear.

    Attributes:
        secret: What the cookie holds.
        csrf: What forms of this session must repeat.
        account: Login.
        must_change: The password must be changed before anything else.
        expires_at: When the session ends, however busy it is.
    """

    secret: SecretStr
    csrf: str = field(repr=False)
    account: str
    must_change: bool
    expires_at: datetime


@dataclass(frozen=True)
class Begun:
    """A sign-in that was begun.

    Attributes:
        address: Where to send the browser.
        secret: What its cookie holds until it comes back.
    """

    address: str = field(repr=False)
    secret: SecretStr


@dataclass(frozen=True)
class Presence:
    """Who calls (在场者), and by what.

    Attributes:
        actor: Who acts; without any role while the password must be changed.
        account: Login.
        csrf: What forms must repeat; None where there is no session.
        scopes: What a token may be used for, ``read`` or ``write``; None: whatever the roles allow.
        must_change: The password must be changed before anything else.
        session: Id of the session, None where there is none.
        token: Id of the token, None where there is none.
    """

    actor: Actor
    account: str
    csrf: str | None = field(repr=False, default=None)
    scopes: frozenset[str] | None = None
    must_change: bool = False
    session: str | None = None
    token: str | None = None

    @property
    def may_write(self) -> bool:
        """Whether what it came by may be used for changes; who may make them is for the roles to say."""
        return self.scopes is None or "write" in self.scopes


def actor_of(row: AccountRow, established: str) -> Actor:
    """An account as somebody who acts."""
    return Actor(
        name=row.name,
        established=established,
        department=row.department,
        roles=frozenset(Role(role) for role in row.roles),
    )


class Sessions:
    """Opens, finds and ends sessions.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def _idle(self) -> timedelta:
        return timedelta(minutes=self._hub.current.accounts.idle_minutes)

    def open(self, session: Session, row: AccountRow, established: str, address: str) -> SignedIn:
        """Open a session for an account, in the caller's transaction."""
        secret = SecretStr(secrets.token_urlsafe(32))
        moment = now(session)
        ends = moment + timedelta(hours=self._hub.current.accounts.session_hours)
        session.add(
            SessionRow(
                id=self.id_of(secret),
                account=row.login,
                established=established,
                created_at=moment,
                seen_at=moment,
                expires_at=ends,
                address=address[:100],
            )
        )
        row.signed_in_at = moment
        return SignedIn(secret, self._derived(secret, "csrf"), row.login, self.must_change(row, moment), ends)

    def present(self, secret: SecretStr) -> Presence | None:
        """Who has this secret; None: nobody, or no longer."""
        if len(secret.get_secret_value()) > _LONGEST:
            return None
        key = self.id_of(secret)
        with self._hub.database.reading() as session:
            found = session.execute(
                select(SessionRow, AccountRow)
                .join(AccountRow, AccountRow.login == SessionRow.account)
                .where(SessionRow.id == key)
            ).first()
            moment = now(session)
        if found is None:
            return None
        seen, row = found
        if row.state != "active" or self.over(seen, moment):
            return None
        if moment - seen.seen_at >= TOUCHED:
            self._touch(key, moment)
        must_change = seen.established == "account" and self.must_change(row, moment)
        actor = actor_of(row, seen.established)
        if must_change:
            actor = Actor(actor.name, actor.established, actor.department, frozenset())
        return Presence(actor, row.login, self._derived(secret, "csrf"), None, must_change, key)

    def over(self, row: SessionRow, moment: datetime) -> bool:
        """Whether a session has lasted too long, or nobody was there for too long."""
        return moment >= row.expires_at or moment - row.seen_at >= self._idle

    def _touch(self, key: str, moment: datetime) -> None:
        # Somebody who reads is not to wait for a writer, nor to fail by him; the next page notes it.
        with suppress(Busy), self._hub.database.transaction() as session:
            session.execute(
                update(SessionRow).where(SessionRow.id == key, SessionRow.seen_at < moment).values(seen_at=moment)
            )

    def must_change(self, row: AccountRow, moment: datetime) -> bool:
        """Whether an account's password must be changed."""
        days = self._hub.current.accounts.password_days
        aged = bool(days) and row.password_at is not None and moment - row.password_at >= timedelta(days=days)
        return row.password is not None and (row.must_change or aged)

    def end(self, session: Session, account: str) -> int:
        """End all sessions of an account, in the transaction of what ends them; how many there were."""
        ended = session.execute(delete(SessionRow).where(SessionRow.account == account))
        assert isinstance(ended, CursorResult)  # noqa: S101 - a delete has a count
        return ended.rowcount

    def prune(self, session: Session) -> int:
        """Remove sessions that are over; how many there were."""
        moment = now(session)
        over = or_(SessionRow.expires_at <= moment, SessionRow.seen_at <= moment - self._idle)
        ended = session.execute(delete(SessionRow).where(over))
        assert isinstance(ended, CursorResult)  # noqa: S101 - a delete has a count
        return ended.rowcount

    def id_of(self, secret: SecretStr) -> str:
        """What a session is found by."""
        return self._derived(secret, "id")

    def _derived(self, secret: SecretStr, purpose: str) -> str:
        key = self._hub.keyring.derive("session", purpose)
        return hmac.digest(key, secret.get_secret_value().encode("utf-8", "surrogatepass"), "sha256").hex()
