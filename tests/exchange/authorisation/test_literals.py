from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from exchange.authorisation.literals import scalar

INSTANT = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("literal", "type", "value"),
    [
        ("3212", pa.string(), "3212"),
        (True, pa.bool_(), True),
        (-3, pa.int64(), -3),
        ("+3", pa.int64(), 3),
        (-(2**63), pa.int64(), -(2**63)),
        (3, pa.decimal128(10, 2), Decimal("3.00")),
        ("-0.10", pa.decimal128(10, 2), Decimal("-0.10")),
        ("9" * 38, pa.decimal128(38, 0), Decimal("9" * 38)),
        ("2024-02-29", pa.date32(), date(2024, 2, 29)),
        ("2026-01-31 08:00", INSTANT, datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00.000001", INSTANT, datetime(2026, 1, 31, 0, 0, 0, 1, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", INSTANT, datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("0.5", pa.float64(), 0.5),
        (2, pa.float64(), 2.0),
    ],
)
def test_a_literal_is_a_value_of_the_column(literal: Any, type: pa.DataType, value: Any) -> None:
    found = scalar(literal, type)
    assert found.type == type
    assert found.as_py() == value


@pytest.mark.parametrize(
    ("literal", "type"),
    [
        (3212, pa.string()),
        ("true", pa.bool_()),
        (1, pa.bool_()),
        (True, pa.int64()),
        ("1_000", pa.int64()),
        ("１", pa.int64()),
        (2**63, pa.int64()),
        ("9" * 5000, pa.int64()),
        (0.1, pa.decimal128(10, 2)),
        (True, pa.decimal128(10, 2)),
        ("0.001", pa.decimal128(10, 2)),
        (10**40, pa.decimal128(38, 0)),
        (10**400, pa.decimal128(38, 0)),
        ("NaN", pa.decimal128(10, 2)),
        ("2023-02-29", pa.date32()),
        ("2024-W01-1", pa.date32()),
        (20240101, pa.date32()),
        ("2026-01-31", INSTANT),
        ("2026-01-31 24:00", INSTANT),
        ("0001-01-01T00:00:00+08:00", INSTANT),
        ("9999-12-31T23:59:59-08:00", INSTANT),
        ("inf", pa.float64()),
        (False, pa.float64()),
        (2**53 + 1, pa.float64()),
        ("x", pa.binary()),
    ],
)
def test_or_it_is_none_at_all(literal: Any, type: pa.DataType) -> None:
    with pytest.raises(ValueError, match=r"[\u4e00-\u9fff]"):
        scalar(literal, type)
