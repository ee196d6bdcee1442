from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from exchange.scheduling import leash
from exchange.scheduling.shapes import SMALL, variable
from tests.support.airflow import AirflowServer

LOCAL = json.dumps([{"name": "dags", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}}])


def test_its_environment_is_its_own(tmp_path: Path) -> None:
    server = AirflowServer(tmp_path, {"AIRFLOW__CORE__PARALLELISM": "1"})
    try:
        given = server.environment()
        assert given["AIRFLOW_HOME"] == str(server.folder)
        assert given["SHUTONG_HOME"] == str(tmp_path)
        assert given["AIRFLOW__CORE__PARALLELISM"] == "1"
        # What people run is what is tested.
        assert {variable(name): value for name, value in SMALL.items()}.items() <= given.items()
        assert given["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith(f"sqlite:///{server.folder}")
    finally:
        server.stop()


def test_a_component_ends_with_everything_that_it_started(tmp_path: Path) -> None:
    server = AirflowServer(tmp_path, {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": LOCAL})
    try:
        # Nobody asks it to end in peace: what it started must not outlive it.
        server._processes["api-server"] = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
        group = server.pid("api-server")
        server.kill("api-server")
        assert not leash.living({group})
        server._processes["scheduler"] = subprocess.Popen(
            ["sh", "-c", "trap '' INT; sleep 60 & wait"], start_new_session=True
        )
        group = server.pid("scheduler")
        server.end("scheduler", signal.SIGINT, patience=0.5)
        assert not leash.living({group})
    finally:
        server.stop()
    assert not server.folder.exists()
