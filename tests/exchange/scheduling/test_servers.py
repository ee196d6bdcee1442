"""The same project on one server and on several, by the files that are written for it and nothing else."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from exchange.errors import HubError
from exchange.scheduling.client import Airflow
from exchange.scheduling.processes import Part, Processes
from exchange.scheduling.publishing import publish
from exchange.scheduling.shapes import Shape, files
from tests.exchange.engine.town import SYNC, Town, build, person
from tests.exchange.scheduling.test_shapes import variables
from tests.support.rabbitmq import RabbitMQServer
from tests.support.servers import Server, free_port

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 400.0
PROGRAM = "/opt/shutong/.venv/bin/python"


class Deployment:
    """What an administrator does with the files: lays them down, fills the secrets in, starts the services."""

    def __init__(self, shape: Shape, folder: Path, home: Path, database: str, broker: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.home = folder / "airflow"
        secret = {
            "airflow-database": database,
            "airflow-fernet-key": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "airflow-api-key": secrets.token_hex(64),
            "airflow-jwt-key": secrets.token_hex(64),
            "airflow-broker": broker,
            "airflow-results": f"db+{database}",
        }
        self.home.mkdir()
        for name, text in {**secret, **files(shape, place=str(folder))}.items():
            # What the examples leave to the administrator: places and addresses.
            text = text.replace("/var/lib/shutong-airflow", str(self.home)).replace("/var/lib/shutong", str(home))
            for address in ("http://127.0.0.1:8080", "http://airflow.example.gov.cn:8080"):
                text = text.replace(address, f"http://127.0.0.1:{self.port}")
            text = text.replace("API__PORT=8080", f"API__PORT={self.port}").replace("=0.0.0.0", "=127.0.0.1")
            text = text.replace("CORE__PARALLELISM=16", "CORE__PARALLELISM=2")
            text = text.replace("WORKER_CONCURRENCY=8", "WORKER_CONCURRENCY=1")
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(text, encoding="utf-8")

    def environment(self, name: str = "airflow.env") -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "SHUTONG", "PYTHOND"))
        }
        given = variables((self.folder / name).read_text(encoding="utf-8"))
        return {**kept, **given, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1,localhost"}

    def part(self, name: str) -> Part:
        """A service, as its unit starts it."""
        unit = (self.folder / f"shutong-{name}.service").read_text(encoding="utf-8")
        [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
        program, *words = line.removeprefix("ExecStart=").split()
        assert program == PROGRAM
        return Part(name, name, (sys.executable, *words))

    def migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=self.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]

    @contextmanager
    def running(self) -> Iterator[Processes]:
        names = ("api-server", "scheduler", "dag-processor", "triggerer")
        processes = Processes([self.part(name) for name in names], self.environment(), self.home / "out")
        processes.start()
        try:
            until(lambda: self.client().health().well, "all to be well", processes)
            yield processes
        finally:
            processes.stop()

    def client(self) -> Airflow:
        kept = self.home / "simple_auth_manager_passwords.json.generated"
        password = json.loads(kept.read_text(encoding="utf-8"))["admin"] if kept.exists() else ""
        return Airflow(f"http://127.0.0.1:{self.port}", "admin", password)


def until(look: Callable[[], object], what: str, *processes: Processes) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        for each in processes:
            each.demand_running()
        try:
            if look():
                return
        except HubError:
            pass
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.3)


@pytest.fixture
def people(tmp_path: Path, postgresql_server: Server) -> Iterator[Town]:
    """A town whose hub keeps its books on a server."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    hub = postgresql_server.new_database()
    with closing(build(tmp_path / "home", urls, hub_url=hub)) as town:
        yield town
    postgresql_server.drop_database(hub)


@pytest.fixture
def database(postgresql_server: Server) -> Iterator[str]:
    """Airflow's own, as its drivers are told of it."""
    url = postgresql_server.new_database()
    yield sa.make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    postgresql_server.drop_database(url)


def exchanged(deployment: Deployment, people: Town, *processes: Processes) -> None:
    """What comes in is shared, without anybody saying so."""
    with deployment.client() as airflow:
        until(lambda: {SYNC, people.share} <= {dag.id for dag in airflow.dags()}, "the exchanges to be read")
        assert airflow.import_errors() == {}
        people.report(*(person(number) for number in range(1, 8)))
        done = airflow.trigger(SYNC)
        until(lambda: airflow.run(SYNC, done.id).ended, "the synchronisation to end", *processes)
        assert airflow.run(SYNC, done.id).state == "success"
        until(lambda: people.rows("tax") == people.granted(), "what came in to be shared", *processes)
    assert people.rows("library") == people.good()
    assert people.faults() == []


def test_one_server_runs_by_the_files_written_for_it(tmp_path: Path, people: Town, database: str) -> None:
    publish(people.home)
    folder = tmp_path / "etc"
    folder.mkdir()
    deployment = Deployment("server", folder, people.home, database)
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in deployment.environment()
    deployment.migrate()
    with deployment.running() as processes:
        exchanged(deployment, people, processes)
    assert not (deployment.home / "airflow.db").exists(), "its database is on the server"


@pytest.mark.long
def test_several_servers_share_the_work(
    tmp_path: Path, people: Town, database: str, rabbitmq_server: RabbitMQServer
) -> None:
    publish(people.home)
    folder = tmp_path / "etc"
    folder.mkdir()
    user, password = quote(rabbitmq_server.user, safe=""), quote(rabbitmq_server.password, safe="")
    broker = f"amqp://{user}:{password}@{rabbitmq_server.host}:{rabbitmq_server.port}//"
    deployment = Deployment("cluster", folder, people.home, database, broker)
    deployment.migrate()
    told = deployment.environment("worker.env")
    assert not [name for name in told if "SQL_ALCHEMY" in name], "workers speak to the interface alone"
    unit = deployment.part("worker")
    workers = [
        Processes(
            [Part(name, name, (*unit.command, "--celery-hostname", f"{name}@%h"))],
            # As each is a machine of its own, so is the port on which it shows what runs wrote about themselves.
            {**told, "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port())},
            deployment.home / "out",
        )
        for name in ("one", "two")
    ]
    with deployment.running() as processes:
        try:
            for worker in workers:
                worker.start()
            exchanged(deployment, people, processes, *workers)
            with deployment.client() as airflow:
                runs = [airflow.trigger("shutong-keep"), airflow.trigger(SYNC), airflow.trigger(people.share)]
                for run in runs:
                    until(lambda run=run: airflow.run(run.dag, run.id).ended, "the run to end", processes, *workers)
                    assert airflow.run(run.dag, run.id).state == "success"
        finally:
            for worker in workers:
                worker.stop()
    done = [worker.log(name).read_text(encoding="utf-8") for worker, name in zip(workers, ("one", "two"), strict=True)]
    assert all("succeeded in" in said for said in done), "both had a share"
