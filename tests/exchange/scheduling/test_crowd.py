"""Two hundred exchanges are due in the same minute on a small machine: all end well, and none runs twice."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from exchange.errors import HubError
from exchange.scheduling.embedded import Embedded
from exchange.scheduling.publishing import publish
from exchange.settings import load_settings
from exchange.snapshot import NAME, read
from tests.exchange.engine.town import COLUMNS, HERE, SYNC, Town, build, grant, person

pytestmark = pytest.mark.long

DUE = 200
PEOPLE = 20
MINUTES = 30
"""How long it may take on a machine that others use too; alone it takes about five."""


def test_two_hundred_due_in_a_minute_all_end_and_none_twice(tmp_path: Path) -> None:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls)) as town:
        grants = [town.grant, *granted(town, DUE - 1)]
        town.report(*(person(number, district=HERE) for number in range(1, PEOPLE + 1)))
        publish(town.home)
        found = read(town.home / NAME)
        shares = {f"share-{each}" for each in grants}
        assert shares <= {each.id for each in found.exchanges}
        began = 0.0
        with Embedded(load_settings(town.home), port=0) as airflow, airflow.client() as client:
            until = time.monotonic() + MINUTES * 60
            while not shares <= {dag.id for dag in client.dags()}:
                assert time.monotonic() < until
                time.sleep(1)
            began = time.monotonic()
            # One refresh makes all of them due at once.
            airflow.perform({SYNC: {}}, MINUTES * 60)
            done: set[str] = set()
            while not shares <= done:
                assert time.monotonic() < until, f"{len(shares - done)} have not ended"
                try:
                    done = {run.dag for run in client.runs() if run.state == "success"}
                except HubError:
                    continue
                time.sleep(2)
            runs = [run for run in client.runs() if run.dag in shares]
        print(f"{DUE} exchanges ended within {time.monotonic() - began:.0f} s, in {len(runs)} runs")
        assert {run.state for run in runs} == {"success"}
        for share in shares:
            written = [run.counts["written"] for run in town.runs(share) if run.counts]
            assert sum(written) == PEOPLE, f"{share}: {written}"
        assert town.faults() == []


def granted(town: Town, number: int) -> list[str]:
    """As many further grants of the same resource, each into a table of its own."""
    made = []
    with town.hub() as hub:
        for each in range(number):
            columns = {name: name for name in COLUMNS}
            target = {"endpoint": "tax", "object": f"person_{each:03}", "columns": columns}
            made.append(grant(town, hub, target=target, scene=f"办理第 {each} 项业务"))
            script = hub.sharing.prepare(f"share-{made[-1]}")
            with town.databases["tax"].begin() as connection:
                for statement in filter(str.strip, script.split(";\n")):
                    connection.exec_driver_sql(statement.strip().rstrip(";"))
    return made
