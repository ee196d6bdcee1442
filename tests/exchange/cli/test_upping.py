"""One command starts everything and ends it; another writes the settings of servers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from exchange.scheduling import leash
from exchange.scheduling.client import Airflow
from tests.exchange.settings.test_model import HUB

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-c", "from exchange.cli import main; main()"]
DESK = "tests.adapters.webservice.memory_desk:open_desk"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def home(path: Path, *lines: str) -> str:
    path.mkdir(exist_ok=True)
    (path / "shutong.toml").write_text("\n".join([f'hub_department = "{HUB}"', *lines]), encoding="utf-8")
    return str(path)


def test_what_would_be_started_is_told_and_nothing_done(tmp_path: Path) -> None:
    place = home(tmp_path, "port = 8124", "[airflow]", "port = 8123")
    done = run("up", "--check", "--json", "--home", place)
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["address"] == "http://127.0.0.1:8123"
    assert found["console"] == "http://127.0.0.1:8124"
    names = ["api-server", "scheduler", "dag-processor", "triggerer", "console"]
    assert [part["name"] for part in found["parts"]] == names
    assert found["parts"][-1]["command"][-8:] == [
        "serve", "console", "--port", "8124", "--scheduler", "http://127.0.0.1:8123", "--home", place,
    ]  # fmt: skip
    assert found["first"] is True
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shutong.toml"]
    said = run("up", "--check", "--port", "8125", "--home", place).stdout
    assert "http://127.0.0.1:8124" in said
    assert "http://127.0.0.1:8125" in said
    assert "serve console" in said
    assert "第一次启动时生成" in said


def test_the_door_is_among_it_where_it_was_set_up(tmp_path: Path) -> None:
    place = home(tmp_path, "[soap]", "port = 0")
    found = json.loads(run("up", "--check", "--json", "--home", place).stdout)
    assert found["parts"][-1]["name"] == "soap"
    assert found["parts"][-1]["command"][-4:] == ["serve", "soap", "--home", place]


def test_settings_of_servers_are_written_and_never_over_others(tmp_path: Path) -> None:
    said = run("airflow", "settings")
    assert "AIRFLOW__CORE__EXECUTOR=LocalExecutor" in said.stdout
    folder = tmp_path / "deploy"
    words = ["airflow", "settings", "--shape", "cluster", "--into", str(folder)]
    assert run(*words).returncode == 0
    found = json.loads(run("airflow", "settings", "--shape", "cluster", "--json").stdout)
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == found["files"]
    (folder / "worker.env").write_text("mine", encoding="utf-8")
    again = run(*words)
    assert again.returncode == 5
    assert (folder / "worker.env").read_text(encoding="utf-8") == "mine"
    assert run("airflow", "settings", "--shape", "ring").returncode == 2


def hub(place: Path, *lines: str) -> str:
    """A hub's home in which nothing is registered yet."""
    department = ["--department-code", HUB, "--department-name", "行政审批局", "--division", "321200"]
    run("init", *department, "--actor", "张三", "--home", str(place)).check_returncode()
    with (place / "shutong.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *lines, ""]))
    return str(place)


class Up:
    """``shutong up`` in a home, as somebody starts it."""

    def __init__(self, place: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "up", "--port", "0", "--json", "--home", place],
            cwd=ROOT, env={**os.environ, "SHUTONG_PORT": "0"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        text = ""
        while line := self.process.stdout.readline():
            text += line
            if line == "}\n":
                break
        self.told = json.loads(text) if text else {}

    @property
    def groups(self) -> set[int]:
        return set(self.told["pids"].values())

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Exit status, and what was said besides."""
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def well_and_comes_back(up: Up) -> None:
    """The console knows the scheduler beside it, and one that is killed is started again at the same address."""
    console, until = up.told["console"], time.monotonic() + 60
    while (ready := requests.get(f"{console}/readyz", timeout=10)).status_code != 200 and time.monotonic() < until:
        time.sleep(0.2)
    assert (ready.status_code, ready.json()["parts"]["scheduler"]["ok"]) == (200, True)
    os.kill(up.told["pids"]["console"], signal.SIGKILL)
    time.sleep(0.5)
    while True:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{console}/healthz", timeout=5).ok:
                break
        assert time.monotonic() < until
        time.sleep(0.2)
    # Its number is another now; what it was is among those that end with the rest.
    del up.told["pids"]["console"]


def test_everything_starts_and_ends_at_a_word(tmp_path: Path) -> None:
    place = hub(tmp_path / "home", "[soap]", "port = 0", "workers = 1", f'desk = "{DESK}"')
    up = Up(place)
    try:
        with Airflow(up.told["address"], up.told["user"], up.told["password"]) as airflow:
            assert airflow.health().well
            assert airflow.import_errors() == {}
        assert up.told["exchanges"] == 0
        assert set(up.told["pids"]) == {"api-server", "scheduler", "dag-processor", "triggerer", "console", "soap"}
        well_and_comes_back(up)
        second = run("up", "--port", "0", "--home", place)
        assert second.returncode == 5
        assert "已在运行" in second.stderr
        began = time.monotonic()
    finally:
        status, said = up.end(signal.SIGINT)
    assert status == 0
    assert time.monotonic() - began < 25
    assert leash.living(up.groups) == set()
    assert said.splitlines()[0] == "准备 Airflow 的数据库……"
    assert said.splitlines()[-2:] == ["正在停止……", "已全部停止"]
    assert up.told["password"] not in said
    assert {each["login"] for each in up.told["first"]} >= {"sysadmin", "secadmin", "auditadmin"}
    logs = "".join(path.read_text() for path in (tmp_path / "home" / "airflow" / "logs").glob("*.log"))
    assert [each["login"] for each in up.told["first"] if each["password"] in said + logs] == []


@pytest.mark.long
def test_started_again_it_tells_its_password_no_more_and_killed_it_takes_all_with_it(tmp_path: Path) -> None:
    place = hub(tmp_path / "home")
    up = Up(place)
    up.end(signal.SIGINT)
    again = Up(place)
    try:
        assert "password" not in again.told
        assert again.told["first"] == []
        kept = json.loads(Path(again.told["password_file"]).read_text(encoding="utf-8"))
        assert kept == {"admin": up.told["password"]}
        requests.get(f"{again.told['address']}/api/v2/monitor/health", timeout=10).raise_for_status()
    finally:
        os.kill(again.process.pid, signal.SIGKILL)
        again.process.communicate(timeout=60)
    until = time.monotonic() + 30
    while leash.living(again.groups):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_start_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    place = hub(tmp_path / "home")
    words = [*PROGRAM, "up", "--port", "0", "--home", place]
    environment = {**os.environ, "SHUTONG_PORT": "0"}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "准备 Airflow 的数据库……\n"
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(30) == 130
    # Accounts were made before, and nobody is told of their passwords again.
    assert "账号 sysadmin，口令 " in said
    assert not (tmp_path / "home" / "airflow" / "logs" / "scheduler.log").exists()
