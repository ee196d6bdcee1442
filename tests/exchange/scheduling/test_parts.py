from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from exchange.scheduling.factory import dag_of
from exchange.scheduling.parts import PartOperator, SplitOperator
from exchange.snapshot import Scheduled
from tests.exchange.engine.town import SYNC, Town, build, person, wrong
from tests.exchange.scheduling.test_operators import Task, as_airflow_calls_it

PEOPLE = 12


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A town whose police hold a table."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, capture="snapshot")) as town:
        town.report(*map(person, range(PEOPLE)), wrong(PEOPLE))
        yield town


def cut(town: Town, parts: int = 3) -> list[dict[str, Any]]:
    operator = SplitOperator(task_id="split", exchange=SYNC, parts=parts, home=str(town.home))
    with as_airflow_calls_it():
        found: list[dict[str, Any]] = operator.prepare_for_execution().execute({})
    return found


def stage(town: Town, given: dict[str, Any]) -> dict[str, Any]:
    operator = PartOperator(task_id="part", home=str(town.home), **given)
    with as_airflow_calls_it():
        found: dict[str, Any] = operator.prepare_for_execution().execute({})
    return found


def test_parts_are_staged_by_tasks_and_delivered_once(town: Town) -> None:
    given = cut(town)
    assert [each["number"] for each in given] == [1, 2, 3]
    staged = [stage(town, each) for each in given]
    assert sum(each["read"] for each in staged) == PEOPLE + 1
    assert town.rows("library") == {}
    assert cut(town) == []  # again, by a task that is tried again
    told = Task(town, SYNC).execute()
    assert (told["run"], told["state"]) == (given[0]["run"], "settled")
    assert (told["read"], told["refused"], told["written"]) == (PEOPLE + 1, 1, PEOPLE)
    assert town.rows("library") == town.good()
    assert len(town.receipts(SYNC)) == 1


def test_what_no_task_staged_the_last_one_does(town: Town) -> None:
    given = cut(town)
    stage(town, given[1])
    assert [each["number"] for each in cut(town)] == [1, 3]
    assert Task(town, SYNC).execute()["written"] == PEOPLE
    assert town.rows("library") == town.good()


def test_a_few_rows_are_not_cut(town: Town) -> None:
    town.remove(*range(11))
    assert cut(town) == []
    assert Task(town, SYNC).execute()["written"] == 1


def test_a_source_that_is_not_there_fails_at_once_and_what_is_gone_is_skipped(town: Town) -> None:
    [first, *_] = cut(town)
    with town.away("police"), pytest.raises(AirflowFailException, match="police"):
        stage(town, first)
    with pytest.raises(AirflowSkipException, match="nobody"):
        stage(town, {"run": "nobody", "number": 1})
    assert stage(town, first)["state"] == "staged"


def test_a_plan_has_them_where_that_is_asked_for() -> None:
    one = Scheduled(
        id=SYNC, kind="synchronisation", title="t", description="d", owner="o", tags=(), cron="0 3 * * *",
        activated_at="2026-11-22T00:00:00+08:00", pool="police",
    )  # fmt: skip
    assert list(dag_of(one).task_dict) == ["exchange"]
    dag = dag_of(replace(one, parts=4))
    assert {name: sorted(task.upstream_task_ids) for name, task in dag.task_dict.items()} == {
        "split": [], "part": ["split"], "exchange": ["part"],
    }  # fmt: skip
    assert {task.pool for task in dag.task_dict.values()} == {"shutong:police"}
