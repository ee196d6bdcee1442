"""What Airflow's refusals and silences are to us. What it answers is looked at beside the embedded one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from exchange.errors import Busy, Denied, Failed, HubError, Unknown
from exchange.scheduling.client import Airflow, Health
from tests.support.servers import free_port


class Desk(ThreadingHTTPServer):
    """Answers as it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, str | None]] = []


class Answers(BaseHTTPRequestHandler):
    server: Desk

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, content = self.server.answers.pop(0)
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def airflow(desk: Desk) -> Iterator[Airflow]:
    with Airflow(f"http://127.0.0.1:{desk.server_port}/", "admin", "wrong or right") as found:
        yield found


RUN = {"dag_id": "d", "dag_run_id": "r", "state": "running", "run_type": "manual"}


def test_it_signs_in_when_it_is_asked_to_and_again_when_that_has_run_out(desk: Desk, airflow: Airflow) -> None:
    desk.answers = [
        answer for token in ("one", "two") for answer in ((401, {}), (201, {"access_token": token}), (200, RUN))
    ]
    assert airflow.run("d", "r").state == "running"
    assert airflow.run("d", "r").kind == "manual"
    assert [token for _, path, token in desk.asked if path != "/auth/token"] == [
        None, "Bearer one", "Bearer one", "Bearer two",
    ]  # fmt: skip


def test_a_wrong_password_is_told_and_not_shown(desk: Desk, airflow: Airflow) -> None:
    desk.answers = [(401, {}), (401, {})]
    with pytest.raises(Denied, match="不接受账号 admin") as raised:
        airflow.dags()
    assert "wrong or right" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [(403, Denied, False), (404, Unknown, False), (409, Busy, True), (422, Failed, False), (500, Failed, True)],
)
def test_refusals_are_sorted(desk: Desk, airflow: Airflow, status: int, kind: type[HubError], retry: bool) -> None:
    desk.answers = [(status, {"detail": "no"})]
    with pytest.raises(kind, match=f"POST dags/d/dagRuns：{status}") as raised:
        airflow.trigger("d")
    assert raised.value.retry is retry


def test_names_are_parts_of_an_address_whatever_stands_in_them(desk: Desk, airflow: Airflow) -> None:
    desk.answers = [(200, RUN)]
    airflow.run("a/b", "manual__2026-11-22T16:21+08:00")
    assert desk.asked[0][1] == "/api/v2/dags/a%2Fb/dagRuns/manual__2026-11-22T16%3A21%2B08%3A00"


def test_lists_are_read_to_their_end(desk: Desk, airflow: Airflow) -> None:
    pages = [{"import_errors": [{"filename": name, "stack_trace": "x"}], "total_entries": 2} for name in "ab"]
    desk.answers = [(200, page) for page in pages]
    assert airflow.import_errors() == {"a": "x", "b": "x"}
    assert "offset=1" in desk.asked[1][1]


def test_a_list_that_grows_shorter_meanwhile_ends(desk: Desk, airflow: Airflow) -> None:
    entry = {"name": "a", "id": 7}
    desk.answers = [(200, {"assets": [entry], "total_entries": 2}), (200, {"assets": [], "total_entries": 2})]
    assert airflow.assets() == {"a": 7}


def test_nobody_there_is_a_failure_that_may_heal() -> None:
    with Airflow(f"http://127.0.0.1:{free_port()}", "admin", "x") as airflow, pytest.raises(Failed) as raised:
        airflow.health()
    assert raised.value.retry
    assert "没有应答" in raised.value.message


def test_whoever_waits_for_a_run_waits_for_airflow_too(desk: Desk, airflow: Airflow) -> None:
    desk.answers = [(500, {}), (200, RUN), (503, {}), (200, RUN | {"state": "success", "conf": {"a": 1}})]
    found = airflow.await_run("d", "r", 10)
    assert found.ended
    assert found.conf == {"a": 1}


def test_a_run_that_does_not_end_is_told(desk: Desk, airflow: Airflow) -> None:
    desk.answers = [(200, RUN)] * 30
    began = time.monotonic()
    with pytest.raises(Failed, match=r"d 的执行 r .*没有结束（running）"):
        airflow.await_run("d", "r", 0.5)
    assert time.monotonic() - began < 5


def test_health_is_well_when_all_are() -> None:
    assert Health("healthy", "healthy", "healthy", "healthy").well
    assert not Health("healthy", "healthy", None, "healthy").well
    assert not Health("healthy", "unhealthy", "healthy", "healthy").well
