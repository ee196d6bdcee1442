"""Order of keys, and of what comes without it."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.engine.ordering import (
    KEY,
    Disordered,
    keyed,
    latest,
    ordered_keys,
    put_in_order,
    repeats,
    rows_up_to,
    watched,
    whole_groups,
)
from exchange.errors import Invalid
from exchange.secrets import Spool


def keys_of(*columns: pa.Array) -> list[bytes]:
    names = list(string.ascii_lowercase[: len(columns)])
    return ordered_keys(pa.record_batch(list(columns), names=names), names).to_pylist()


KINDS: tuple[tuple[pa.DataType, Any], ...] = (
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)),
    (pa.decimal128(38, 4), st.decimals(-(10**30), 10**30, places=4)),
    (pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.just(UTC))),
    (pa.bool_(), st.booleans()),
    (pa.binary(), st.binary(max_size=5)),
)


def rank(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=lambda each: str(each))
@given(data=st.data())
def test_one_item_has_the_order_of_its_values(kind: pa.DataType, values: Any, data: st.DataObject) -> None:
    some = data.draw(st.lists(values, min_size=1, max_size=12))
    made = keys_of(pa.array(some, kind))
    assert [some[at] for at in sorted(range(len(some)), key=made.__getitem__)] == sorted(some, key=rank)
    assert len(set(made)) == len({rank(each) for each in some})
    # Whatever part of an array it is.
    assert keys_of(pa.array([*some, *some], kind)[len(some) :]) == made


@given(
    rows=st.lists(
        st.tuples(st.text("a\0\1\xff𠮷", max_size=3), st.integers(-2, 2), st.text("ab\0", max_size=2)), min_size=1
    )
)
def test_several_items_go_one_after_the_other(rows: list[tuple[str, int, str]]) -> None:
    first, second, third = zip(*rows, strict=True)
    made = keys_of(pa.array(first), pa.array(second), pa.array(third))
    expected = sorted(rows, key=lambda row: tuple(map(rank, row)))
    assert [rows[at] for at in sorted(range(len(rows)), key=made.__getitem__)] == expected
    assert len(set(made)) == len(set(rows))


def test_nothing_comes_first() -> None:
    assert keys_of(pa.array([None, "", "a"])) == [b"", b"", b"a"]
    made = keys_of(pa.array([None, -(2**63), 5]), pa.array(["x", "x", None]))
    assert made == sorted(made)
    assert len(set(made)) == 3


def test_a_type_without_an_order_is_refused() -> None:
    with pytest.raises(Invalid, match="不能排序"):
        keys_of(pa.array([1.5]))


def batches(*values: Sequence[int]) -> Iterator[pa.RecordBatch]:
    first = 0
    for part in values:
        yield keyed(pa.record_batch([pa.array(part, pa.int64())], names=["n"]), ["n"], first)
        first += len(part)


def numbers(found: Iterator[pa.RecordBatch]) -> list[list[int]]:
    return [batch.column("n").to_pylist() for batch in found]


def test_order_is_looked_at() -> None:
    assert numbers(watched(batches([1, 2], [], [2, 3]))) == [[1, 2], [2, 3]]
    for wrong in (([1, 3, 2],), ([1, 2], [1])):
        with pytest.raises(Disordered):
            list(watched(batches(*wrong)))


@pytest.mark.parametrize("rows", [1, 7, 50, 10_000])
def test_order_is_made_on_disk(rows: int, tmp_path: Path) -> None:
    chance = random.Random(5)
    values = [chance.randrange(300) for _ in range(1000)]
    parts = [values[start : start + 17] for start in range(0, 1000, 17)]
    with Spool(tmp_path) as spool:
        made = pa.concat_batches(list(put_in_order(batches(*parts), spool, rows=rows)))
        assert (spool.append(b"") > 0) == (rows < 1000)
    assert made.column("n").to_pylist() == sorted(values)
    # Rows of one key as they were read.
    places = made.column("_place").to_pylist()
    assert [values[place] for place in places] == sorted(values)
    groups = [
        set(batch.column("n").to_pylist()) for batch in whole_groups(made.slice(at, 50) for at in range(0, 1000, 50))
    ]
    assert sum(map(len, groups)) == len(set(values))


def test_nothing_to_order(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        assert list(put_in_order(batches(), spool)) == []
        assert numbers(put_in_order(batches([3, 1]), spool)) == [[1, 3]]


def test_rows_of_one_key_stand_together() -> None:
    assert numbers(whole_groups(batches([1, 2, 2], [2], [2, 3], [4]))) == [[1], [2, 2, 2, 2], [3], [4]]
    assert numbers(whole_groups(batches())) == []


def versions(*rows: tuple[int, int | None]) -> Iterator[pa.RecordBatch]:
    ids, given_versions = zip(*rows, strict=True)
    made = pa.record_batch([pa.array(ids, pa.int64()), pa.array(given_versions, pa.int64())], names=["n", "v"])
    yield keyed(made, ["n"], 0)


def test_the_highest_version_wins_then_the_last() -> None:
    rows = ((1, 2), (1, 3), (1, 1), (2, None), (3, None), (3, 0), (4, 5), (4, 5))
    (found,) = latest(versions(*rows), "v")
    told = list(zip(found.column("n").to_pylist(), found.column("v").to_pylist(), strict=True))
    assert told == [(1, 3), (2, None), (3, 0), (4, 5)]
    assert found.column("_place").to_pylist() == [1, 3, 5, 7]
    (found,) = latest(versions(*rows), None)
    assert found.column("_place").to_pylist() == [2, 3, 5, 7]


def test_bounds_and_repeats() -> None:
    keys = pa.array([b"a", b"b", b"b", b"d"])
    assert [rows_up_to(keys, bound) for bound in (b"", b"a", b"b", b"c", b"z")] == [0, 1, 3, 3, 4]
    assert repeats(keys).to_pylist() == [False, False, True, False]
    assert repeats(pa.array([], pa.binary())).to_pylist() == []
    assert KEY == "_key"
    assert keys_of(pa.array([date(1, 1, 1), date(9999, 12, 31)])) != keys_of(pa.array([datetime(1, 1, 1, tzinfo=UTC)]))
