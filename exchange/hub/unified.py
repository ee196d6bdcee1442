"""Unified identity (统一身份认证): signing in by a city's OpenID Connect provider.

The authorization code flow with PKCE, state and nonce. What the hub must remember between the two halves travels
sealed in the browser's own cookie, so that a stranger's begun sign-in cannot be finished in somebody else's browser and
nobody can fill the hub's tables by beginning many; that it is finished once, the hub remembers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import SecretStr
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db import now
from exchange.db.tables import AccountRow, NonceRow
from exchange.errors import Failed, Misplaced, Tampered
from exchange.hub.attempts import Bounded
from exchange.hub.sessions import Begun, NotSignedIn, SignedIn, actor_of
from exchange.identity import OIDC, PLATFORM
from exchange.secrets import open_secret, seal, unseal

if TYPE_CHECKING:
    from exchange.hub.core import Hub

WITHIN = timedelta(minutes=10)
"""In which a sign-in must be finished that was begun."""
WRITTEN = 30
"""Failures of which one worker writes into the log in a minute; of the others it writes how many."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""How an ID token may be signed: only so that who verifies it could not have made it."""
_BELIEVED = 3600.0
"""Seconds for which the provider's description of itself is believed."""
_AGAIN = 60.0
"""Seconds within which its keys are not asked for a second time."""
_GONE = 5.0
"""Seconds within which a provider that did not answer is not asked again."""
_LEEWAY = 60
_SUBJECT = 255
_logger = logging.getLogger(__name__)


class _Unfit(Exception):
    """What came back does not hold, in one of the log's words."""

    def __init__(self, reason: str, row: AccountRow | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        # Not the row: the transaction that read it is rolled back.
        self.account = row.login if row is not None else None
        self.department = row.department if row is not None else None


class UnifiedIdentity:
    """Signs people in by the provider the settings name.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._settings = hub.settings.accounts.oidc
        self._written = Bounded(WRITTEN)
        self._asking = threading.Lock()
        self._described: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._described_at = self._keys_at = float("-inf")
        self._gone: tuple[float, Exception] | None = None

    def begin(self, redirect: str) -> Begun:
        """Begin a sign-in.

        Args:
            redirect: Where the provider is to send the browser back, as it is registered there.

        Raises:
            Misplaced: The hub has no provider.
            Failed: The provider does not answer.
        """
        described = self._description()
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        with self._client(redirect) as client:
            address, _ = client.create_authorization_url(
                described["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
            )
        with self._hub.database.reading() as session:
            ends = now(session) + WITHIN
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "redirect": redirect, "ends": ends.timestamp()}
        return Begun(address, SecretStr(seal(json.dumps(kept), self._key())))

    def finish(self, secret: SecretStr, answer: Mapping[str, str], *, address: str) -> SignedIn:
        """Finish a sign-in and open a session.

        Args:
            secret: What the browser's cookie holds.
            answer: The parameters it came back with.
            address: Where the call comes from.

        Raises:
            NotSignedIn: Something about it does not hold; all in the same words.
            Misplaced: The hub has no provider.
            Failed: The provider does not answer.
        """
        described = self._description()
        try:
            kept = self._kept(secret, answer)
            claims = self._claims(described, kept, answer)
            with self._hub.database.transaction() as session:
                row = self._matched(session, claims)
                made = self._hub.signing.sessions.open(session, row, OIDC, address)
                event = events.SignedIn(account=row.login, how="oidc", peer=address[:100])
                self._hub.audit.record(session, event, by=actor_of(row, OIDC))
                return made
        except _Unfit as error:
            self._tell(error, address)
        raise NotSignedIn(
            "登录没有成功",
            ["统一身份认证的结果不能使用，或没有对应的账号"],
            remedy="重新登录；仍不成功的，请系统管理员核对账号",
        )

    # --- between the two halves ----------------------------------------------------------------

    def _key(self) -> bytes:
        return self._hub.keyring.derive("oidc", "begun")

    def _kept(self, secret: SecretStr, answer: Mapping[str, str]) -> dict[str, Any]:
        """What was kept in the cookie, if it belongs to this answer and was not used before."""
        try:
            kept = json.loads(unseal(secret.get_secret_value(), self._key()).get_secret_value())
        except Tampered:
            raise _Unfit("state") from None
        if not hmac.compare_digest(str(kept["state"]).encode(), answer.get("state", "").encode("utf-8", "replace")):
            raise _Unfit("state")
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise _Unfit("issuer")
        digest = hashlib.sha256(f"oidc\n{kept['state']}".encode()).hexdigest()
        ends = datetime.fromtimestamp(kept["ends"], UTC)
        with self._hub.database.transaction() as session:
            if (moment := now(session)) >= ends:
                raise _Unfit("expired")
            session.execute(delete(NonceRow).where(NonceRow.expires_at < moment))
            try:
                with session.begin_nested():
                    session.add(NonceRow(digest=digest, expires_at=ends + timedelta(seconds=1)))
            except IntegrityError:
                raise _Unfit("replayed") from None
        if "error" in answer or not answer.get("code"):
            raise _Unfit("declined")
        return dict(kept)

    # --- what the provider says ----------------------------------------------------------------

    def _claims(self, described: Mapping[str, Any], kept: Mapping[str, Any], answer: Mapping[str, str]) -> CodeIDToken:
        """The claims of the ID token that the code is exchanged for."""
        with self._client(kept["redirect"], described) as client:
            try:
                token = client.fetch_token(
                    described["token_endpoint"],
                    code=answer["code"],
                    code_verifier=kept["verifier"],
                    timeout=self._settings.seconds,
                    allow_redirects=False,
                )
            except OAuthError:
                raise _Unfit("declined") from None
            except (requests.RequestException, ValueError) as error:
                raise self._away(error) from None
        text = token.get("id_token")
        if not isinstance(text, str):
            raise _Unfit("token")
        try:
            decoded = self._decoded(described, text)
            options = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
                "nonce": {"essential": True, "value": kept["nonce"]},
            }
            known = {
                "nonce": kept["nonce"],
                "client_id": self._settings.client_id,
                "access_token": token.get("access_token"),
            }
            claims = CodeIDToken(decoded.claims, decoded.header, options, known)
            claims.validate(leeway=_LEEWAY)
        except (JoseError, ValueError) as error:
            _logger.warning("unified identity: an ID token does not hold: %s", type(error).__name__)
            raise _Unfit("token") from None
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT or not subject.isprintable():
            raise _Unfit("token")
        return claims

    def _decoded(self, described: Mapping[str, Any], text: str) -> jwt.Token:
        offered = described.get("id_token_signing_alg_values_supported") or ["RS256"]
        allowed = [name for name in ALGORITHMS if name in offered]
        try:
            return jwt.decode(text, self._key_set(described), algorithms=allowed)
        except InvalidKeyIdError:
            # The provider may have changed its keys since.
            return jwt.decode(text, self._key_set(described, fresh=True), algorithms=allowed)

    def _key_set(self, described: Mapping[str, Any], *, fresh: bool = False) -> KeySet:
        with self._asking:
            age = time.monotonic() - self._keys_at
            if self._keys is None or age > (_AGAIN if fresh else _BELIEVED):
                self._keys = KeySet.import_key_set(self._asked(described["jwks_uri"]))  # type: ignore[arg-type]
                self._keys_at = time.monotonic()
            return self._keys

    def _description(self) -> dict[str, Any]:
        """How the provider describes itself."""
        if not self._settings.enabled:
            raise Misplaced("没有启用统一身份认证", remedy="用登录名和口令登录")
        with self._asking:
            if time.monotonic() - self._described_at > _BELIEVED:
                place = self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
                described = self._asked(place)
                if described.get("issuer") != self._settings.issuer:
                    raise Failed("统一身份认证自述的 issuer 与设置不符", remedy="核对 [accounts.oidc] 的 issuer")
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    self._demand_private(described.get(name))
                self._described, self._described_at = described, time.monotonic()
            return self._described

    def _demand_private(self, address: Any) -> None:
        """Refuse an address over which a code or a key could be read or exchanged on the way."""
        parts = urlsplit(address) if isinstance(address, str) else None
        local = urlsplit(self._settings.issuer).scheme == "http"  # the settings allow that on this machine alone
        if parts is None or not parts.hostname or not (parts.scheme == "https" or (local and parts.scheme == "http")):
            raise Failed("统一身份认证自述的地址不能使用", remedy="请其管理员核对 openid-configuration")

    def _asked(self, place: str) -> dict[str, Any]:
        """What the provider answers; those who wait their turn behind one who waited in vain do not wait themselves."""
        if self._gone is not None and time.monotonic() < self._gone[0]:
            raise self._away(self._gone[1])
        try:
            answer = requests.get(place, timeout=self._settings.seconds, allow_redirects=False)
            answer.raise_for_status()
            found = answer.json()
        except (requests.ConnectionError, requests.Timeout) as error:
            self._gone = (time.monotonic() + _GONE, error)
            raise self._away(error) from None
        except (requests.RequestException, ValueError) as error:
            raise self._away(error) from None
        self._gone = None
        if not isinstance(found, dict) or answer.status_code != requests.codes.ok:
            raise Failed("统一身份认证的应答不能使用", remedy="核对 [accounts.oidc] 的 issuer", retry=True)
        return found

    def _away(self, error: Exception) -> Failed:
        _logger.warning("unified identity: no usable answer: %s", type(error).__name__)
        host = urlsplit(self._settings.issuer).netloc
        return Failed(f"统一身份认证 {host} 没有应答", remedy="稍后重试，或用登录名和口令登录", retry=True)

    def _client(self, redirect: str, described: Mapping[str, Any] | None = None) -> OAuth2Session:
        settings = self._settings
        secret = None
        if settings.client_secret is not None:
            secret = open_secret(settings.client_secret, self._hub.settings.home).get_secret_value()
        offered = (described or {}).get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        posted = "client_secret_basic" not in offered and "client_secret_post" in offered
        return OAuth2Session(
            client_id=settings.client_id,
            client_secret=secret,
            scope=" ".join(settings.scopes),
            redirect_uri=redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method="none" if secret is None else f"client_secret_{'post' if posted else 'basic'}",
        )

    # --- whose account it is -------------------------------------------------------------------

    def _matched(self, session: Session, claims: Mapping[str, Any]) -> AccountRow:
        """The account of whom the claims are about, tied to it if this is the first time and the settings allow it."""
        subject = f"{self._settings.issuer} {claims['sub']}"
        row = session.scalar(select(AccountRow).where(AccountRow.subject == subject).with_for_update())
        if row is None:
            row = self._linked(session, claims, subject)
        if row.state != "active" or row.kind != "person":
            raise _Unfit("disabled", row)
        return row

    def _linked(self, session: Session, claims: Mapping[str, Any], subject: str) -> AccountRow:
        login = claims.get(self._settings.login_claim)
        if not self._settings.link or not isinstance(login, str) or not login.isascii() or not login.isprintable():
            raise _Unfit("unlinked")
        row = session.get(AccountRow, login.lower(), with_for_update=True, populate_existing=True)
        # A tied account is nobody else's, whatever his claims say.
        if row is None or row.subject is not None:
            raise _Unfit("unlinked", row)
        if row.state != "active" or row.kind != "person":
            raise _Unfit("disabled", row)
        named = self._settings.department_claim
        if named and claims.get(named) != row.department:
            raise _Unfit("department", row)
        row.subject, row.changed_at = subject, now(session)
        event = events.AccountLinked(account=row.login, issuer=self._settings.issuer)
        self._hub.audit.record(session, event, by=actor_of(row, OIDC))
        return row

    def _tell(self, error: _Unfit, address: str) -> None:
        held = self._written.through()
        if held is None:
            return
        event = events.SignInFailed(
            account=error.account, how="oidc", peer=address[:100], reason=error.reason, unwritten=held
        )
        with self._hub.database.transaction() as session:
            self._hub.audit.record(session, event, by=PLATFORM, department=error.department)
