"""The way in, as people and as those who would like to be them find it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from exchange.console.entrance import local
from tests.exchange.site.people import PASSWORD, Browser, People


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
