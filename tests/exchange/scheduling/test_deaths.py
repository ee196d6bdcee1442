"""Each of Airflow's processes is killed in the middle of a run: the run ends all the same, and nothing moves twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.errors import HubError
from exchange.scheduling.client import Airflow, DagRun, Task
from exchange.scheduling.embedded import Embedded
from exchange.scheduling.processes import Processes
from exchange.scheduling.publishing import publish
from exchange.settings import load_settings
from tests.exchange.engine.town import SYNC, Town, clone, person

pytestmark = pytest.mark.long

PATIENCE = 400.0
"""A machine that others use too is slow."""
NUMBERS = count(1)


@pytest.fixture(scope="module")
def people(built_town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with closing(clone(built_town, tmp_path_factory.mktemp("deaths"))) as town:
        town.hold_leases_for(5)
        yield town


@pytest.fixture(scope="module")
def airflow(people: Town) -> Iterator[Embedded]:
    """Airflow as it is started for a hub; that of the tests, which its tests know, is another."""
    found = Embedded(load_settings(people.home), port=0)
    found.prepare()
    publish(people.home)
    with found:
        until(lambda: SYNC in names(found), "its exchanges to be read")
        yield found


def until(look: Callable[[], object], what: str) -> None:
    """Wait for something; whoever does not answer meanwhile is asked again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if look():
                return
        except (HubError, sqlite3.OperationalError):
            pass
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def names(airflow: Embedded) -> set[str]:
    with airflow.client() as client:
        return {dag.id for dag in client.dags()}


@contextmanager
def held(town: Town, place: str) -> Iterator[None]:
    """A database that nobody else writes to meanwhile: whoever wants to waits in the middle of his run."""
    with closing(sqlite3.connect(sa.make_url(town.urls[place]).database or "", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def running(client: Airflow, run: DagRun) -> Task | None:
    found = [task for task in client.tasks(SYNC, run.id) if task.state == "running" and task.pid]
    return found[0] if found else None


def begun(town: Town, before: int) -> bool:
    return len(town.runs(SYNC)) > before


def kill_worker(airflow: Embedded, task: Task) -> None:
    """The process that carries the exchange out, and the one that watches over it."""
    parent = int(Path(f"/proc/{task.pid}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (task.pid, parent):
        assert pid is not None
        assert os.getsid(pid) == airflow.pids["scheduler"]
        os.kill(pid, signal.SIGKILL)


def kill(part: str) -> Callable[[Embedded, Task], None]:
    def strike(airflow: Embedded, _task: Task) -> None:
        os.kill(airflow.pids[part], signal.SIGKILL)

    return strike


BLOWS = {
    "task": lambda _airflow, task: os.kill(task.pid, signal.SIGKILL),
    "worker": kill_worker,
    **{part: kill(part) for part in ("scheduler", "triggerer", "api-server", "dag-processor")},
}


@pytest.mark.parametrize("blow", BLOWS)
def test_a_run_ends_whoever_is_killed_meanwhile(airflow: Embedded, people: Town, blow: str) -> None:
    people.report(*(person(next(NUMBERS)) for _ in range(50)))
    before = len(people.runs(SYNC))
    with airflow.client() as client:
        with held(people, "library"):
            run = client.trigger(SYNC, run=f"{blow}-{before}")
            until(lambda: running(client, run) and begun(people, before), "the run to be in its midst")
            task = running(client, run)
            assert task is not None
            struck = time.monotonic()
            BLOWS[blow](airflow, task)
            time.sleep(1)
        until(lambda: client.run(SYNC, run.id).ended, "the run to end")
        assert client.run(SYNC, run.id).state == "success"
        taken = time.monotonic() - struck
        until(lambda: people.rows("tax") == people.granted(), "what came in to be shared")
        until(lambda: client.health().well, "all to be well again")
    assert people.rows("library") == people.good()
    settled = [run for run in people.runs(SYNC) if run.counts]
    assert sum(run.counts["written"] for run in settled) == len(people.good()), "none twice, none lost"
    # What a killed run had staged is cleared away by the next.
    until(lambda: set(people.owed()) <= {"tidy"}, "what was owed to be settled")
    assert people.faults() == []
    print(f"{blow}: ended {taken:.0f} s after the blow, in try {client_tries(airflow, run)}")


def client_tries(airflow: Embedded, run: DagRun) -> int:
    with airflow.client() as client:
        return max(task.attempt for task in client.tasks(SYNC, run.id))


def test_two_schedulers_run_nothing_twice(airflow: Embedded, people: Town) -> None:
    [scheduler] = [part for part in airflow.parts if part.name == "scheduler"]
    second = Processes([scheduler], airflow.environment(), airflow.folder / "second")
    second.start()
    try:
        time.sleep(15)
        for _ in range(4):
            people.report(*(person(next(NUMBERS)) for _ in range(5)))
            done = airflow.perform({SYNC: {}}, PATIENCE)[SYNC]
            assert done.state == "success"
        until(lambda: people.rows("tax") == people.granted(), "what came in to be shared")
        second.demand_running()
    finally:
        second.stop()
    assert people.rows("library") == people.good()
    assert sum(run.counts["written"] for run in people.runs(SYNC) if run.counts) == len(people.good())
    assert people.faults() == []


def test_a_hub_whose_database_does_not_answer_for_a_while_is_waited_for(airflow: Embedded, people: Town) -> None:
    people.report(*(person(next(NUMBERS)) for _ in range(5)))
    before = len(people.runs(SYNC))
    with airflow.client() as client:
        with held(people, "library"):
            run = client.trigger(SYNC)
            until(lambda: running(client, run) and begun(people, before), "the run to be in its midst")
            hub = sqlite3.connect(people.home / "hub.db", isolation_level=None)
            hub.execute("BEGIN EXCLUSIVE")
        # Longer than the lease lasts, and than anybody waits for a database.
        with closing(hub):
            time.sleep(45)
        until(lambda: client.run(SYNC, run.id).ended, "the run to end")
        assert client.run(SYNC, run.id).state == "success"
        until(lambda: people.rows("tax") == people.granted(), "what came in to be shared")
    assert people.rows("library") == people.good()
    assert sum(run.counts["written"] for run in people.runs(SYNC) if run.counts) == len(people.good())
    assert people.faults() == []
