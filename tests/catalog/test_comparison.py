from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from catalog.comparison import difference, in_words
from catalog.model import Resource
from tests.catalog.conftest import person

OLD = Resource.model_validate(person())


def changed(**changes: Any) -> dict[str, str]:
    return {change.path: change.words for change in difference(OLD, Resource.model_validate(person(**changes)))}


def test_the_same_is_no_change() -> None:
    assert changed() == {}


def test_the_date_of_publication_does_not_count() -> None:
    assert changed(published_on="2026-01-31") == {}


def test_elements_are_told_in_their_terms() -> None:
    assert changed(
        share_type=1,
        update_cycle="monthly",
        share_ways=["database", "file"],
        open_to_public=True,
        legal_basis="《档案法》",
        version_item=None,
    ) == {
        "share_type": "共享类型由“有条件共享”改为“无条件共享”",
        "update_cycle": "更新周期由“每日”改为“每月”",
        "share_ways": "共享方式由“数据库”改为“数据库、文件”",
        "open_to_public": "是否向社会开放由“否”改为“是”",
        "legal_basis": "不予共享依据由空改为“《档案法》”",
        "version_item": "版本项由“updated”改为空",
    }


def test_items_are_told_one_by_one() -> None:
    first, second, third, fourth = person()["items"]
    items = [
        second | {"length": 128},
        fourth,
        first | {"type": "C", "grade": "personal"},
        {"name": "sex", "label": "性别", "type": "C"},
    ]
    assert changed(items=items) == {
        "items.birth_date": "删去信息项 birth_date（出生日期）",
        "items.name.length": "信息项 name（姓名）的长度由“64”改为“128”",
        "items.id_number.grade": "信息项 id_number（公民身份号码）的个人信息等级由“敏感个人信息”改为“个人信息”",
        "items.sex": "增加信息项 sex（性别）",
        "items": "信息项顺序改变",
    }
    assert third["name"] == "birth_date"


def test_an_offer_is_told_by_its_parts() -> None:
    offer = {
        "endpoint": "police-front",
        "object": "person_v2",
        "columns": {"name": "XM"},
        "profile": "jiangsu",
        "options": {"token": "env:T"},
    }
    assert changed(offer=offer) == {
        "offer.object": "资源挂接的表、操作或文件由“person”改为“person_v2”",
        "offer.profile": "资源挂接的前置库表族由空改为“jiangsu”",
        "offer.columns.name": "资源挂接的信息项对应字段 name由空改为“XM”",
        "offer.options.token": "资源挂接的选项 token由空改为“env:T”",
    }
    assert changed(offer=None) == {"offer": "删去资源挂接"}


def test_options_that_hold_more_than_a_word() -> None:
    offer = {**person()["offer"], "options": {"arguments": {"zone": "1", "all": True}, "puts": ["", {"a": 1}]}}
    words = changed(offer=offer)
    assert words["offer.options.arguments"] == "资源挂接的选项 arguments由空改为“zone=1、all=True”"
    assert words["offer.options.puts"] == "资源挂接的选项 puts由空改为“、a=1”"


def test_long_values_are_cut() -> None:
    words = changed(abstract="长" * 500)["abstract"]
    assert len(words) < 150
    assert words.endswith("…”")


def test_values_are_said_by_their_terms() -> None:
    assert in_words("update_cycle", "daily") == "每日"
    assert in_words("share_ways", ["database", "file"]) == ["数据库", "文件"]
    assert in_words("items.name.grade", "personal") == "个人信息"
    assert in_words("name", "daily") == "daily"
    assert in_words("offer.columns.type", "C") == "C"
    assert in_words("items.type", {"type": "C"}) == {"type": "C"}
    assert in_words("items.name.type", None) is None


def test_a_change_is_kept_as_json() -> None:
    (change,) = difference(OLD, Resource.model_validate(person(share_type=1)))
    assert str(change) == change.words
    assert json.loads(json.dumps(change.as_json())) == {
        "path": "share_type",
        "old": 2,
        "new": 1,
        "words": "共享类型由“有条件共享”改为“无条件共享”",
    }


FIELDS: dict[str, Any] = {
    "name": "另一名称",
    "abstract": "另一摘要",
    "formats": ["电子文件/OFD"],
    "share_type": 1,
    "share_condition": "另一条件",
    "provider_unit": "户政支队",
    "related": ["101001001/0002"],
    "classes": ["201"],
    "key": ["name"],
    "items": [],
    "record_class": "natural_person",
    "table": "population",
    "open_condition": "无条件",
    "share_ways_note": "说明",
    "offer": None,
}


@given(st.sets(st.sampled_from([*FIELDS]), min_size=1))
def test_no_change_is_overlooked(fields: set[str]) -> None:
    new = Resource.model_validate(person(**{field: FIELDS[field] for field in fields}))
    assert {change.path.partition(".")[0] for change in difference(OLD, new)} == fields


def test_the_items_of_child_rows_are_told_one_by_one() -> None:
    def with_rows(*rows: dict[str, Any]) -> list[dict[str, Any]]:
        return [*person()["items"], {"name": "family", "label": "家庭成员", "type": "M", "rows": list(rows)}]

    name = {"name": "name", "label": "姓名", "type": "C", "length": 20}
    born = {"name": "born", "label": "出生日期", "type": "D"}
    before = Resource.model_validate(person(items=with_rows(name)))
    after = Resource.model_validate(person(items=with_rows(name | {"length": 40}, born)))
    assert {change.path: change.words for change in difference(before, after)} == {
        "items.family.rows.name": "信息项 family（家庭成员）修改子信息项 name（姓名）",
        "items.family.rows.born": "信息项 family（家庭成员）增加子信息项 born（出生日期）",
    }
    (gone, _) = difference(after, before)[-2:]
    assert json.loads(json.dumps(gone.as_json()))["path"].startswith("items.family.rows.")


def test_an_item_that_becomes_a_file_is_told() -> None:
    scan = {"name": "scan", "label": "证照文件", "type": "G", "grade": "personal"}
    before, after = (
        Resource.model_validate(person(items=[*person()["items"], scan | more])) for more in ({}, {"document": True})
    )
    assert [change.path for change in difference(before, after)] == ["items.scan.document"]
    assert "的附件" in difference(before, after)[0].words
    assert [change.path for change in difference(after, before)] == ["items.scan.document"]
