"""Ranges of keys: bounds by the keys alone, the same for both ends."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest

from exchange.engine.ordering import KEY, keyed
from exchange.engine.ranges import Bounds, paired


def batches(numbers: Iterable[int], size: int) -> Iterator[pa.RecordBatch]:
    values = [f"{number:06d}" for number in numbers]
    for start in range(0, len(values), size):
        part = pa.record_batch([pa.array(values[start : start + size])], names=["id"])
        yield keyed(part, ["id"], start)


def keys(batch: pa.RecordBatch | None) -> list[bytes]:
    return batch.column(KEY).to_pylist() if batch is not None else []


def pairs(
    one: Iterable[int], other: Iterable[int], bounds: Bounds, *, sizes: tuple[int, int] = (7, 11), **options: int
):
    return [
        (keys(left), keys(right))
        for left, right in paired(batches(one, sizes[0]), batches(other, sizes[1]), bounds, **options)
    ]


def test_bounds_are_decided_by_key_and_secret_alone() -> None:
    values = pa.array([f"{number:06d}".encode() for number in range(100_000)])
    ends = Bounds(b"secret", 100).ends(values)
    assert len(ends) == pytest.approx(1000, rel=0.15)
    gaps = [after - before for before, after in zip(ends.tolist(), ends.tolist()[1:], strict=False)]
    assert max(gaps) < 100 * 20
    assert (Bounds(b"secret", 100).ends(values[500:]) + 500).tolist() == [end for end in ends.tolist() if end >= 500]
    assert Bounds(b"another", 100).ends(values).tolist() != ends.tolist()
    assert Bounds(b"secret", 1).ends(pa.array([b"", b"a", b""])).tolist() == [0, 1, 2]


def test_every_row_is_in_one_range_of_its_end() -> None:
    chance = random.Random(3)
    for _ in range(50):
        one = sorted(chance.sample(range(400), chance.randrange(400)))
        other = sorted(chance.sample(range(400), chance.randrange(400)))
        sizes = chance.randrange(1, 60), chance.randrange(1, 60)
        bounds = Bounds(b"s", chance.choice((1, 5, 40, 10_000)))
        found = pairs(one, other, bounds, sizes=sizes)
        assert [key for left, _ in found for key in left] == [f"{number:06d}".encode() for number in one]
        assert [key for _, right in found for key in right] == [f"{number:06d}".encode() for number in other]
        last = b""
        for left, right in found:
            assert min([*left, *right]) > last
            last = max([*left, *right])
        # However it is read.
        assert pairs(one, other, bounds, sizes=(1000, 1)) == found


def test_a_row_less_moves_no_other_bound() -> None:
    whole = list(range(2000))
    bounds = Bounds(b"s", 50)
    before = [left for left, _ in pairs(whole, whole, bounds)]
    for gone in (0, 3, 777, 1999):
        found = pairs(whole, [number for number in whole if number != gone], bounds)
        assert [left for left, _ in found] == before
        assert sum(left != right for left, right in found) == 1


def test_an_end_without_rows() -> None:
    bounds = Bounds(b"s", 10)
    assert pairs([], [], bounds) == []
    found = pairs(range(100), [], bounds)
    assert sum(len(left) for left, right in found if not right) == 100
    assert len(found) > 3


def test_rows_that_are_too_large_end_a_range_too() -> None:
    whole = list(range(1000))
    found = pairs(whole, whole, Bounds(b"s", 1_000_000), largest=2000)
    assert len(found) > 20
    assert all(left == right for left, right in found)
    assert [key for left, _ in found for key in left] == [f"{number:06d}".encode() for number in whole]
