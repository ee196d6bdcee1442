from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from exchange.console import words
from exchange.settings import Role
from exchange.words import ROLES


def test_times_are_beijing_s_and_programs_read_them_too() -> None:
    told = words.moment(datetime(2026, 3, 31, 16, 0, 5, tzinfo=UTC))
    assert told == '<time datetime="2026-03-31T16:00:05+00:00">2026-04-01 00:00:05</time>'
    assert words.moment(None) == "—"
    assert words.day(datetime(2026, 3, 31, 16, tzinfo=UTC)) == "2026-04-01"
    assert words.day(date(2026, 3, 31)) == "2026-03-31"


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (1234567, "1,234,567"), (-1000, "-1,000"), (1234.5, "1,234.5"), (None, "—")]
)
def test_numbers_are_grouped(value: float | None, told: str) -> None:
    assert words.number(value) == told


def test_shares_are_per_cent() -> None:
    assert [words.share(value) for value in (0.0, 0.1234, 1.0, None)] == ["0.0%", "12.3%", "100.0%", "—"]


def test_text_is_escaped_and_nothing_is_a_dash() -> None:
    assert words.text("<b>") == "&lt;b&gt;"
    assert [words.text(value) for value in (None, "", 0)] == ["—", "—", "0"]


def test_every_role_has_a_title_and_every_filter_a_name() -> None:
    assert ROLES.keys() == set(Role)
    assert {"moment", "day", "number", "share", "text"} <= words.FILTERS.keys()


def test_what_is_said_is_no_markup() -> None:
    told = words.said([("行数", "1,234"), ("<i>", "<b>&")])
    assert told == (
        '<span class="said-of"><span class="quiet">行数</span> 1,234</span> '
        '<span class="said-of"><span class="quiet">&lt;i&gt;</span> &lt;b&gt;&amp;</span>'
    )


def test_one_of_the_choices_is_chosen_and_none_of_them_is_markup() -> None:
    given = [("", "全部"), (1, "<b>一</b>"), ('"2"', "二")]
    told = words.choices(given, 1)
    assert told == (
        '<option value="">全部</option><option value="1" selected>&lt;b&gt;一&lt;/b&gt;</option>'
        '<option value="&#34;2&#34;">二</option>'
    )
    assert " selected" not in words.choices(given, "3")
