from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from lxml import etree

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused
from adapters.webservice import xml
from adapters.webservice.signing import (
    WSSE,
    WSU,
    Gateway,
    ShortLived,
    UsernameToken,
    digest,
    gateway_sign,
    key_reply,
    key_request,
    signed,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
APPKEY = "0123456789abcdef"


def _envelope(version: str = "1.1") -> etree._Element:
    namespace = xml.ENVELOPES[version]
    return etree.fromstring(f'<s:Envelope xmlns:s="{namespace}"><s:Body/></s:Envelope>')


def test_the_digest_is_the_profiles() -> None:
    expected = base64.b64encode(hashlib.sha1(b"nonce" + b"2026-01-01T00:00:00Z" + b"pass").digest()).decode()
    assert digest(b"nonce", "2026-01-01T00:00:00Z", "pass") == expected


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_digest_token_is_fresh_for_every_message(version: str) -> None:
    token = UsernameToken("hub", "pass", lifetime=300)
    original = _envelope(version)
    nonces = set()
    for _ in range(3):
        envelope, _headers = signed(original, {}, (token,))
        [security] = envelope.iter(f"{{{WSSE}}}Security")
        assert security.getparent().tag == f"{{{xml.ENVELOPES[version]}}}Header"
        nonce = security.findtext(f".//{{{WSSE}}}Nonce")
        created = security.findtext(f"{{{WSSE}}}UsernameToken/{{{WSU}}}Created")
        assert security.findtext(f".//{{{WSSE}}}Username") == "hub"
        assert security.findtext(f".//{{{WSSE}}}Password") == digest(base64.b64decode(nonce), created, "pass")
        assert abs(datetime.fromisoformat(created) - datetime.now(UTC)) < timedelta(minutes=1)
        expires = datetime.fromisoformat(security.findtext(f"{{{WSU}}}Timestamp/{{{WSU}}}Expires"))
        assert expires - datetime.fromisoformat(created) == timedelta(seconds=300)
        nonces.add(nonce)
    assert len(nonces) == 3
    assert original.find(f"{{{xml.ENVELOPES[version]}}}Header") is None


def test_a_text_token_has_the_password_and_no_dump_of_it() -> None:
    token = UsernameToken("hub", "pass-in-clear", "text")
    envelope, _ = signed(_envelope(), {}, (token,))
    assert envelope.findtext(f".//{{{WSSE}}}Password") == "pass-in-clear"
    assert envelope.find(f".//{{{WSU}}}Timestamp") is None
    assert "pass-in-clear" not in repr(vars(token))


def test_the_gateways_signature_is_the_documented_one() -> None:
    found = gateway_sign(b"testsecret", "s_3212000000000_0001", "R-0001", "1700000000000")
    assert found == "Tx6pGPV7uY1FBJlt2lQW8wbi5kJzOQ61fYj/gCTOD4Q="


def test_the_four_headers_and_a_time_that_rises() -> None:
    gateway = Gateway("R-0001", "s_1", b"testsecret", now=lambda: 1_700_000_000_000)
    told = [signed(_envelope(), {"SOAPAction": "x"}, (gateway,))[1] for _ in range(3)]
    assert [each["gjgxjhpt_rtime"] for each in told] == ["1700000000000", "1700000000001", "1700000000002"]
    assert set(told[0]) == {"SOAPAction", "gjgxjhpt_rid", "gjgxjhpt_sid", "gjgxjhpt_rtime", "gjgxjhpt_sign"}
    assert told[1]["gjgxjhpt_sign"] == gateway_sign(b"testsecret", "s_1", "R-0001", "1700000000001")


def test_requesters_of_one_name_share_one_clock() -> None:
    gateways = [Gateway("R-shared", "s", b"x") for _ in range(2)]
    times = [int(signed(_envelope(), {}, (gateway,))[1]["gjgxjhpt_rtime"]) for gateway in gateways * 50]
    assert times == sorted(set(times))


def test_a_short_lived_secret_is_fetched_before_it_ends() -> None:
    now = [1_700_000_000_000]
    fetched: list[bytes] = []

    def fetch() -> ShortLived:
        fetched.append(f"secret {len(fetched)}".encode())
        return ShortLived(fetched[-1], datetime.fromtimestamp(now[0] / 1000, UTC) + timedelta(minutes=10))

    gateway = Gateway("R", "s", fetch, now=lambda: now[0])
    for minutes, expected in ((0, 1), (7, 1), (9, 2), (10, 2)):
        now[0] = 1_700_000_000_000 + minutes * 60_000
        headers = signed(_envelope(), {}, (gateway,))[1]
        assert len(fetched) == expected
        assert headers["gjgxjhpt_sign"] == gateway_sign(fetched[-1], "s", "R", headers["gjgxjhpt_rtime"])
    gateway.forget()
    signed(_envelope(), {}, (gateway,))
    assert len(fetched) == 3


def test_the_key_request_is_signed_with_the_appkey() -> None:
    headers = key_request(APPKEY, "s_key", "R-0001", now=lambda: 1_700_000_000_000)
    assert headers["gjgxjhpt_sign"] == gateway_sign(APPKEY.encode(), "s_key", "R-0001", "1700000000000")


def key_body(**changes: object) -> bytes:
    """A reply of the key service."""
    padder = PKCS7(128).padder()
    padded = padder.update(b"short-lived") + padder.finalize()
    cipher = Cipher(algorithms.AES(APPKEY.encode()), modes.ECB()).encryptor()
    secret = base64.b64encode(cipher.update(padded) + cipher.finalize()).decode()
    data = {"secret": secret, "secretEndTime": "2026-01-01 12:00:00"} | changes
    return json.dumps({"code": "0", "data": data}).encode()


@pytest.mark.parametrize("end", ["2026-01-01 12:00:00", 1_767_240_000_000, "1767240000000"])
def test_the_key_services_reply_is_opened(end: object) -> None:
    found = key_reply(key_body(secretEndTime=end), APPKEY, SHANGHAI)
    assert found == ShortLived(b"short-lived", datetime(2026, 1, 1, 4, tzinfo=UTC))


@pytest.mark.parametrize(
    ("body", "appkey", "expected"),
    [
        (b"<html>", APPKEY, Malformed),
        (b"[]", APPKEY, Malformed),
        (b"[" * 100_000, APPKEY, Malformed),
        (b'{"code": "0"}', APPKEY, Malformed),
        (b'{"code": "1001", "message": "no"}', APPKEY, Refused),
        (key_body(), "fedcba9876543210", Malformed),
        (key_body(), "short", Misconfigured),
        (key_body(secret="not base64"), APPKEY, Malformed),
        (key_body(secretEndTime="tomorrow"), APPKEY, Malformed),
    ],
    ids=["page", "list", "deep", "no data", "refused", "other key", "no key", "no base64", "no time"],
)
def test_a_reply_without_a_secret(body: bytes, appkey: str, expected: type[AdapterError]) -> None:
    with pytest.raises(expected) as caught:
        key_reply(body, appkey, SHANGHAI)
    assert appkey not in caught.value.message
