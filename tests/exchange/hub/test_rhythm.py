from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import ValidationError

from exchange.errors import Invalid
from exchange.hub.rhythm import Rhythm, rhythm_of
from exchange.hub.roster import ZONE


@pytest.mark.parametrize("text", ["0 2 * * *", "*/5 * * * *", "3-59/5 8-18 * * 1-5", " 30  4 1 1,7 * ", "0 0 29 2 *"])
def test_five_fields_are_a_schedule(text: str) -> None:
    assert Rhythm(schedule=text).schedule == " ".join(text.split())


@pytest.mark.parametrize(
    "text",
    ["", "daily", "@daily", "@reboot", "0 2 * *", "0 0 2 * * *", "60 2 * * *", "0 24 * * *", "0 0 31 2 *", "H 2 * * *",
     "0 2 * * 9", "0 2 0 * *", "-1 2 * * *", "0 2 * * mon-xyz", "0 2 ? * W", "*/0 * * * *"],
)  # fmt: skip
def test_what_is_none_or_never_comes_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="cron"):
        Rhythm(schedule=text)


@pytest.mark.parametrize(
    "wrong",
    [{"priority": 0}, {"priority": 101}, {"priority": "5"}, {"parts": 0}, {"parts": 65}, {"timeout_minutes": 0},
     {"timeout_minutes": 20000}, {"all_of": [""]}, {"unheard": 1}],
)  # fmt: skip
def test_figures_have_bounds(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Rhythm(**wrong)


def test_settings_hold_what_differs_and_give_it_back() -> None:
    assert Rhythm().settings() == {}
    given = Rhythm(schedule="0 2 * * *", priority=5, all_of=("101001001/0002",), timeout_minutes=30, parts=4)
    assert rhythm_of("x", {**given.settings(), "tolerance": {"rows": 1}, "batch_rows": 2}) == given


def test_settings_that_somebody_spoilt_are_named() -> None:
    with pytest.raises(Invalid, match="priority、schedule") as caught:
        rhythm_of("share-G1", {"schedule": "soon", "priority": "high"})
    assert "share-G1" in caught.value.message
    assert "soon" not in caught.value.message


def test_the_next_time_is_by_beijings_clock() -> None:
    moment = datetime(2026, 11, 22, 3, 0, tzinfo=ZONE)
    assert Rhythm(schedule="30 2 * * *").following(moment) == datetime(2026, 11, 23, 2, 30, tzinfo=ZONE)
    assert Rhythm().following(moment) is None
