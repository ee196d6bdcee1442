"""Unified identity, against a provider that listens: who comes in by it, and what of it holds."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from joserfc.jwk import RSAKey

from exchange.db.tables import AccountRow, NonceRow, SessionRow
from exchange.errors import Failed, Misplaced
from exchange.hub import Hub
from exchange.hub.sessions import Begun, SignedIn
from exchange.hub.signing import NotSignedIn
from exchange.hub.unified import UnifiedIdentity
from exchange.identity import OIDC
from exchange.settings import Role
from tests.exchange.engine.town import TAX, Town
from tests.exchange.hub.people import HERE, logged
from tests.support.oidc import CLIENT, SECRET, Person, Provider, refusal

BACK = "http://127.0.0.1:8097/sign-in/unified"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(params=[{"link": "true"}])
def hub(
    request: pytest.FixtureRequest, town: Town, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub that knows the provider."""
    monkeypatch.setenv("SHUTONG_SECRET_OIDC", SECRET)
    provider.register(town.home, **request.param)
    with town.hub() as hub:
        hub.accounts.first()
        yield hub


def entered(hub: Hub, provider: Provider) -> SignedIn:
    begun = hub.signing.begin(BACK)
    return hub.signing.finish(begun.secret, provider.authorise(begun.address), address=HERE)


def refused(hub: Hub, town: Town, secret: Any, answer: dict[str, str]) -> str:
    """How the log calls what did not hold."""
    with pytest.raises(NotSignedIn) as error:
        hub.signing.finish(secret, answer, address=HERE)
    assert error.value.reasons == ("统一身份认证的结果不能使用，或没有对应的账号",)
    with hub.database.reading() as session:
        assert session.scalars(sa.select(SessionRow)).all() == []
    return str(logged(town, "SignInFailed")[-1].body["reason"])


def test_somebody_comes_in_and_is_known_from_then_on(hub: Hub, provider: Provider, town: Town) -> None:
    provider.person = Person("u-9", {"preferred_username": "Tax"})
    made = entered(hub, provider)
    present = hub.signing.present(made.secret)
    assert present is not None
    assert (present.account, present.actor.established, present.must_change) == ("tax", OIDC, False)
    assert present.actor.roles == {Role.CLERK}
    # From now on by his subject, whatever his claims name.
    provider.person = Person("u-9", {"preferred_username": "police"})
    assert entered(hub, provider).account == "tax"
    # The description and the keys were asked for once.
    assert provider.asked.count("/.well-known/openid-configuration") == provider.asked.count("/keys") == 1
    [linked] = logged(town, "AccountLinked")
    assert linked.body == {"account": "tax", "issuer": provider.issuer}
    assert [event.body["how"] for event in logged(town, "SignedIn")] == ["oidc", "oidc"]


def test_an_account_that_is_tied_is_nobody_elses(hub: Hub, provider: Provider, town: Town) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    hub.signing.sign_out(entered(hub, provider).secret)
    provider.person = Person("u-10", {"preferred_username": "tax"})
    begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "unlinked"
    hub.accounts.unlink("tax", reason="换人", by=town.actor("integrator"))
    assert entered(hub, provider).account == "tax"


@pytest.mark.parametrize("hub", [{"link": "false"}], indirect=True)
def test_nobody_is_tied_where_the_settings_do_not_say_so(hub: Hub, provider: Provider, town: Town) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "unlinked"
    with hub.database.transaction() as session:
        session.get_one(AccountRow, "tax").subject = f"{provider.issuer} u-9"
    assert entered(hub, provider).account == "tax"


@pytest.mark.parametrize("hub", [{"link": "true", "department_claim": '"org_code"'}], indirect=True)
def test_the_department_must_be_the_accounts(hub: Hub, provider: Provider, town: Town) -> None:
    for claims in ({}, {"org_code": "11321200TE00000104"}, {"org_code": [TAX]}):
        provider.person = Person("u-9", {"preferred_username": "tax", **claims})
        begun = hub.signing.begin(BACK)
        assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "department"
    provider.person = Person("u-9", {"preferred_username": "tax", "org_code": TAX})
    assert entered(hub, provider).account == "tax"


@pytest.mark.parametrize("claims", [{}, {"preferred_username": "nobody"}, {"preferred_username": 7}])
def test_no_account_is_made_for_whom_there_is_none(
    hub: Hub, provider: Provider, town: Town, claims: dict[str, Any]
) -> None:
    provider.person = Person("u-9", claims)
    begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "unlinked"


@pytest.mark.parametrize("tied", [True, False])
def test_a_disabled_account_stays_shut(hub: Hub, provider: Provider, town: Town, tied: bool) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    if tied:
        hub.signing.sign_out(entered(hub, provider).secret)
    hub.accounts.disable("tax", reason="离职", by=town.actor("integrator"))
    begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "disabled"


def test_what_was_begun_elsewhere_or_before_does_not_hold(hub: Hub, provider: Provider, town: Town) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    own, strange = hub.signing.begin(BACK), hub.signing.begin(BACK)
    # A stranger's answer in my browser, and none of mine at all.
    assert refused(hub, town, own.secret, provider.authorise(strange.address)) == "state"
    assert refused(hub, town, "nothing", provider.authorise(own.address)) == "state"
    assert refused(hub, town, own.secret, {}) == "state"
    assert refused(hub, town, own.secret, {**provider.authorise(own.address), "iss": "https://else"}) == "issuer"
    assert refused(hub, town, own.secret, refusal(own.address)) == "declined"
    # Tried once, whatever came of it.
    assert refused(hub, town, own.secret, provider.authorise(own.address)) == "replayed"
    assert refused(hub, town, strange.secret, {**provider.authorise(strange.address), "code": "guess"}) == "declined"


def test_what_was_begun_too_long_ago(hub: Hub, provider: Provider, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("exchange.hub.unified.WITHIN", timedelta(seconds=-1))
        begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "expired"
    with hub.database.reading() as session:
        assert session.scalars(sa.select(NonceRow)).all() == []


def of_another_key(provider: Provider) -> None:
    from joserfc import jwt

    strange = RSAKey.generate_key(2048)
    kid = str(provider.key.kid)
    provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": kid}, claims, strange)


TOKENS: dict[str, Callable[[Provider], Any]] = {
    "another issuer": lambda p: setattr(p, "change", lambda c: c.update(iss="https://else")),
    "another audience": lambda p: setattr(p, "change", lambda c: c.update(aud="else")),
    "several audiences": lambda p: setattr(p, "change", lambda c: c.update(aud=[CLIENT, "else"])),
    "another party": lambda p: setattr(p, "change", lambda c: c.update(azp="else")),
    "no audience": lambda p: setattr(p, "change", lambda c: c.pop("aud")),
    "another nonce": lambda p: setattr(p, "change", lambda c: c.update(nonce="n")),
    "no nonce": lambda p: setattr(p, "change", lambda c: c.pop("nonce")),
    "over": lambda p: setattr(p, "change", lambda c: c.update(exp=int(time.time()) - 120)),
    "no end": lambda p: setattr(p, "change", lambda c: c.pop("exp")),
    "no subject": lambda p: setattr(p, "change", lambda c: c.pop("sub")),
    "an empty subject": lambda p: setattr(p, "change", lambda c: c.update(sub="")),
    "a subject that is none": lambda p: setattr(p, "change", lambda c: c.update(sub=["u"])),
    "a subject too long": lambda p: setattr(p, "change", lambda c: c.update(sub="u" * 256)),
    "another access token": lambda p: setattr(p, "change", lambda c: c.update(at_hash="AAAA")),
    "another key": of_another_key,
    "the public key as a secret": lambda p: setattr(p, "sign", p.symmetric),
    "no signature": lambda p: setattr(p, "sign", p.unsigned),
    "no token": lambda p: setattr(p, "sign", lambda _: None),
    "rubbish": lambda p: setattr(p, "sign", lambda _: "a.b.c"),
}


@pytest.mark.parametrize("wrong", TOKENS)
def test_a_token_that_does_not_hold(hub: Hub, provider: Provider, town: Town, wrong: str) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    TOKENS[wrong](provider)
    begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "token"


def test_a_key_that_is_new_is_fetched_though_not_over_and_over(
    hub: Hub, provider: Provider, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    hub.signing.sign_out(entered(hub, provider).secret)
    provider.new_key()
    begun = hub.signing.begin(BACK)
    assert refused(hub, town, begun.secret, provider.authorise(begun.address)) == "token"
    monkeypatch.setattr("exchange.hub.unified._AGAIN", 0.0)
    assert entered(hub, provider).account == "tax"
    assert provider.asked.count("/keys") == 2


def test_a_provider_that_is_away(hub: Hub, provider: Provider) -> None:
    provider.status = 500
    with pytest.raises(Failed) as failed:
        hub.signing.begin(BACK)
    assert failed.value.retry
    provider.status = 200
    begun = hub.signing.begin(BACK)
    answer = provider.authorise(begun.address)
    provider.status = 503
    with pytest.raises(Failed) as failed:
        hub.signing.finish(begun.secret, answer, address=HERE)
    assert SECRET not in str(failed.value)
    provider.status = 302
    with pytest.raises(Failed):
        UnifiedIdentity(hub).begin(BACK)


def test_behind_one_who_waits_in_vain_nobody_waits(hub: Hub, provider: Provider) -> None:
    identity = UnifiedIdentity(hub)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        identity._settings = identity._settings.model_copy(update={"issuer": issuer, "seconds": 1.0})
        begun = time.monotonic()
        with ThreadPoolExecutor(5) as people:
            for each in [people.submit(identity.begin, BACK) for _ in range(5)]:
                assert isinstance(each.exception(), Failed)
        assert 1.0 <= time.monotonic() - begun < 2.0


@pytest.mark.parametrize(
    "told",
    [{"issuer": "https://else"}, {"token_endpoint": "ftp://127.0.0.1/token"}, {"jwks_uri": None}, {"jwks_uri": 7}],
)
def test_a_description_that_cannot_be_used(
    hub: Hub, provider: Provider, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    described = provider._described()
    monkeypatch.setattr(provider, "_described", lambda: {**described, **told})
    with pytest.raises(Failed):
        hub.signing.begin(BACK)


@pytest.mark.parametrize("hub", [{"client_secret": '"env:SHUTONG_SECRET_OIDC"', "enabled": "false"}], indirect=True)
def test_where_it_is_not_enabled(hub: Hub) -> None:
    with pytest.raises(Misplaced):
        hub.signing.begin(BACK)
    with pytest.raises(Misplaced):
        hub.signing.finish("x", {}, address=HERE)


def test_nothing_of_it_shows(hub: Hub, provider: Provider, town: Town, caplog: pytest.LogCaptureFixture) -> None:
    provider.person = Person("u-9", {"preferred_username": "tax"})
    with caplog.at_level("DEBUG"):
        begun = hub.signing.begin(BACK)
        answer = provider.authorise(begun.address)
        made = hub.signing.finish(begun.secret, answer, address=HERE)
    shown = repr([begun, made, hub.signing]) + caplog.text + repr([event.body for event in logged(town, "SignedIn")])
    for secret in (
        SECRET,
        answer["code"],
        answer["state"],
        made.secret.get_secret_value(),
        begun.secret.get_secret_value(),
    ):
        assert secret not in shown
    assert isinstance(begun, Begun)
