"""Rows that have broken exchanges before: every kind of endpoint must carry each of them unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from adapters.base import OPERATION, PUT
from schemas import Item, arrow_schema

NUMBER = Item(name="number", label="编号", type="C", length=40, mandatory=True)
VERSION = Item(name="version", label="版本", type="I")


@dataclass(frozen=True)
class Case:
    """Items and rows of them, perhaps under strange names at the place."""

    name: str
    items: tuple[Item, ...]
    rows: tuple[Mapping[str, Any], ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    """Item to its name there, where that is not the item's own."""
    object: str = ""
    """What the table or file is called, where that is strange too."""

    @property
    def schema(self) -> pa.Schema:
        """What is staged: the items and the operation."""
        return arrow_schema(self.items).append(pa.field(OPERATION, pa.int8(), nullable=False))

    @property
    def batch(self) -> pa.RecordBatch:
        """All rows, as the hub has checked them."""
        return pa.RecordBatch.from_pylist([{OPERATION: PUT, **row} for row in self.rows], schema=self.schema)


def item(name: str, type: Any, **more: Any) -> Item:
    """An item that is named and typed, and no more."""
    return Item(name=name, label=name, type=type, **more)


def _numbered(name: str, of: Item, *values: Any) -> Case:
    rows = tuple({"number": str(place), of.name: value} for place, value in enumerate(values, 1))
    return Case(name, (NUMBER, of), rows)


REMARK = item("remark", "M")

CASES = (
    Case("nothing", (NUMBER, REMARK), ()),
    Case("one row", (NUMBER, REMARK), ({"number": "1", "remark": "x"},)),
    Case(
        "nulls",
        (NUMBER, REMARK, *(item(f"item_{letter.lower()}", letter) for letter in "CNYDTLGBIF")),
        ({"number": "1"}, {"number": "2"}),
    ),
    _numbered("empty is not null", REMARK, "", None, " ", "\u3000", "  x  "),
    _numbered("words for null", REMARK, "NULL", "null", "\\N", "None", "N/A", "nan", "-"),
    _numbered("rare characters", REMARK, "𠮷野家", "䶮", "㐂", "🙂👨‍👩‍👧", "é", "e\u0301", "ﬁ", "\ufeff", "\U0010fffd"),
    _numbered("quotes", REMARK, '"', '""', ",", '",\n"', "'", "''", "`", "\\", "\\'", "\\N"),
    _numbered("ends of lines", REMARK, "a\nb", "a\r\nb", "a\rb", "\n", "\r", "\t", "a\n\nb", "\u2028", "\x85"),
    _numbered("code", REMARK, "=1+1", "@SUM(A1)", "+1", "-1", "'; DROP TABLE t; --", "%s", ":name", "{x}", "$1", "?"),
    _numbered("markup", REMARK, "<a>&amp;</a>", "]]>", "<!-- x -->", "<![CDATA[x]]>", "&#0;", "<?x?>", "<!DOCTYPE a>"),
    _numbered("a mebibyte", REMARK, "甲" * ((1 << 20) // 3), '"x' * (1 << 17)),
    _numbered(
        "38 digits",
        item("amount", "N", length=38),
        Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(0), Decimal(1), None,
    ),
    _numbered(
        "small money",
        item("amount", "N", length=38, scale=10),
        *map(Decimal, ("0.0000000001", "-0.0000000001", "1234567890123456789012345678.0123456789", "1E+3", "0")),
    ),
    _numbered("dates", item("day", "D"), date(1, 1, 1), date(9999, 12, 31), date(1582, 10, 10), date(2024, 2, 29)),
    _numbered(
        "instants",
        item("moment", "T"),
        datetime(1, 1, 1, tzinfo=UTC),
        # The last one that has the year 9999 in China too.
        datetime(9999, 12, 31, 15, 59, 59, 999_999, tzinfo=UTC),
        datetime(1900, 12, 31, 16, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        None,
    ),
    # At the end of summer time the clock went back: these two have the same local time in China.
    _numbered(
        "an hour that came twice",
        item("moment", "T"),
        datetime(1991, 9, 14, 16, 30, tzinfo=UTC), datetime(1991, 9, 14, 17, 30, tzinfo=UTC),
    ),
    _numbered("whole numbers", item("count", "I"), 2**63 - 1, -(2**63), 0, None),
    _numbered("doubles", item("value", "B"), 0.1, 1e308, -5e-324, 2.2250738585072014e-308, 0.0, None),
    _numbered("truths", item("valid", "L"), True, False, None),
    _numbered("bytes", item("photo", "G"), bytes(range(256)), b"", b"\x00", None),
    Case(
        "many columns",
        (NUMBER, *(item(f"item_{number}", "C", length=10) for number in range(120))),
        tuple({"number": str(row), f"item_{row}": "x"} for row in range(120)),
    ),
    Case(
        "Chinese names",
        (NUMBER, REMARK),
        ({"number": "1", "remark": "x"},),
        {"number": "证照编号", "remark": "持证人"},
        "证照信息",
    ),
    Case(
        "blanks and quotes in names",
        (NUMBER, REMARK, item("third", "M"), item("fourth", "M")),
        ({"number": "1", "remark": "x", "third": "y", "fourth": "z"},),
        {"number": 'a "b" c', "remark": "it's", "third": "select", "fourth": "x;--%s:y"},
        'my "table"\'s',
    ),
    Case(
        "rare characters in names",
        (NUMBER, REMARK),
        ({"number": "1", "remark": "x"},),
        {"number": "n🙂", "remark": "䶮𠮷"},
        "t🙂",
    ),
)  # fmt: skip
