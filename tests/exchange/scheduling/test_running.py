"""Exchanges under a real Airflow, its processes, its database and its interface: all in one file, for one Airflow."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.scheduling.batches import BATCH
from exchange.scheduling.links import ExchangeLink, RunLink
from tests.exchange.engine.town import COLUMNS, SYNC, Town, grant, person
from tests.support.airflow import HEARTS, AirflowServer

KEEP = "shutong-keep"
VERIFY = "shutong-verify"
CONSOLE = "http://127.0.0.1:8090"
"""Where the console of a hub is that was told nothing else."""
QUICK = 15.0
"""Seconds within which what starts by itself has to have started."""


@pytest.fixture(scope="module", autouse=True)
def published(airflow_town: Town) -> None:
    with airflow_town.hub() as hub:
        hub.timetable.publish()


@pytest.fixture
def town(airflow_town: Town, airflow: AirflowServer) -> Town:
    """The town that Airflow runs; whatever tests before have left in it."""
    everything = {SYNC, airflow_town.share, KEEP}
    airflow.until(lambda: everything <= set(airflow.dags()), "the town's DAGs", 30)
    airflow.wait_idle(SYNC, airflow_town.share)
    return airflow_town


def collected(town: Town, airflow: AirflowServer, *numbers: int) -> dict[str, Any]:
    """Report people and let Airflow collect them; the run."""
    town.report(*(person(number) for number in numbers))
    return airflow.wait_run(SYNC, airflow.trigger(SYNC))


def arrived(town: Town) -> bool:
    return town.rows("tax") == town.granted()


def stranded(airflow: AirflowServer) -> int:
    """Events that have started nothing."""
    with closing(sqlite3.connect(f"file:{airflow.folder / 'airflow.db'}?mode=ro", uri=True)) as database:
        query = "SELECT count(*) FROM asset_partition_dag_run WHERE created_dag_run_id IS NULL"
        return int(database.execute(query).fetchone()[0])


@contextmanager
def locked(town: Town, place: str) -> Iterator[None]:
    """Keep everybody from writing at a place for a while."""
    with closing(sqlite3.connect(sa.make_url(town.urls[place]).database or "", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def in_the_hub(town: Town, statement: str, **values: Any) -> None:
    """Change something in the hub's own database, behind everybody's back, and publish."""
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.execute(sa.text(statement), values)
        hub.timetable.publish()


def test_every_exchange_runs_green_and_a_refresh_starts_its_delivery(town: Town, airflow: AirflowServer) -> None:
    assert airflow.dags() == sorted([SYNC, town.share, KEEP, VERIFY])
    assert airflow.import_errors() == []
    pools = {pool["name"]: pool["slots"] for pool in airflow.get("pools")["pools"]}
    assert pools["shutong:police"] == pools["shutong:tax"] == 2
    shown = airflow.get(f"dags/{SYNC}/details")
    assert "归集" in shown["dag_display_name"]
    assert shown["owners"] == ["公安局"]
    assert {"归集", "公安局"} <= {tag["name"] for tag in shown["tags"]}
    # Nothing has run yet, whatever ticks there were before.
    assert [run["run_type"] for run in airflow.runs(SYNC) if run["run_type"] == "scheduled"] == []

    before = len(airflow.runs(town.share))
    run = collected(town, airflow, 1, 2, 4)
    assert run["state"] == "success"
    metrics = airflow.xcom(SYNC, run["dag_run_id"], key="metrics")
    assert (metrics["read"], metrics["written"], metrics["state"]) == (3, 3, "settled")
    [receipt] = town.receipts(SYNC)
    assert (metrics["receipt"], metrics["run"]) == (receipt.id, receipt.run)
    assert metrics["delivery"] == town.runs(SYNC)[-1].delivery

    since = time.monotonic()
    started = airflow.until(lambda: airflow.runs(town.share)[before:], "the delivery to start by itself", QUICK)
    assert time.monotonic() - since < QUICK
    assert airflow.wait_run(town.share, started[0]["dag_run_id"])["state"] == "success"
    assert started[0]["run_type"] == "asset_triggered"
    assert arrived(town)
    delivered = airflow.xcom(town.share, started[0]["dag_run_id"], key="metrics")
    assert delivered["receipt"] in [each.id for each in town.receipts(town.share)]
    [event] = airflow.all("assets/events", "asset_events", source_dag_id=SYNC)
    assert (event["extra"]["receipt"], event["partition_key"]) == (receipt.id, started[0]["partition_key"])

    links = airflow.get(f"dags/{SYNC}/dagRuns/{run['dag_run_id']}/taskInstances/exchange/links")["extra_links"]
    assert links == {
        RunLink.name: f"{CONSOLE}/runs/{receipt.run}",
        ExchangeLink.name: f"{CONSOLE}/exchanges/{SYNC}",
    }
    told = airflow.task_log(SYNC, run["dag_run_id"])
    assert "已办结" in told
    assert not [word for row in town.reported.values() for word in (row["id_no"], row["name"]) if word in told]


def test_a_run_that_changes_nothing_starts_nothing(town: Town, airflow: AirflowServer) -> None:
    before = len(airflow.all("assets/events", "asset_events", source_dag_id=SYNC))
    run = airflow.wait_run(SYNC, airflow.trigger(SYNC))
    assert run["state"] == "success"
    assert airflow.xcom(SYNC, run["dag_run_id"], key="metrics")["written"] == 0
    assert len(airflow.all("assets/events", "asset_events", source_dag_id=SYNC)) == before


def test_a_burst_of_refreshes_during_a_slow_delivery_loses_none(town: Town, airflow: AirflowServer) -> None:
    airflow.wait_idle(town.share)
    with locked(town, "tax"):
        for number in (11, 13, 14):
            assert collected(town, airflow, number)["state"] == "success"
    for number in (16, 17):
        assert collected(town, airflow, number)["state"] == "success"
    airflow.until(lambda: arrived(town), "everything to arrive", 60)
    airflow.until(lambda: stranded(airflow) == 0, "every event to have its run", 30)
    airflow.wait_idle(town.share)
    assert {run["state"] for run in airflow.runs(town.share)} == {"success"}
    # Nobody had to deliver anything twice.
    assert town.ledger(town.share) == sorted({run.delivery for run in town.runs(town.share)})


def test_a_run_is_cleared_and_an_exchange_run_again_by_hand(town: Town, airflow: AirflowServer) -> None:
    run = collected(town, airflow, 21)["dag_run_id"]
    given = {"dag_run_id": run, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
    airflow.call("POST", f"dags/{SYNC}/clearTaskInstances", content=given)
    airflow.until(lambda: airflow.task(SYNC, run)["try_number"] == 2, "the second try")
    assert airflow.wait_run(SYNC, run)["state"] == "success"
    assert airflow.xcom(SYNC, run, key="metrics")["written"] == 0

    airflow.until(lambda: arrived(town), "everything to arrive")
    airflow.wait_idle(town.share)
    town.execute("tax", "DELETE FROM person")
    again = airflow.trigger(town.share, redeliver=True)
    assert airflow.wait_run(town.share, again)["state"] == "success"
    assert arrived(town)
    with town.hub() as hub:
        found = hub.audit.search(by=town.actor("auditor"), exchange=town.share, actor="admin")
        assert found.events, "the log does not name who asked for it"


def test_what_came_of_no_event_is_called_by_housekeeping(town: Town, airflow: AirflowServer) -> None:
    airflow.until(lambda: arrived(town), "everything to arrive")
    airflow.wait_idle(town.share, KEEP)
    # It is collected, and Airflow hears nothing of it.
    town.report(person(31))
    town.run(SYNC)
    assert not arrived(town)
    kept = airflow.trigger(KEEP, grace=0)
    assert airflow.wait_run(KEEP, kept)["state"] == "success"
    assert airflow.xcom(KEEP, kept, "keep")["called"] == [town.share]
    airflow.until(lambda: arrived(town), "the delivery that was called", 30)
    airflow.wait_idle(town.share)
    # Now nothing is behind, and nobody is called.
    again = airflow.trigger(KEEP, grace=0)
    assert airflow.wait_run(KEEP, again)["state"] == "success"
    assert airflow.xcom(KEEP, again, "keep")["called"] == []


def test_the_log_is_verified(town: Town, airflow: AirflowServer) -> None:
    run = airflow.trigger(VERIFY)
    assert airflow.wait_run(VERIFY, run)["state"] == "success"
    assert airflow.xcom(VERIFY, run, "verify")["verified"] is True


def test_a_run_that_failed_for_good_is_red_and_in_the_hub_s_log(town: Town, airflow: AirflowServer) -> None:
    town.execute("tax", "ALTER TABLE person RENAME TO put_away")
    run = airflow.trigger(town.share, redeliver=True)
    assert airflow.wait_run(town.share, run)["state"] == "failed"
    # What a person must mend is not tried again.
    assert airflow.task(town.share, run)["try_number"] == 1

    def told() -> list[dict[str, Any]]:
        with town.hub() as hub:
            found = hub.audit.search(by=town.actor("auditor"), exchange=town.share, type="ScheduledRunAbandoned")
        return [event.body for event in found.events]

    airflow.until(lambda: told() == [{"attempt": run, "reason": "failed"}], "the hub to be told", 30)
    town.execute("tax", "ALTER TABLE put_away RENAME TO person")
    again = airflow.trigger(town.share)
    assert airflow.wait_run(town.share, again)["state"] == "success"
    assert arrived(town)


def test_a_large_exchange_is_staged_in_parts_and_delivered_once(town: Town, airflow: AirflowServer) -> None:
    assert collected(town, airflow, *range(61, 85))["state"] == "success"
    with town.hub() as hub:
        target = {"endpoint": "tax", "object": "in_parts", "columns": {name: name for name in COLUMNS}}
        new = f"share-{grant(town, hub, target=target)}"
        for statement in filter(str.strip, hub.sharing.prepare(new).split(";\n")):
            town.execute("tax", statement.strip().rstrip(";"))
    in_the_hub(town, "UPDATE exchange SET settings = :settings WHERE id = :id", settings='{"parts": 3}', id=new)

    def tasks() -> list[str]:
        return [task["task_id"] for task in airflow.all(f"dags/{new}/tasks", "tasks")]

    airflow.until(lambda: new in airflow.dags() and len(tasks()) == 3, "its three tasks", 40)
    airflow.wait_idle(new)
    run = airflow.trigger(new)
    assert airflow.wait_run(new, run, 150)["state"] == "success"
    path = f"dags/{new}/dagRuns/{run}/taskInstances"
    done = sorted((task["task_id"], task["state"]) for task in airflow.all(path, "task_instances"))
    assert done == [("exchange", "success"), *[("part", "success")] * 3, ("split", "success")]
    staged = [airflow.get(f"{path}/part/xcomEntries/return_value", map_index=each)["value"] for each in range(3)]
    metrics = airflow.xcom(new, run, key="metrics")
    assert metrics["written"] == len(town.granted()) == len(town.query("tax", "SELECT id_no FROM in_parts"))
    assert {each["run"] for each in staged} == {metrics["run"]}
    assert len(town.receipts(new)) == 1
    with town.hub() as hub:
        hub.sharing.change(new.removeprefix("share-"), "revoke", reason="测试", by=town.actor("chief"))


def test_a_new_exchange_is_seen_within_15_seconds_and_goes_when_it_ends(town: Town, airflow: AirflowServer) -> None:
    with town.hub() as hub:
        new = grant(town, hub)
    since = time.monotonic()
    airflow.until(lambda: f"share-{new}" in airflow.dags(), "the new exchange", QUICK)
    assert time.monotonic() - since < QUICK
    with town.hub() as hub:
        hub.sharing.change(new, "revoke", reason="测试", by=town.actor("chief"))
    airflow.until(lambda: f"share-{new}" not in airflow.dags(), "the exchange to go", 40)


def test_a_torn_snapshot_and_a_broken_exchange_are_one_import_error_each(town: Town, airflow: AirflowServer) -> None:
    path = town.home / "airflow" / "snapshot.json"
    good = path.read_text()
    airflow.call("PATCH", f"dags/{KEEP}", content={"is_paused": True})  # it would mend that
    airflow.wait_idle(KEEP)
    path.write_text(good[:200])
    [error] = airflow.until(airflow.import_errors, "the import error", 30)
    assert "不完整" in error["stack_trace"]
    assert {SYNC, town.share} <= set(airflow.dags())
    path.write_text(good)
    airflow.until(lambda: not airflow.import_errors(), "the import error to go", 30)

    in_the_hub(town, "UPDATE exchange SET settings = :settings WHERE id = :id", settings='{"schedule": "61"}', id=SYNC)
    [error] = airflow.until(airflow.import_errors, "the import error", 30)
    assert SYNC in error["stack_trace"]
    assert town.share in airflow.dags()
    in_the_hub(town, "UPDATE exchange SET settings = '{}' WHERE id = :id", id=SYNC)
    airflow.until(lambda: not airflow.import_errors() and SYNC in airflow.dags(), "everything to be well", 30)
    airflow.call("PATCH", f"dags/{KEEP}", content={"is_paused": False})


@pytest.mark.long
def test_a_database_that_somebody_writes_to_for_seconds_ends_nobody(town: Town, airflow: AirflowServer) -> None:
    airflow.wait_idle(SYNC, town.share, KEEP)
    before = {name: airflow.pid(name) for name in HEARTS}
    with closing(sqlite3.connect(airflow.folder / "airflow.db", timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        time.sleep(25)
        database.execute("ROLLBACK")
    assert airflow.wait_run(SYNC, airflow.trigger(SYNC))["state"] == "success"
    assert {name: airflow.pid(name) for name in HEARTS} == before


def test_a_window_is_back_filled_one_run_at_a_time(town: Town, airflow: AirflowServer) -> None:
    since = (datetime.now(UTC) - timedelta(days=4)).replace(microsecond=0)
    window = {"from_date": f"{since:%Y-%m-%dT%H:%M:%SZ}", "to_date": f"{since + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"}
    asked = {"dag_id": SYNC, "reprocess_behavior": "none", "max_active_runs": 1, **window}
    # While another writes, the embedded database refuses it: then it is asked again.
    airflow.until(lambda: airflow.call("POST", "backfills", content=asked), "the back-filling to be accepted")

    def filled() -> list[dict[str, Any]]:
        runs = [run for run in airflow.runs(SYNC) if run["run_type"] == "backfill"]
        return runs if len(runs) >= 2 and all(run["end_date"] for run in runs) else []

    runs = airflow.until(filled, "the window to be filled", 120)
    assert {run["state"] for run in runs} == {"success"}
    spans = sorted((run["start_date"], run["end_date"]) for run in runs)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_what_is_no_longer_granted_when_it_runs_is_skipped_and_nothing_is_delivered(
    town: Town, airflow: AirflowServer
) -> None:
    airflow.until(lambda: arrived(town), "everything to arrive")
    airflow.wait_idle(town.share)
    held = town.rows("tax")
    pool = {"pool": "shutong:tax", "slots": 0, "include_deferred": False}
    airflow.call("PATCH", "pools/shutong:tax", content=pool)
    before = len(airflow.runs(town.share))
    assert collected(town, airflow, 41)["state"] == "success"
    run = airflow.until(lambda: airflow.runs(town.share)[before:], "the delivery to be scheduled")[0]["dag_run_id"]
    town.change("suspend")
    airflow.call("PATCH", "pools/shutong:tax", content=pool | {"slots": 2})
    airflow.wait_run(town.share, run)
    assert airflow.task(town.share, run)["state"] == "skipped"
    assert "授权" in airflow.task_log(town.share, run)
    assert town.rows("tax") == held
    town.change("resume")


def test_what_has_no_dag_of_its_own_is_carried_out_in_the_batch(town: Town, airflow: AirflowServer) -> None:
    # It is collected, and Airflow hears nothing of it: the delivery is due.
    town.report(person(46))
    town.run(SYNC)
    assert not arrived(town)
    settings = town.home / "shutong.toml"
    good = settings.read_text()
    settings.write_text(f"{good}\n[airflow]\ndags = 0\n")
    with town.hub() as hub:
        hub.timetable.publish()
    airflow.until(lambda: set(airflow.dags()) == {BATCH, KEEP, VERIFY}, "the batch alone", 40)
    assert airflow.import_errors() == []
    assert airflow.wait_run(BATCH, airflow.trigger(BATCH))["state"] == "success"
    # One that its own schedule started may have been quicker.
    airflow.until(lambda: arrived(town), "what was due to be carried out", 30)
    airflow.wait_idle(BATCH)
    assert town.runs(town.share)[-1].state == "settled"
    with town.hub() as hub:
        assert hub.timetable.lost(0) == []
    settings.write_text(good)
    with town.hub() as hub:
        hub.timetable.publish()


def test_an_exchange_that_goes_while_it_runs_delivers_nothing_after(town: Town, airflow: AirflowServer) -> None:
    """The last one: nothing is delivered to the tax office any more."""
    town.report(person(51))
    town.run(SYNC)
    held = town.rows("tax")
    with locked(town, "tax"):
        run = airflow.trigger(town.share)
        airflow.until(lambda: "开始执行" in airflow.task_log(town.share, run), "the delivery to begin")
        town.change("revoke")
    airflow.wait_run(town.share, run, 120)
    assert airflow.task(town.share, run)["state"] == "skipped"
    assert town.rows("tax") == held
    airflow.until(lambda: town.share not in airflow.dags(), "the exchange to go", 40)
    assert town.faults() == []
    assert Path(airflow.folder / "airflow.db").exists()
