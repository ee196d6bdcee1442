"""Waiting for arrivals in DAGs of one's own."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferralTimeout, TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from exchange.scheduling.sensors import ArrivalSensor
from exchange.scheduling.triggers import WaitingTrigger
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import Town


@pytest.fixture
def drops(town: Town, monkeypatch: pytest.MonkeyPatch) -> Drops:
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    return Drops(town)


def sensor(drops: Drops, **options: Any) -> ArrivalSensor:
    return ArrivalSensor(task_id="wait", exchange=drops.shares[0], **options)


def test_it_hands_over_to_the_trigger_and_goes_on_when_that_fires(drops: Drops) -> None:
    waiting = sensor(drops, timeout=600)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})
    assert deferred.value.timeout == timedelta(seconds=600)
    path, arguments = deferred.value.trigger.serialize()
    assert json.loads(json.dumps(arguments))["home"] == str(drops.town.home)
    assert path == f"{WaitingTrigger.__module__}.WaitingTrigger"
    drops.collect(1)

    async def fired() -> Any:
        async with aclosing(WaitingTrigger(**arguments).run()) as events, asyncio.timeout(20):
            return (await anext(events)).payload

    payload = asyncio.run(fired())
    told = waiting.resume_execution(deferred.value.method_name, {"event": payload}, {})
    assert told == {"exchange": drops.shares[0], "waiting": payload["waiting"]}


def test_in_a_worker_it_looks_itself(drops: Drops) -> None:
    waiting = sensor(drops, deferrable=False, poke_interval=0.05, timeout=0.2)
    with pytest.raises(AirflowSensorTimeout):
        waiting.execute({})
    drops.collect(1)
    assert waiting.execute({})["exchange"] == drops.shares[0]


def test_nothing_in_time_fails_it_or_skips_it(drops: Drops) -> None:
    late = TaskDeferralTimeout("late")

    def ran_out(*_: Any, **__: Any) -> None:
        raise late

    for options, ends in (({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)):
        waiting = sensor(drops, **options)
        waiting.arrived = ran_out  # type: ignore[method-assign]
        with pytest.raises(ends):
            waiting.resume_execution("arrived", {"event": {}}, {})


def test_airflow_can_keep_a_dag_with_it(drops: Drops) -> None:
    with DAG("mine", schedule=None) as dag:
        sensor(drops)
    kept = DagSerialization.to_dict(dag)
    [task] = DagSerialization.from_dict(kept).tasks
    assert task.task_id == "wait"
    assert task.template_fields == ["exchange"] or tuple(task.template_fields) == ("exchange",)
