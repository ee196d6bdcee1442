"""What a caller shows of itself: UsernameToken, time stamp, and the headers of the national gateway (国家网关).

Everything here is made anew for every attempt: a service that remembers nonces takes each only once.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
import json
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from lxml import etree
from pydantic import SecretStr

from adapters.errors import Malformed, Misconfigured, Refused

WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_PROFILE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"
_BASE64 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

LEAD = timedelta(minutes=2)
"""How long before its end a short-lived secret is fetched anew."""


class Signature(ABC):
    """Something that is put on a message before it goes out."""

    @abstractmethod
    def sign(self, envelope: etree._Element, headers: dict[str, str]) -> None:
        """Put it into the envelope's header or the headers of HTTP, fresh."""


def digest(nonce: bytes, created: str, password: str) -> str:
    """The digest of a password (UsernameToken Profile 1.1, section 3.1)."""
    # The profile knows no other algorithm; nonce and time keep it from being used twice.
    return base64.b64encode(hashlib.sha1(nonce + created.encode() + password.encode()).digest()).decode()  # noqa: S324


def _utc() -> datetime:
    return datetime.now(UTC)


class UsernameToken(Signature):
    """User and password in the envelope (WS-Security UsernameToken).

    Args:
        user: Its name.
        password: In clear here; sent as a digest or, over TLS, as text.
        kind: ``digest`` or ``text``.
        lifetime: Seconds that a time stamp beside it gives the message; None: no time stamp.
        now: The time.
    """

    def __init__(
        self,
        user: str,
        password: str,
        kind: Literal["digest", "text"] = "digest",
        lifetime: int | None = None,
        now: Callable[[], datetime] = _utc,
    ) -> None:
        self._user = user
        self._password = SecretStr(password)
        self._kind = kind
        self._lifetime = lifetime
        self._now = now

    def sign(self, envelope: etree._Element, headers: dict[str, str]) -> None:
        """Put a Security header with a nonce of its own into the envelope."""
        soap = etree.QName(envelope).namespace
        header = envelope.find(f"{{{soap}}}Header")
        if header is None:
            header = etree.Element(f"{{{soap}}}Header")
            envelope.insert(0, header)
        security = etree.SubElement(header, f"{{{WSSE}}}Security", nsmap={"wsse": WSSE, "wsu": WSU})
        security.set(f"{{{soap}}}mustUnderstand", "1")
        now = self._now().astimezone(UTC)
        created = _zulu(now)
        if self._lifetime is not None:
            stamp = etree.SubElement(security, f"{{{WSU}}}Timestamp")
            etree.SubElement(stamp, f"{{{WSU}}}Created").text = created
            etree.SubElement(stamp, f"{{{WSU}}}Expires").text = _zulu(now + timedelta(seconds=self._lifetime))
        token = etree.SubElement(security, f"{{{WSSE}}}UsernameToken")
        etree.SubElement(token, f"{{{WSSE}}}Username").text = self._user
        nonce = secrets.token_bytes(16)
        word = etree.SubElement(token, f"{{{WSSE}}}Password")
        word.set("Type", f"{_PROFILE}#{'PasswordDigest' if self._kind == 'digest' else 'PasswordText'}")
        password = self._password.get_secret_value()
        word.text = digest(nonce, created, password) if self._kind == "digest" else password
        found = etree.SubElement(token, f"{{{WSSE}}}Nonce")
        found.set("EncodingType", _BASE64)
        found.text = base64.b64encode(nonce).decode()
        etree.SubElement(token, f"{{{WSU}}}Created").text = created


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def gateway_sign(secret: bytes, service: str, requester: str, moment: str) -> str:
    """``gjgxjhpt_sign``: Base64 of HMAC-SHA256 over service, requester and time."""
    message = f"{service}{requester}{moment}".encode()
    return base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()


class _Clock:
    """Milliseconds since 1970 that rise strictly: two calls in one millisecond would be one signature."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._last = 0
        self._lock = threading.Lock()

    def tick(self) -> str:
        with self._lock:
            self._last = max(self._now(), self._last + 1)
            return str(self._last)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


_clocks: dict[str, _Clock] = {}
_clocks_lock = threading.Lock()


def _clock_of(requester: str, now: Callable[[], int]) -> _Clock:
    """One clock for each requester in this process, however many endpoints call in its name."""
    if now is not _milliseconds:
        return _Clock(now)
    with _clocks_lock:
        return _clocks.setdefault(requester, _Clock(now))


@dataclass(frozen=True)
class ShortLived:
    """A short-lived secret (短期密钥) and when it ends."""

    secret: bytes
    ends: datetime


class Gateway(Signature):
    """The four headers ``gjgxjhpt_rid``, ``_sid``, ``_rtime`` and ``_sign`` of the national gateway.

    Args:
        requester: ``rid``.
        service: ``sid``.
        secret: The secret to sign with, or a function that fetches a short-lived one.
        now: Milliseconds since 1970.
    """

    def __init__(
        self,
        requester: str,
        service: str,
        secret: bytes | Callable[[], ShortLived],
        now: Callable[[], int] = _milliseconds,
    ) -> None:
        self._requester = requester
        self._service = service
        self._now = now
        self._clock = _clock_of(requester, now)
        self._lock = threading.Lock()
        self._held: ShortLived | None = None
        self._fetch = secret if callable(secret) else lambda: ShortLived(secret, datetime.max.replace(tzinfo=UTC))

    def sign(self, envelope: etree._Element, headers: dict[str, str]) -> None:
        """Put the four headers beside the others."""
        headers.update(gateway_headers(self._secret(), self._service, self._requester, self._clock.tick()))

    def forget(self) -> None:
        """The secret was not taken: fetch another before the next message."""
        with self._lock:
            self._held = None

    def _secret(self) -> bytes:
        with self._lock:
            now = datetime.fromtimestamp(self._now() / 1000, UTC)
            if self._held is None or self._held.ends - now < LEAD:
                self._held = self._fetch()
            return self._held.secret


def gateway_headers(secret: bytes, service: str, requester: str, moment: str) -> dict[str, str]:
    """The four headers."""
    return {
        "gjgxjhpt_rid": requester,
        "gjgxjhpt_sid": service,
        "gjgxjhpt_rtime": moment,
        "gjgxjhpt_sign": gateway_sign(secret, service, requester, moment),
    }


def key_request(appkey: str, service: str, requester: str, now: Callable[[], int] = _milliseconds) -> dict[str, str]:
    """The headers of a request for a short-lived secret, signed with the long-lived one (应用授权码)."""
    return gateway_headers(appkey.encode(), service, requester, _clock_of(requester, now).tick())


def key_reply(body: bytes, appkey: str, zone: Any) -> ShortLived:
    """The secret in the key service's reply: ``{code: "0", data: {secret, secretEndTime}}``.

    The secret is encrypted under the appkey (AES in ECB mode, PKCS#7, Base64: what Java's ``AES`` means without more).

    Args:
        body: The reply.
        appkey: The long-lived secret, 16, 24 or 32 bytes.
        zone: Of the end's time where that is written without one.

    Raises:
        Refused: The service gave none.
        Malformed: The reply cannot be read.
        Misconfigured: The appkey is no key.
    """
    try:
        reply = json.loads(body)
        code, data = str(reply["code"]), reply.get("data")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed("密钥服务的应答不可读", remedy="核对 key_service 选项") from error
    if code != "0":
        raise Refused(f"密钥服务没有给出密钥（代码 {code[:16]}）", remedy="核对 requester、key_service_id 和 appkey")
    key = appkey.encode()
    if len(key) not in (16, 24, 32):
        raise Misconfigured("应用授权码的长度不是 16、24 或 32 字节", remedy="核对 appkey 选项")
    try:
        # The gateway prescribes this mode; the plaintext is one random secret.
        opened = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305
        padded = opened.update(base64.b64decode(data["secret"], validate=True)) + opened.finalize()
        unpadder = PKCS7(128).unpadder()
        secret = unpadder.update(padded) + unpadder.finalize()
        ends = _moment(data["secretEndTime"], zone)
    except (ValueError, KeyError, TypeError, OverflowError, OSError, binascii.Error) as error:
        raise Malformed("密钥服务的应答里没有可用的密钥", remedy="核对 appkey 选项，或联系平台") from error
    return ShortLived(secret, ends)


def _moment(value: Any, zone: Any) -> datetime:
    """A moment as epoch milliseconds or as ``2026-01-01 12:00:00``."""
    text = str(value).strip()
    if text.isdecimal():
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def signed(
    envelope: etree._Element, headers: Mapping[str, str], signatures: tuple[Signature, ...]
) -> tuple[etree._Element, dict[str, str]]:
    """A copy of a message with everything on it."""
    signed_envelope, more = copy.deepcopy(envelope), dict(headers)
    for signature in signatures:
        signature.sign(signed_envelope, more)
    return signed_envelope, more
