from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from exchange.hub import Hub
from exchange.site import parts
from exchange.site.parts import Parts
from tests.exchange.engine.town import Town


@pytest.fixture
def hub(town: Town) -> Iterator[Hub]:
    with town.hub() as found:
        yield found


def ill(hub: Hub, **given: Any) -> dict[str, str]:
    """The parts that are not well, and what is said of each."""
    return {name: told["error"] for name, told in Parts(hub, **given).states().items() if not told["ok"]}


@contextmanager
def airflow(status: str) -> Iterator[str]:
    """What tells of its components as Airflow does."""

    class Told(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/v2/monitor/health"
            told = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": status}, "triggerer": None}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_all_are_well_and_say_how_soon(hub: Hub) -> None:
    told = Parts(hub).states()
    assert list(told) == ["database", "library", "home", "keys", "messages"]
    assert all(state["ok"] and state["milliseconds"] < 3000 for state in told.values())


def test_the_library_that_is_gone(town: Town, hub: Hub) -> None:
    with town.away("library"):
        assert ill(hub).keys() == {"library"}
    assert ill(hub) == {}


def test_the_scheduler_where_one_runs_beside_it(hub: Hub) -> None:
    with airflow("healthy") as address:
        assert ill(hub, scheduler=address) == {}
    with airflow("unhealthy") as address:
        assert ill(hub, scheduler=address) == {"scheduler": "Failed"}
    assert ill(hub, scheduler="http://127.0.0.1:9") == {"scheduler": "ConnectionError"}


def test_who_does_not_answer_is_waited_for_so_long_and_asked_by_nobody_else(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PATIENCE", 0.4)
    monkeypatch.setattr(parts, "KEPT_SECONDS", 0.0)
    asked, answer = [], threading.Event()

    def silent(*_: Any) -> bytes:
        asked.append(1)
        answer.wait(30)
        return b""

    monkeypatch.setattr(type(hub.keyring), "derive", silent)
    found = Parts(hub)
    for _ in range(3):
        began = time.monotonic()
        assert found.states()["keys"] == {"ok": False, "error": "Silent"}
        assert time.monotonic() - began < 3
    assert asked == [1]
    answer.set()
    time.sleep(0.2)
    monkeypatch.undo()
    time.sleep(1.1)
    assert found.states()["keys"]["ok"]


def test_many_who_ask_together_are_told_the_same_answer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(Parts, "_ask_home", lambda _self: asked.append(1))
    found = Parts(hub)
    threads = [threading.Thread(target=found.states) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [1]
