"""What arrives starts its exchange under a real Airflow, and none of it is lost, whoever dies meanwhile."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.db.tables import FileRow, RunRow
from exchange.engine import lease
from exchange.scheduling.connections import open_connection
from exchange.secrets import open_connections_by
from exchange.service.desk import HubDesk
from tests.exchange.engine.town import COLUMNS, POLICE, Town, identity_number, person, publish, resource
from tests.exchange.service.callers import PUSHER, pushed
from tests.support.airflow import AirflowServer
from tests.support.openssh import OpenSSHServer

EXCHANGE, DISTANT, PUSHED = "sync-101001001-0077", "sync-101001001-0078", "sync-101001001-0079"
QUICK = 45.0
"""Seconds within which a dropped file has to be in the library, on a machine that others use."""


class Inbox:
    """A drop of the town's police that Airflow watches; its directory, and its options where it lies on a server."""

    def __init__(
        self, exchange: str, town: Town, airflow: AirflowServer, root: Path, options: dict[str, Any] | None = None
    ) -> None:
        self.exchange = exchange
        self.town = town
        self.airflow = airflow
        self.root = root
        self.dropped: list[str] = []
        name, code = f"inbox-{exchange[-2:]}", exchange.removeprefix("sync-").replace("-", "/")
        with town.hub() as hub:
            spec = EndpointSpec(name=name, department=POLICE, kind="files", options=options or {"root": str(root)})
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
            offer = {
                "endpoint": name,
                "object": "people_*.csv",
                "columns": {name: name for name in COLUMNS},
                "capture": "batches",
                "options": {"after": "leave"},
            }
            publish(town, hub, resource(code=code, name=f"人口登记文件 {code}", offer=offer))
            hub.timetable.publish()
        airflow.until(lambda: exchange in airflow.dags(), "the exchange of the drop", 30)

    def drop(self, number: int) -> str:
        """A file with one person, and what says that it is whole."""
        name, row = f"people_{number:04}.csv", person(number)
        content = f"{','.join(COLUMNS)}\n{','.join(str(row[each]) for each in COLUMNS)}\n".encode()
        (self.root / name).write_bytes(content)
        about = {"rows": 1, "sha256": hashlib.sha256(content).hexdigest()}
        (self.root / f"{name}.manifest.json").write_text(json.dumps(about))
        self.dropped.append(name)
        return name

    def taken(self) -> list[str]:
        """The files that the hub took, each as often as it did."""
        return self.town.all(sa.select(FileRow.name).where(FileRow.exchange == self.exchange).order_by(FileRow.name))

    def people(self) -> list[str]:
        """Who is in the library by these files."""
        table = f"r_{self.exchange.removeprefix('sync-').replace('-', '_')}"
        return sorted(row[0] for row in self.town.query("library", f"SELECT id_no FROM {table}"))

    def wait_taken(self, patience: float) -> float:
        """Wait until all that was dropped was taken; how long that took."""
        begun = time.monotonic()
        self.airflow.until(lambda: set(self.taken()) >= set(self.dropped), "files to be taken", patience)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def inbox(airflow_town: Town, airflow: AirflowServer, tmp_path_factory: pytest.TempPathFactory) -> Inbox:
    return Inbox(EXCHANGE, airflow_town, airflow, tmp_path_factory.mktemp("inbox"))


def states(inbox: Inbox) -> set[str]:
    query = sa.select(RunRow.state).where(RunRow.exchange == EXCHANGE)
    return set(inbox.town.all(query))


def test_a_dropped_file_starts_its_exchange_within_seconds(inbox: Inbox, airflow: AirflowServer) -> None:
    inbox.drop(500)
    inbox.wait_taken(120)  # Airflow may just be about to begin to watch
    airflow.wait_idle(EXCHANGE)
    inbox.drop(501)
    assert inbox.wait_taken(120) < QUICK
    airflow.wait_idle(EXCHANGE)
    assert {(run["run_type"], run["state"]) for run in airflow.runs(EXCHANGE)} == {("asset_triggered", "success")}


def test_of_two_bursts_none_is_lost_though_the_triggerer_dies_between_them(
    inbox: Inbox, airflow: AirflowServer
) -> None:
    for number in range(502, 512):
        inbox.drop(number)
        time.sleep(0.2)
    airflow.kill("triggerer")
    airflow.wait_idle(EXCHANGE)
    for number in range(512, 522):
        inbox.drop(number)  # Nobody watches; housekeeping may come by.
    airflow.begin("triggerer")
    inbox.wait_taken(150)
    airflow.wait_idle(EXCHANGE)
    assert inbox.taken() == sorted(inbox.dropped)  # each once
    assert inbox.people() == sorted(identity_number(number) for number in range(500, 522))
    assert states(inbox) == {"settled"}
    assert {run["state"] for run in airflow.runs(EXCHANGE)} <= {"success"}


def test_what_was_told_names_no_file(inbox: Inbox, airflow: AirflowServer) -> None:
    """A file's name can hold a person's."""
    told: list[dict[str, Any]] = airflow.get("assets/events", limit=100)["asset_events"]
    arrived = [each for each in told if (each["extra"] or {}).get("from_trigger")]
    assert arrived
    assert "people_" not in json.dumps(arrived)


def test_a_message_that_lies_is_carried_out_within_seconds(airflow_town: Town, airflow: AirflowServer) -> None:
    """Whoever took it in found somebody else at work, or died."""
    town, code = airflow_town, PUSHED.removeprefix("sync-").replace("-", "/")
    with town.hub() as hub:
        box = EndpointSpec(name="box", department=POLICE, kind="mailbox", options={})
        hub.registration.put_endpoint(box, by=town.actor("integrator"))
        offer = {"endpoint": "box", "object": "people", "columns": {c: c for c in COLUMNS}, "capture": "pushed"}
        publish(town, hub, resource(code=code, name="推送人口", offer=offer))
        hub.timetable.publish()
    airflow.until(lambda: PUSHED in airflow.dags(), "the exchange of the box", 30)
    for number, patience in ((700, 120.0), (701, QUICK)):  # Airflow may just be about to begin to watch
        with town.hub() as hub:
            with hub.database.transaction() as session:
                epoch = lease.acquire(session, PUSHED, owner="other", seconds=60)
            with HubDesk(hub) as desk:
                assert desk.push(PUSHER, code, f"M{number}", pushed(person(number))).state == "received"
            with hub.database.transaction() as session:
                lease.release(session, PUSHED, owner="other", epoch=epoch)
            with HubDesk(hub) as desk:
                told = partial(desk.status, PUSHER, f"M{number}")
                airflow.until(lambda told=told: told().state == "delivered", "the message", patience)
        airflow.wait_idle(PUSHED)
    assert {(run["run_type"], run["state"]) for run in airflow.runs(PUSHED)} == {("asset_triggered", "success")}
    assert sorted(town.query("library", "SELECT id_no FROM r_101001001_0079")) == sorted(
        (identity_number(number),) for number in (700, 701)
    )


@pytest.fixture
def key_in_airflow(
    airflow: AirflowServer, openssh_server: OpenSSHServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A connection of Airflow's with the key of a server; who registers the drop, here, has it in a variable."""
    key = openssh_server.key.read_text()
    told = {"conn_type": "shutong", "extra": json.dumps({"key": key})}
    airflow.call("POST", "connections", content={"connection_id": "drop", **told})
    monkeypatch.setenv("AIRFLOW_CONN_DROP", json.dumps(told))
    open_connections_by(open_connection)
    yield key
    open_connections_by(None)


def test_a_drop_s_key_may_lie_in_airflow_alone(
    airflow_town: Town, airflow: AirflowServer, openssh_server: OpenSSHServer, key_in_airflow: str
) -> None:
    """The triggerer watches with it, the task collects with it, and neither tells it to anybody."""
    root = openssh_server.new_folder()
    options = openssh_server.options(root, key="airflow:drop#extra.key")
    distant = Inbox(DISTANT, airflow_town, airflow, root, options)
    distant.drop(600)
    distant.wait_taken(150)
    airflow.wait_idle(DISTANT)
    assert {(run["run_type"], run["state"]) for run in airflow.runs(DISTANT)} == {("asset_triggered", "success")}
    assert distant.people() == [identity_number(600)]
    secret = max(key_in_airflow.splitlines(), key=len)
    told = [path for path in airflow.folder.rglob("*.log") if secret in path.read_text(errors="replace")]
    assert told == []
    run = airflow.runs(DISTANT)[0]["dag_run_id"]
    assert airflow.task_log(DISTANT, run)
    assert secret not in json.dumps(airflow.xcom(DISTANT, run))
    assert secret.encode() not in (airflow_town.home / "hub.db").read_bytes()
