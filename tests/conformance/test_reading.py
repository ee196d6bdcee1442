"""What the port says of reading, at every place."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from adapters.base import OPERATION, PUT, REFERENCE, Capture, Outcome, Selection
from adapters.errors import Unsupported
from adapters.memory import Pages
from tests.conformance.cases import NUMBER, REMARK, VERSION, Case
from tests.conformance.places import Place

TEN = Case("ten", (NUMBER, REMARK), tuple({"number": f"{n:02}", "remark": str(n)} for n in range(10)))


def test_what_lies_there_is_what_is_read(place: Place, case: Case) -> None:
    binding = place.provide(case)
    expected = case.batch.drop_columns([OPERATION]).to_pylist()
    assert place.rows(binding, case.items) == sorted(expected, key=lambda row: str(row["number"]))


def test_batches_have_the_schema_that_was_promised(place: Place) -> None:
    binding = place.provide(TEN)
    with place.endpoint.source(binding) as source:
        schema = source.schema()
        assert schema.names == [*binding.columns, OPERATION, REFERENCE]
        assert schema.field(OPERATION) == pa.field(OPERATION, pa.int8(), nullable=False)
        assert schema.field(REFERENCE) == pa.field(REFERENCE, pa.string(), nullable=False)
        batches = list(source.batches(Selection(batch_rows=3)))
    assert all(batch.schema.equals(schema) and 0 < batch.num_rows <= 3 for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row[OPERATION] for row in rows] == [PUT] * 10
    assert len({row[REFERENCE] for row in rows} - {None}) == 10


def test_a_source_can_be_read_again(place: Place) -> None:
    binding = place.provide(TEN)
    with place.endpoint.source(binding) as source:
        for _ in range(2):
            assert sum(batch.num_rows for batch in source.batches(Selection(batch_rows=3))) == 10
    source.close()


def test_a_reading_that_is_given_up_holds_nothing(place: Place) -> None:
    binding = place.provide(TEN)
    with place.endpoint.source(binding) as source:
        batches = source.batches(Selection(batch_rows=2))
        assert next(batches).num_rows == 2
    del batches
    assert len(place.rows(binding, TEN.items)) == 10


def test_a_position_is_json(place: Place) -> None:
    binding = place.provide(TEN)
    with place.endpoint.source(binding) as source:
        list(source.batches(Selection()))
        position = source.position()
        assert json.loads(json.dumps(position)) == position
        if position is not None:
            assert list(source.batches(Selection(after=position))) == []


def test_settling_twice_changes_nothing_more(place: Place) -> None:
    binding = place.provide(TEN)
    with place.endpoint.source(binding) as source:
        rows = [row for batch in source.batches(Selection()) for row in batch.to_pylist()]
        outcomes = [Outcome(row[REFERENCE], None if number else "不对") for number, row in enumerate(rows)]
        first = source.settle(outcomes)
        assert 0 <= first <= 10
        assert source.settle(iter(outcomes)) == 0


def test_what_is_not_there_is_told_by_name(place: Place) -> None:
    binding = place.provide(TEN)
    wrong = type(binding)(**{**vars(binding), "columns": dict(binding.columns) | {"remark": "nothing_here"}})
    problems = place.endpoint.check(wrong, TEN.schema, sink=False)
    assert any("nothing_here" in problem for problem in problems)
    assert place.endpoint.check(binding, TEN.schema, sink=False) == []


def test_inspect_finds_it(place: Place) -> None:
    binding = place.provide(TEN)
    [found] = place.endpoint.inspect(binding.object)
    assert {"number", "remark"} <= {column.name for column in found.columns}
    assert all(probe.passed or probe.remedy for probe in place.endpoint.test())


def _refuses(place: Place, capture: Capture) -> None:
    """A place that cannot be read so says it before anything is read."""
    with pytest.raises(Unsupported) as caught:
        place.endpoint.source(replace(place.provide(TEN), capture=capture))
    assert capture in caught.value.message


def test_a_pass_by_difference_hands_over_nothing_twice(place: Place) -> None:
    if "diff" not in place.endpoint.capabilities.captures:
        _refuses(place, "diff")
        return
    binding = replace(place.provide(TEN), capture="diff")
    notebook = Pages()
    with place.endpoint.source(binding) as source:
        schema = source.schema()
        for delivered in (False, True):
            batches = list(source.batches(Selection(batch_rows=3, notebook=notebook)))
            assert all(batch.schema.equals(schema) and 0 < batch.num_rows <= 3 for batch in batches)
            assert sum(batch.num_rows for batch in batches) == 10
            after = source.position()
            notebook.turn() if delivered else notebook.drop()
        assert json.loads(json.dumps(after)) == after
        for _ in range(2):
            assert list(source.batches(Selection(after={**(after or {}), "notes": {}}, notebook=notebook))) == []
            notebook.turn()
        assert sum(batch.num_rows for batch in source.batches(Selection(notebook=notebook))) == 10


def test_a_pass_by_watermark_starts_with_the_mark(place: Place) -> None:
    if "watermark" not in place.endpoint.capabilities.captures:
        _refuses(place, "watermark")
        return
    counted = Case("counted", (NUMBER, VERSION), tuple({"number": f"{n:02}", "version": 5 * n} for n in range(10)))
    given = place.provide(counted)
    binding = replace(given, capture="watermark", options={"watermark": given.columns["version"]})
    with place.endpoint.source(binding) as source:
        assert sum(batch.num_rows for batch in source.batches(Selection(batch_rows=3))) == 10
        after = source.position()
        assert json.loads(json.dumps(after)) == after
        again = [row["number"] for batch in source.batches(Selection(after=after)) for row in batch.to_pylist()]
    assert "09" in again
    assert any("nothing_here" in problem for problem in place.endpoint.check(
        replace(binding, options={"watermark": "nothing_here"}), counted.schema, sink=False
    ))  # fmt: skip


def _keyed(*numbers: str) -> pa.RecordBatch:
    return pa.record_batch({"number": pa.array(numbers, pa.string())})


def test_single_keys_are_looked_up_as_they_are_now(place: Place) -> None:
    binding = place.ask(TEN)
    with place.endpoint.source(binding) as source:
        if not place.endpoint.capabilities.looks_up:
            with pytest.raises(Unsupported):
                source.lookup(_keyed("03"))
            return
        for wanted, expected in ((("03",), ["03"]), (("nobody",), []), (("04", "' OR 1=1", "02"), ["02", "04"])):
            found = source.lookup(_keyed(*wanted))
            assert found.schema.names == [*binding.columns, OPERATION, REFERENCE]
            assert sorted(found.column("number").to_pylist()) == expected
            assert set(found.column(OPERATION).to_pylist()) <= {PUT}
        assert source.lookup(_keyed("03")).column("remark").to_pylist() == ["3"]
