"""The way in, as people and as those who would like to be them find it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from exchange.console.entrance import BACK, BEGUN, UNIFIED, local
from tests.exchange.engine.town import Town
from tests.exchange.site.people import ADDRESS, PASSWORD, Browser, People, people_of
from tests.support.oidc import SECRET, Person, Provider, refusal


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        provider.person = Person("u-9", {"preferred_username": "tax"})
        yield provider


@pytest.fixture
def united(town: Town, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """People of a town that knows the provider."""
    monkeypatch.setenv("SHUTONG_SECRET_OIDC", SECRET)
    provider.register(town.home, link="true")
    with people_of(town) as people:
        yield people


def back(browser: Browser, provider: Provider, begun: Response) -> Response:
    """Come back from the provider, signed in there."""
    return browser.get(BACK, **provider.authorise(begun.headers["location"]))


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
        "evil.example", "", "/\t/evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", "/\x00", " //evil.example",
        "/\u2028/x", "///x",
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_signing_in(people: People, path: str) -> None:
    assert local(path) == "/"
    browser = people.browser("sysadmin")
    signed = people.stranger().post("/sign-in", login="sysadmin", password=PASSWORD, next=path)
    assert (signed.status_code, signed.headers["location"]) == (303, "/")
    assert browser.get("/sign-in", next=path).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/", "/me", "/resources/101001001%2F0001?tab=items", "/search?q=人口"])
def test_people_go_on_to_what_they_wanted(path: str) -> None:
    assert local(path) == path


def test_a_session_is_new_with_each_sign_in(people: People) -> None:
    """Whoever put a secret of his own into somebody's browser has nothing of it."""
    people.browser("sysadmin")
    attacker = people.fresh("secadmin")
    planted = attacker.client.cookies["shutong"]
    victim = people.stranger()
    victim.client.cookies.set("shutong", planted, domain="testserver.local", path="/")
    signed = victim.sign_in("sysadmin", PASSWORD)
    fresh = signed.cookies["shutong"]
    assert fresh != planted
    assert attacker.get("/me").headers["location"].startswith("/sign-in"), "and what was planted opens nothing more"
    assert people.hub.signing.present(planted) is None
    made_up = people.stranger()
    made_up.client.cookies.set("shutong", "x" * 43)
    assert made_up.sign_in("sysadmin", PASSWORD).cookies["shutong"] != "x" * 43


def test_the_cookie_is_the_browser_s_alone(people: People) -> None:
    people.browser("sysadmin")
    told = people.stranger().sign_in("sysadmin", PASSWORD).headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "path=/"} <= {part.strip() for part in told.split(";")}
    assert "secure" not in told
    encrypted = Browser(TestClient(people.app, base_url="https://testserver"))
    assert "secure" in encrypted.sign_in("sysadmin", PASSWORD).headers["set-cookie"].lower()


def test_wrong_passwords_are_told_in_the_same_words_and_end_in_a_lock(people: People) -> None:
    people.browser("sysadmin")
    browser = people.stranger()
    unknown, wrong = browser.sign_in("nobody", "x"), browser.sign_in("sysadmin", "x")
    assert unknown.status_code == wrong.status_code == 403
    assert unknown.text.replace("nobody", "sysadmin") == wrong.text
    for _ in range(6):
        browser.sign_in("sysadmin", "x")
    assert browser.sign_in("sysadmin", PASSWORD).status_code == 403


def test_a_login_is_shown_again_and_never_runs(people: People) -> None:
    page = people.stranger().sign_in('"><script>alert(1)</script>', "secret-of-mine").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "secret-of-mine" not in page


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
        {"Origin": "null"}, {"Origin": "http://testserver.evil.example"}, {"Origin": "http://testserver:81"},
    ],
)  # fmt: skip
def test_a_form_on_somebody_else_s_page_signs_nobody_in(people: People, headers: dict[str, str]) -> None:
    people.browser("sysadmin")
    browser = people.stranger()
    fields = {"login": "sysadmin", "password": PASSWORD}
    refused = browser.client.post("/sign-in", data=fields, headers=headers, follow_redirects=False)
    assert refused.status_code == 403
    assert "shutong" not in browser.client.cookies


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}])
def test_our_own_forms_do(people: People, headers: dict[str, str]) -> None:
    people.browser("sysadmin")
    fields = {"login": "sysadmin", "password": PASSWORD}
    signed = people.stranger().client.post("/sign-in", data=fields, headers=headers, follow_redirects=False)
    assert signed.status_code == 303


def test_a_password_of_somebody_else_s_making_comes_before_everything(people: People) -> None:
    handed = people.hub.accounts.reset("secadmin", by=people.actor("sysadmin"))
    assert handed.password is not None
    browser = people.stranger()
    assert browser.sign_in("secadmin", handed.password.get_secret_value()).headers["location"] == "/me"
    assert browser.get("/").headers["location"] == "/me"
    assert "主导航" not in browser.get("/me").text


def test_a_password_is_changed_and_every_other_session_ends(people: People) -> None:
    browser, other = people.fresh("chief"), people.fresh("chief")
    new = f"{PASSWORD}-anew"
    differing = browser.post("/me/password", old=PASSWORD, new=new, again="other")
    assert differing.status_code == 422
    assert "两次写的不一样" in differing.text
    assert new not in differing.text
    assert browser.post("/me/password", old="", new=new, again=new).status_code == 422
    assert browser.post("/me/password", old="wrong", new=new, again=new).status_code == 403
    assert browser.post("/me/password", old=PASSWORD, new="short", again="short").status_code == 422
    assert browser.post("/me/password", old=PASSWORD, new=new, again=new).status_code == 303
    assert browser.get("/me").status_code == 200
    assert other.get("/me").status_code == 303


def test_people_come_in_by_the_unified_identity(united: People, provider: Provider) -> None:
    name = united.actor("tax").name
    browser = united.stranger()
    assert f'href="{UNIFIED}?next=/runs%3Fday%3D1"' in browser.get("/sign-in", next="/runs?day=1").text
    begun = browser.get(UNIFIED, next="/runs?day=1")
    assert begun.status_code == 303
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["redirect_uri"] == [f"{ADDRESS}{BACK}"]
    for told in begun.headers.get_list("set-cookie"):
        parts = {part.strip() for part in told.lower().split(";")}
        assert {"httponly", "samesite=lax", f"path={UNIFIED}"} <= parts
    signed = back(browser, provider, begun)
    assert (signed.status_code, signed.headers["location"]) == (303, "/runs?day=1")
    told = next(each for each in signed.headers.get_list("set-cookie") if each.startswith("shutong=")).lower()
    assert {"httponly", "samesite=lax", "path=/"} <= {part.strip() for part in told.split(";")}
    assert list(browser.client.cookies) == ["shutong"], "what was begun is forgotten"
    assert name in browser.get("/me").text
    # Who is signed in needs no second time.
    assert browser.get(UNIFIED, next="/me").headers["location"] == "/me"


def test_the_name_a_browser_asks_by_is_no_address_to_come_back_to(united: People) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
        begun = united.stranger().client.get(UNIFIED, headers=headers, follow_redirects=False)
        assert parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"] == [f"{ADDRESS}{BACK}"]


def test_the_settings_say_where_others_reach_it(
    united: People, town: Town, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTONG_WEB__PUBLIC_ADDRESS", "https://hub.example")
    united.hub.close()
    with people_of(town) as people:
        begun = people.stranger().get(UNIFIED)
    assert parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"] == [f"https://hub.example{BACK}"]


@pytest.mark.parametrize("path", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
def test_nobody_is_sent_elsewhere_after_the_unified_identity(united: People, provider: Provider, path: str) -> None:
    browser = united.stranger()
    assert back(browser, provider, browser.get(UNIFIED, next=path)).headers["location"] == "/"
    # Nor by a cookie that somebody planted.
    browser = united.stranger()
    begun = browser.get(UNIFIED)
    browser.client.cookies.set("shutong_onward", path, domain="testserver.local", path=UNIFIED)
    assert back(browser, provider, begun).headers["location"] == "/"


def test_an_older_session_of_the_browser_ends(united: People, provider: Provider) -> None:
    name = united.actor("tax").name
    browser = united.stranger()
    begun = browser.get(UNIFIED)
    older = united.fresh("police").client.cookies["shutong"]
    browser.client.cookies.set("shutong", older, domain="testserver.local", path="/")
    assert back(browser, provider, begun).status_code == 303
    assert united.hub.signing.present(older) is None
    assert name in browser.get("/me").text


def test_what_was_begun_in_another_browser_signs_nobody_in(united: People, provider: Provider) -> None:
    begun = united.stranger().get(UNIFIED)
    victim = united.stranger()
    assert victim.get(UNIFIED).status_code == 303
    for browser in (victim, united.stranger()):
        refused = back(browser, provider, begun)
        assert refused.status_code == 403
        assert "统一身份认证的结果不能使用" in refused.text
        assert 'name="password"' in refused.text, "another way in is at hand"
        assert list(browser.client.cookies) == []


def test_an_answer_is_used_once(united: People, provider: Provider) -> None:
    browser = united.stranger()
    begun = browser.get(UNIFIED)
    sealed, answer = browser.client.cookies[BEGUN], provider.authorise(begun.headers["location"])
    assert browser.get(BACK, **answer).status_code == 303
    again = united.stranger()
    again.client.cookies.set(BEGUN, sealed, domain="testserver.local", path=UNIFIED)
    assert again.get(BACK, **answer).status_code == 403
    assert "shutong" not in again.client.cookies


def test_who_declines_is_told_so_and_asked_again(united: People) -> None:
    browser = united.stranger()
    begun = browser.get(UNIFIED, next="/me")
    declined = browser.get(BACK, **refusal(begun.headers["location"]))
    assert declined.status_code == 403
    assert f'href="{UNIFIED}?next=/me"' in declined.text


def test_a_provider_that_is_away_leaves_the_password(united: People, provider: Provider) -> None:
    provider.status = 503
    away = united.stranger().get(UNIFIED, next="/me")
    assert away.status_code == 502
    assert "没有应答" in away.text
    assert 'name="next" value="/me"' in away.text
    provider.status = 200
    browser = united.stranger()
    begun = browser.get(UNIFIED)
    provider.status = 503
    gone = back(browser, provider, begun)
    assert gone.status_code == 502
    assert "没有应答" in gone.text
    assert list(browser.client.cookies) == []


def test_a_hub_without_a_unified_identity_has_no_such_page(people: People) -> None:
    for path in (UNIFIED, BACK):
        answer = people.stranger().get(path)
        assert answer.status_code == 404
        assert "没有启用统一身份认证" in answer.text
    assert UNIFIED not in people.stranger().get("/sign-in").text
