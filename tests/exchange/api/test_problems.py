"""Failures as problem details."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from exchange.api.problems import MEDIA, problem
from exchange.errors import Busy, Denied, Failed, Held, Invalid, Problem, Unavailable, Unknown
from exchange.web.limits import TooOften
from tests.exchange.api.programmes import Programmes


def told(error: Exception) -> tuple[int, dict[str, str], dict[str, Any]]:
    request = Request({"type": "http", "headers": [], "state": {"correlation": "abcdefgh"}})
    answer = problem(request, error)
    assert answer.media_type == MEDIA
    document = json.loads(bytes(answer.body))
    assert document["status"] == answer.status_code
    assert document["correlation"] == "abcdefgh"
    return answer.status_code, dict(answer.headers), document


def test_everything_wrong_at_once_and_what_to_do_next() -> None:
    problems = [Problem("名称", "没有填写", "写上"), Problem("代码", "重复")]
    status, _, document = told(Invalid("登记有误", problems, remedy="改正"))
    assert (status, document["type"], document["title"]) == (422, "urn:shutong:invalid", "登记有误")
    assert document["problems"][0] == {"where": "名称", "message": "没有填写", "remedy": "写上"}
    assert len(document["problems"]) == 2
    assert document["remedy"] == "改正"


@pytest.mark.parametrize("error", [Denied("不能", ["理由"]), Held("暂停", ["理由"])], ids=["denied", "held"])
def test_every_reason_is_given(error: Exception) -> None:
    assert told(error)[2]["reasons"] == ["理由"]


@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        (Busy("忙"), 503, "5"), (Unavailable("数据库", retry=True), 503, "5"), (Failed("端点"), 502, None),
        (Unknown("没有"), 404, None), (TooOften(2.1), 429, "3"),
        (HTTPException(405, "no", {"Allow": "GET"}), 405, None),
    ],
)  # fmt: skip
def test_when_to_come_again(error: Exception, status: int, again: str | None) -> None:
    found, headers, document = told(error)
    assert (found, headers.get("retry-after")) == (status, again)
    if "retry" in document:
        assert document["retry"] == (again is not None)


def test_what_was_given_is_not_said_again() -> None:
    wrong = [{"loc": ("body", "items", 3, "name"), "msg": "Field required", "type": "missing", "input": "s3cret"}]
    status, _, document = told(RequestValidationError(wrong))
    assert status == 422
    assert document["problems"] == [{"where": "body › items › 3 › name", "message": "Field required", "remedy": ""}]
    assert "s3cret" not in str(document)


def test_a_defect_says_nothing_of_itself() -> None:
    status, _, document = told(KeyError("s3cret"))
    assert (status, document["type"]) == (500, "urn:shutong:defect")
    assert "s3cret" not in str(document)


def test_a_failure_says_what_and_where_and_by_which_call(calls: Programmes) -> None:
    headers = {"X-Correlation-ID": "abcdefgh"}
    answer = calls.ask("police", "GET", "/exchanges/nowhere", headers=headers)
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (told["type"], told["status"], told["correlation"]) == ("urn:shutong:unknown", 404, "abcdefgh")
    assert answer.headers["x-correlation-id"] == "abcdefgh"
    assert told["remedy"]
    denied = calls.ask("tax", "GET", "/log").json()
    assert denied["reasons"]


def test_no_such_address(calls: Programmes) -> None:
    answer = calls.ask("police", "GET", "/nowhere")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert calls.ask("police", "DELETE", "/me").status_code == 405
