from __future__ import annotations

import time
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.formats.cells import date_text, number_text, shows, time_text, unescaped
from schemas.unreadable import UNREADABLE, why_unreadable


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("0.1", "0.1"),
        ("0.10000000000000001", "0.1"),
        ("0.30000000000000004", "0.3"),
        ("1.1000000000000001", "1.1"),
        ("12", "12"),
        ("12.0", "12"),
        ("-7", "-7"),
        ("-0", "0"),
        ("1E3", "1000"),
        ("1.5E-7", "0.00000015"),
        ("999999999999999", "999999999999999"),
        ("9.99999999999999E14", "999999999999999"),
        ("123456.789", "123456.789"),
        ("4.9406564584124654E-324", "0." + "0" * 323 + "494065645841247"),
    ],
)
def test_numbers_as_they_were_typed(literal: str, expected: str) -> None:
    assert number_text(literal) == expected


@pytest.mark.parametrize("literal", ["1000000000000000", "3.2120218850101E+17", "321202188501010010", "-1e300"])
def test_long_numbers_have_lost_their_last_digits(literal: str) -> None:
    assert why_unreadable(number_text(literal)) == UNREADABLE["digits"]


@pytest.mark.parametrize("literal", ["", "x", "nan", "inf", "1e999"])
def test_what_is_no_number(literal: str) -> None:
    assert why_unreadable(number_text(literal)) == UNREADABLE["error"]


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=4))
def test_what_was_typed_comes_back(value: object) -> None:
    # A sheet stores the nearest double with seventeen digits.
    stored = f"{float(str(value)):.17g}"
    assert float(number_text(stored)) == float(str(value))
    assert len(number_text(stored).strip("-").replace(".", "").strip("0")) <= 13


@pytest.mark.parametrize(
    ("literal", "from_1904", "expected"),
    [
        ("1", False, "1900-01-01"),
        ("59", False, "1900-02-28"),
        ("61", False, "1900-03-01"),
        ("46023", False, "2026-01-01"),
        ("46023", True, "2030-01-02"),
        ("0", True, "1904-01-01"),
        ("46023.5", False, "2026-01-01T12:00:00"),
        ("46023.999999999", False, "2026-01-02"),
        ("46023.52430555556", False, "2026-01-01T12:35:00"),
        ("46023.000011574", False, "2026-01-01T00:00:01"),
        ("46023.0000057", False, "2026-01-01T00:00:00.492"),
        ("2958465", False, "9999-12-31"),
    ],
)
def test_days(literal: str, from_1904: bool, expected: str) -> None:
    assert date_text(literal, from_1904=from_1904) == expected


@pytest.mark.parametrize(
    ("literal", "from_1904"),
    [("60", False), ("0", False), ("-1", False), ("2958466", False), ("x", False), ("2958465", True), ("nan", True)],
)
def test_what_is_no_day(literal: str, from_1904: bool) -> None:
    assert why_unreadable(date_text(literal, from_1904=from_1904)) == UNREADABLE["day"]


@given(st.dates(min_value=date(1900, 3, 1)))
def test_every_day(day: date) -> None:
    assert date_text(str((day - date(1899, 12, 30)) // timedelta(days=1)), from_1904=False) == day.isoformat()


def test_times_of_day() -> None:
    assert time_text("0.5", from_1904=False) == "12:00:00"
    assert time_text("0", from_1904=False) == "00:00:00"
    assert time_text("46023.5", from_1904=False) == "2026-01-01T12:00:00"
    assert why_unreadable(time_text("x", from_1904=False)) == UNREADABLE["day"]


@pytest.mark.parametrize(
    ("number", "code", "expected"),
    [
        (0, None, "number"),
        (14, None, "date"),
        (22, None, "date"),
        (31, None, "date"),
        (57, None, "date"),
        (20, None, "time"),
        (49, None, "number"),
        (164, "yyyy-mm-dd", "date"),
        (165, 'yyyy"年"m"月"d"日"', "date"),
        (166, "[$-804]yyyy\\-mm\\-dd;@", "date"),
        (167, "yyyy/m/d h:mm", "date"),
        (168, "[h]:mm:ss", "time"),
        (169, "mmm", "date"),
        (170, "0.00", "number"),
        (171, "General", "number"),
        (172, '#,##0.00"元"', "number"),
        (173, '0"days"', "number"),
        (174, "[Red]0.00", "number"),
        (175, '_ "¥"* #,##0.00_ ;_ "¥"* \\-#,##0.00_ ', "number"),
        (176, "@", "number"),
        (177, "0.00E+00", "number"),
        (14, "0", "number"),
    ],
)
def test_what_formats_show(number: int, code: str | None, expected: str) -> None:
    assert shows(number, code) == expected


def test_escapes() -> None:
    assert unescaped("a_x000D_b_x0041_") == "a\rbA"
    assert unescaped("_x005F_x0041_") == "_x0041_"
    assert unescaped("_x00_ _X0041_") == "_x00_ _X0041_"


def test_escapes_that_are_halves_of_characters() -> None:
    assert unescaped("a_xD842__xDFB7_b") == "a𠮷b"
    assert why_unreadable(unescaped("a_xD842_b")) == UNREADABLE["text"]
    assert why_unreadable(unescaped("_xDFB7__xD842_")) == UNREADABLE["text"]


@pytest.mark.parametrize("literal", ["1_0", "１２", " 1", "1e", "--1", "0x10", "infinity", "nan", ""])
def test_numbers_that_only_python_reads(literal: str) -> None:
    assert why_unreadable(number_text(literal)) == UNREADABLE["error"]
    assert why_unreadable(date_text(literal, from_1904=False)) == UNREADABLE["day"]
    assert why_unreadable(time_text(literal, from_1904=False)) == UNREADABLE["day"]


def test_the_last_moment_of_a_day_is_a_time() -> None:
    assert time_text("0.9999999999999", from_1904=False) == "00:00:00"
    assert time_text("0.99999999", from_1904=False) == "23:59:59.999"


def test_a_number_format_without_end_costs_nothing() -> None:
    begun = time.process_time()
    assert shows(200, "[" * 1_000_000) == "number"
    assert time.process_time() - begun < 1
