"""What the interface says of itself, and that whatever is sent by it is answered."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.generation import GenerationMode

from exchange import api
from exchange.api.description import describe, examples, words
from exchange.web.limits import Rate
from tests.exchange.api.programmes import Programmes

ROLES = ("police", "chief", "tax", "centre", "integrator", "auditor", "secadmin")
"""As whom anything is sent: each role once."""
PARTS = {
    "Fit", "LyingFile", "FollowedFile", "Dispatched", "Role",
    "Change", "Explanation",
}  # fmt: skip
"""Documents that a town of tables has none of, or that stand in others."""


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    app = FastAPI()
    app.include_router(api.router)
    return describe(app)


def test_it_is_openapi_with_plain_paths(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    assert "/api/v1/resources/{code}/history" in description["paths"]
    assert not [path for path in description["paths"] if ":" in path]
    assert description["security"] == [{"token": []}]


def test_every_call_says_what_it_is_and_how_it_fails(description: dict[str, Any]) -> None:
    for calls in description["paths"].values():
        for method, call in calls.items():
            assert re.search(r"[\u4e00-\u9fff]", call["summary"])
            assert call["tags"]
            assert "application/problem+json" in call["responses"]["default"]["content"]
            assert "422" not in call["responses"]
            named = [each["name"] for each in call.get("parameters", [])]
            assert ("Idempotency-Key" in named) == (method == "post")


def test_every_field_is_described_in_chinese(description: dict[str, Any]) -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in description["components"]["schemas"].items()
        for field, told in schema.get("properties", {}).items()
        if str(told.get("description", "")).isascii()
    ]
    assert bare == []


def test_no_word_is_left_over(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    used = {field for schema in schemas.values() for field in schema.get("properties", {})}
    used |= {f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})}
    assert words().keys() - used == set()
    assert examples().keys() - schemas.keys() == set()


def anything(operation: Any) -> st.SearchStrategy[Any]:
    """What is right by the description, and what is not."""
    return st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))


def bombard(calls: Programmes, roles: tuple[str, ...], many: int, seconds: float) -> dict[str, int]:
    """Send anything by the description, as everybody, for so long at most; how often what was answered."""
    calls.people.app.state.rate = Rate(lambda: 10_000_000)
    schema = schemathesis.openapi.from_dict(describe(calls.people.app))
    tokens = [calls.token(login) for login in roles]
    client = calls.people.stranger().client
    statuses: dict[str, int] = {}
    until = time.monotonic() + seconds
    for found in schema.get_all_operations():
        if time.monotonic() > until:
            break
        operation = found.ok()
        assert operation is not None

        @settings(
            max_examples=many,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=anything(operation), token=st.sampled_from(tokens))
        def sent(case: Any, token: str) -> None:
            if time.monotonic() > until:
                return
            given = case.as_transport_kwargs(base_url="http://testserver")
            sent = {"content": given["data"]} if given.get("data") is not None else {}
            sent |= {"json": given["json"]} if "json" in given else {}
            headers = {**dict(given.get("headers") or {}), "Authorization": f"Bearer {token}"}
            url, asked = given["url"], given.get("params") or None
            answer = client.request(case.method, url, params=asked, headers=headers, **sent)
            statuses[str(answer.status_code)] = statuses.get(str(answer.status_code), 0) + 1
            assert answer.status_code < 500 or answer.status_code == 503, f"{case.method} {case.path}: {answer.text}"

        sent()
    return statuses


def test_whatever_is_sent_is_answered(calls: Programmes) -> None:
    statuses = bombard(calls, ROLES, 2, 40)
    assert {"200", "403", "404", "422"} <= statuses.keys()


@pytest.mark.long
def test_whatever_is_sent_is_answered_for_long(calls: Programmes) -> None:
    calls.collected()
    bombard(calls, ROLES, 200, 1800)


def test_every_document_has_an_example_that_is_right(description: dict[str, Any]) -> None:
    """What is sent or answered whole; what is only a part of that is shown inside it."""
    schemas = description["components"]["schemas"]
    text = json.dumps([call for calls in description["paths"].values() for call in calls.values()])
    whole = set(re.findall(r"#/components/schemas/([A-Za-z_]+)", text)) - PARTS
    assert whole - examples().keys() == set()
    for name, example in examples().items():
        Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}).validate(
            example
        )
