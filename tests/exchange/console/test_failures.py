from __future__ import annotations

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from exchange.console.failures import translated
from exchange.errors import Busy, Denied, Held, HubError, Invalid, Problem
from tests.exchange.site.people import Browser, People


class Broken(Exception):
    """A defect."""


@pytest.fixture
def failing(people: People) -> Browser:
    """A site with a page that fails as it is told to."""
    errors = {
        "denied": Denied("不能办理 <b>", ["理由 <i>"], remedy="请审核员办理"),
        "invalid": Invalid("有误", [Problem("名称", "没有填写", "写上")]),
        "held": Held("已暂停", ["表变了"]),
        "busy": Busy("正忙"),
        "teapot": HTTPException(418, "I'm a teapot"),
        "defect": Broken("口令是 s3cret"),
    }

    @people.app.get("/fail/{how}")
    def fail(how: str, number: int = 0) -> None:
        raise errors[how]

    return Browser(TestClient(people.app, raise_server_exceptions=False))


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("denied", 403, ["不能办理 &lt;b&gt;", "理由 &lt;i&gt;", "请审核员办理"]),
        ("invalid", 422, ["名称", "没有填写", "写上"]),
        ("held", 409, ["已暂停", "表变了"]),
        ("busy", 503, ["正忙"]),
        ("teapot", 418, ["I&#39;m a teapot"]),
        ("defect", 500, ["平台出错", "请把关联标识告诉系统管理员"]),
    ],
)
def test_a_failure_is_a_page_with_what_to_do_next(failing: Browser, how: str, status: int, words: list[str]) -> None:
    page = failing.client.get(f"/fail/{how}", headers={"X-Correlation-ID": "call-of-the-test"})
    assert page.status_code == status
    assert [word for word in words if word not in page.text] == []
    assert page.headers["x-correlation-id"] == "call-of-the-test"
    assert "call-of-the-test" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert ("retry-after" in page.headers) == (how == "busy")
    assert "s3cret" not in page.text
    assert "Traceback" not in page.text


def test_an_address_with_a_wrong_value_in_it_says_which(failing: Browser) -> None:
    page = failing.client.get("/fail/busy?number=<script>")
    assert page.status_code == 422
    assert "number" in page.text
    assert "<script>" not in page.text.replace('<script src="/static/console.js"', "")


def test_what_there_is_not_and_what_cannot_be_asked_so(people: People) -> None:
    browser = people.stranger()
    for path in ("/nowhere", "/static/nothing.css", "/.env", "/me/", "/me%2Fpassword", "/%00"):
        assert browser.get(path).status_code == 404, path
    page = browser.client.delete("/me")
    assert (page.status_code, page.headers["allow"]) == (405, "GET")
    assert "这个地址不能这样使用" in page.text


def test_a_form_that_is_none_or_too_large_is_a_page_too(people: People) -> None:
    browser = people.fresh("police")
    files = {f"file{number}": ("a.csv", b"x") for number in range(6)}
    assert browser.client.post("/me/password", files=files).status_code == 400
    large = people.hub.settings.web.largest + 1
    assert browser.client.post("/me/password", content=bytes(large)).status_code == 413

    def endless() -> object:
        for _ in range(large // 65536 + 2):
            yield bytes(65536)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    page = browser.client.post("/me/password", content=endless(), headers=kind)  # type: ignore[arg-type]  # it is read
    assert page.status_code == 413
    assert "提交的内容超过上限" in page.text


def test_a_defect_says_nothing_of_itself() -> None:
    told = translated(Broken("口令是 s3cret"))
    assert type(told) is HubError
    assert "s3cret" not in str(told)
