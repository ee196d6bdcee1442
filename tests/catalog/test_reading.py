from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Rejected
from catalog.model import Resource
from catalog.reading import Draft, Form, read_demand, read_department, read_endpoint, read_resource
from schemas import record_class
from tests.catalog.conftest import CODE, POLICE, person

HERE = f"资源 {CODE}"


def told(draft: Draft) -> dict[str, str]:
    return {problem.where.removeprefix(f"{HERE} › "): problem.message for problem in draft.problems}


def remedies(draft: Draft) -> str:
    return " ".join(problem.remedy for problem in draft.problems)


def test_what_is_well_written_is_read_whole() -> None:
    draft = read_resource(person())
    assert draft.problems == ()
    assert draft.unread == frozenset()
    assert draft.numbers == (1, 2, 3, 4)
    assert draft.resource.name == "户籍人口基本信息"


def test_a_resource_already_read_stays_what_it_is() -> None:
    once = read_resource(person())
    again = read_resource(once.resource)
    assert (again.resource, again.numbers, again.here) == (once.resource, once.numbers, once.here)


def test_everything_unreadable_is_told_at_once_in_the_clerks_terms() -> None:
    draft = read_resource(
        person(name=None, provider_code="123", share_type="公开", update_cycle=7, classes="101001", abstract=["x"],
               open_to_public="也许", published_on="昨天", colour="red", formats=["卷宗/纸"], share_ways=["传真"],
               offer={"endpoint": "e", "tabel": "t", "columns": ["a"]})
    )  # fmt: skip
    assert told(draft) == {
        "信息资源名称": "缺少",
        "信息资源提供方代码": "不是有效的统一社会信用代码",
        "共享类型": "不在取值范围内",
        "更新周期": "不在取值范围内",
        "信息资源分类": "应为列表",
        "信息资源摘要": "应为文字",
        "是否向社会开放": "应为是或否",
        "发布日期": "不是日期",
        "colour": "不认识的项",
        "信息资源格式 › 第 1 项": "格式分类不在取值范围内",
        "共享方式 › 第 1 项": "不在取值范围内",
        "资源挂接 › 表、操作或文件": "缺少",
        "资源挂接 › tabel": "不认识的项",
        "资源挂接 › 信息项对应字段": "应为“名称: 值”的对照",
    }
    assert draft.unread >= {"name", "provider_code", "share_type", "offer"}
    assert draft.resource.items[0].name == "id_number"


def test_a_misspelt_name_is_answered_with_the_right_one() -> None:
    draft = read_resource(person(share_typ=2))
    assert told(draft) == {"share_typ": "不认识的项"}
    assert "share_type" in remedies(draft)


def test_every_fault_of_every_item_is_told_with_its_number_and_label() -> None:
    items: list[Any] = [
        {"name": "a", "label": "出生日期", "type": "X", "length": "很长", "share_type": "秘密"},
        {"label": "姓名", "type": "字符型"},
        {"name": "c", "label": "金额", "type": "Y", "length": 99},
        "d",
        7,
        {"name": "e", "label": "状态", "type": "C", "colour": 1},
        {"name": "f", "label": "备注", "type": "备注型", "mandatory": "否"},
    ]
    draft = read_resource(person(items=items))
    assert told(draft) == {
        "信息项 1（出生日期） › 数据类型": "不在取值范围内",
        "信息项 1（出生日期） › 长度": "应为整数",
        "信息项 1（出生日期） › 共享类型": "不在取值范围内",
        "信息项 2（姓名） › 英文名称": "缺少",
        "信息项 3（金额）": "数值型最多 38 位",
        "信息项 4（d）": "只写了名称",
        "信息项 5": "应为“名称: 值”的对照",
        "信息项 6（状态） › colour": "不认识的项",
    }
    assert [(number, item.name, item.type) for number, item in draft.numbered] == [(7, "f", "M")]
    assert draft.unread == {"items"}


def test_items_that_are_no_list_are_told() -> None:
    assert told(read_resource(person(items="全部"))) == {"信息项": "应为列表"}


def test_items_of_a_class_need_only_be_named() -> None:
    draft = read_resource(
        person(record_class="natural_person", table="population", items=["公民身份号码", "name", "update_time"],
               key=["公民身份号码"], version_item=None,
               offer={"endpoint": "e", "object": "t", "columns": {"姓名": "XM"}})
    )  # fmt: skip
    assert draft.problems == ()
    table = record_class("natural_person").tables[0]
    assert draft.resource.items == tuple(i for i in table.items if i.name in ("identity_number", "name", "update_time"))
    assert draft.resource.key == ("identity_number",)
    assert draft.resource.version_item == "update_time"
    assert draft.resource.offer is not None
    assert draft.resource.offer.columns == {
        "identity_number": "identity_number",
        "name": "XM",
        "update_time": "update_time",
    }


def test_an_item_the_class_does_not_have_is_told_with_what_is_near() -> None:
    draft = read_resource(person(record_class="natural_person", table="population", items=["identity_numbr"]))
    assert told(draft) == {"信息项 1（identity_numbr）": "数据表 population 没有这个信息项"}
    assert "identity_number" in remedies(draft)


def test_items_left_out_are_copied_from_the_class() -> None:
    draft = read_resource(
        person(record_class="natural_person", table="population", items=None, key=None, version_item=None)
    )
    assert draft.problems == ()
    assert len(draft.resource.items) == len(record_class("natural_person").tables[0].items)
    assert draft.numbers == tuple(range(1, len(draft.resource.items) + 1))


def test_items_that_cannot_be_read_are_not_taken_for_left_out() -> None:
    draft = read_resource(person(record_class="natural_person", table="population", items=[{"name": "a"}]))
    assert draft.resource.items == ()
    assert "items" in draft.unread


def test_the_only_table_of_a_class_need_not_be_named() -> None:
    draft = read_resource(person(record_class="licence", items=None, key=None, version_item=None))
    assert draft.resource.key == ("certificate_source_id",)


def test_a_form_tells_its_own_faults_with_the_rest() -> None:
    problems = read_resource(person(name=None)).problems
    draft = read_resource(Form(person(share_type="公开"), problems))
    assert set(told(draft)) == {"信息资源名称", "共享类型"}
    empty = read_resource(Form({}, problems))
    assert empty.problems == problems
    assert empty.unread == set(Resource.model_fields)


@pytest.mark.parametrize("given", [None, [], "资源", 7, {}, {7: "x"}, {"items": None}, {"code": 7, "items": [None]}])
def test_whatever_is_given_is_answered(given: Any) -> None:
    draft = read_resource(given)
    assert draft.problems
    assert all(problem.where and problem.message for problem in draft.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Resource.model_fields, "x"]), JSON, max_size=6))
def test_nothing_anybody_writes_is_an_accident(changes: dict[str, Any]) -> None:
    draft = read_resource(person() | changes)
    assert isinstance(draft.resource, Resource)
    if not draft.problems:
        assert Resource.model_validate(draft.resource.model_dump(mode="json")) == draft.resource


def test_a_message_never_shows_an_option() -> None:
    with pytest.raises(Rejected) as caught:
        read_endpoint({"name": "e", "department": POLICE, "kind": "database", "options": {"password": "hunter2\x00"}})
    assert "hunter2" not in str(caught.value)
    assert caught.value.problems[0].where == "端点 e › 选项"


def test_a_department_is_read_or_every_fault_told() -> None:
    assert read_department({"code": POLICE, "name": "公安局", "division": "321200"}).short_name == ""
    with pytest.raises(Rejected) as caught:
        read_department({"name": "公安局", "division": 321200, "contacts": [{"phone": "110", "fax": "1"}]})
    assert {p.where: p.message for p in caught.value.problems} == {
        "部门 公安局 › 统一社会信用代码": "缺少",
        "部门 公安局 › 行政区划代码": "应为文字",
        "部门 公安局 › 联系人 › 第 1 项 › 姓名": "缺少",
        "部门 公安局 › 联系人 › 第 1 项 › fax": "不认识的项",
    }


def test_a_demand_is_read_or_every_fault_told() -> None:
    with pytest.raises(Rejected) as caught:
        read_demand({"title": "婚姻登记", "department": POLICE, "basis": " "})
    assert {p.where: p.message for p in caught.value.problems} == {
        "需求 婚姻登记 › 使用依据": "不能为空",
        "需求 婚姻登记 › 使用场景": "缺少",
    }


def test_a_date_may_come_as_a_date() -> None:
    assert read_resource(person(published_on=date(2026, 1, 31))).resource.published_on == date(2026, 1, 31)


def test_half_a_character_is_told() -> None:
    assert told(read_resource(person(name="公\ud800安"))) == {"信息资源名称": "含有看不见的字符"}


def test_a_message_shows_no_control_character_of_what_was_written() -> None:
    item = {"name": "a", "label": "标\x1b[2J签", "type": "X", "k\x1b": 1}
    for problem in read_resource(person(code="1\x1b[2J\ud800", items=[item])).problems:
        assert b"\x1b" not in str(problem).encode()


def test_every_kind_of_fault_has_words_of_its_own() -> None:
    items = [{"name": "a", "label": "甲", "type": "C", "length": "9" * 5000}]
    offer = {"endpoint": "e", "object": "t", "capture": "guess"}
    draft = read_resource(person(name="长" * 129, items=items, offer=offer))
    assert told(draft) == {
        "信息资源名称": "最多 128 字",
        "信息项 1（甲） › 长度": "填写有误",
        "资源挂接 › 变化获取方式": "不在取值范围内",
    }
    assert "'snapshot'、'outbox'、'batches'、'journal'" in remedies(draft)


@pytest.mark.parametrize("given", [None, [], "部门", 7])
def test_what_is_no_description_is_told(given: Any) -> None:
    for read in (read_department, read_endpoint, read_demand):
        with pytest.raises(Rejected, match="名称: 值"):
            read(given)


def test_child_rows_are_read_in_words_and_their_faults_placed() -> None:
    family = {
        "name": "family", "label": "家庭成员", "type": "备注型", "grade": "个人信息",
        "rows": [{"name": "relation", "label": "关系", "type": "字符型", "mandatory": "是", "grade": "个人信息"}],
    }  # fmt: skip
    resource = read_resource(person(items=[*person()["items"], family])).resource
    (relation,) = resource.items[-1].rows
    assert (relation.type, relation.mandatory, relation.grade) == ("C", True, "personal")
    assert resource.offer is not None
    rows = [{"name": "a", "label": "甲", "type": "不知道"}, {"name": "b", "type": "C"}, "c"]
    draft = read_resource(person(items=[*person()["items"], family | {"rows": rows}]))
    places = set(told(draft))
    assert "信息项 5（家庭成员） › 子表行 › 第 1 项 › 数据类型" in places
    assert "信息项 5（家庭成员） › 子表行 › 第 2 项 › 信息项名称" in places
    assert any(place.startswith("信息项 5（家庭成员） › 子表行 › 第 3 项") for place in places)
    deep = {"name": "a", "label": "甲", "type": "M", "rows": [{"name": "b", "label": "乙", "type": "C"}]}
    assert "不能再有子表行" in "".join(told(read_resource(person(items=[family | {"rows": [deep]}]))).values())
