from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.divisions import Division, children, descendants, division, is_division, same_area, within


def test_a_county_knows_where_it_lies() -> None:
    assert division("321202") == Division("321202", "海陵区", "county", ("江苏省", "泰州市"), since=1996)
    found = division("321283")
    assert found is not None
    assert (found.name, found.level, found.full_name, found.abolished) == (
        "泰兴市",
        "county",
        "江苏省泰州市泰兴市",
        False,
    )


def test_city_and_province() -> None:
    city, province = division("321200"), division("320000")
    assert city is not None and province is not None
    assert (city.name, city.level, city.parents) == ("泰州市", "city", ("江苏省",))
    assert (province.name, province.level, province.parents) == ("江苏省", "province", ())


def test_children_of_taizhou() -> None:
    assert {below.code: below.name for below in children("321200")} == {
        "321201": "市辖区", "321202": "海陵区", "321203": "高港区", "321204": "姜堰区",
        "321281": "兴化市", "321282": "靖江市", "321283": "泰兴市",
    }  # fmt: skip
    assert children("321200000000") == children("321200") == descendants("321200")


def test_abolished_codes_are_known_and_marked() -> None:
    old = division("321284")
    assert old is not None
    assert (old.name, old.until, old.abolished) == ("姜堰市", 2012, True)
    assert is_division("321284")
    assert old not in children("321200")
    assert old in children("321200", abolished=True)


def test_a_renamed_division_bears_its_last_name() -> None:
    found = division("130321")
    assert found is not None
    assert (found.name, found.since) == ("青龙满族自治县", 1986)


def test_twelve_digits_are_looked_up_by_the_first_six() -> None:
    assert division("370800000000") == division("370800")
    assert division("321202001000") == division("321202")


def test_names_that_gather_are_left_out_of_the_full_name() -> None:
    for code, name in {"110101": "北京市东城区", "429004": "湖北省仙桃市", "469002": "海南省琼海市"}.items():
        found = division(code)
        assert found is not None
        assert found.full_name == name


def test_provinces_are_the_children_of_the_country() -> None:
    provinces = children("000000")
    assert len(provinces) == 34
    assert {below.level for below in provinces} == {"province"}
    assert len(children("320000")) == 13
    assert division("429004") in children("429000")


@pytest.mark.parametrize(
    "code", ["", "32", "3212", "321299", "999999", "32120", "32120a", "３２１２００", "²²²²²²", "321202 "]
)
def test_what_is_no_known_code(code: str) -> None:
    assert division(code) is None
    assert not is_division(code)
    assert children(code) == () or code in {"32", "3212"}


@pytest.mark.parametrize(
    ("code", "area", "expected"),
    [
        ("321283", "321200", True),
        ("321283", "320000", True),
        ("321283", "320000000000", True),
        ("321283000000", "321283", True),
        ("321202001000", "321202", True),
        ("321202001003", "321202001000", True),
        ("321202", "321202001000", False),
        ("321200", "321283", False),
        ("321283", "321282", False),
        ("321283", "330000", False),
        ("321283", "000000", True),
        ("321299", "321200", True),
        ("370800", "37", True),
        ("321283", "", False),
        ("", "321200", False),
        ("abcdef", "000000", False),
        ("32128", "320000", False),
    ],
)  # fmt: skip
def test_within_compares_by_level(code: str, area: str, expected: bool) -> None:
    assert within(code, area) is expected


def test_same_area_ignores_padding() -> None:
    assert same_area("370800", "370800000000")
    assert same_area("37", "370000")
    assert same_area("000000", "000000000000")
    assert not same_area("370800", "370801")
    assert not same_area("x", "x")


_codes = st.from_regex(r"\A[0-9]{6}([0-9]{6})?\Z")


@given(_codes, _codes)
def test_same_area_is_lying_in_each_other(one: str, other: str) -> None:
    assert same_area(one, other) == (within(one, other) and within(other, one))
    assert within(one, one)
    assert within(one, "000000")


def test_every_known_division_lies_in_its_country_once() -> None:
    known = descendants("000000", abolished=True)
    assert len(known) > 6000
    assert len({below.code for below in known}) == len(known)
    assert all(division(below.code) == below and below.name and below.name.isprintable() for below in known)
