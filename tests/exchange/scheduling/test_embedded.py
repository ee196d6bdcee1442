"""The embedded Airflow: private, alone in its home, well within half a minute, gone without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.errors import Failed, Misplaced
from exchange.scheduling import leash
from exchange.scheduling.embedded import Embedded
from exchange.settings import Airflow, Settings
from tests.exchange.settings.test_model import HUB

DAG = """
import time
from airflow.sdk import DAG, Asset, task

with DAG("nap", schedule=None, max_active_runs=1):
    @task(retries=3, retry_delay=1, outlets=[Asset("naps")])
    def sleep(dag_run=None, ti=None):
        time.sleep((dag_run.conf or {}).get("seconds", 0))
        return ti.try_number
    sleep()
"""


def settings(home: Path, **airflow: object) -> Settings:
    return Settings(home=home, hub_department=HUB, airflow=Airflow(**airflow))


def naps(home: Path) -> dict[str, str]:
    """DAGs of a test's own, in place of those of a hub's exchanges."""
    folder = home / "airflow" / "dags"
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("nap.py").write_text(DAG, encoding="utf-8")
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundle = {"name": "naps", "classpath": local, "kwargs": {"path": str(folder)}}
    return {"dag_processor.dag_bundle_config_list": json.dumps([bundle])}


# --- without starting it --------------------------------------------------------------------------


def test_its_keys_and_its_password_are_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    one = Embedded(settings(tmp_path))
    assert one.prepare()
    first = one.environment()
    assert len(one.password) >= 20
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"].encode()) >= 64
    assert len(first["AIRFLOW__API__SECRET_KEY"].encode()) >= 64
    again = Embedded(settings(tmp_path))
    assert not again.prepare()
    assert again.environment() == first
    assert again.password == one.password
    for file in (tmp_path / "airflow").rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600), file
    assert (
        Embedded(settings(tmp_path / "other")).environment()["AIRFLOW__CORE__FERNET_KEY"]
        != first["AIRFLOW__CORE__FERNET_KEY"]
    )


def test_the_settings_of_another_airflow_are_not_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/srv/airflow")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////srv/airflow/airflow.db")
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", "/srv/plugins")
    monkeypatch.setenv("AIRFLOW_CONN_TAX", '{"conn_type": "shutong"}')
    monkeypatch.setenv("SHUTONG_HOME", "/srv/hub")
    monkeypatch.setenv("SHUTONG_SECRET_TAX", "x")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    found = Embedded(
        settings(tmp_path, port=7, options={"core.parallelism": "5"}), options={"api.workers": "3"}
    ).environment()
    assert found["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert found["SHUTONG_HOME"] == str(tmp_path)
    assert str(tmp_path) in found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert not {"AIRFLOW__CORE__PLUGINS_FOLDER", "PYTHONDONTWRITEBYTECODE"} & set(found)
    assert found["AIRFLOW_CONN_TAX"]
    assert found["SHUTONG_SECRET_TAX"] == "x"
    assert (found["AIRFLOW__CORE__PARALLELISM"], found["AIRFLOW__API__WORKERS"]) == ("5", "3")
    assert found["AIRFLOW__API__PORT"] == "7"


def test_a_port_that_somebody_has_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = Embedded(settings(tmp_path, port=taken.getsockname()[1]))
        with pytest.raises(Misplaced, match="上监听") as raised:
            one.start()
    assert "--port" in raised.value.remedy
    assert not (tmp_path / "airflow" / "airflow.db").exists()


def test_it_is_started_once_in_a_home_whatever_a_killed_one_left(tmp_path: Path) -> None:
    one, other = Embedded(settings(tmp_path)), Embedded(settings(tmp_path))
    one.prepare()
    one._claim()
    with pytest.raises(Misplaced, match=f"已在运行（进程 {os.getpid()}）"):
        other._claim()
    one.stop()
    (tmp_path / "airflow" / "lock").write_text(f"{os.getpid()} 1")
    other._claim()
    other.stop()


def test_what_still_ends_is_waited_for(tmp_path: Path) -> None:
    """Its owner was killed; the leash has the lock until all have ended."""
    one = Embedded(settings(tmp_path))
    one.prepare()
    lock = tmp_path / "airflow" / "lock"
    hold = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(1.5)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE) as held:
        assert held.stdout is not None
        held.stdout.readline()
        said: list[str] = []
        other = Embedded(settings(tmp_path), say=said.append)
        other._claim()
        other.stop()
    assert said == ["等待上一次留下的进程结束……"]


def test_a_database_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    one = Embedded(settings(tmp_path, port=0), options={"database.sql_alchemy_conn": "nonsense://"})
    with pytest.raises(Failed, match="数据库没有准备好") as raised:
        one.start()
    assert (tmp_path / "airflow" / "logs" / "migrate.log").read_text()
    assert "migrate.log" in raised.value.remedy
    one._claim()  # nobody holds the home any more
    one.stop()


def test_a_start_can_be_halted(tmp_path: Path) -> None:
    one = Embedded(settings(tmp_path, port=0))
    one.halt()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        one.start()
    assert time.monotonic() - began < 5
    assert one.pids == {}


def test_what_runs_wrote_long_ago_is_removed(tmp_path: Path) -> None:
    one = Embedded(settings(tmp_path, log_days=2))
    one.prepare()
    old, new = (tmp_path / "airflow" / "runs" / "dag_id=x" / f"run_id={name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        folder.joinpath("attempt=1.log").touch()
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    parsed = [tmp_path / "airflow" / "parsed" / name for name in ("2026-01-01", "2026-01-09")]
    for folder in parsed:
        folder.mkdir(parents=True)
    os.utime(parsed[0], (time.time() - 3 * 86400,) * 2)
    one._prune()
    assert [folder.exists() for folder in parsed] == [False, True]
    assert not old.exists()
    assert new.joinpath("attempt=1.log").exists()


# --- started --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    home = tmp_path_factory.mktemp("home")
    found = Embedded(settings(home, port=0), options=naps(home))
    found.start()
    with found.client() as airflow:
        deadline = time.monotonic() + 60
        while not airflow.dags():
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield found
    groups = set(found.pids.values())
    found.stop()
    assert leash.living(groups) == set()


def test_all_of_it_is_well_and_listens_here_alone(running: Embedded) -> None:
    with running.client() as airflow:
        assert airflow.health().well
        assert airflow.import_errors() == {}
        (dag,) = airflow.dags()
        assert (dag.id, dag.paused) == ("nap", False)
        assert airflow.pools()["default_pool"].slots > 0
    assert set(running.pids) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert running.address.startswith("http://127.0.0.1:")
    with pytest.raises(Misplaced, match="已在运行"):
        Embedded(settings(running.folder.parent, port=0)).start()
    log = running.log("scheduler").read_text(encoding="utf-8")
    assert running.password not in log


def test_runs_are_started_and_looked_at(running: Embedded) -> None:
    done = running.perform({"nap": {"seconds": 0.1}}, 60)["nap"]
    assert (done.state, done.conf) == ("success", {"seconds": 0.1})
    with running.client() as airflow:
        assert airflow.run("nap", done.id) == done
        assert done in airflow.runs()
        (task,) = airflow.tasks("nap", done.id)
        assert (task.id, task.state, task.attempt) == ("sleep", "success", 1)
        assert airflow.xcom("nap", done.id, "sleep") == 1
        number = airflow.assets()["naps"]
        before = airflow.asset_events(number)
        assert [event["source_run_id"] for event in before] == [done.id]
        airflow.tell(number, extra={"by": "hand"})
        assert airflow.asset_events(number)[-1]["extra"]["by"] == "hand"
        airflow.clear("nap", done.id, note="once more")
        assert airflow.await_run("nap", done.id, 60).state == "success"
        assert airflow.tasks("nap", done.id)[0].attempt == 2
        airflow.pause("nap")
        assert airflow.dags()[0].paused
        airflow.pause("nap", paused=False)
    written = running.folder / "runs" / "dag_id=nap" / f"run_id={done.id}" / "task_id=sleep"
    assert written.joinpath("attempt=1.log").exists()
    assert written.joinpath("attempt=1.log").stat().st_mode & 0o077 == 0


def test_an_interface_that_dies_comes_back_under_a_run(running: Embedded) -> None:
    with running.client() as airflow:
        run = airflow.trigger("nap", conf={"seconds": 6})
        while not airflow.tasks("nap", run.id) or airflow.tasks("nap", run.id)[0].state != "running":
            time.sleep(0.1)
        os.kill(running.pids["api-server"], signal.SIGKILL)
        assert airflow.await_run("nap", run.id, 60).state == "success"
        assert airflow.xcom("nap", run.id, "sleep") == 1, "its first try"
