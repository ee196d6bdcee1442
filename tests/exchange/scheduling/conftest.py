"""One Airflow for all tests, with the exchanges of one small town."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import Town, build
from tests.support.airflow import AirflowServer

__all__ = ["built_town", "town"]

# Airflow reads where it lives when it is first imported, and writes there at once.
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="shutong-airflow-unit-"))
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW_HOME / "dags"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(AIRFLOW_HOME / "bundles"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__OPENLINEAGE__DISABLED": "True",
}

LOGS = Path(__file__).resolve().parents[3] / ".pytest_cache" / "servers"


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's own database for tests inside this process."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="package")
def airflow_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The town whose exchanges the tests' Airflow runs."""
    folder = tmp_path_factory.mktemp("airflow")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls)) as town:
        yield town


@pytest.fixture(scope="package")
def airflow(airflow_town: Town, request: pytest.FixtureRequest) -> Iterator[AirflowServer]:
    """A private Airflow, started when first asked for, ended with the last test here: its processes never rest."""
    server = AirflowServer(airflow_town.home)
    failed_before = request.session.testsfailed
    try:
        server.start()
        yield server
    finally:
        server.stop(keep_logs_in=LOGS if request.session.testsfailed > failed_before else None)
