"""What OpenLineage is told: as its own extractor finds it and its own client writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.openlineage.extractors import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.utils.state import TaskInstanceState
from openlineage.client import OpenLineageClient
from openlineage.client.transport.file import FileConfig, FileTransport

from exchange.errors import Busy, Unknown
from exchange.hub import Hub
from exchange.scheduling.connections import open_hub
from exchange.scheduling.lineage import FACET, after, before, told
from exchange.scheduling.operators import ExchangeOperator
from tests.exchange.engine.town import COLUMNS, POLICE, SYNC, TAX, Town, identity_number, person

PEOPLE = [person(number) for number in range(1, 8)]


@pytest.fixture
def hub(town: Town) -> Iterator[Hub]:
    town.report(*PEOPLE)
    with closing(open_hub(town.home)) as hub:
        yield hub


class Emitted:
    """Events as OpenLineage's client writes them into a file, for an operator."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        transport = FileTransport(FileConfig(log_file_path=str(self.path), append=True))
        self.adapter = OpenLineageAdapter(client=OpenLineageClient(transport=transport))

    def told(self, operator: ExchangeOperator, state: TaskInstanceState) -> dict[str, Any]:
        """What is told of an operator whose task is in a state."""
        run = SimpleNamespace(run_id="r")
        found = ExtractorManager().extract_metadata(run, operator, state, SimpleNamespace())
        about = dict.fromkeys(("nominal_start_time", "nominal_end_time", "owners", "tags", "job_description"), None)
        self.adapter.complete_task(
            run_id=str(uuid4()), job_name="j", end_time="2026-11-22T16:00:00+08:00", task=found, **about
        )
        event: dict[str, Any] = json.loads(self.path.read_text().splitlines()[-1])
        return event


@pytest.fixture
def emitted(tmp_path: Path) -> Emitted:
    return Emitted(tmp_path)


def operator(town: Town, exchange: str) -> ExchangeOperator:
    return ExchangeOperator(task_id="exchange", exchange=exchange, home=str(town.home))


def test_a_run_is_told_with_its_data_sets_and_figures(town: Town, hub: Hub, emitted: Emitted) -> None:
    task = operator(town, SYNC)
    result = hub.oversight.carry_out(SYNC)
    task.trace(hub, result)
    event = emitted.told(task, TaskInstanceState.SUCCESS)
    [source], [target] = event["inputs"], event["outputs"]
    assert source["namespace"].startswith("sqlite:///")
    assert source["namespace"].endswith("/police.db")
    assert source["name"] == "inf_person"
    assert target["namespace"].endswith("/library.db")
    assert source["inputFacets"]["inputStatistics"]["rowCount"] == len(PEOPLE)
    assert target["outputFacets"]["outputStatistics"]["rowCount"] == len(PEOPLE)
    for place in (source, target):
        fields = {each["name"]: each for each in place["facets"]["schema"]["fields"]}
        assert set(fields) == set(COLUMNS)
        assert (fields["ver"]["type"], fields["id_no"]["description"]) == ("int64", "公民身份号码")
    about = event["run"]["facets"][FACET]
    assert (about["run"], about["receipt"], about["state"]) == (result.id, result.receipt, "settled")
    assert (about["kind"], about["grant"]) == ("synchronisation", result.plan.grant)
    assert about["counts"]["written"] == len(PEOPLE)
    assert about["plan"] == result.plan.digest()


def test_masks_and_filters_show_by_column_and_not_by_value(town: Town, hub: Hub, emitted: Emitted) -> None:
    hub.oversight.carry_out(SYNC)
    task = operator(town, town.share)
    task.trace(hub, hub.oversight.carry_out(town.share))
    event = emitted.told(task, TaskInstanceState.SUCCESS)
    [target] = event["outputs"]
    columns = target["facets"]["columnLineage"]
    masked = {
        column: each["inputFields"][0]["transformations"][0]["masking"] for column, each in columns["fields"].items()
    }
    # The others are granted in clear, each with its justification, and none of that is told.
    assert masked == {column: column == "name" for column in COLUMNS}
    assert "justification" not in json.dumps(event)
    assert [each["field"] for each in columns["dataset"]] == ["district"]
    assert columns["dataset"][0]["transformations"][0]["subtype"] == "FILTER"
    about = event["run"]["facets"][FACET]
    assert (about["provider"], about["recipient"], about["grant"]) == (POLICE, TAX, town.grant)


def test_nothing_of_a_record_is_told(town: Town, hub: Hub, emitted: Emitted) -> None:
    hub.oversight.carry_out(SYNC)
    task = operator(town, town.share)
    task.trace(hub, hub.oversight.carry_out(town.share))
    emitted.told(operator(town, town.share), TaskInstanceState.RUNNING)
    emitted.told(task, TaskInstanceState.SUCCESS)
    written = emitted.path.read_text()
    values = {str(each[name]) for each in PEOPLE for name in ("id_no", "name", "district")}
    assert identity_number(1) in values
    assert [value for value in values if value in written] == []


@pytest.mark.parametrize("state", [TaskInstanceState.RUNNING, TaskInstanceState.FAILED])
def test_before_a_run_and_without_one_the_exchange_s_ends_are_told(
    state: TaskInstanceState, town: Town, hub: Hub, emitted: Emitted
) -> None:
    event = emitted.told(operator(town, town.share), state)
    [source], [target] = event["inputs"], event["outputs"]
    assert source["namespace"].endswith("/library.db")
    assert target["namespace"].endswith("/tax.db")
    assert {"inputFacets", "outputFacets"}.isdisjoint(key for each in (source, target) for key in each if each[key])
    assert "run" not in event["run"]["facets"][FACET]
    # What a run moved is told of the same places.
    hub.oversight.carry_out(SYNC)
    moved = after(hub, hub.oversight.carry_out(town.share))
    planned = before(hub, town.share)
    assert (moved.source, moved.target, moved.masked) == (planned.source, planned.target, planned.masked)


def test_lineage_that_cannot_be_told_fails_no_run(
    town: Town, hub: Hub, emitted: Emitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = hub.oversight.carry_out(SYNC)
    task = operator(town, SYNC)

    def busy(*_: object) -> None:
        raise Busy("有人在用")

    monkeypatch.setattr(hub.endpoints, "dataset", busy)
    task.trace(hub, result)
    assert task.lineage is None
    with pytest.raises(Unknown):
        before(hub, "sync-nothing")
    gone = operator(town, "sync-nothing")
    assert emitted.told(gone, TaskInstanceState.RUNNING)["inputs"] == []


def test_it_is_the_same_lineage_that_openlineage_is_given(town: Town, hub: Hub) -> None:
    lineage = told(before(hub, SYNC))
    assert [each.name for each in lineage.inputs] == ["inf_person"]
    assert set(lineage.run_facets) == {FACET}
