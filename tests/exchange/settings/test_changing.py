"""Which settings may change at run time, and what they may become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exchange.errors import Invalid, Unknown
from exchange.settings import Settings
from exchange.settings.changing import CHANGEABLE, bounds, changed, value_of
from exchange.words import SETTINGS
from tests.exchange.settings.test_model import HUB


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, hub_department=HUB)


@pytest.mark.parametrize("name", CHANGEABLE)
def test_each_holds_between_its_bounds_and_has_words(settings: Settings, name: str) -> None:
    least, most = bounds(name)
    assert least <= value_of(settings, name) <= most
    for value in (least, most, str(most)):
        assert value_of(changed(settings, {name: value}), name) == int(value)
    for value in (least - 1, most + 1, "much", "", 1.5, None, True, "9" * 5000, [1]):
        with pytest.raises(Invalid) as error:
            changed(settings, {name: value})
        assert [problem.where for problem in error.value.problems] == [name]
    assert SETTINGS[name]


def test_words_are_of_settings_that_there_are() -> None:
    assert set(SETTINGS) == set(CHANGEABLE)


def test_the_others_stay_as_they_are(settings: Settings) -> None:
    found = changed(settings, {"accounts.failures": 7, "accounts.lock_minutes": 9, "limits.message_rows": 10})
    assert (found.accounts.failures, found.accounts.lock_minutes, found.limits.message_rows) == (7, 9, 10)
    assert found.accounts.idle_minutes == settings.accounts.idle_minutes
    assert found.accounts.oidc is settings.accounts.oidc
    assert found.web == settings.web
    assert settings.accounts.failures == 5


@pytest.mark.parametrize("name", ["accounts.oidc", "actors", "database_url", "web.host", "nothing", "", "accounts."])
def test_what_opens_doors_or_removes_records_is_none_of_them(settings: Settings, name: Any) -> None:
    for ask in (lambda: changed(settings, {name: 1}), lambda: value_of(settings, name)):
        with pytest.raises(Unknown):
            ask()
