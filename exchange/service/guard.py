"""Who calls (接入验证): what a programme shows is held against the credentials of departments.

Whatever is wrong, the caller is told one thing; the log is told which.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import singledispatchmethod

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from adapters.errors import Refused
from adapters.webservice.desk import Caller, Certificate, Digest, Gateway, Password, Shown, Token
from exchange.audit import events
from exchange.db import now
from exchange.db.tables import CredentialRow, NonceRow
from exchange.hub import Hub
from exchange.hub.access import credential_key, token_name
from exchange.hub.attempts import Bounded
from exchange.identity import PLATFORM
from exchange.secrets import seal, unseal

WINDOW = timedelta(seconds=300)
"""How far the time a caller states may be from the hub's, and how long a sign-in is remembered at least."""
WRITTEN = 30
"""Refused sign-ins that one worker writes into the log in a minute; of the others it writes how many."""
BELIEVED = 1.0
"""Seconds for which a token that held is believed without being looked up: so late may a revocation be noticed."""

_TOKENS = 4096
_NOBODY = "nobody"
_LONGEST = 255
"""Characters of what a credential is found by at most."""


@dataclass(frozen=True)
class _Claim:
    """What is shown, as far as it is held against credentials.

    Attributes:
        kind: Of the credential.
        name: What it is found by.
        shown: What was shown, in the log's words.
    """

    kind: str
    name: str
    shown: str


class _NotHeld(Exception):
    """What was shown does not hold, in one of the log's words."""

    def __init__(self, reason: str, row: CredentialRow | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row


@dataclass(frozen=True)
class _Known:
    """A token that held, and until when that is believed."""

    caller: Caller
    until: float


def holds(revoked_at: datetime | None, expires_at: datetime | None, moment: datetime) -> bool:
    """Whether a credential is in force at a moment."""
    return revoked_at is None and (expires_at is None or expires_at > moment)


class Guard:
    """Holds what callers show against what departments were given.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._written = Bounded(WRITTEN)
        self._known: dict[str, _Known] = {}
        secret = seal(secrets.token_hex(16), credential_key(hub.keyring, _NOBODY))
        self._nobody = CredentialRow(id=_NOBODY, secret=secret)

    def identify(self, shown: Shown, peer: str) -> Caller:
        """Who shows this; see :meth:`adapters.webservice.desk.Desk.identify`.

        A token is believed for :data:`BELIEVED` seconds after it was held against the books. What it asks for in that
        time is given as before, but for single rows: for each of them the credential is looked at again.
        """
        if (caller := self.recalled(shown)) is not None:
            return caller
        claim = self._claim(shown)
        try:
            row = self._found(claim, shown)
        except _NotHeld as error:
            self._tell(claim, peer, error)
        else:
            caller = Caller(row.id, row.department)
            if claim.kind == "token":
                self._believe(claim.name, caller)
            return caller
        raise Refused("没有通过身份验证", remedy="核对接入凭据和本机时间；凭据失效的，请向平台申请重新签发")

    def recalled(self, shown: Shown) -> Caller | None:
        """Who shows a token that held less than :data:`BELIEVED` seconds ago."""
        if not isinstance(shown, Token):
            return None
        known = self._known.get(token_name(self._hub.keyring, shown.text))
        return known.caller if known is not None and time.monotonic() < known.until else None

    def _believe(self, name: str, caller: Caller) -> None:
        if len(self._known) >= _TOKENS:
            self._known.clear()
        self._known[name] = _Known(caller, time.monotonic() + BELIEVED)

    # --- what is shown -------------------------------------------------------------------------

    @singledispatchmethod
    def _claim(self, shown: Shown) -> _Claim:
        raise Refused("没有通过身份验证", remedy="以平台签发的接入凭据接入")

    @_claim.register
    def _(self, shown: Token) -> _Claim:
        return _Claim("token", token_name(self._hub.keyring, shown.text), "token")

    @_claim.register
    def _(self, shown: Password) -> _Claim:
        return _Claim("password", shown.user, "password")

    @_claim.register
    def _(self, shown: Digest) -> _Claim:
        return _Claim("password", shown.user, "digest")

    @_claim.register
    def _(self, shown: Gateway) -> _Claim:
        return _Claim("gateway", shown.requester, "gateway")

    @_claim.register
    def _(self, shown: Certificate) -> _Claim:
        return _Claim("certificate", shown.subject, "certificate")

    # --- what is held against it ---------------------------------------------------------------

    def _found(self, claim: _Claim, shown: Shown) -> CredentialRow:
        if not claim.name.isprintable() or len(claim.name) > _LONGEST:
            raise _NotHeld("unknown")
        with self._hub.database.reading() as session:
            moment = now(session)
            wanted = select(CredentialRow).where(CredentialRow.kind == claim.kind, CredentialRow.name == claim.name)
            row = session.scalar(wanted)
        if row is None:
            # As much work as for a name that exists: how long it takes is not to tell which names do.
            with suppress(_NotHeld):
                self._proven(self._nobody, shown)
            raise _NotHeld("unknown")
        # The proof first: who cannot give it learns nothing of the credential.
        stated = self._proven(row, shown)
        if row.revoked_at is not None:
            raise _NotHeld("revoked", row)
        if row.expires_at is not None and row.expires_at <= moment:
            raise _NotHeld("expired", row)
        if stated is not None:
            self._once(row, *stated)
        return row

    def _proven(self, row: CredentialRow, shown: Shown) -> tuple[datetime | None, str] | None:
        """What must not come twice of a proof, with the time it states; None: it may come again."""
        if not isinstance(shown, Password | Digest | Gateway):
            return None  # it was found by what only its owner has, or what a proxy vouches for
        secret = unseal(row.secret or "", credential_key(self._hub.keyring, row.id)).get_secret_value()
        match shown:
            case Password():
                self._demand(row, _bytes(secret), _bytes(shown.password))
                return None
            case Digest():
                made = hashlib.sha1(shown.nonce + _bytes(shown.created) + _bytes(secret)).digest()  # noqa: S324
                self._demand(row, made, shown.digest)
                return _instant(shown.created), shown.nonce.hex()
            case Gateway():
                text = shown.service + shown.requester + shown.time
                made = base64.b64encode(hmac.digest(_bytes(secret), _bytes(text), "sha256"))
                self._demand(row, made, _bytes(shown.sign))
                return _milliseconds(shown.time), f"{text}\n{shown.sign}"

    def _demand(self, row: CredentialRow, made: bytes, shown: bytes) -> None:
        if not hmac.compare_digest(made, shown):
            raise _NotHeld("wrong", row)

    def _once(self, row: CredentialRow, stated: datetime | None, proof: str) -> None:
        """Remember a proof in one transaction with the look whether it is known; all workers share that."""
        digest = hashlib.sha256(_bytes(f"{row.id}\n{proof}")).hexdigest()
        with self._hub.database.transaction() as session:
            moment = now(session)
            if stated is None or abs(moment - stated) > WINDOW:
                raise _NotHeld("stale", row)
            session.execute(delete(NonceRow).where(NonceRow.expires_at < moment))
            try:
                with session.begin_nested():
                    session.add(NonceRow(digest=digest, expires_at=stated + WINDOW + timedelta(seconds=1)))
            except IntegrityError:
                raise _NotHeld("replayed", row) from None

    def _tell(self, claim: _Claim, peer: str, error: _NotHeld) -> None:
        held = self._written.through()
        if held is None:
            return
        row = error.row
        event = events.SignInRefused(
            kind=claim.shown,
            peer=peer[:100],
            credential=row.id if row else None,
            reason=error.reason,
            unwritten=held,
        )
        with self._hub.database.transaction() as session:
            self._record(session, event, row.department if row else None)

    def _record(self, session: Session, event: events.Event, department: str | None) -> None:
        self._hub.audit.record(session, event, by=PLATFORM, department=department)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _instant(text: str) -> datetime | None:
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        return None
    return stated.replace(tzinfo=UTC) if stated.tzinfo is None else stated.astimezone(UTC)


def _milliseconds(text: str) -> datetime | None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)
