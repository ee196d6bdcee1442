"""Links from Airflow to the hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from exchange.scheduling.lineage import after
from exchange.scheduling.links import ExchangeLink, RunLink
from exchange.scheduling.operators import ExchangeOperator
from exchange.scheduling.sensors import ArrivalSensor
from exchange.snapshot import Snapshot, write
from tests.exchange.engine.town import SYNC, Town, person

PAGE = "https://hub.example/exchanges/sync-101001001-0001"


@pytest.fixture
def published(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """A town whose snapshot knows a console."""
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    with town.hub() as hub:
        found = hub.timetable.snapshot()
        linked = Snapshot(tuple(replace(each, link=f"{PAGE}/") for each in found.exchanges if each.id == SYNC))
        write(hub.timetable.path, linked)
    return town


def key(dag: str) -> Any:
    return SimpleNamespace(dag_id=dag, task_id="exchange", run_id="r")


def operator(exchange: str = SYNC, **options: Any) -> ExchangeOperator:
    return ExchangeOperator(task_id="exchange", exchange=exchange, **options)


def test_a_run_s_page_and_its_exchange_s(published: Town) -> None:
    published.report(person(1))
    done = operator(home=str(published.home))
    assert RunLink().get_link(done, ti_key=key(SYNC)) == ""  # it has made no run yet
    with published.hub() as hub:
        result = hub.oversight.carry_out(SYNC)
        done.lineage = after(hub, result)
    assert RunLink().get_link(done, ti_key=key(SYNC)) == f"https://hub.example/runs/{result.id}"
    assert ExchangeLink().get_link(done, ti_key=key(SYNC)) == PAGE


def test_the_console_is_where_settings_say_and_no_link_leads_to_none(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    with town.hub() as hub:
        hub.timetable.publish()
    assert ExchangeLink().get_link(operator(), ti_key=key(SYNC)) == f"http://127.0.0.1:8090/exchanges/{SYNC}"
    monkeypatch.setenv("SHUTONG_WEB__PUBLIC_ADDRESS", "https://hub.example")
    assert ExchangeLink().get_link(operator(), ti_key=key(SYNC)) == f"https://hub.example/exchanges/{SYNC}"
    monkeypatch.delenv("SHUTONG_WEB__PUBLIC_ADDRESS")
    monkeypatch.setenv("SHUTONG_PORT", "0")
    for link in (RunLink(), ExchangeLink()):
        assert link.get_link(operator(), ti_key=key(SYNC)) == ""


def test_from_a_dag_of_somebody_else_s_it_leads_to_the_exchange_s_own(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(town.home))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/")
    waiting = ArrivalSensor(task_id="wait", exchange=SYNC)
    assert ExchangeLink().get_link(waiting, ti_key=key("mine")) == f"https://airflow.example/dags/{SYNC}"


def test_a_snapshot_or_a_hub_that_is_missing_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path))
    assert ExchangeLink().get_link(operator(), ti_key=key(SYNC)) == ""
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "snapshot.json").write_text("{")
    assert ExchangeLink().get_link(operator(), ti_key=key(SYNC)) == ""


def test_operator_and_sensor_show_them() -> None:
    with DAG("d", schedule=None):
        assert {type(link) for link in operator().operator_extra_links} == {RunLink, ExchangeLink}
        assert {type(link) for link in ArrivalSensor(task_id="w", exchange=SYNC).operator_extra_links} == {ExchangeLink}
    assert len({RunLink().name, ExchangeLink().name, RunLink().xcom_key, ExchangeLink().xcom_key}) == 4
