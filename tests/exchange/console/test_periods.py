from __future__ import annotations

from datetime import UTC, datetime

import pytest

from exchange.console.periods import begins, day, ends
from exchange.errors import Invalid


def test_days_are_days_of_beijing_and_the_last_one_is_included() -> None:
    assert begins("2026-01-31", "起") == datetime(2026, 1, 30, 16, tzinfo=UTC)
    assert ends("2026-01-31", "止") == datetime(2026, 1, 31, 16, tzinfo=UTC)
    assert ends("9999-12-31", "止") is None
    assert day("", "起") is begins("", "起") is ends("", "止") is None


@pytest.mark.parametrize("text", ["昨天", "2026-13-01", "<b>", "2026-01-31T00:00:00"])
def test_what_is_no_day_is_said_to_be_none(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        begins(text, "起")
    assert [each.where for each in caught.value.problems] == ["起"]
