from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Rejected
from catalog.found import Column, from_table, guess, item_names
from catalog.model import ITEM_NAME
from catalog.reading import read_resource
from catalog.validation import errors, problems
from schemas import profile, record_classes
from tests.catalog.conftest import POLICE


def draft(columns: list[Column], **more):
    about = {"code": "303001001/0001", "name": "从业人员", "provider_code": POLICE, "endpoint": "e", "object": "T_CYRY"}
    return from_table(columns, **about | more)


def test_a_plain_column_name_becomes_the_item_name() -> None:
    assert item_names([Column("XM", "C"), Column("Cert No", "C"), Column("2nd", "C"), Column("a-b", "C")]) == (
        "xm", "cert_no", "c_2nd", "a_b",
    )  # fmt: skip


def test_a_chinese_column_is_named_after_the_term_or_by_number() -> None:
    assert item_names([Column("公民身份号码", "C"), Column("炒面口味", "C"), Column("$$", "C", label="姓名")]) == (
        "identity_number", "column_2", "name",
    )  # fmt: skip


def test_columns_that_would_share_a_name_are_told_apart() -> None:
    long = "a" * 80
    names = item_names(
        [Column("NAME", "C"), Column("name", "C"), Column("name", "C"), Column(long, "C"), Column(long, "C")]
    )
    assert names == ("name", "name_2", "name_3", "a" * 63, "a" * 61 + "_2")


@given(st.lists(st.text(max_size=70), max_size=12))
def test_any_columns_get_different_valid_names(names: list[str]) -> None:
    items = item_names([Column(name, "C") for name in names])
    assert len({item.casefold() for item in items}) == len(names)
    assert all(re.fullmatch(ITEM_NAME, item, re.ASCII) for item in items)


@pytest.mark.parametrize(
    ("name", "label", "check", "grade"),
    [
        ("SFZH", "", "identity_number", "sensitive"),
        ("id_card_no", "", "identity_number", "sensitive"),
        ("c1", "居民身份证号", "identity_number", "sensitive"),
        ("身份证号码", "", "identity_number", "sensitive"),
        ("uscc", "", "credit_code", "none"),
        ("TYSHXYDM", "", "credit_code", "none"),
        ("c2", "单位统一社会信用代码", "credit_code", "none"),
        ("xmdm", "", "project_code", "none"),
        ("c3", "电子证照标识", "licence_identifier", "none"),
        ("bank_account", "", None, "sensitive"),
        ("linkman_mobile", "", None, "personal"),
        ("c4", "家庭住址", None, "personal"),
        ("project_name", "项目名称", None, "none"),
        ("item_name", "事项名称", None, "none"),
        ("amount", "金额", None, "none"),
    ],
)
def test_names_and_labels_suggest_check_and_grade(name: str, label: str, check: str | None, grade: str) -> None:
    assert (guess(name, label).check, guess(name, label).grade) == (check, grade)


def test_a_label_of_the_classes_says_what_it_says_there() -> None:
    for group in record_classes().values():
        for table in group.tables:
            for item in table.items:
                if item.check:
                    assert guess("x", item.label).check == item.check
                if item.grade != "none":
                    assert guess("x", item.label).grade != "none"


def test_a_table_becomes_a_draft_a_clerk_can_finish() -> None:
    resource = draft(
        [
            Column("ID", "I", nullable=False),
            Column("SFZH", "C", 18, nullable=False, label="身份证号"),
            Column("GZ", "N", 10, 2, label="工资"),
            Column("BZ", "M"),
            Column("VERSION", "I", nullable=False),
        ],
        key=["ID"],
        product="postgresql",
    )
    assert [(i.name, i.label, i.type, i.length, i.scale, i.mandatory) for i in resource.items] == [
        ("id", "ID", "I", None, None, True),
        ("sfzh", "身份证号", "C", 18, None, True),
        ("gz", "工资", "N", 10, 2, False),
        ("bz", "BZ", "M", None, None, False),
        ("version", "VERSION", "I", None, None, True),
    ]
    assert (resource.key, resource.version_item, resource.formats) == (("id",), "version", ("数据库/PostgreSQL",))
    assert resource.offer is not None
    assert resource.offer.columns["sfzh"] == "SFZH"
    faults = errors(problems(read_resource(resource)))
    assert [fault.where.rpartition(" › ")[2] for fault in faults] == ["不予共享依据"]


def test_the_columns_of_a_front_end_family_are_no_items() -> None:
    columns = [
        Column("PROJID", "C", 50, nullable=False),
        Column("DATAVER", "I", nullable=False),
        Column("DATASTATE", "C", 1),
        Column("MAKETIME", "T"),
        Column("SIGNSTATE", "C", 1),
        Column("STDVER", "C", 10),
    ]
    resource = draft(columns, key=["PROJID"], profile=profile("shandong"))
    assert [item.name for item in resource.items] == ["projid", "dataver"]
    assert resource.version_item == "dataver"
    assert resource.offer is not None
    assert (resource.offer.profile, resource.offer.capture) == ("shandong", "outbox")


def test_a_certificate_number_is_an_identity_number_only_where_no_kind_stands_beside_it() -> None:
    alone = draft([Column("cert_no", "C", 64)])
    assert alone.items[0].check == "identity_number"
    beside = draft([Column("cert_no", "C", 64), Column("cert_type", "C", 2)])
    assert beside.items[0].check is None
    assert beside.items[0].grade == "sensitive"


def test_a_check_is_not_proposed_for_a_column_too_short_or_of_another_type() -> None:
    resource = draft([Column("SFZH", "C", 6), Column("SFZH2", "N", 18, label="身份证号")])
    assert [item.check for item in resource.items] == [None, None]


def test_odd_columns_do_not_stop_the_draft() -> None:
    resource = draft([Column("家庭成员情况", "?"), Column("家庭成员情况", "C", 0), Column("n", "N", 131089, -3),
                      Column(" 行政处罚\n决定书文号 ", "C")], product="Excel")  # fmt: skip
    assert [item.label for item in resource.items] == ["家庭成员情况", "家庭成员情况", "n", "行政处罚 决定书文号"]
    assert resource.items[0].type == "M"
    assert (resource.items[2].length, resource.items[2].scale) == (None, 0)
    assert resource.formats == ("自描述格式/Excel",)
    assert resource.offer is not None
    assert list(resource.offer.columns.values()) == ["家庭成员情况", "家庭成员情况", "n", " 行政处罚\n决定书文号 "]


def test_a_column_nobody_could_name_is_left_out() -> None:
    resource = draft(
        [Column("", "C"), Column("a\x00", "C"), Column("b" * 256, "C"), Column("c", "C", label="标\u200b签")]
    )
    assert [(item.name, item.label) for item in resource.items] == [("c", "标签")]


def test_a_name_that_cannot_be_is_told() -> None:
    with pytest.raises(Rejected) as caught:
        draft([Column("a", "C")], name="", provider_code="1")
    assert [problem.where.rpartition(" › ")[2] for problem in caught.value.problems] == [
        "信息资源名称",
        "信息资源提供方代码",
    ]
