"""The benchmark of pages asks and counts; how fast they are, only a benchmark can say."""

from __future__ import annotations

import pytest

from tests.bench import pages
from tests.bench.pages import Asked, measured
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import Town

__all__ = ["built_town", "town"]


def test_twenty_people_at_once_are_answered(town: Town) -> None:
    asked = [Asked("front page", "/"), Asked("own", "/me")]
    found = {each.name: each for each in measured(town.home, "small", asked, seconds=0.3)}
    late = found["small: page: front page: p95, 20 people"]
    assert late.seconds >= found["small: page: front page: p50"].seconds > 0
    assert late.baseline_seconds == pages.BAR
    assert "small: page: all in a mix: p95, 20 people" in found


def test_a_page_that_is_not_answered_is_no_fast_one(town: Town) -> None:
    with pytest.raises(ExceptionGroup) as told:
        measured(town.home, "small", [Asked("none", "/nowhere")], seconds=0.1)
    assert "404" in str(told.value.exceptions[0])


def test_every_page_with_a_bar_is_asked_for() -> None:
    found = pages.pages("101001001/0001", "X1", "r1", "11")
    assert len({each.name for each in found}) == len(found) == 19
    assert [each.path for each in found if "%2F0001" in each.path and each.name == "resource"]
