from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from exchange.engine.lease import Heartbeat
from exchange.scheduling.assets import resource
from exchange.scheduling.operators import ExchangeOperator, figures, hub_home
from exchange.scheduling.outcomes import Again
from tests.exchange.engine.town import CODE, SYNC, Town, person, wrong


class Task:
    """What Airflow's runner gives a task, as far as the operator asks for it."""

    def __init__(self, town: Town, exchange: str, *, kind: str = "scheduled", user: str | None = None) -> None:
        outlets = [resource(CODE)] if exchange == SYNC else []
        self.operator = ExchangeOperator(
            task_id="exchange", exchange=exchange, home=str(town.home), outlets=outlets
        ).prepare_for_execution()
        self.xcom: dict[str, Any] = {}
        self.events = OutletEventAccessors()
        self.run = SimpleNamespace(run_type=kind, triggering_user_name=user)

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.xcom[key] = value

    def execute(self, **params: Any) -> dict[str, Any]:
        context: Any = {"ti": self, "params": params, "dag_run": self.run, "outlet_events": self.events}
        with as_airflow_calls_it():
            found: dict[str, Any] = self.operator.execute(context)
        return found

    @property
    def emitted(self) -> list[str]:
        """Names of the assets that Airflow would send an event of."""
        return [asset.name for asset in self.operator.outlets]


@contextmanager
def as_airflow_calls_it() -> Iterator[None]:
    """Airflow runs a task's work where nobody but it calls it."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    ExecutorSafeguard.test_mode, before = True, ExecutorSafeguard.test_mode
    try:
        yield
    finally:
        ExecutorSafeguard.test_mode = before


def test_a_run_tells_what_it_did_and_that_its_resource_changed(town: Town) -> None:
    town.report(person(1), person(2), wrong(3))
    task = Task(town, SYNC)
    told = task.execute()
    assert told == task.xcom["metrics"]
    assert (told["read"], told["refused"], told["written"], told["state"]) == (3, 1, 2, "settled")
    [receipt], [run] = town.receipts(SYNC), town.runs(SYNC)
    assert (told["receipt"], told["run"], told["delivery"]) == (receipt.id, run.id, run.delivery)
    assert task.emitted == [resource(CODE).name]
    event = task.events[resource(CODE)]
    [key] = event.partition_keys
    assert len(key) == len("2026-11-22T16:21")
    assert event.extra["receipt"] == receipt.id
    assert event.extra["exchange"] == SYNC


def test_a_run_that_changed_nothing_says_nothing_of_its_resource(town: Town) -> None:
    town.report(person(1))
    town.run(SYNC)
    task = Task(town, SYNC)
    assert task.execute()["written"] == 0
    assert task.emitted == []


def test_what_is_not_granted_any_more_is_skipped(town: Town) -> None:
    town.report(person(1))
    town.run(SYNC)
    for action in ("suspend", "revoke"):
        town.change(action)
        with pytest.raises(AirflowSkipException, match=r"授权|已"):
            Task(town, town.share).execute()
    assert town.rows("tax") == {}


def test_an_exchange_that_is_not_there_is_skipped(town: Town) -> None:
    with pytest.raises(AirflowSkipException, match="没有交换"):
        Task(town, "share-nobody").execute()


def test_an_endpoint_that_is_away_is_tried_again(town: Town) -> None:
    town.report(person(1))
    with town.away("police"), pytest.raises((Again, AirflowFailException)) as caught:
        Task(town, SYNC).execute()
    assert "police" in str(caught.value)


def test_an_exchange_in_other_hands_is_tried_again_when_the_lease_is_over(town: Town) -> None:
    town.report(person(1))
    seen: list[Again] = []

    def another(step: str, _figures: dict[str, Any]) -> None:
        if step == "5.staged":
            with pytest.raises(Again) as caught:
                Task(town, SYNC).execute()
            seen.append(caught.value)

    town.run(SYNC, observe=another)
    [error] = seen
    assert error.after is not None
    assert error.after.total_seconds() == 30


def test_everything_is_delivered_again_to_who_asks_for_it_by_name(town: Town) -> None:
    town.report(person(1), person(2))
    town.run_both()
    town.execute("tax", "DELETE FROM person")
    with pytest.raises(AirflowFailException, match="操作人"):
        Task(town, town.share, kind="manual").execute(redeliver=True)
    Task(town, town.share, kind="manual", user="值班员").execute(redeliver=True)
    assert town.rows("tax") == town.granted()
    with town.hub() as hub:
        assert hub.audit.search(by=town.actor("auditor"), exchange=town.share, actor="值班员").events


def test_who_is_stopped_lets_go_and_the_next_goes_on(town: Town) -> None:
    town.report(person(1), person(2))
    task = Task(town, SYNC)
    before = signal.signal(signal.SIGTERM, lambda *_: task.operator.on_kill())
    beat = Heartbeat.__enter__

    def struck(self: Heartbeat) -> Heartbeat:
        found = beat(self)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            # The block was never entered: its beats would go on beside the tests that follow.
            self.__exit__()
        return found

    try:
        Heartbeat.__enter__ = struck  # type: ignore[method-assign]
        with pytest.raises(SystemExit):
            task.execute()
    finally:
        Heartbeat.__enter__ = beat  # type: ignore[method-assign]
        signal.signal(signal.SIGTERM, before)
    # Nobody has to wait for a lease.
    assert Task(town, SYNC).execute()["written"] == 2
    assert len(town.runs(SYNC)) == 1
    task.operator.on_kill()  # between two runs there is nothing to let go of


def test_a_worker_that_cannot_get_in_says_so(town: Town) -> None:
    operator = ExchangeOperator(task_id="exchange", exchange=SYNC, home=str(town.home / "nowhere"))
    context: Any = {"params": {}}
    with as_airflow_calls_it(), pytest.raises(AirflowFailException, match="还没有枢纽"):
        operator.execute(context)


def test_the_home_is_the_environments_or_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", "/srv/one")
    assert str(hub_home()) == "/srv/one"
    assert str(hub_home("/srv/two")) == "/srv/two"
    monkeypatch.delenv("SHUTONG_HOME")
    monkeypatch.setenv("AIRFLOW_CONN_SHUTONG", '{"conn_type": "shutong", "extra": {"home": "/srv/three"}}')
    assert Connection.get("shutong").conn_type == "shutong"
    assert str(hub_home()) == "/srv/three"
    monkeypatch.delenv("AIRFLOW_CONN_SHUTONG")
    assert hub_home() is None


def test_figures_are_numbers_alone() -> None:
    assert figures({"read": 1200, "name": "张三", "stopped": True, "rows": ["x"]}) == "read=1,200"


def test_reading_a_dag_opens_no_hub() -> None:
    import subprocess

    code = (
        "import sys; from exchange.scheduling import bundle, factory, keeping; "
        "sys.exit(bool({'pyarrow', 'exchange.hub', 'exchange.engine', 'exchange.db'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
