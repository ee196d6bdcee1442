from __future__ import annotations

from typing import Any

import pytest
from jinja2 import UndefinedError
from starlette.datastructures import FormData

from exchange.console.views import Form, environment
from exchange.errors import Invalid
from exchange.web.limits import Rate
from tests.exchange.site.people import Browser, People


def test_whatever_a_template_is_given_is_escaped() -> None:
    page = environment().from_string('<a href="/resources/{{ code|code }}" title="{{ text }}">{{ text }}</a>')
    told = page.render(code="101/1?<", text='"><script>')
    assert told == '<a href="/resources/101%2F1%3F%3C" title="&#34;&gt;&lt;script&gt;">&#34;&gt;&lt;script&gt;</a>'


def test_a_word_that_is_not_given_is_a_defect_and_no_blank() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ nothing }}").render()


def test_a_form_s_words_are_trimmed_and_its_passwords_are_not() -> None:
    form = Form(FormData([("a", " x "), ("a", "y"), ("a", " "), ("b", "")]))
    assert (form["missing"], form.raw("missing")) == ("", "")
    assert form.all("a") == ["x", "y"]
    assert form.names() == ["a", "b"]
    only = Form(FormData([("p", " x ")]))
    assert (only["p"], only.raw("p")) == ("x", " x ")
    with pytest.raises(Invalid) as told:
        form.demand(b="名称", c="代码")
    assert [each.where for each in told.value.problems] == ["名称", "代码"]


def refused(browser: Browser, **changes: Any) -> bool:
    """Whether a form is refused that is sent with these changes; one without any is not."""
    headers = changes.pop("headers", {})
    fields = {"csrf": browser.csrf, "old": "", "new": "", "again": "", **changes}
    told = browser.client.post("/me/password", data=fields, headers=headers, follow_redirects=False)
    assert told.status_code in (403, 422), told.text
    return told.status_code == 403


def test_a_form_that_is_not_ours_is_refused(people: People) -> None:
    browser, other = people.fresh("sysadmin"), people.fresh("secadmin")
    assert not refused(browser)
    assert refused(browser, csrf="")
    assert refused(browser, csrf=other.csrf), "somebody else's"
    assert refused(browser, csrf=browser.csrf[:-1])
    assert refused(browser, csrf="口令")
    assert refused(browser, headers={"Sec-Fetch-Site": "cross-site"}), "even with the right secret"
    assert refused(browser, headers={"Origin": "https://evil.example"})
    assert not refused(browser, headers={"Origin": "http://testserver"})
    assert not refused(browser, headers={"Sec-Fetch-Site": "none"})


def test_a_secret_of_an_earlier_session_is_worth_nothing(people: People) -> None:
    browser = people.fresh("sysadmin")
    before = browser.csrf
    browser.post("/sign-out")
    browser.sign_in("sysadmin", "Correct-horse-7-battery")
    assert refused(browser, csrf=before)


def test_a_stranger_s_form_leads_to_signing_in(people: People) -> None:
    told = people.stranger().post("/me/password", old="x", new="y", again="y")
    assert (told.status_code, told.headers["location"]) == (303, "/sign-in")


def test_a_form_in_the_address_is_none(people: People) -> None:
    browser = people.fresh("sysadmin")
    assert browser.client.get("/sign-out", follow_redirects=False).status_code == 405
    told = browser.client.post(f"/sign-out?csrf={browser.csrf}", follow_redirects=False)
    assert told.status_code == 403


def test_what_a_page_says_once_cannot_be_made_to_run(people: People) -> None:
    browser = people.fresh("sysadmin")
    browser.client.cookies.set("shutong_said", "%3Cscript%3Ealert(1)%3C/script%3E")
    page = browser.get("/me")
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert" not in page.text
    assert 'shutong_said=""' in page.headers["set-cookie"]


def test_an_account_that_looks_too_often_is_told_when_to_come_again(people: People) -> None:
    one, other = people.fresh("sysadmin"), people.fresh("secadmin")
    # So few that however slow a machine answers is too often.
    people.app.state.rate = Rate(lambda: 10)
    answers = [one.get("/me") for _ in range(3)]
    late = [answer for answer in answers if answer.status_code == 429]
    assert late
    assert int(late[0].headers["retry-after"]) >= 1
    assert "请求过于频繁" in late[0].text
    assert other.get("/me").status_code == 200
