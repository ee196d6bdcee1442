from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from adapters.webservice.credentials import LONGEST, Head, Trust, of_head, of_header, only, refuse_collisions
from adapters.webservice.desk import Certificate, Digest, Gateway, Password, Token
from adapters.webservice.faults import Fault
from adapters.webservice.reading import Limits, Message, Node
from adapters.webservice.xml import ENVELOPES
from tests.adapters.webservice.knocking import basic, envelope, gateway, security

COVERED = Trust(passwords=True, certificate_header="X-Client-Subject", proxies=("10.0.0.0/30", "2001:db8::1"))


def head(*headers: tuple[str, str], peer: str = "10.0.0.1") -> Head:
    return Head("POST", "/", "", headers, peer)


def blocks(header: str) -> list[Node]:
    message = Message(iter([envelope("<a/>", header=header)]), "1.1", Limits())
    message.open()
    return message.header


def shown(header: str, trust: Trust = COVERED) -> list[object]:
    return list(of_header(blocks(header), "1.1", ENVELOPES["1.1"], trust))


def test_what_a_head_shows() -> None:
    assert of_head(head(("authorization", "bearer  abc ")), COVERED) == [Token("abc")]
    assert of_head(head(*basic("u", "p:𠮷")), COVERED) == [Password("u", "p:𠮷")]
    assert of_head(head(*gateway(moment="1")), COVERED)[0].service == "s1"  # type: ignore[union-attr]
    assert isinstance(of_head(head(*gateway()), COVERED)[0], Gateway)
    assert of_head(head(("x-client-subject", "CN=a")), COVERED) == [Certificate("CN=a")]
    assert of_head(head(("x-client-subject", "")), COVERED) == []
    assert of_head(head(), COVERED) == []


@pytest.mark.parametrize(
    ("peer", "seen"), [("10.0.0.3", True), ("2001:db8::1", True), ("10.0.0.4", False), ("", False)]
)
def test_whose_certificate_header_counts(peer: str, seen: bool) -> None:
    assert bool(of_head(head(("x-client-subject", "CN=a"), peer=peer), COVERED)) is seen
    assert of_head(head(("x-client-subject", "CN=a"), peer=peer), Trust()) == []


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer")],
        [("authorization", "Digest x")],
        [("authorization", "Basic YQ==")],
        [("authorization", "Basic " + base64.b64encode(b"\xff:x").decode())],
        [("authorization", "Bearer " + "x" * LONGEST)],
        gateway()[1:],
        [*gateway()[1:], ("gjgxjhpt_rid", "")],
    ],
)
def test_what_is_none(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Fault) as caught:
        of_head(head(*headers), COVERED)
    assert caught.value.code == "Client.Unauthenticated"


def test_a_digest_is_handed_on_decoded() -> None:
    (found,) = shown(security(user="u", nonce=b"\x00\xff" * 8, created=datetime(2026, 1, 1, tzinfo=UTC)))
    assert isinstance(found, Digest)
    assert (found.user, found.nonce, found.created) == ("u", b"\x00\xff" * 8, "2026-01-01T00:00:00Z")
    assert len(found.digest) == 20


def test_a_time_stamp_must_not_be_past() -> None:
    now = datetime.now(UTC)
    assert len(shown(security(expires=now + timedelta(minutes=1)))) == 1
    with pytest.raises(Fault):
        shown(security(expires=now - timedelta(seconds=1)))


@pytest.mark.parametrize(
    "header",
    [
        security(extra="<w:BinarySecurityToken/>"),
        security(user=""),
        security().replace("PasswordDigest", "PasswordMagic"),
        security().replace("<w:Nonce>", "<w:Nonce>!"),
        security().replace("w:Nonce", "w:Other"),
        security().replace("<w:Username>", "<w:Username/><w:Username>"),
        security().replace("<w:Username>", "<w:Username><a/>"),
        security(user="x" * 5000),
    ],
)
def test_tokens_that_are_none(header: str) -> None:
    with pytest.raises(Fault) as caught:
        shown(header)
    assert caught.value.code == "Client.Unauthenticated"


def test_passwords_in_clear() -> None:
    assert shown(security(user="u", password="p", clear=True)) == [Password("u", "p")]
    with pytest.raises(Fault):
        shown(security(clear=True), Trust())
    with pytest.raises(Fault):
        of_head(head(*basic()), Trust())


def test_headers_that_must_be_understood() -> None:
    assert shown('<x:a xmlns:x="urn:x" s:mustUnderstand="0"/>') == []
    assert len(shown(security().replace("<w:Security", '<w:Security s:mustUnderstand="1"'))) == 1
    with pytest.raises(Fault) as caught:
        shown('<x:a xmlns:x="urn:x" s:mustUnderstand="true"/>')
    assert caught.value.code == "MustUnderstand"


def test_exactly_one() -> None:
    assert only([Token("a")]) == Token("a")
    for several in ([], [Token("a"), Token("a")]):
        with pytest.raises(Fault):
            only(several)


def test_collisions() -> None:
    refuse_collisions(head(("a-b", "1"), ("a-b", "2"), ("a_c", "3")))
    with pytest.raises(Fault):
        refuse_collisions(head(("a-b", "1"), ("a_b", "2")))
