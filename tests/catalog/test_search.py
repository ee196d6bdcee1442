from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.directory import Catalog
from catalog.entries import Entry
from catalog.errors import Rejected
from catalog.search import pairs, runs
from catalog.tables import TermRow
from tests.catalog.conftest import CODE, LI, POLICE, ZHAO, person

Publish = Callable[..., Entry]


@pytest.fixture
def shelf(publish: Publish) -> None:
    """Three published resources."""
    publish()
    publish(
        code="201001001/0001",
        name="出生医学证明",
        abstract="新生儿出生信息，含户籍人口关联",
        classes=["201001001", "101001001"],
        share_type=1,
        share_condition="无条件",
        share_ways=["file", "webservice"],
        update_cycle="weekly",
    )
    publish(
        code="102001001/0001",
        name="法人基本信息",
        abstract="企业登记",
        record_class="legal_person",
        table="up_uc_gov_org",
        items=None,
        key=None,
        version_item=None,
        share_type=1,
        share_condition="无条件",
    )


def codes(catalog: Catalog, session: Session, text: str = "", **only: Any) -> list[str]:
    return [hit.entry.code for hit in catalog.search(session, text, **only).hits]


PERSON, BIRTH, LEGAL = CODE, "201001001/0001", "102001001/0001"


WORDS = {
    "人口": {PERSON, BIRTH},
    "出生": {BIRTH, PERSON},
    "基本信息": {PERSON, LEGAL},
    "出生 人口": {BIRTH, PERSON},
    "出生证明": set(),
    "人口基本": {PERSON},
    "国家人口基础": {PERSON, BIRTH},
    "公安局": {BIRTH, LEGAL, PERSON},
    "id_number": {PERSON, BIRTH},
    "ID NUMBER": {PERSON, BIRTH},
    "ＩＤ＿ｎｕｍｂｅｒ": {PERSON, BIRTH},
    "101001001": {PERSON, BIRTH},
    "101001001/0001": {PERSON},
    "医学%": {BIRTH},
    "医_证明": set(),
    "没有的": set(),
}


def test_words_find_what_contains_them(shelf: None, catalog: Catalog, city: Session) -> None:
    assert {text: set(codes(catalog, city, text)) for text in WORDS} == WORDS


def test_a_word_in_the_name_counts_more_than_one_in_the_abstract(shelf: None, catalog: Catalog, city: Session) -> None:
    assert codes(catalog, city, "人口")[0] == PERSON
    assert codes(catalog, city, "出生")[0] == BIRTH
    scores = [hit.score for hit in catalog.search(city, "出生").hits]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1]


def test_no_words_find_everything_in_the_order_of_codes(shelf: None, catalog: Catalog, city: Session) -> None:
    assert codes(catalog, city) == [PERSON, LEGAL, BIRTH]
    assert codes(catalog, city, "  ") == [PERSON, LEGAL, BIRTH]


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"record_class": "legal_person"}, [LEGAL]),
    ({"provider": POLICE}, [PERSON, LEGAL, BIRTH]),
    ({"provider": "11321200TE00000104"}, []),
    ({"share_type": 2}, [PERSON]),
    ({"share_type": "无条件"}, [LEGAL, BIRTH]),
    ({"way": "webservice"}, [BIRTH]),
    ({"way": "数据库"}, [PERSON, LEGAL]),
    ({"cycle": "每周"}, [BIRTH]),
    ({"under": "101"}, [PERSON, BIRTH]),
    ({"under": "1"}, [PERSON, LEGAL, BIRTH]),
    ({"under": "2", "share_type": 1}, [BIRTH]),
]


def test_filters_narrow_with_and_without_words(shelf: None, catalog: Catalog, city: Session) -> None:
    assert [(only, codes(catalog, city, **only)) for only, _ in FILTERS] == FILTERS
    assert [sorted(codes(catalog, city, "信息", **only)) for only, _ in FILTERS] == [
        sorted(codes) for _, codes in FILTERS
    ]


def test_a_resource_in_several_classes_is_found_once(shelf: None, catalog: Catalog, city: Session) -> None:
    assert codes(catalog, city, "医学") == [BIRTH]
    assert codes(catalog, city, "医学", under="101") == [BIRTH]


@pytest.mark.parametrize("text", ["人", "a", "人 口", "！", "、。", "%", "_", "x" * 101])
def test_words_too_short_or_too_long_are_told(catalog: Catalog, city: Session, text: str) -> None:
    with pytest.raises(Rejected, match="至少两个字"):
        catalog.search(city, text)


def test_pages_follow_each_other_without_gap_or_repeat(catalog: Catalog, city: Session, publish: Publish) -> None:
    for number in range(1, 8):
        publish(code=f"101001001/000{number}", name=f"户籍{'人口' * (number % 3)}信息{number}")
    for text in ("户籍", ""):
        seen, cursor = [], None
        while True:
            page = catalog.search(city, text, limit=2, cursor=cursor)
            seen += [(hit.score, hit.entry.code) for hit in page.hits]
            assert len(page.hits) <= 2
            cursor = page.cursor
            if cursor is None:
                break
        assert len(seen) == 7
        # By words the heaviest first, read off the index backwards; without words by code.
        assert seen == (sorted(seen, reverse=True) if text else sorted(seen))


@pytest.mark.parametrize(
    "cursor", ["", "x", "W10=", "WyJhIiwxXQ==", "WzEsMl0=", "∑", "WzEsICJcdTAwMDAiXQ==", "bnVsbA=="]
)
def test_a_cursor_nobody_gave_is_told(catalog: Catalog, city: Session, cursor: str) -> None:
    with pytest.raises(Rejected, match="翻页"):
        catalog.search(city, "人口", cursor=cursor)


@pytest.mark.parametrize("only", [{"share_type": 9}, {"way": "传真"}, {"cycle": "偶尔"}, {"provider": "a\x00"},
                                  {"record_class": ""}, {"under": "\ud800"}])  # fmt: skip
def test_a_filter_that_cannot_be_is_told(catalog: Catalog, city: Session, only: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        catalog.search(city, "人口", **only)


def test_only_what_is_in_force_is_found(catalog: Catalog, city: Session, publish: Publish) -> None:
    catalog.register(city, person(), LI)
    assert codes(catalog, city, "人口") == []
    catalog.move(city, CODE, "discard", LI)
    publish()
    catalog.register(city, person(name="常住居民基本信息"), LI)
    assert codes(catalog, city, "户籍人口基本") == [CODE]
    assert codes(catalog, city, "常住居民") == []
    catalog.move(city, CODE, "withdraw", ZHAO, opinion="数据停更")
    assert codes(catalog, city, "户籍") == []
    assert codes(catalog, city) == []
    assert city.scalar(select(func.count()).select_from(TermRow)) == 0


def test_rare_characters_are_found(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish(name="𠮷野䶮人口")
    assert codes(catalog, city, "𠮷野") == [CODE]
    assert codes(catalog, city, "野䶮") == [CODE]
    assert codes(catalog, city, "𠮷䶮") == []


def test_a_renamed_department_is_found_by_its_new_name(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.put_department(city, {"code": POLICE, "name": "泰州市警察局", "division": "321200"})
    assert codes(catalog, city, "警察局") == [CODE]
    assert codes(catalog, city, "公安局") == []


HOSTILE = ["'; DROP TABLE resource_term; --", '" XOR ""="', "%%%%", "____", "\\\\%%", "a' UNION SELECT 1,2 --",
           "人口' OR 1=1 --", "人口\x00", "人口\ud800"]  # fmt: skip


def test_hostile_words_are_words(shelf: None, catalog: Catalog, city: Session) -> None:
    for text in HOSTILE:
        try:
            found = codes(catalog, city, text)
        except Rejected:
            continue
        assert set(found) <= ({PERSON, BIRTH} if text.startswith("人口") else set())
    assert city.scalar(select(func.count()).select_from(TermRow)) > 0


@given(st.text(max_size=60))
def test_a_run_holds_nothing_a_pattern_could_mean(text: str) -> None:
    for run in runs(text):
        assert run.isalnum()
        assert not set(run) & set("%_\\'\" ")
        assert len(pairs(run)) == len(run) - 1
        assert all(pair in run for pair in pairs(run))
