"""What is known of rows from having seen them go by."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT
from adapters.database.order import Order


def order(*batches: list[tuple[Any, ...]], deleting: int | None = None) -> Order:
    """What is known after rows of these keys."""
    found = Order(tuple(f"k{number}" for number in range(len(batches[0][0]))))
    found.begun()
    for number, rows in enumerate(batches):
        columns = {f"k{place}": pa.array(values) for place, values in enumerate(zip(*rows, strict=True))}
        operation = [DELETE if number == deleting else PUT] * len(rows)
        found.add(pa.record_batch({**columns, OPERATION: pa.array(operation, pa.int8())}))
    return found


@pytest.mark.parametrize(
    "batches",
    [
        [[("a",), ("b",)], [("c",)]],
        [[("a", 2), ("b", 1)], [("b", 2)]],
        [[(date(2026, 1, 1), Decimal("1.5")), (date(2026, 1, 1), Decimal("1.6"))]],
        [[(1,)], [(10,)]],
    ],
)
def test_keys_rise(batches: list[Any]) -> None:
    assert order(*batches).ascending


@pytest.mark.parametrize(
    "batches",
    [
        [[("a",), ("a",)]],
        [[("a",), ("b",)], [("b",)]],
        [[("b", 1), ("a", 2)]],
        [[("a", 2), ("b", 1)], [("b", 1)]],
        [[("a", 2), ("b", 1)], [("b", 0)]],
        [[("a",), (None,)]],
    ],
)
def test_keys_do_not(batches: list[Any]) -> None:
    assert not order(*batches).ascending


def test_once_they_fell_nothing_is_known_any_more() -> None:
    assert not order([("b",)], [("a",)], [("c",)]).ascending


def test_deletions_are_seen() -> None:
    assert order([("a",)], [("b",)], deleting=1).deleting is True
    assert order([("a",)]).deleting is False


def test_who_has_not_seen_the_beginning_knows_nothing() -> None:
    found = Order(("k0",))
    found.add(pa.record_batch({"k0": pa.array(["a"]), OPERATION: pa.array([PUT], pa.int8())}))
    assert (found.ascending, found.deleting) == (False, None)
