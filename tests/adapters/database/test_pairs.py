"""Every ordered pair of products: what lies in the target is what lay in the source, cell by cell."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.adapters.database.pairs import CHINA, ITEMS, PAIRS, Sides, move

NAMES = tuple(item.name for item in ITEMS)


def _told_once(moment: datetime) -> bool:
    """Its local time was shown once: clocks were neither put forward nor back over it."""
    local = moment.astimezone(CHINA)
    return local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset()


def moments() -> st.SearchStrategy[datetime]:
    first, last = (datetime.fromisoformat(text) for text in ("0001-01-01", "9999-12-31 15:59:59.999999"))
    return st.datetimes(first, last, timezones=st.just(UTC)).filter(_told_once)


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda number: Decimal(f"{number}E-{places}"))


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=200)
ROW = st.fixed_dictionaries(
    {
        name: st.none() | values
        for name, values in {
            "whole": st.integers(-(2**63), 2**63 - 1),
            "wide": decimals(38, 0),
            "fine": decimals(38, 10),
            "money": decimals(20, 2),
            "remark": TEXT | st.sampled_from(["", "𠮷野家", "\\N", "NULL", '"', "a\r\nb", "\t", "\x01", "\ufeff"]),
            "day": st.dates(date(1, 1, 1), date(9999, 12, 31)),
            "moment": moments(),
            "local": moments(),
            "truth": st.booleans(),
            "photo": st.binary(max_size=100),
            "score": st.floats(allow_nan=False, allow_infinity=False),
        }.items()
    }
)
EDGES: list[dict[str, Any]] = [
    {},
    {"remark": "", "photo": b""},
    {"remark": "䶮" + "𠮷" * ((1 << 20) // 4), "photo": bytes(range(256)) * 4096},
    {"whole": 2**63 - 1, "wide": Decimal("9" * 38), "fine": Decimal("-" + "9" * 28 + "." + "9" * 10)},
    {"whole": -(2**63), "wide": Decimal("-" + "9" * 38), "fine": Decimal("0.0000000001"), "money": Decimal("-0.01")},
    {"day": date(1, 1, 1), "moment": datetime(1, 1, 1, tzinfo=UTC), "local": datetime(1, 1, 1, tzinfo=UTC)},
    {"day": date(9999, 12, 31), "moment": datetime(9999, 12, 31, 15, 59, 59, 999_999, UTC), "truth": True},
    {"day": date(1582, 10, 10), "local": datetime(1991, 9, 14, 14, 59, 59, 1, UTC), "truth": False},
    {"score": 5e-324}, {"score": -1.7976931348623157e308}, {"score": -0.0}, {"score": 0.1},
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_values_arrive_as_they_were(sides: Sides, source: str, target: str) -> None:
    @settings(
        max_examples=3,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(ROW, max_size=60))
    def moves(generated: list[dict[str, Any]]) -> None:
        sent = [{"number": str(number), **row} for number, row in enumerate([*EDGES, *generated])]
        rows = [{name: row.get(name) for name in NAMES} for row in sent]
        moved = move(sides[source], sides[target], sides[source].fill(rows), batch_rows=16)
        assert moved.findings == ()
        assert moved.answer.refused == ()
        found = sides[target].found(moved.table)
        assert len(found) == len(rows)
        for row in rows:
            assert found[row["number"]] == row

    moves()
