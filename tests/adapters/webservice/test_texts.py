from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from adapters.webservice.texts import texts


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["a", None, ""], pa.string(), ["a", None, ""]),
        ([True, False, None], pa.bool_(), ["true", "false", None]),
        ([Decimal("1E-10"), Decimal("12"), None], pa.decimal128(38, 10), ["0.0000000001", "12.0000000000", None]),
        ([date(1, 1, 1), date(9999, 12, 31)], pa.date32(), ["0001-01-01", "9999-12-31"]),
        (
            [datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)],
            pa.timestamp("us", "UTC"),
            ["2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00Z"],
        ),
        ([0.1, float("inf"), float("-inf"), float("nan")], pa.float64(), ["0.1", "INF", "-INF", "NaN"]),
        ([b"\x00\xff", b"", None], pa.binary(), ["AP8=", "", None]),
        ([2**63 - 1], pa.int64(), ["9223372036854775807"]),
    ],
)
def test_values_as_xml_schema_has_them(values: list[Any], kind: pa.DataType, expected: list[str | None]) -> None:
    found = texts(pa.array(values, kind))
    assert found.type == pa.string()
    assert found.to_pylist() == expected


def test_hexadecimal() -> None:
    assert texts(pa.array([b"\x0f\xff", None]), hexadecimal=True).to_pylist() == ["0FFF", None]


def test_other_kinds_of_arrow_text() -> None:
    for kind in (pa.large_string(), pa.string_view()):
        assert texts(pa.array(["a", None], kind)).to_pylist() == ["a", None]
    moment = pa.array([datetime(2026, 1, 1, 8, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    for unit in ("s", "ms", "us", "ns"):
        assert texts(moment.cast(pa.timestamp(unit, tz="Asia/Shanghai"))).to_pylist() == ["2026-01-01T08:00:00Z"]
        assert texts(moment.cast(pa.timestamp(unit))).to_pylist() == ["2026-01-01T08:00:00"]
    assert texts(pa.array([1_000_000_001], pa.timestamp("ns"))).to_pylist() == ["1970-01-01T00:00:01.000000001"]
