from __future__ import annotations

import pytest

from exchange.scheduling.alerts import given_up
from exchange.scheduling.factory import planned
from exchange.snapshot import NAME
from tests.exchange.engine.town import SYNC, Town


@pytest.mark.parametrize(("told", "written"), [("timed_out", "timed_out"), ("task_failure", "failed")])
def test_a_run_that_failed_for_good_is_in_the_log(
    town: Town, monkeypatch: pytest.MonkeyPatch, told: str, written: str
) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    with town.hub() as hub:
        hub.timetable.publish()
    dag = planned(town.home / NAME)[SYNC]
    assert dag.on_failure_callback is given_up
    given_up({"dag": dag, "run_id": "scheduled__1", "reason": told})
    with town.hub() as hub:
        [found] = hub.audit.search(by=town.actor("auditor"), type="ScheduledRunAbandoned").events
        assert found.body == {"attempt": "scheduled__1", "reason": written}
