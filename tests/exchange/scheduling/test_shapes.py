"""What Airflow is told in each shape is what Airflow knows, and holds no secret."""

from __future__ import annotations

import json
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from exchange.scheduling import shapes
from exchange.scheduling.shapes import Shape, embedded, files, variable


def variables(text: str) -> dict[str, str]:
    """An environment file as whoever starts services reads it."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    return {name: shlex.split(value)[0] if value.startswith("'") else value for name, value in found.items()}


def known() -> set[str]:
    """Every setting that Airflow and its providers describe."""
    place = find_spec("airflow")
    assert place is not None
    assert place.origin is not None
    folder = Path(place.origin).parent
    found = yaml.safe_load((folder / "config_templates" / "config.yml").read_text(encoding="utf-8"))
    names = {f"{section}.{name}" for section, content in found.items() for name in content["options"]}
    celery = (folder / "providers" / "celery" / "get_provider_info.py").read_text(encoding="utf-8")
    return names | {
        f"celery.{name}"
        for name in ("worker_concurrency", "task_acks_late", "broker_url", "result_backend")
        if f'"{name}"' in celery
    }


def test_every_setting_is_one_of_airflows() -> None:
    told = {*embedded(Path("/h"), host="127.0.0.1", port=1, parallelism=2)}
    told |= {*shapes.COMMON, *shapes.SERVER, *shapes.CLUSTER, *shapes.SECRETS, *shapes.BROKERED}
    assert told - known() == set()
    assert len(told) > 35


def test_the_embedded_one_stays_on_this_machine() -> None:
    found = embedded(Path("/h"), host="0.0.0.0", port=8095, parallelism=3)
    assert found["core.execution_api_server_url"] == "http://127.0.0.1:8095/execution/"
    assert found["core.parallelism"] == "3"
    assert found["database.sql_alchemy_conn"] == "sqlite:////h/airflow.db?timeout=60"
    assert json.loads(found["dag_processor.dag_bundle_config_list"])[0]["classpath"] == shapes.CLASS
    assert int(found["scheduler.task_instance_heartbeat_timeout"]) <= 60


def test_variables_are_named_as_airflow_reads_them() -> None:
    assert variable("api_auth.jwt_secret") == "AIRFLOW__API_AUTH__JWT_SECRET"


@pytest.mark.parametrize("shape", ["server", "cluster"])
def test_files_of_servers_hold_no_secret(shape: Shape) -> None:
    found = files(shape, place="/etc/x")
    told = variables(found["airflow.env"])
    for name in shapes.SECRETS:
        assert variable(name) not in told
        assert told[f"{variable(name)}_CMD"] == f"cat /etc/x/{shapes.SECRETS[name]}"
    for name, text in found.items():
        if name.endswith(".service"):
            lines = text.splitlines()
            assert "KillSignal=SIGINT" in lines
            assert f"EnvironmentFile=/etc/x/{'worker' if 'worker' in name else 'airflow'}.env" in lines
    expected = {"airflow.env", *(f"shutong-{name}.service" for name in shapes.COMPONENTS)}
    assert set(found) == expected | ({"worker.env", "shutong-worker.service"} if shape == "cluster" else set())


def test_workers_do_not_know_airflows_database() -> None:
    told = variables(files("cluster")["worker.env"])
    assert not [name for name in told if "SQL_ALCHEMY" in name]
    assert told["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert told["AIRFLOW__CELERY__BROKER_URL_CMD"].startswith("cat ")
    assert "SHUTONG_HOME" in told


def test_a_shell_reads_them_alike(tmp_path: Path) -> None:
    file = tmp_path / "airflow.env"
    file.write_text(files("server")["airflow.env"], encoding="utf-8")
    words = ["sh", "-c", f"set -a; . {file}; env -0"]
    said = subprocess.run(words, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout.decode()
    read = dict(line.split("=", 1) for line in said.split("\0") if line)
    told = variables(file.read_text(encoding="utf-8"))
    assert {name: read.get(name) for name in told} == told
