"""Health as it is asked for from outside: a database that goes away and comes back, and who is down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exchange.engine.town import Town, build
from tests.exchange.site.people import PASSWORD, Browser, People, people_of
from tests.support.servers import PostgreSQLServer


@pytest.fixture
def own_server() -> Iterator[PostgreSQLServer]:
    """A PostgreSQL that may be stopped."""
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def on_server(own_server: PostgreSQLServer, tmp_path: Path) -> Iterator[tuple[Town, People]]:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=own_server.new_database())) as town, people_of(town) as people:
        yield town, people


def down(browser: Browser) -> set[str]:
    """The parts that are not well, as ``/readyz`` says after it has forgotten what it said before."""
    time.sleep(1.1)
    answer = browser.get("/readyz")
    told = answer.json()
    found = {name for name, state in told["parts"].items() if not state["ok"]}
    assert (answer.status_code, told["status"]) == ((503, "unavailable") if found else (200, "ok"))
    return found


def test_the_database_goes_away_and_comes_back(own_server: PostgreSQLServer, on_server: tuple[Town, People]) -> None:
    _, people = on_server
    browser = people.browser("sysadmin")
    stranger = people.stranger()
    assert down(stranger) == set()

    own_server.go_away()
    for path in ("/", "/me"):
        page = browser.get(path)
        assert (page.status_code, page.headers["retry-after"]) == (503, "5")
        assert "暂时不能办理" in page.text
        assert "Content-Security-Policy".lower() in page.headers
        assert own_server.password not in page.text
    refused = stranger.sign_in("sysadmin", PASSWORD)
    assert refused.status_code == 503
    assert stranger.get("/healthz").status_code == 200, "it lives"
    assert down(stranger) == {"database"}
    assert "shutong_database_up 0.0" in stranger.get("/metrics").text

    own_server.come_back()
    assert browser.get("/").status_code == 200, "whoever was signed in still is"
    assert stranger.sign_in("sysadmin", PASSWORD).status_code == 303
    assert down(people.stranger()) == set()


def test_anybody_may_ask_and_is_told_no_names(people: People) -> None:
    browser = people.stranger()
    (people.hub.settings.home / "keys").rename(people.hub.settings.home / "elsewhere")
    answer = browser.get("/readyz").text
    assert str(people.hub.settings.home) not in answer
    assert browser.get("/openapi.json").json()["info"]["title"] == "数通 REST 接口"
