from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from exchange.web.paths import WholeParts, quoted
from tests.exchange.web.probe import Told, asked


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()

    @app.get("/resources/{code:code}/edit")
    def edit(code: str) -> dict[str, Any]:
        return {"edit": code}

    @app.get("/resources/{code:code}")
    def show(code: str) -> dict[str, Any]:
        return {"show": code}

    @app.get("/runs/{run}")
    def run(run: str) -> dict[str, Any]:
        return {"run": run}

    app.add_middleware(WholeParts)
    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/resources/101001001%2F0001", {"show": "101001001/0001"}),
        ("/resources/101001001%2f0001/edit", {"edit": "101001001/0001"}),
        # Decoded once, and not again.
        ("/resources/101001001%252F0001", {"show": "101001001%2F0001"}),
        ("/resources/%25252F", {"show": "%252F"}),
        ("/resources/..%2F..%2Fetc%2Fpasswd", {"show": "../../etc/passwd"}),
        ("/resources/%E8%B5%84%E6%BA%90", {"show": "资源"}),
        ("/resources/%FF", {"show": "\ufffd"}),
        ("/resources/a?b=/c%2Fd", {"show": "a"}),
        ("/resources/%2500", {"show": "%00"}),
        ("/runs/a%2Fb", {"run": "a%2Fb"}),
    ],
)
def test_a_part_of_a_path_keeps_what_is_in_it(client: TestClient, path: str, told: dict[str, str]) -> None:
    assert client.get(path).json() == told


@pytest.mark.parametrize(
    "path",
    ["/resources/a/b", "/resources/a%00b", "/resources/%0d%0aX", "/resources/%7F/edit", "/resources/%1f"],
)  # fmt: skip
def test_what_is_no_code_is_found_nowhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_address_leads_back_to_its_code(client: TestClient) -> None:
    for code in ("101001001/0001", "%2F", "资源 一", "a?b#c&d", "..", '"<>'):
        if code != "..":
            assert client.get(f"/resources/{quoted(code)}").json() == {"show": code}
    assert quoted("a/b") == "a%2Fb"


def test_a_server_that_keeps_no_raw_path_is_believed() -> None:
    told = Told()

    async def without(scope: Any, receive: Any, send: Any) -> None:
        await WholeParts(told)({name: value for name, value in scope.items() if name != "raw_path"}, receive, send)

    asked(without, "/a/b")
    assert told.scope["path"] == "/a/b"
