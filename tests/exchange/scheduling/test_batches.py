from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from exchange.scheduling.batches import AT_ONCE, BATCH, BatchOperator, GatherOperator, dags
from exchange.scheduling.factory import parts, planned
from exchange.scheduling.keeping import KeepOperator
from exchange.snapshot import Snapshot, read, write
from tests.exchange.engine.town import SYNC, Town, person, wrong
from tests.exchange.scheduling.test_keeping import Task
from tests.exchange.scheduling.test_operators import as_airflow_calls_it


@pytest.fixture
def crowded(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """A town none of whose exchanges has a DAG of its own."""
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    file = town.home / "shutong.toml"
    file.write_text(f"{file.read_text()}\n[airflow]\ndags = 0\n")
    town.report(person(1))
    with town.hub() as hub:
        hub.timetable.publish()
    return town


def due() -> list[dict[str, Any]]:
    with as_airflow_calls_it():
        return GatherOperator(task_id="due").prepare_for_execution().execute({})


def carried(exchanges: list[str]) -> dict[str, Any]:
    with as_airflow_calls_it():
        return BatchOperator(task_id="batch", exchanges=exchanges).prepare_for_execution().execute({})


def test_what_has_no_dag_of_its_own_is_in_the_batch(crowded: Town) -> None:
    assert {each.id: each.batched for each in read(crowded.home / "airflow" / "snapshot.json").exchanges} == {
        SYNC: True, crowded.share: True,
    }  # fmt: skip
    assert planned() == {}
    assert parts(read(crowded.home / "airflow" / "snapshot.json")) == {}
    assert set(dags()) == {BATCH}
    assert dags()[BATCH].task_ids == ["due", "batch"]


def test_without_a_batch_there_is_no_dag_of_it(crowded: Town, tmp_path: Path) -> None:
    write(tmp_path / "few.json", Snapshot())
    assert dags(str(tmp_path / "few.json")) == {}


def test_what_is_due_is_carried_out_by_endpoint_and_then_is_due_no_more(crowded: Town) -> None:
    assert due() == [{"exchanges": [SYNC]}, {"exchanges": [crowded.share]}]
    for each in due():
        carried(each["exchanges"])
    assert due() == []
    # A refresh is owed to its deliveries at once.
    crowded.report(person(2))
    crowded.run(SYNC)
    assert due() == [{"exchanges": [crowded.share]}]


def test_housekeeping_leaves_the_batch_its_own(crowded: Town) -> None:
    kept = Task(KeepOperator(task_id="keep")).execute(grace=0.0)
    assert (kept["called"], kept["ended"]) == ([], [])


def test_one_that_fails_keeps_none_of_the_others(crowded: Town) -> None:
    with pytest.raises(AirflowFailException, match=crowded.share), crowded.away("tax"):
        carried([crowded.share, SYNC])
    assert crowded.rows("library") == crowded.good()


def test_a_delivery_that_was_stopped_is_red_in_a_batch_too(crowded: Town) -> None:
    crowded.report(*map(wrong, range(2, 12)))
    with pytest.raises(AirflowFailException, match="拒收的行太多"):
        carried([SYNC])
    assert crowded.rows("library") == {}


def test_what_is_no_longer_granted_is_no_failure_of_the_batch(crowded: Town) -> None:
    crowded.change("suspend")
    assert carried(["share-nobody", crowded.share, SYNC]) == {
        "share-nobody": "unknown", crowded.share: "denied", SYNC: "settled",
    }  # fmt: skip
    assert crowded.rows("tax") == {}


def test_an_endpoint_has_no_more_than_it_can_do(crowded: Town) -> None:
    path = crowded.home / "airflow" / "snapshot.json"
    snapshot = read(path)
    paused = tuple(replace(each, paused=True) for each in snapshot.exchanges)
    write(path, replace(snapshot, exchanges=paused))
    assert due() == []
    assert AT_ONCE > 1
