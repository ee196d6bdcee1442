from __future__ import annotations

import json
import runpy
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID
from airflow.serialization.serialized_objects import DagSerialization

from exchange.errors import Invalid
from exchange.scheduling.assets import call, resource
from exchange.scheduling.batches import BATCH
from exchange.scheduling.factory import (
    SHARDS,
    dag_of,
    dags,
    fault,
    keyed,
    parts,
    planned,
    pool,
    schedule_of,
    shard,
    snapshot_file,
    watcher,
)
from exchange.scheduling.keeping import HOUSEKEEPERS
from exchange.scheduling.operators import ExchangeOperator
from exchange.scheduling.triggers import WaitingTrigger
from exchange.snapshot import NAME, Scheduled, Snapshot, write

ROOT = Path(__file__).resolve().parents[3]
CODE = "101001001/0001"
ACTIVATED = "2026-11-22T10:00:00+08:00"
SYNC = Scheduled(
    id="sync-101001001-0001",
    kind="synchronisation",
    title="归集 公安局《人口》",
    description="把 公安局 的《人口》归集到基础库。",
    owner="公安局",
    tags=("归集", CODE, "公安局"),
    cron="38 2 * * *",
    activated_at=ACTIVATED,
    refreshes=(CODE,),
    pool="police",
    priority=3,
    timeout_minutes=90,
    link="https://hub/exchanges/sync-101001001-0001",
)
SHARE = replace(
    SYNC, id="share-G1", kind="sharing", title="共享", cron=None, refreshes=(), reads=(CODE,), pool="tax", link=None
)


def many(number: int) -> Snapshot:
    """A hub with many exchanges, half of them by the clock."""
    return Snapshot(
        tuple(
            replace(SHARE, id=f"share-G{each:05}")
            if each % 2
            else replace(SYNC, id=f"sync-{each:05}", cron=f"{each % 60} 3 * * *")
            for each in range(number)
        )
    )


def serialised(dag: DAG) -> dict[str, Any]:
    """A DAG as Airflow keeps it, without where its file lies."""
    found = dict(DagSerialization.to_dict(dag)["dag"])
    return {name: value for name, value in found.items() if name not in ("fileloc", "relative_fileloc")}


def first_run(exchange: Scheduled) -> datetime | None:
    """When the scheduler would first run an exchange that it has just seen."""
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag_of(exchange)))
    found = read.next_dagrun_info(last_automated_run_info=None)
    return None if found is None else found.run_after


def test_an_exchange_is_a_dag_that_a_person_understands() -> None:
    dag = dag_of(SYNC)
    assert (dag.dag_id, dag.dag_display_name) == (SYNC.id, SYNC.title)
    assert dag.tags == {"归集", CODE, "公安局"}
    assert dag.doc_md is not None
    assert dag.doc_md.startswith(SYNC.description)
    assert "https://hub/exchanges" in dag.doc_md
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    [task] = dag.tasks
    assert isinstance(task, ExchangeOperator)
    assert (task.task_id, task.exchange, task.owner) == ("exchange", SYNC.id, "公安局")
    assert (task.pool, task.priority_weight, task.execution_timeout) == ("shutong:police", 3, timedelta(minutes=90))
    assert task.outlets == [resource(CODE)]


def test_the_same_snapshot_gives_the_same_dags_in_the_same_order() -> None:
    snapshot = Snapshot((SYNC, SHARE))
    first, second = dags(snapshot), dags(Snapshot((replace(SHARE, tags=tuple(reversed(SHARE.tags))), SYNC)))
    assert list(first) == list(second) == [SHARE.id, SYNC.id]
    assert [serialised(dag) for dag in first.values()] == [serialised(dag) for dag in second.values()]


def test_what_reads_the_library_starts_on_each_refresh_by_its_key() -> None:
    assert keyed(SHARE)
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag_of(SHARE)))
    assert read.timetable.partitioned
    mapper = read.timetable.get_partition_mapper(name=resource(CODE).name, uri=resource(CODE).uri)
    assert mapper.to_downstream("2026-11-22T16:21") == "2026-11-22T16:21"
    assert first_run(SHARE) is None
    assert {asset.name for _, asset in read.timetable.asset_condition.iter_assets()} == {
        resource(CODE).name, call(SHARE.id).name,
    }  # fmt: skip


def test_a_condition_across_resources_is_by_their_day() -> None:
    exchange = replace(SHARE, reads=(CODE, "101001001/0002"), all_of=True)
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag_of(exchange)))
    mapper = read.timetable.get_partition_mapper(name=resource(CODE).name, uri=resource(CODE).uri)
    assert mapper.to_downstream("2026-11-22T16:21") == "2026-11-22"


def test_what_was_given_times_runs_by_the_clock_and_when_it_is_called() -> None:
    for exchange in (SYNC, replace(SHARE, cron="0 4 * * *")):
        assert not keyed(exchange)
        read = DagSerialization.from_dict(DagSerialization.to_dict(dag_of(exchange)))
        assert not read.timetable.partitioned
        assert [asset.name for _, asset in read.timetable.asset_condition.iter_assets()] == [call(exchange.id).name]
        assert read.timetable.periodic


@pytest.mark.parametrize("arrivals", ["files", "messages"])
@pytest.mark.parametrize("cron", ["38 2 * * *", None])
def test_what_arrives_calls_its_exchange(arrivals: Any, cron: str | None) -> None:
    made = json.dumps(serialised(dag_of(replace(SYNC, arrivals=arrivals, cron=cron))))
    assert f"waiting/{SYNC.id}" in made
    assert "exchange.scheduling.triggers.WaitingTrigger" in made
    watching = watcher(SYNC.id).trigger
    assert isinstance(watching, WaitingTrigger)
    # Whoever runs it says which hub it is, as for the task.
    assert watching.serialize()[1] | {"exchange": SYNC.id, "home": None} == watching.serialize()[1]


def test_nothing_watches_where_nothing_arrives_or_where_only_keys_start_a_run() -> None:
    for exchange in (SYNC, SHARE, replace(SHARE, arrivals="messages")):
        assert "waiting/" not in json.dumps(serialised(dag_of(exchange)))


def test_what_only_arrivals_start_has_no_clock() -> None:
    exchange = replace(SYNC, cron=None)
    assert [asset.name for asset in schedule_of(exchange)] == [call(exchange.id).name]
    assert first_run(exchange) is None


def test_what_rests_is_started_by_nobody() -> None:
    for exchange in (SYNC, SHARE):
        resting = replace(exchange, paused=True)
        assert schedule_of(resting) is None
        assert not keyed(resting)
        assert dag_of(resting).is_paused_upon_creation is True


@pytest.mark.parametrize("days", [0, 400])
def test_an_activation_runs_no_tick_of_the_past(days: int) -> None:
    """Neither of an exchange that is new, nor of one that was there long before anybody scheduled it."""
    now = datetime.now(UTC).replace(microsecond=0)
    since = (now - timedelta(days=days)).isoformat()
    # A tick of every minute, quarter, day and year lies behind it.
    for cron in ("* * * * *", "*/15 * * * *", "38 2 * * *", "0 0 1 1 *"):
        found = first_run(replace(SYNC, cron=cron, activated_at=since))
        assert found is not None
        assert found >= now


def test_a_tick_is_read_by_the_clock_of_beijing() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    found = first_run(replace(SYNC, cron="38 2 * * *", activated_at=now.isoformat()))
    assert found is not None
    assert (found.astimezone(UTC).hour, found.minute) == (18, 38)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cron": "61 * * * *"}, "时间表"),
        ({"cron": "@daily"}, "五段"),
        ({"cron": "0 0 31 2 *"}, "时间表"),
        ({"id": "share/../../etc"}, "编号"),
        ({"priority": 0}, "优先级"),
        ({"timeout_minutes": "90"}, "时限"),
        ({"kind": "gossip"}, "种类"),
    ],
)
def test_what_cannot_be_scheduled_says_why_and_the_others_live_on(changes: dict[str, Any], named: str) -> None:
    broken = replace(SHARE, **changes)
    with pytest.raises(Invalid, match=named):
        dag_of(broken)
    reason = fault(broken)
    assert reason is not None
    assert named in reason
    assert fault(SHARE) is None
    with pytest.warns(UserWarning, match=named) as told:
        assert list(dags(Snapshot((SYNC, broken)))) == [SYNC.id]
    assert len(told) == 1


def test_what_the_hub_calls_broken_is_told_once() -> None:
    with pytest.warns(UserWarning, match="端点没有登记") as told:
        assert list(dags(Snapshot((SYNC,), broken={"share-G2": "端点没有登记"}))) == [SYNC.id]
    assert len(told) == 1


def test_a_worker_builds_the_dag_of_its_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, SHARE.id)
    with warnings.catch_warnings(action="error"):
        assert list(dags(Snapshot((SYNC, SHARE), broken={"share-G2": "端点没有登记"}))) == [SHARE.id]


def test_the_hubs_snapshot_is_found_by_its_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path))
    assert snapshot_file() == tmp_path / NAME
    with pytest.raises(Invalid, match="没有排班快照"):
        planned()
    write(tmp_path / NAME, Snapshot((SYNC,)))
    assert list(planned()) == [SYNC.id]


def test_a_plain_folder_has_all_of_them_and_waits_for_no_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path))
    write(tmp_path / NAME, Snapshot((SYNC, SHARE, replace(SHARE, id="share-G2", batched=True))))
    found: dict[str, DAG] = {}
    for file in (ROOT / "dags").glob("*.py"):
        found |= {name: each for name, each in runpy.run_path(str(file)).items() if isinstance(each, DAG)}
    assert set(found) == {SYNC.id, SHARE.id, BATCH, *HOUSEKEEPERS}
    assert {task.pool for dag in found.values() for task in dag.tasks} == {"default_pool"}


def test_exchanges_keep_their_file_whatever_becomes_of_others() -> None:
    snapshot = many(200)
    spread = parts(snapshot)
    assert set(spread) == set(range(SHARDS))
    assert sum(len(part.exchanges) for part in spread.values()) == 200
    assert max(len(part.exchanges) for part in spread.values()) < 2.5 * 200 / SHARDS
    fewer = parts(Snapshot(tuple(each for each in snapshot.exchanges if each.id != "share-G00001")))
    changed = [number for number in spread if spread[number].written() != fewer[number].written()]
    assert changed == [shard("share-G00001")]


def test_an_endpoint_has_a_pool_of_its_own() -> None:
    assert pool("police") == "shutong:police"
    assert pool("") == "default_pool"


def test_a_thousand_exchanges_are_built_quickly() -> None:
    snapshot = many(1000)
    dags(many(20))
    # Of processor time: others work on this machine too. The bar is 2 s; on a busy machine this may take longer.
    before = time.process_time()
    assert len(dags(snapshot)) == 1000
    assert time.process_time() - before < 6
