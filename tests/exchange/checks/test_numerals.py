from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.checks import numerals
from exchange.checks.numerals import Parsed


def outcome(parsed: Parsed) -> list[Any]:
    """The value of every row, or the rule it breaks."""
    values, faults = parsed
    values.validate(full=True)
    rows = values.to_pylist()
    for fault in faults:
        for row in fault.rows.tolist():
            assert rows[row] is None
            rows[row] = fault.rule
    return rows


TABLE = {
    "1": Decimal("1.00"),
    "1.5": Decimal("1.50"),
    "-1.500": Decimal("-1.50"),
    "+1.25": Decimal("1.25"),
    "1.": Decimal("1.00"),
    ".5": Decimal("0.50"),
    "0": Decimal("0.00"),
    "-0": Decimal("0.00"),
    "0001234": Decimal("1234.00"),
    "0000000000000000000000000000000000000000000001": Decimal("1.00"),
    "0.1000000000000000000000000000000000000000000": Decimal("0.10"),
    "1,234.56": Decimal("1234.56"),
    "-1,234": Decimal("-1234.00"),
    "9999.99": Decimal("9999.99"),
    "12,34": "type",
    "1,2345": "type",
    ",123": "type",
    "1e2": "type",
    "1.2.3": "type",
    "--1": "type",
    "-": "type",
    ".": "type",
    "1 2": "type",
    "一百": "type",
    "nan": "type",
    "10000": "length",
    "1,000,000": "length",
    "10000.001": "length",
    "1.005": "scale",
    "0.0000000000000000000000000000000000000000001": "scale",
}


@pytest.mark.parametrize("text", TABLE)
def test_decimals_from_text_alone(text: str) -> None:
    assert outcome(numerals.decimals_from_text(pa.array([text]), 6, 2)) == [TABLE[text]]


def test_decimals_from_text_do_not_depend_on_their_neighbours() -> None:
    column = pa.array([None, *TABLE, None])
    assert outcome(numerals.decimals_from_text(column, 6, 2)) == [None, *TABLE.values(), None]


def test_reasons_say_how_many_digits_there_are() -> None:
    _, faults = numerals.decimals_from_text(pa.array(["12345", "1.2345"]), 6, 2)
    assert [fault.reasons for fault in faults] == [["整数部分 5 位，最多 4 位"], ["有 4 位小数，最多 2 位小数"]]
    _, faults = numerals.decimals_from_text(pa.array(["1.5"]), 6, 0)
    assert [fault.reasons for fault in faults] == [["有 1 位小数，应为整数"]]


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9)
written = numbers.map(str) | st.text("0123456789-+.,e", max_size=8)


def reference(text: str, precision: int, scale: int) -> Any:
    """The slow and obvious way."""
    if not text or not text.strip("+-") or any(character not in "0123456789+-." for character in text):
        return "type"
    try:
        value = Decimal(text)
    except InvalidOperation:
        return "type"
    if abs(value) >= Decimal(10) ** (precision - scale):
        return "length"
    quantised = value.quantize(Decimal(1).scaleb(-scale), context=Context(prec=80))
    return quantised if quantised == value else "scale"


@given(st.lists(written.filter(lambda text: "," not in text), max_size=6), st.integers(1, 12), st.integers(0, 5))
def test_decimals_from_text_agree_with_the_slow_way(column: list[str], precision: int, scale: int) -> None:
    scale = min(scale, precision)
    found = outcome(numerals.decimals_from_text(pa.array(column, pa.string()), precision, scale))
    assert found == [reference(text, precision, scale) for text in column]


def test_38_digits_are_exact() -> None:
    widest = "9" * 36 + ".99"
    assert outcome(numerals.decimals_from_text(pa.array([widest]), 38, 2)) == [Decimal(widest)]
    assert outcome(numerals.decimals_from_text(pa.array([widest + "9"]), 38, 2)) == ["scale"]
    assert outcome(numerals.decimals_from_text(pa.array(["1" + "0" * 36]), 38, 2)) == ["length"]


@given(st.lists(st.none() | numbers, max_size=6), st.integers(1, 38), st.integers(0, 6))
def test_decimals_from_decimals_agree_with_the_slow_way(
    column: list[Decimal | None], precision: int, scale: int
) -> None:
    scale = min(scale, precision)
    for kind in (pa.decimal128(20, 4), pa.decimal256(65, 30), pa.decimal256(76, 60)):
        found = outcome(numerals.decimals_from_exact(pa.array(column, kind), precision, scale))
        assert found == [None if value is None else reference(f"{value:f}", precision, scale) for value in column]


@given(st.lists(st.none() | st.integers(0, 2**64 - 1), max_size=6), st.integers(1, 38))
def test_decimals_from_integers(column: list[int | None], precision: int) -> None:
    found = outcome(numerals.decimals_from_exact(pa.array(column, pa.uint64()), precision, 0))
    assert found == [None if v is None else "length" if v >= 10**precision else Decimal(v) for v in column]


def test_a_scale_wider_than_the_integers_left() -> None:
    column = pa.array([Decimal("0.1"), Decimal("0." + "1" * 38)], pa.decimal128(38, 38))
    assert outcome(numerals.decimals_from_exact(column, 38, 0)) == ["scale", "scale"]
    assert outcome(numerals.decimals_from_exact(column, 38, 38)) == column.to_pylist()


INTEGERS = {
    "0": 0,
    "007": 7,
    "-12": -12,
    "+12": 12,
    "1,234": 1234,
    "12.00": 12,
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "9223372036854775808": "length",
    "-9223372036854775809": "length",
    "99999999999999999999": "length",
    "12.5": "scale",
    "0x10": "type",
    "-": "type",
}


@pytest.mark.parametrize("text", INTEGERS)
def test_integers_from_text_alone(text: str) -> None:
    assert outcome(numerals.integers_from_text(pa.array([text]))) == [INTEGERS[text]]


def test_integers_from_text_do_not_depend_on_their_neighbours() -> None:
    assert outcome(numerals.integers_from_text(pa.array([*INTEGERS, None]))) == [*INTEGERS.values(), None]


def test_integers_from_the_sources_own_numbers() -> None:
    assert outcome(numerals.integers_from_exact(pa.array([1, None], pa.uint8()))) == [1, None]
    assert outcome(numerals.integers_from_exact(pa.array([2**63, 5], pa.uint64()))) == ["length", 5]
    column = pa.array([Decimal("1.00"), Decimal("1.50"), None])
    assert outcome(numerals.integers_from_exact(column)) == [1, "scale", None]


FLOATS = {
    "1": 1.0,
    "-1.5e3": -1500.0,
    "1,234.5": 1234.5,
    "1e999": "type",
    "inf": "type",
    "nan": "type",
    "0x10": "type",
    "一": "type",
}


def test_floats_from_text() -> None:
    assert outcome(numerals.floats_from_text(pa.array([*FLOATS, None]))) == [*FLOATS.values(), None]


def test_floats_from_numbers_are_finite() -> None:
    found = outcome(numerals.floats_from_numbers(pa.array([1.5, math.nan, math.inf, -math.inf, None])))
    assert found == [1.5, "type", "type", "type", None]
    assert outcome(numerals.floats_from_numbers(pa.array([2**62], pa.int64()))) == [float(2**62)]


def test_truths_from_text() -> None:
    column = pa.array(["1", "0", "true", "FALSE", "Y", "n", "是", "否", "2", "yes", None])
    expected = [True, False, True, False, True, False, True, False, "type", "type", None]
    assert outcome(numerals.truths_from_text(column)) == expected
    assert outcome(numerals.truths_from_text(pa.array(["1", None]))) == [True, None]
