"""Signing in: what holds, what does not, that a proof holds once, and that nobody learns which it was."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.errors import Refused
from adapters.webservice.desk import Certificate, Digest, Gateway, Password, Shown, Token
from exchange.db.tables import CredentialRow, EventRow, NonceRow
from exchange.hub import Hub
from exchange.secrets import unseal
from exchange.service.guard import BELIEVED, WRITTEN, Guard
from tests.exchange.engine.town import TAX
from tests.exchange.service.callers import Callers


@pytest.fixture
def hub(callers: Callers) -> Iterator[Hub]:
    with callers.town.hub() as hub:
        yield hub


def issued(hub: Hub, callers: Callers, kind: Any, name: str | None = None, **more: Any) -> tuple[str, str]:
    made = hub.access.issue(TAX, kind, name=name, by=callers.town.actor("integrator"), **more)
    return made.id, made.secret.get_secret_value() if made.secret else ""


def digest(user: str, password: str, *, at: timedelta = timedelta(), nonce: bytes | None = None) -> Digest:
    nonce = nonce or os.urandom(16)
    created = (datetime.now(UTC) + at).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = hashlib.sha1(nonce + created.encode() + password.encode()).digest()
    return Digest(user, nonce, created, made)


def signed(rid: str, secret: str, *, at: timedelta = timedelta(), sid: str = "s_1") -> Gateway:
    time = str(int((datetime.now(UTC) + at).timestamp() * 1000))
    sign = hmac.digest(secret.encode(), f"{sid}{rid}{time}".encode(), "sha256")
    return Gateway(rid, sid, time, base64.b64encode(sign).decode())


def refusals(hub: Hub) -> list[tuple[str, str]]:
    with hub.database.reading() as session:
        rows = session.scalars(sa.select(EventRow).where(EventRow.type == "SignInRefused").order_by(EventRow.id))
        return [(row.body["kind"], row.body["reason"]) for row in rows]


def refused(guard: Guard, shown: Shown) -> str:
    with pytest.raises(Refused) as caught:
        guard.identify(shown, "192.0.2.1")
    return f"{caught.value.message}|{caught.value.remedy}"


def test_every_kind_lets_its_owner_in(hub: Hub, callers: Callers) -> None:
    guard = Guard(hub)
    token, text = issued(hub, callers, "token")
    password, word = issued(hub, callers, "password", "tax-app")
    gateway, secret = issued(hub, callers, "gateway", "R-0001")
    certificate, _ = issued(hub, callers, "certificate", "CN=tax,O=税务局")
    shown: dict[Shown, str] = {
        Token(text): token,
        Password("tax-app", word): password,
        digest("tax-app", word): password,
        signed("R-0001", secret): gateway,
        Certificate("CN=tax,O=税务局"): certificate,
    }
    for each, credential in shown.items():
        caller = guard.identify(each, "192.0.2.1")
        assert (caller.id, caller.department) == (credential, TAX)
    assert refusals(hub) == []
    with hub.database.reading() as session:
        kept = [value for row in session.scalars(sa.select(CredentialRow)) for value in vars(row).values()]
        told = [row.body for row in session.scalars(sa.select(EventRow))]
    assert not {text, word, secret} & {str(value) for value in kept}
    assert all(each not in str(told) for each in (text, word, secret))


def test_what_does_not_hold_is_refused_in_one_wording(hub: Hub, callers: Callers) -> None:
    guard = Guard(hub)
    _, text = issued(hub, callers, "token")
    _, word = issued(hub, callers, "password", "tax-app")
    _, secret = issued(hub, callers, "gateway", "R-0001")
    late = timedelta(seconds=310)
    attempts: list[tuple[Shown, str]] = [
        (Token("x" + text), "unknown"),
        (Token(""), "unknown"),
        (Token("\udc80"), "unknown"),
        (Password("\udc80", word), "unknown"),
        (Password("tax-app\x00", word), "unknown"),
        (Password("tax-app", word + "x"), "wrong"),
        (Password("nobody", word), "unknown"),
        (Password("tax-app", "\udcff"), "wrong"),
        (digest("tax-app", word + "x"), "wrong"),
        (digest("tax-app", word, at=-late), "stale"),
        (digest("tax-app", word, at=late), "stale"),
        (Digest("tax-app", b"n", "gestern", hashlib.sha1(b"ngestern" + word.encode()).digest()), "stale"),
        (signed("R-0001", secret + "x"), "wrong"),
        (signed("R-0001", secret, at=-late), "stale"),
        (signed("R-0002", secret), "unknown"),
        (Certificate("CN=nobody"), "unknown"),
        # The name of one kind is nothing to another.
        (Certificate("tax-app"), "unknown"),
        (Token("R-0001"), "unknown"),
    ]
    said = {refused(guard, shown) for shown, _ in attempts}
    assert len(said) == 1
    assert [reason for _, reason in refusals(hub)] == [reason for _, reason in attempts]


@pytest.mark.parametrize("kind", ["digest", "gateway"])
def test_a_proof_holds_once_in_all_workers(hub: Hub, callers: Callers, kind: str) -> None:
    _, secret = issued(hub, callers, "password" if kind == "digest" else "gateway", "tax-app")
    shown = digest("tax-app", secret) if kind == "digest" else signed("tax-app", secret)
    Guard(hub).identify(shown, "192.0.2.1")
    refused(Guard(hub), shown)
    with callers.town.hub() as other:
        refused(Guard(other), shown)
    assert refusals(hub) == [(kind, "replayed")] * 2


def test_a_nonce_is_remembered_as_long_as_its_time_holds(hub: Hub, callers: Callers) -> None:
    _, word = issued(hub, callers, "password", "tax-app")
    guard, nonce = Guard(hub), b"0123456789abcdef"
    guard.identify(digest("tax-app", word, at=timedelta(seconds=200), nonce=nonce), "192.0.2.1")
    refused(guard, digest("tax-app", word, nonce=nonce))
    with hub.database.transaction() as session:
        [row] = session.scalars(sa.select(NonceRow))
        assert row.expires_at > datetime.now(UTC) + timedelta(seconds=400)
        row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    guard.identify(digest("tax-app", word), "192.0.2.1")
    with hub.database.reading() as session:
        assert len(session.scalars(sa.select(NonceRow)).all()) == 1


def test_what_was_revoked_or_has_ended(hub: Hub, callers: Callers) -> None:
    guard = Guard(hub)
    revoked, text = issued(hub, callers, "token")
    ended, other = issued(hub, callers, "token", until=datetime.now(UTC) + timedelta(days=1))
    guard.identify(Token(text), "192.0.2.1")
    guard.identify(Token(other), "192.0.2.1")
    hub.access.revoke(revoked, reason="人员调离", by=callers.town.actor("integrator"))
    with hub.database.transaction() as session:
        session.get_one(CredentialRow, ended).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    time.sleep(BELIEVED)
    assert refused(guard, Token(text)) == refused(guard, Token(other))
    assert [reason for _, reason in refusals(hub)] == ["revoked", "expired"]


def test_a_token_is_believed_for_a_moment_and_by_whom_it_was_shown_to_only(hub: Hub, callers: Callers) -> None:
    guard = Guard(hub)
    revoked, text = issued(hub, callers, "token")
    caller = guard.identify(Token(text), "192.0.2.1")
    hub.access.revoke(revoked, reason="人员调离", by=callers.town.actor("integrator"))
    assert guard.identify(Token(text), "192.0.2.1") == caller
    refused(Guard(hub), Token(text))
    refused(guard, Token(f"{text}x"))
    time.sleep(BELIEVED)
    refused(guard, Token(text))


def test_the_gateway_s_own_test_vector(hub: Hub) -> None:
    made = hmac.digest(b"testsecret", b"s_3212000000000_0001R-00011700000000000", "sha256")
    assert base64.b64encode(made).decode() == "Tx6pGPV7uY1FBJlt2lQW8wbi5kJzOQ61fYj/gCTOD4Q="


def test_a_storm_is_counted_and_not_written(hub: Hub) -> None:
    guard = Guard(hub)
    for number in range(WRITTEN + 5):
        refused(guard, Token(str(number)))
    assert WRITTEN <= len(refusals(hub)) <= WRITTEN + 5


def test_nothing_shown_stands_in_the_log(hub: Hub, callers: Callers) -> None:
    refused(Guard(hub), Password("37010119900307001X", "geheim"))
    with hub.database.reading() as session:
        [event] = session.scalars(sa.select(EventRow).where(EventRow.type == "SignInRefused"))
    assert not re.search("3701|geheim", str(event.body))
    with closing(hub):
        assert event.body["peer"] == "192.0.2.1"


def test_a_name_that_there_is_not_costs_what_one_costs_that_there_is(
    hub: Hub, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued(hub, callers, "password", "tax-app")
    guard, opened = Guard(hub), []

    def counted(sealed: str, key: bytes) -> Any:
        opened.append(sealed)
        return unseal(sealed, key)

    monkeypatch.setattr("exchange.service.guard.unseal", counted)
    for name in ("tax-app", "nobody", "no-such"):
        for shown in (Password(name, "x"), digest(name, "x")):
            refused(guard, shown)
    assert len(opened) == 6
    assert [reason for _, reason in refusals(hub)] == ["wrong"] * 2 + ["unknown"] * 4
