from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.serialization.serialized_objects import DagSerialization

from exchange.scheduling.assets import call
from exchange.scheduling.keeping import AT_ONCE, HOUSEKEEPERS, KeepOperator, VerifyOperator, dags
from exchange.snapshot import read
from tests.exchange.engine.town import SYNC, Town, person
from tests.exchange.scheduling.test_operators import as_airflow_calls_it


class Task:
    """What Airflow's runner gives a task of housekeeping."""

    def __init__(self, operator: Any, under_way: tuple[str, ...] = ()) -> None:
        self.operator = operator.prepare_for_execution()
        self.under_way = under_way
        self.events = OutletEventAccessors()

    def get_dr_count(self, *, dag_id: str, states: list[str]) -> int:
        assert states == ["queued", "running"]
        return int(dag_id in self.under_way)

    def execute(self, **params: Any) -> dict[str, Any]:
        context: Any = {"ti": self, "params": params, "outlet_events": self.events}
        with as_airflow_calls_it():
            found: dict[str, Any] = self.operator.execute(context)
        return found


@pytest.fixture
def at_home(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """A town whose home is the environment's."""
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    with town.hub() as hub:
        hub.timetable.publish()
    return town


def test_what_was_lost_is_called_in_the_way_that_starts_it(at_home: Town) -> None:
    task = Task(KeepOperator(task_id="keep"))
    assert task.execute(grace=0.0)["called"] == [SYNC, at_home.share]
    assert task.operator.outlets == [call(SYNC), call(at_home.share)]
    assert task.events[call(SYNC)].partition_keys == set()
    assert len(task.events[call(at_home.share)].partition_keys) == 1


def test_what_has_a_run_is_not_called_again(at_home: Town) -> None:
    task = Task(KeepOperator(task_id="keep"), under_way=(SYNC,))
    assert task.execute(grace=0.0)["called"] == [at_home.share]


def test_what_may_still_begin_by_itself_is_left_alone(at_home: Town) -> None:
    assert Task(KeepOperator(task_id="keep")).execute(grace=3600.0)["called"] == []


def test_a_delivery_whose_refresh_nobody_heard_of_is_missed(at_home: Town) -> None:
    at_home.report(person(1))
    at_home.run_both()
    with at_home.hub() as hub:
        assert hub.timetable.lost(0) == []
    at_home.report(person(2))
    at_home.run(SYNC)
    with at_home.hub() as hub:
        assert hub.timetable.lost(0) == [at_home.share]


def test_what_is_no_longer_scheduled_is_brought_to_its_end(at_home: Town) -> None:
    at_home.report(person(1))
    at_home.run(SYNC)
    at_home.hold_leases_for(0.2)

    class Dead(BaseException):
        """Somebody's death, as far as it can be had in one process."""

    def dies(step: str, _figures: dict[str, Any]) -> None:
        if step == "5.manifest":
            raise Dead

    with pytest.raises(Dead):
        at_home.run(at_home.share, observe=dies)
    at_home.change("revoke")
    assert at_home.share not in {each.id for each in read(at_home.home / "airflow" / "snapshot.json").exchanges}
    found = Task(KeepOperator(task_id="keep"), under_way=(SYNC,)).execute(grace=0.0)
    assert found["called"] == []
    assert [run.state for run in at_home.runs(at_home.share)] == ["barred"]
    assert at_home.rows("tax") == {}


def test_what_cannot_be_scheduled_waits_for_who_mends_it(at_home: Town) -> None:
    with at_home.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.text("UPDATE exchange SET settings = :settings"), {"settings": '{"schedule": "61"}'})
    found = Task(KeepOperator(task_id="keep")).execute(grace=0.0)
    assert (found["called"], found["ended"]) == ([], [])
    assert at_home.runs(SYNC) == []


def test_housekeeping_mends_the_snapshot(at_home: Town) -> None:
    path = at_home.home / "airflow" / "snapshot.json"
    good = path.read_text()
    path.write_text(good[:100])
    assert Task(KeepOperator(task_id="keep")).execute(grace=3600.0)["kept"]["snapshot"] == 1
    assert path.read_text() == good


def test_a_log_that_was_tampered_with_is_red(at_home: Town) -> None:
    at_home.report(person(1))
    at_home.run(SYNC)
    assert Task(VerifyOperator(task_id="verify")).execute()["verified"] is True
    with at_home.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.text("DELETE FROM event WHERE id = (SELECT max(id) - 3 FROM event)"))
    with pytest.raises(AirflowFailException, match="处问题"):
        Task(VerifyOperator(task_id="verify")).execute()


def test_housekeeping_goes_first_and_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    made = dags()
    assert tuple(made) == HOUSEKEEPERS
    for dag in made.values():
        [task] = dag.tasks
        assert (task.priority_weight, dag.max_active_runs, dag.is_paused_upon_creation) == (1000, 1, False)
        DagSerialization.from_dict(DagSerialization.to_dict(dag))
    keep = DagSerialization.from_dict(DagSerialization.to_dict(made["shutong-keep"]))
    first = keep.next_dagrun_info(last_automated_run_info=None)
    second = keep.next_dagrun_info(last_automated_run_info=first)
    assert second.run_after - first.run_after == timedelta(minutes=1)
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "shutong-verify")
    assert list(dags()) == ["shutong-verify"]


def test_no_more_are_called_than_can_be_begun() -> None:
    assert AT_ONCE < 90  # tasks that two cores begin in a minute
