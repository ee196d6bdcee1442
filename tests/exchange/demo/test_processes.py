"""Processes of the city start, say where they are, and go, whatever they are told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from exchange.demo.fronts import Service
from exchange.demo.processes import ROOT, ServiceProcess, environment, stop_all
from exchange.errors import Failed
from tests.exchange.demo.eyes import alive


@pytest.fixture
def place(tmp_path: Path) -> Path:
    Service(tmp_path / "things.db", ["no"]).report([{"no": "1"}])
    return tmp_path / "things.db"


@pytest.fixture
def started(place: Path) -> Iterator[ServiceProcess]:
    process = ServiceProcess("发展改革委的服务", "projects", place, place.parent / "logs" / "x.log")
    yield process
    process.stop()


def test_it_answers_until_it_is_stopped(started: ServiceProcess) -> None:
    address = started.address()
    assert urlsplit(address).hostname == "127.0.0.1"
    with urlopen(f"{address}?wsdl", timeout=10) as answer:
        assert b"Query" in answer.read()
    started.demand_running()
    assert os.getpgid(started.pid) == started.pid != os.getpgid(0), "Ctrl-C is not for it"
    began = time.monotonic()
    stop_all([started])
    assert time.monotonic() - began < 10
    assert not alive(started.pid)
    started.stop()
    with pytest.raises(Failed, match="发展改革委的服务意外停止（退出状态 0）"):
        started.demand_running()


def test_what_hears_nothing_is_stopped_all_the_same(started: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    started.address()
    monkeypatch.setattr("exchange.demo.processes.STOP_SECONDS", 0.2)
    os.kill(started.pid, signal.SIGSTOP)
    started.stop()
    assert not alive(started.pid)


def test_it_ends_with_whoever_started_it(started: ServiceProcess) -> None:
    started.address()
    pipe = started._process.stdin
    assert pipe is not None
    pipe.close()
    until = time.monotonic() + 20
    while alive(started.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(started.pid)


def test_what_was_killed_is_told(started: ServiceProcess) -> None:
    started.address()
    started.demand_running()
    os.kill(started.pid, signal.SIGKILL)
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    for _ in range(2):
        with pytest.raises(Failed, match="意外停止（信号 9）") as raised:
            started.demand_running()
    assert "x.log" in raised.value.remedy


def test_what_does_not_start_is_told(tmp_path: Path) -> None:
    process = ServiceProcess("住建局的服务", "nothing", tmp_path, tmp_path / "x.log")
    try:
        with pytest.raises(Failed, match="住建局的服务没有启动"):
            process.address()
    finally:
        process.stop()
    assert "no such service" in (tmp_path / "x.log").read_text()


def test_the_settings_of_whoever_looks_on_are_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", "/srv/own")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    found = environment()
    assert not any(name.startswith("SHUTONG_") for name in found)
    assert found["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/somewhere"]
    assert (ROOT / "exchange" / "demo").is_dir()
