from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import (
    DELETE,
    OPERATION,
    PUT,
    REFERENCE,
    Acknowledgement,
    Binding,
    Claim,
    Endpoint,
    FoundColumn,
    Manifest,
    Outcome,
    Selection,
    Source,
)
from adapters.errors import Misconfigured, Overtaken, Unbalanced, Unsupported
from adapters.memory import Pages, Store, forget, store
from adapters.registry import open_endpoint
from schemas import profile

TABLE = pa.schema([("编号", pa.string()), ("名称", pa.string()), ("版本", pa.int64()), ("区划", pa.string())])
STAGED = pa.schema([("number", pa.string()), ("name", pa.string()), ("version", pa.int64()), (OPERATION, pa.int8())])
VERSIONED = Binding(
    object="licence",
    columns={"number": "编号", "name": "名称", "version": "版本"},
    key=("number",),
    version="version",
)
UNVERSIONED = replace(VERSIONED, version=None)

Staged = tuple[str, str | None, int | None, int]


@pytest.fixture
def place() -> Iterator[Store]:
    forget("memory-test")
    yield store("memory-test")
    forget("memory-test")


def _endpoint() -> Endpoint:
    return open_endpoint("memory", {"store": "memory-test"})


def _deliver(
    *rows: Staged, binding: Binding = VERSIONED, key: str = "k", overwrite: bool = False, **claim: Any
) -> Acknowledgement:
    given = Claim(**({"key": key, "exchange": "E1", "epoch": 1} | claim))
    delivery = _endpoint().sink(binding).begin(given, STAGED)
    for row in rows:
        delivery.stage(pa.RecordBatch.from_pylist([dict(zip(STAGED.names, row, strict=True))], schema=STAGED))
    return delivery.commit(Manifest(claim=given, digest=f"digest of {key}", rows=len(rows), overwrite=overwrite))


def _there(place: Store) -> dict[str, tuple[Any, Any]]:
    return {row["编号"]: (row["名称"], row["版本"]) for row in place.tables["licence"].present().values()}


def _fates(answer: Acknowledgement) -> tuple[int, int, int, int, list[int]]:
    refused = [row.row for row in answer.refused]
    return answer.written, answer.deleted, answer.unchanged, answer.superseded, refused


CONTESTS: dict[str, tuple[list[Staged], bool, tuple[int, int, int, int, list[int]], dict[str, tuple[Any, Any]]]] = {
    "higher wins": ([("1", "a", 2, PUT), ("1", "b", 1, PUT)], False, (1, 0, 0, 1, []), {"1": ("a", 2)}),
    "the same again": ([("1", "a", 2, PUT), ("1", "a", 2, PUT)], False, (1, 0, 1, 0, []), {"1": ("a", 2)}),
    "conflict": ([("1", "a", 2, PUT), ("1", "b", 2, PUT)], False, (1, 0, 0, 0, [0]), {"1": ("b", 2)}),
    "overwrite": ([("1", "a", 2, PUT), ("1", "b", 2, PUT)], True, (1, 0, 0, 1, []), {"1": ("b", 2)}),
    "missing is lowest": ([("1", "a", 1, PUT), ("1", "b", None, PUT)], False, (1, 0, 0, 1, []), {"1": ("a", 1)}),
    "put then delete": ([("1", "a", 2, PUT), ("1", "a", 2, DELETE)], False, (0, 0, 1, 1, []), {}),
    "delete twice": ([("1", "a", 2, DELETE), ("1", "b", 2, DELETE)], False, (0, 0, 2, 0, []), {}),
    "delete then higher": ([("1", "a", 2, DELETE), ("1", "b", 3, PUT)], False, (1, 0, 0, 1, []), {"1": ("b", 3)}),
}


@pytest.mark.parametrize(("rows", "overwrite", "fates", "there"), CONTESTS.values(), ids=CONTESTS.keys())
def test_rows_of_one_key_in_one_delivery(
    place: Store, rows: list[Staged], overwrite: bool, fates: Any, there: dict[str, Any]
) -> None:
    assert _fates(_deliver(*rows, overwrite=overwrite)) == fates
    assert _there(place) == there


def test_without_a_version_the_last_read_wins(place: Store) -> None:
    answer = _deliver(("1", "a", 9, PUT), ("1", "a", 9, PUT), ("1", "b", 1, PUT), binding=UNVERSIONED)
    assert _fates(answer) == (1, 0, 0, 2, [])
    assert _fates(_deliver(("1", "b", 1, PUT), binding=UNVERSIONED, key="k2")) == (0, 0, 1, 0, [])
    assert _fates(_deliver(("1", "a", 0, PUT), binding=UNVERSIONED, key="k3")) == (1, 0, 0, 0, [])
    assert _fates(_deliver(("1", None, None, DELETE), binding=UNVERSIONED, key="k4")) == (1, 1, 0, 0, [])
    assert _fates(_deliver(("1", "c", 0, PUT), binding=UNVERSIONED, key="k5")) == (1, 0, 0, 0, [])
    assert _there(place) == {"1": ("c", 0)}


AGAINST: dict[str, tuple[Staged, bool, tuple[int, int, int, int, list[int]], dict[str, tuple[Any, Any]]]] = {
    "lower": (("1", "b", 4, PUT), False, (0, 0, 0, 1, []), {"1": ("a", 5)}),
    "lower in spite of overwrite": (("1", "b", 4, PUT), True, (0, 0, 0, 1, []), {"1": ("a", 5)}),
    "the same": (("1", "a", 5, PUT), False, (0, 0, 1, 0, []), {"1": ("a", 5)}),
    "the same, overwrite": (("1", "a", 5, PUT), True, (0, 0, 1, 0, []), {"1": ("a", 5)}),
    "conflict": (("1", "b", 5, PUT), False, (0, 0, 0, 0, [0]), {"1": ("a", 5)}),
    "overwritten": (("1", "b", 5, PUT), True, (1, 0, 0, 0, []), {"1": ("b", 5)}),
    "higher": (("1", "a", 6, PUT), False, (1, 0, 0, 0, []), {"1": ("a", 6)}),
    "higher deletes": (("1", None, 6, DELETE), False, (1, 1, 0, 0, []), {}),
    "equal deletes": (("1", None, 5, DELETE), False, (1, 1, 0, 0, []), {}),
    "lower does not delete": (("1", None, 4, DELETE), False, (0, 0, 0, 1, []), {"1": ("a", 5)}),
    "without version does not delete": (("1", None, None, DELETE), False, (0, 0, 0, 1, []), {"1": ("a", 5)}),
    "another": (("2", "b", 1, PUT), False, (1, 0, 0, 0, []), {"1": ("a", 5), "2": ("b", 1)}),
    "deletes nothing": (("2", None, 1, DELETE), False, (0, 0, 1, 0, []), {"1": ("a", 5)}),
}


@pytest.mark.parametrize(("row", "overwrite", "fates", "there"), AGAINST.values(), ids=AGAINST.keys())
def test_a_row_against_what_is_there(place: Store, row: Staged, overwrite: bool, fates: Any, there: Any) -> None:
    _deliver(("1", "a", 5, PUT))
    assert _fates(_deliver(row, overwrite=overwrite, key="k2")) == fates
    assert _there(place) == there


GRAVES: dict[str, tuple[Staged, bool, tuple[int, int, int, int, list[int]]]] = {
    "lower": (("1", "b", 4, PUT), True, (0, 0, 0, 1, [])),
    "equal": (("1", "b", 5, PUT), False, (0, 0, 0, 1, [])),
    "equal, overwrite": (("1", "b", 5, PUT), True, (1, 0, 0, 0, [])),
    "higher": (("1", "b", 6, PUT), False, (1, 0, 0, 0, [])),
}


@pytest.mark.parametrize(("row", "overwrite", "fates"), GRAVES.values(), ids=GRAVES.keys())
@pytest.mark.parametrize("was_there", [True, False])
def test_a_row_against_a_tombstone(place: Store, row: Staged, overwrite: bool, fates: Any, was_there: bool) -> None:
    if was_there:
        _deliver(("1", "a", 5, PUT))
    _deliver(("1", "a", 5, DELETE), key="k2")
    assert _fates(_deliver(row, overwrite=overwrite, key="k3")) == fates


def test_a_tombstone_never_sinks(place: Store) -> None:
    _deliver(("1", "a", 5, DELETE))
    _deliver(("1", "a", 3, DELETE), key="k2")
    assert _fates(_deliver(("1", "b", 4, PUT), key="k3")) == (0, 0, 0, 1, [])


def test_columns_of_others_stay(place: Store) -> None:
    place.create("licence", TABLE, {"编号": "1", "名称": "a", "版本": 1, "区划": "甲"})
    _deliver(("1", "b", 2, PUT))
    assert [*place.tables["licence"].present().values()] == [{"编号": "1", "名称": "b", "版本": 2, "区划": "甲"}]


def test_fixed_values_are_part_of_the_key(place: Store) -> None:
    mine, other = replace(VERSIONED, fixed={"区划": "甲"}), replace(VERSIONED, fixed={"区划": "乙"})
    _deliver(("1", "a", 2, PUT), binding=mine)
    assert _fates(_deliver(("1", "b", 1, PUT), binding=other, key="k2")) == (1, 0, 0, 0, [])
    _deliver(("1", "a", 3, DELETE), binding=mine, key="k3")
    assert _fates(_deliver(("1", "b", 2, PUT), binding=other, key="k4")) == (1, 0, 0, 0, [])
    keys = pa.record_batch([pa.array(["1", "2"])], names=["number"])
    assert _endpoint().sink(mine).holds(keys).to_pylist() == [False, False]
    assert _endpoint().sink(other).holds(keys).to_pylist() == [True, False]
    assert [row["number"] for row in _read(other)] == ["1"]


def test_a_refusal_says_which_row_and_why(place: Store) -> None:
    _deliver(("1", "a", 1, PUT))
    [refused] = _deliver(("2", "x", 1, PUT), ("1", "b", 1, PUT), key="k2").refused
    assert (refused.row, refused.rule) == (1, "conflict")
    assert refused.reason


def test_nan_is_the_same_as_itself(place: Store) -> None:
    schema = pa.schema([("number", pa.string()), ("value", pa.float64()), (OPERATION, pa.int8())])
    binding = Binding(object="t", columns={"number": "n", "value": "v"}, key=("number",))
    row = pa.RecordBatch.from_pylist([{"number": "1", "value": float("nan"), OPERATION: PUT}], schema=schema)
    for key, fates in (("k1", (1, 0, 0, 0, [])), ("k2", (0, 0, 1, 0, []))):
        claim = Claim(key=key, exchange="E1", epoch=1)
        delivery = _endpoint().sink(binding).begin(claim, schema)
        delivery.stage(row)
        assert _fates(delivery.commit(Manifest(claim=claim, digest=key, rows=1))) == fates


def test_a_failed_commit_changes_nothing(place: Store) -> None:
    claim = Claim(key="k", exchange="E1", epoch=3)
    delivery = _endpoint().sink(VERSIONED).begin(claim, STAGED)
    with pytest.raises(Unbalanced):
        delivery.commit(Manifest(claim=claim, digest="d", rows=1))
    assert (place.ledger, place.epochs, place.tables) == ({}, {}, {})


def test_a_cleared_stage_takes_no_more(place: Store) -> None:
    first = Claim(key="k", exchange="E1", epoch=1)
    paused = _endpoint().sink(VERSIONED).begin(first, STAGED)
    _endpoint().sink(VERSIONED).begin(replace(first, epoch=2), STAGED)
    with pytest.raises(Overtaken):
        paused.stage(pa.RecordBatch.from_pylist([], schema=STAGED))


# Reading


def _read(binding: Binding, after: Any = None, size: int = 100) -> list[dict[str, Any]]:
    batches = list(_endpoint().source(binding).batches(Selection(after=after, batch_rows=size)))
    assert all(0 < batch.num_rows <= size for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def _fill(place: Store, count: int = 3) -> None:
    place.create("licence", TABLE, *({"编号": str(n), "名称": "a", "版本": 1, "区划": "甲"} for n in range(count)))


def test_a_snapshot_is_what_is_there_when_it_is_asked_for(place: Store) -> None:
    _fill(place)
    source = _endpoint().source(VERSIONED)
    assert source.schema().field("version").type == pa.int64()
    batches = source.batches(Selection(batch_rows=2))
    place.tables["licence"].replace(0, {"编号": "9", "名称": "b", "版本": 1})
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert source.position() is None
    assert source.settle([Outcome(row[REFERENCE]) for row in rows]) == 0
    place.tables["licence"].remove(1)
    assert [row["number"] for row in _read(VERSIONED)] == ["9", "2"]


def test_an_outbox_is_read_until_it_is_settled(place: Store) -> None:
    _fill(place)
    binding = replace(VERSIONED, capture="outbox")
    place.tables["licence"].remove(2)
    rows = _read(binding)
    assert [(row["number"], row[OPERATION]) for row in rows] == [("0", PUT), ("1", PUT), ("2", DELETE)]
    outcomes = [Outcome(rows[0][REFERENCE]), Outcome(rows[1][REFERENCE], "不对"), Outcome(rows[2][REFERENCE])]
    place.tables["licence"].replace(0, {"编号": "0", "名称": "b", "版本": 2})
    source = _endpoint().source(binding)
    assert source.settle(outcomes) == 2
    assert source.settle(outcomes) == 0
    states = [(row.state, row.reason) for row in place.tables["licence"].rows.values()]
    assert states == [("new", None), ("failed", "不对"), ("done", None)]
    assert [(row["number"], row["version"]) for row in _read(binding)] == [("0", 2)]
    assert source.settle([Outcome("77.1")]) == 0
    assert source.settle([Outcome(rows[1][REFERENCE])]) == 0
    assert [source.settle([Outcome(rows[1][REFERENCE], corrected=True)]) for _ in range(2)] == [1, 0]
    assert place.tables["licence"].rows[1].state == "done"


def test_a_journal_is_read_from_where_it_was_left(place: Store) -> None:
    _fill(place)
    binding = replace(VERSIONED, capture="journal")
    source = _endpoint().source(binding)
    assert len(list(source.batches(Selection()))) == 1
    assert source.position() == {"entry": 3}
    place.tables["licence"].replace(1, {"编号": "1", "名称": "b", "版本": 2})
    place.tables["licence"].remove(0)
    assert [(row["number"], row[OPERATION]) for row in _read(binding, {"entry": 3})] == [("1", PUT), ("0", DELETE)]
    assert _read(binding, {"entry": 5}) == []


def test_what_is_delivered_is_new_to_its_readers(place: Store) -> None:
    _deliver(("1", "a", 1, PUT))
    assert [row["number"] for row in _read(replace(VERSIONED, capture="outbox"))] == ["1"]


# Registration


def test_inspect_and_check(place: Store) -> None:
    _fill(place)
    place.create("types", pa.schema([
        pa.field("n", pa.decimal128(38, 2), nullable=False), ("d", pa.date32()), ("t", pa.timestamp("us", "UTC")),
        ("l", pa.bool_()), ("g", pa.binary()), ("i", pa.int32()), ("f", pa.float64()),
    ]))  # fmt: skip
    endpoint = _endpoint()
    assert endpoint.test()[0].passed
    assert [found.name for found in endpoint.inspect()] == ["licence", "types"]
    [found] = endpoint.inspect("types")
    assert "".join(column.type for column in found.columns) == "NDTLGIB"
    assert found.columns[0] == FoundColumn("n", "N", nullable=False)
    assert endpoint.check(VERSIONED, STAGED, sink=False) == endpoint.check(VERSIONED, STAGED, sink=True) == []
    wrong = replace(VERSIONED, columns={"number": "号", "name": "名"})
    assert endpoint.check(wrong, STAGED, sink=True) == [
        "信息项 version 没有挂接到列",
        "表 licence 没有列 号（信息项 number）",
        "表 licence 没有列 名（信息项 name）",
    ]
    with pytest.raises(Misconfigured, match="version"):
        endpoint.sink(wrong).begin(Claim(key="k", exchange="E1", epoch=1), STAGED)
    assert endpoint.check(replace(VERSIONED, object="x"), STAGED, sink=True) == []
    assert endpoint.check(replace(VERSIONED, object="x"), STAGED, sink=False) == ["没有表 x"]
    with pytest.raises(Misconfigured, match="号"):
        endpoint.source(wrong)


def test_what_it_does_not_know(place: Store) -> None:
    _fill(place)
    with pytest.raises(Unsupported):
        _endpoint().source(replace(VERSIONED, capture="batches"))
    for binding in (replace(VERSIONED, profile=profile("jiangsu")), replace(VERSIONED, options={"x": 1})):
        with pytest.raises(Misconfigured):
            _endpoint().source(binding)
        with pytest.raises(Misconfigured):
            _endpoint().sink(binding)


def test_stores_are_apart() -> None:
    forget("memory-other")
    store("memory-other").create("t", TABLE)
    assert store("memory-other").tables
    forget("memory-other")
    assert not store("memory-other").tables
    forget("memory-other")


def changed(source: Source, notebook: Pages, after: Any = None, *, delivered: bool = True) -> tuple[list[Any], Any]:
    """What a pass by difference hands over, and where it ends."""
    batches = source.batches(Selection(after=after, notebook=notebook))
    rows = [(row["id"], row[OPERATION]) for batch in batches for row in batch.to_pylist()]
    if delivered:
        notebook.turn()
    else:
        notebook.drop()
    return rows, source.position()


def test_a_difference_is_changed_rows_and_keys_that_are_gone() -> None:
    place = store("difference")
    schema = pa.schema([("id", pa.string()), ("v", pa.int64())])
    table = place.create("t", schema, {"id": "a", "v": 1}, {"id": "b", "v": 1}, {"id": "c", "v": 1})
    endpoint = open_endpoint("memory", {"store": "difference"})
    notebook = Pages()
    with endpoint.source(Binding(object="t", columns={"id": "id", "v": "v"}, key=("id",), capture="diff")) as source:
        rows, after = changed(source, notebook)
        assert rows == [("a", PUT), ("b", PUT), ("c", PUT)]
        assert changed(source, notebook, after)[0] == []
        table.replace(0, {"id": "a", "v": 2})
        table.remove(1)
        for delivered in (False, True):
            assert changed(source, notebook, after, delivered=delivered)[0] == [("a", PUT), ("b", DELETE)]
        assert changed(source, notebook, after)[0] == []
        table.remove(2)
        assert changed(source, notebook)[0] == [("a", PUT), ("c", DELETE)], "a full pass"
        assert len(list(source.batches(Selection(after=after)))) == 1, "nothing to compare with"
    forget("difference")


def test_a_watermark_is_read_from_the_mark_itself() -> None:
    place = store("watermark")
    schema = pa.schema([("id", pa.string()), ("n", pa.int64())])
    table = place.create("t", schema, {"id": "a", "n": 1}, {"id": "b", "n": 5}, {"id": "c", "n": None})
    endpoint = open_endpoint("memory", {"store": "watermark"})
    binding = Binding(object="t", columns={"id": "id"}, key=("id",), capture="watermark")
    with pytest.raises(Misconfigured, match="watermark"):
        endpoint.source(binding)
    with pytest.raises(Misconfigured, match="水位列"):
        endpoint.source(replace(binding, options={"watermark": "nothing"}))
    with endpoint.source(replace(binding, options={"watermark": "n"})) as source:
        assert [row["id"] for batch in source.batches(Selection()) for row in batch.to_pylist()] == ["a", "b", "c"]
        after = source.position()
        table.insert({"id": "d", "n": 5}, {"id": "e", "n": 4})
        table.remove(0)
        found = [row["id"] for batch in source.batches(Selection(after=after)) for row in batch.to_pylist()]
        assert found == ["b", "c", "d"]
        assert source.position() == {"low": 5}
    forget("watermark")
