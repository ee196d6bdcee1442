"""Attempts to sign in (登录尝试): counted in the hub's database, so that all workers count together.

A login is counted as it was typed, whether there is such an account or not: that it is locked then tells nobody
which accounts there are, and whoever tries a locked one can be refused without a password being hashed. An attempt
is counted before its password is looked at; of many that come at once none is overlooked, and one that dies has
failed. So as many as may fail may be under way at once under one login: a further one is refused, right or not.
"""

from __future__ import annotations

import hmac
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from exchange.db import now
from exchange.db.tables import AttemptRow

if TYPE_CHECKING:
    from exchange.hub.core import Hub

ADDRESS_WINDOW = timedelta(minutes=1)
"""In which the failures of one address are counted, and for which it then waits."""


class Bounded:
    """Lets so many through in a minute and counts the rest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._minute = 0
        self._let = 0
        self._held = 0

    def through(self) -> int | None:
        """How many were held since the last one let through; None: this one is held too."""
        with self._lock:
            minute = int(time.monotonic() // 60)
            if minute != self._minute:
                self._minute, self._let = minute, 0
            if self._let >= self._most:
                self._held += 1
                return None
            self._let += 1
            held, self._held = self._held, 0
            return held


@dataclass(frozen=True)
class Counted:
    """An attempt that was counted as failed until it succeeds.

    Attributes:
        login: What the login is counted under.
        address: What the address is counted under.
        last: With this failure the login is locked.
    """

    login: str
    address: str
    last: bool


@dataclass(frozen=True)
class Waiting:
    """Why an attempt is not looked at: ``login`` or ``address``, and how many seconds that lasts."""

    reason: str
    seconds: int


class Attempts:
    """Counts failures per login and per address.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def _login(self) -> tuple[int, timedelta]:
        limits = self._hub.current.accounts
        return limits.failures, timedelta(minutes=limits.lock_minutes)

    @property
    def _address(self) -> tuple[int, timedelta]:
        return self._hub.current.accounts.address_failures, ADDRESS_WINDOW

    def key(self, kind: str, text: str) -> str:
        """What a login or an address is counted under: keyed, since people type passwords where logins belong."""
        key = self._hub.keyring.derive("attempt", kind)
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def begin(self, login: str, address: str) -> Counted | Waiting:
        """Count an attempt, unless the login is locked or the address must wait."""
        who, whence = self.key("login", login), self.key("address", address)
        with self._hub.database.reading() as session:
            # Most of a storm ends here, without a write.
            rows = session.get(AttemptRow, who), session.get(AttemptRow, whence)
            if (waiting := _waiting(rows, now(session))) is not None:
                return waiting
        with self._hub.database.transaction() as session:
            # Always the login before the address, so that none wait in a circle.
            mine, its = self._held(session, who), self._held(session, whence)
            moment = now(session)
            if (waiting := _waiting((mine, its), moment)) is not None:
                return waiting
            last = _add(mine, moment, *self._login)
            _add(its, moment, *self._address)
        return Counted(who, whence, last)

    def succeeded(self, session: Session, counted: Counted) -> None:
        """Take back what was counted; the failures of the login before it are forgotten."""
        session.execute(delete(AttemptRow).where(AttemptRow.who == counted.login))
        row = session.get(AttemptRow, counted.address, with_for_update=True, populate_existing=True)
        if row is not None and row.failures > 0:
            row.failures -= 1
            if row.failures < self._address[0]:
                row.until = None

    def forget(self, session: Session, login: str) -> bool:
        """Forget the failures of a login; whether it was locked."""
        row = session.get(AttemptRow, self.key("login", login), with_for_update=True, populate_existing=True)
        if row is None:
            return False
        locked = row.until is not None and row.until > now(session)
        session.delete(row)
        return locked

    def locked(self, session: Session, logins: list[str]) -> dict[str, datetime]:
        """Those of the logins that are locked, and until when."""
        keys = {self.key("login", login): login for login in logins}
        moment = now(session)
        rows = select(AttemptRow.who, AttemptRow.until).where(AttemptRow.until > moment)
        return {keys[who]: until for who, until in session.execute(rows) if who in keys and until is not None}

    def prune(self, session: Session) -> None:
        """Forget what no longer counts."""
        session.execute(
            delete(AttemptRow).where(AttemptRow.since < now(session) - 2 * max(self._login[1], ADDRESS_WINDOW))
        )

    @staticmethod
    def _held(session: Session, who: str) -> AttemptRow:
        """The count under a key, held until the transaction ends."""
        row = session.get(AttemptRow, who, with_for_update=True, populate_existing=True)
        if row is None:
            try:
                with session.begin_nested():
                    row = AttemptRow(who=who, since=now(session), failures=0)
                    session.add(row)
            except IntegrityError:  # another worker has begun it
                row = session.get_one(AttemptRow, who, with_for_update=True, populate_existing=True)
        return row


def _waiting(rows: tuple[AttemptRow | None, AttemptRow | None], moment: datetime) -> Waiting | None:
    for reason, row in zip(("login", "address"), rows, strict=True):
        if row is not None and row.until is not None and row.until > moment:
            return Waiting(reason, max(1, round((row.until - moment).total_seconds())))
    return None


def _add(row: AttemptRow, moment: datetime, most: int, lasting: timedelta) -> bool:
    """Count one more failure; whether it is the last there may be."""
    if row.until is not None or moment - row.since > lasting:
        row.since, row.failures, row.until = moment, 0, None
    row.failures += 1
    if row.failures < most:
        return False
    row.until = moment + lasting
    return True
