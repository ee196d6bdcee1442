from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import codes

VALID = st.from_regex(re.compile(r"[123][0-9]{5}[0-9]{0,6}/[0-9]{1,8}"), fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=64)


@pytest.mark.parametrize(
    ("text", "class_code", "sequence"),
    [
        ("101001001/0001", "101001001", 1),
        ("111112001/2001", "111112001", 2001),
        ("112461465423/798456", "112461465423", 798456),
        ("101001/1", "101001", 1),
    ],
)
def test_a_code_is_taken_apart_at_its_slash(text: str, class_code: str, sequence: int) -> None:
    assert codes.parse(text) == codes.Code(text, class_code, sequence)


@pytest.mark.parametrize(
    "text",
    [
        "", "101001001", "101001001/", "/0001", "401001001/0001", "10100/1", "101001001/0001/2", "101001001\\0001",
        "101001001/0001\n", " 101001001/0001", "101001001/00a1", "１０１００１００１/0001", "101001001/٣",
        "101001001/" + "1" * 60, "101001001/1000000000000000000",
    ],
)  # fmt: skip
def test_what_is_no_code_is_none(text: str) -> None:
    assert codes.parse(text) is None


def test_a_province_may_have_a_grammar_of_its_own() -> None:
    assert codes.parse("SC-2026-77", r"SC-\d{4}-\d+") == codes.Code("SC-2026-77", "SC-2026-77", 0)
    assert codes.parse("101001001/0001", r"SC-\d{4}-\d+") is None


def test_the_levels_of_a_class_go_from_kind_to_detail() -> None:
    assert codes.split("101001001/0001").levels == ("1", "101", "101001", "101001001")
    assert codes.levels("101001") == ("1", "101", "101001")


@pytest.mark.parametrize(
    ("text", "is_class"),
    [
        ("1", True),
        ("12", False),
        ("101", True),
        ("101001", True),
        ("101001001", True),
        ("4", False),
        ("1010", False),
        ("", False),
    ],
)
def test_a_class_ends_where_a_level_ends(text: str, is_class: bool) -> None:
    assert codes.is_class(text) is is_class


@given(VALID)
def test_the_next_code_follows_the_grammar_and_the_last_number(text: str) -> None:
    code = codes.parse(text)
    assert code is not None
    following = codes.parse(codes.following(code.class_code, code.sequence))
    assert following is not None
    assert (following.class_code, following.sequence) == (code.class_code, code.sequence + 1)


def test_numbers_are_written_with_four_digits_and_grow_beyond() -> None:
    assert codes.following("101001001", 0) == "101001001/0001"
    assert codes.following("101001001", 9999) == "101001001/10000"


@given(TEXTS)
def test_a_file_name_is_one_segment_and_leads_back(text: str) -> None:
    name = codes.file_name(text)
    assert len(PurePosixPath(name).parts) == 1
    assert name not in (".", "..")
    assert re.fullmatch(r"[A-Za-z0-9_%~-]+", name)
    assert codes.from_file_name(name) == text


def test_a_file_name_reads_like_the_code() -> None:
    assert codes.file_name("101001001/0001") == "101001001-0001"


@given(TEXTS)
def test_an_address_part_is_one_segment_and_leads_back(text: str) -> None:
    part = codes.address_part(text)
    assert "/" not in part
    assert codes.from_address_part(part) == text
