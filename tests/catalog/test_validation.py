from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Problem
from catalog.model import Department, EndpointSpec, Resource
from catalog.reading import read_resource
from catalog.validation import Surroundings, errors, problems
from schemas import record_class
from tests.catalog.conftest import APPROVAL, CODE, POLICE, person

HERE = f"资源 {CODE}"
PROVIDER = Department(code=POLICE, name="泰州市公安局", short_name="市公安局", division="321200")
ENDPOINT = EndpointSpec(name="police-front", department=POLICE, kind="database")
AROUND = Surroundings(provider=PROVIDER, endpoint=ENDPOINT, endpoints=("police-front",))


def found(around: Surroundings | None = AROUND, **changes: Any) -> tuple[Problem, ...]:
    return problems(read_resource(person(**changes)), around)


def told(found_problems: tuple[Problem, ...], severity: str = "error") -> dict[str, str]:
    return {p.where.removeprefix(f"{HERE} › "): p.message for p in found_problems if p.severity == severity}


def faults(**changes: Any) -> dict[str, str]:
    return told(found(**changes))


def warnings(**changes: Any) -> dict[str, str]:
    return told(found(**changes), "warning")


def item(name: str = "a", **changes: Any) -> dict[str, Any]:
    return {"name": name, "label": f"项{name}", "type": "C", "length": 18, "mandatory": True} | changes


def test_a_sound_registration_has_no_fault_and_no_warning() -> None:
    assert found() == ()


def test_everything_wrong_is_told_at_once() -> None:
    assert faults(
        name=None,
        provider="泰州市民政局",
        share_condition="无",
        share_ways=[],
        open_to_public=True,
        related=["x"],
        key=["nobody"],
        version_item="name",
        items=[item("a"), item("A"), item("b", code_list="nonsense"), item("name", label="项a", mandatory=False)],
        offer={"endpoint": "police-front", "object": "t", "columns": {"zzz": "z"}},
    ) == {
        "信息资源名称": "缺少",
        "信息资源提供方": f"与代码 {POLICE} 登记的部门名称不一致",
        "共享条件": "有条件共享缺少条件",
        "共享方式": "缺少",
        "开放条件": "向社会开放的须写开放条件",
        "关联资源代码": "x 不合代码规则",
        "业务主键": "没有信息项 nobody",
        "信息项 2（项A） › 英文名称": "与信息项 1 重复",
        "信息项 3（项b） › 代码表": "没有代码表 nonsense",
        "信息项 4（项a） › 信息项名称": "与信息项 1 重复",
        "信息项 4（项a） › 数据类型": "版本项不能用 C",
        "信息项 4（项a） › 是否必填": "版本项须必填",
        "资源挂接 › 信息项对应字段": "没有信息项 zzz",
    }


def test_every_fault_says_what_to_do() -> None:
    for problem in found(share_type=3, open_to_public=True, key=[], items=[item(length=3, check="credit_code")]):
        assert problem.remedy


def test_a_fault_that_follows_from_another_is_not_told() -> None:
    assert faults(items=[item("a", type="X")]) == {"信息项 1（项a） › 数据类型": "不在取值范围内"}
    assert faults(provider_code="1") == {"信息资源提供方代码": "不是有效的统一社会信用代码"}


@pytest.mark.parametrize("code", ["101001001", "901001001/0001", "101001001/0001/1", "101-0001", "101001001/1e3"])
def test_a_code_follows_the_grammar(code: str) -> None:
    assert problems(read_resource(person(code=code)), AROUND) == (
        Problem(f"资源 {code} › 信息资源代码", "不合代码规则",
                "例如 101001001/0001：类 1 位、项 2 位、目 3 位、细目若干位，斜杠，顺序号（至多 18 位）"),
    )  # fmt: skip


def test_the_grammar_is_the_provinces_own() -> None:
    draft = read_resource(person(code="SC-0001", classes=["101001"]))
    assert problems(draft, AROUND, pattern=r"SC-\d{4}") == ()
    (problem,) = problems(read_resource(person()), AROUND, pattern=r"SC-\d{4}")
    assert "SC-" in problem.remedy
    (problem,) = problems(read_resource(person(code="SC-0001")), AROUND, pattern=r"SC-\d{4}")
    assert problem.where == "资源 SC-0001 › 信息资源分类"


def test_a_sequence_number_is_used_once() -> None:
    around = Surroundings(provider=PROVIDER, endpoint=ENDPOINT, sequence_of="101001001/1")
    assert told(found(around)) == {"信息资源代码": "顺序号与 101001001/1 相同"}


def test_a_resource_stands_in_the_class_of_its_code_and_in_others() -> None:
    assert faults(classes=["101001001", "201001", "3"]) == {}
    assert faults(classes=["201001"]) == {"信息资源分类": "不含代码本身的分类"}
    assert faults(classes=["101001001", "101001001"]) == {"信息资源分类": "101001001 重复"}


@pytest.mark.parametrize("name", ["泰州市公安局", "市公安局", ""])
def test_the_provider_is_named_in_full_or_short_or_not(name: str) -> None:
    assert faults(provider=name) == {}


def test_the_provider_must_be_registered_and_stay_the_same() -> None:
    assert told(found(Surroundings(provider=None, endpoint=ENDPOINT))) == {
        "信息资源提供方代码": f"没有登记代码为 {POLICE} 的部门"
    }
    around = Surroundings(provider=PROVIDER, endpoint=ENDPOINT, earlier=APPROVAL)
    assert told(found(around)) == {"信息资源提供方代码": f"这个资源代码属于另一提供方（{APPROVAL}）"}


@pytest.mark.parametrize("condition", ["", "无条件", "使用要求：仅用于政务服务", "使用要求:核对身份"])
def test_unconditional_sharing_may_say_what_it_is_for(condition: str) -> None:
    assert faults(share_type=1, share_condition=condition) == {}


@pytest.mark.parametrize("condition", ["须经我局同意", "每次使用前报分管领导审批", "仅限本市", "无条件，但须登记"])
def test_unconditional_sharing_bears_no_condition_of_the_provider(condition: str) -> None:
    assert faults(share_type=1, share_condition=condition) == {"共享条件": "无条件共享不得自行附加条件"}


@pytest.mark.parametrize("condition", ["使用要求：须经我局同意", "使用要求：签订保密协议", "使用要求：按次收费"])
def test_a_condition_disguised_as_a_requirement_is_pointed_out(condition: str) -> None:
    assert warnings(share_type=1, share_condition=condition)["共享条件"] == "使用要求读来像是附加条件"
    assert faults(share_type=1, share_condition=condition) == {}


@pytest.mark.parametrize("condition", ["", "无", "暂无", "无条件", "—", "N/A", " 无。"])
def test_conditional_sharing_says_its_condition(condition: str) -> None:
    assert faults(share_type=2, share_condition=condition) == {"共享条件": "有条件共享缺少条件"}


@pytest.mark.parametrize(
    ("basis", "fault"),
    [
        ("", "不予共享缺少依据"),
        ("暂无", "不予共享缺少依据"),
        ("领导要求", "不是法律、行政法规或国务院决定"),
        ("《中华人民共和国统计法》第二十五条", None),
        ("国务院有关决定", None),
    ],
)
def test_refusing_to_share_needs_a_law(basis: str, fault: str | None) -> None:
    expected = {"不予共享依据": fault} if fault else {}
    assert faults(share_type=3, share_condition=None, share_ways=None, legal_basis=basis) == expected
    kept = [*person()["items"], item("z", share_type=3)]
    told_of_item = faults(items=kept, legal_basis=basis)
    assert list(told_of_item) == list(expected)


def test_items_are_shared_no_wider_than_their_resource() -> None:
    shared = [item("id_number"), item("updated", type="T", length=None), item("b", share_type=1)]
    assert faults(share_type=3, legal_basis="《档案法》", items=shared) == {
        "信息项 3（项b） › 共享类型": "资源不予共享而信息项可以共享"
    }
    assert faults(share_type=2, items=shared) == {}


def test_a_resource_all_of_whose_items_are_kept_back_is_not_shared() -> None:
    kept = [entry | {"share_type": 3} for entry in person()["items"]]
    assert faults(items=kept, legal_basis="《档案法》") == {"共享类型": "所有信息项都不予共享"}


def test_base_resources_are_shared_without_condition_in_principle() -> None:
    assert warnings(share_type=3, legal_basis="《档案法》")["共享类型"] == "基础信息资源原则上无条件共享"


def test_media_are_an_exception_with_a_reason() -> None:
    assert faults(share_ways=["medium"]) == {"共享方式说明": "通过邮件、拷盘、介质共享须说明原因"}
    assert faults(share_ways=["medium"], share_ways_note="影像数据量大") == {}
    assert faults(share_ways=["file", "file"]) == {"共享方式": "重复"}


def test_what_is_open_to_the_public_says_under_which_condition() -> None:
    assert faults(open_to_public=True, open_condition=" ") == {"开放条件": "向社会开放的须写开放条件"}
    assert faults(open_to_public=True, open_condition="无条件") == {}


def test_structured_data_lists_its_items_and_documents_need_not() -> None:
    bare: dict[str, Any] = {"items": [], "key": [], "version_item": None, "offer": None}
    assert faults(**bare) == {"信息项": "缺少"}
    assert faults(**bare, formats=["电子文件/OFD"]) == {}
    assert faults(formats=[]) == {"信息资源格式": "缺少"}


def test_related_resources_exist_or_are_pointed_out() -> None:
    around = Surroundings(provider=PROVIDER, endpoint=ENDPOINT, related=frozenset({"101001001/0002"}))
    assert found(around, related=["101001001/0002"]) == ()
    assert warnings(related=["101001001/0003"]) == {"关联资源代码": "目录中没有 101001001/0003"}
    assert faults(related=[CODE]) == {"关联资源代码": "关联到自己"}


@pytest.mark.parametrize("name", ["1a", "a-b", "_operation", "姓名", "a" * 64, "a b", "a;--", "ａ"])
def test_an_item_name_is_a_plain_word(name: str) -> None:
    entries = [*person()["items"], item(name, label="其他")]
    assert faults(items=entries) == {"信息项 5（其他） › 英文名称": "不是有效的英文名称"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label": " "}, "信息项名称"),
        ({"label": "a\x00"}, "信息项名称"),
        ({"label": "长" * 129}, "信息项名称"),
        ({"type": "N", "length": 4, "scale": 5}, "小数位"),
        ({"length": 10**8}, "长度"),
        ({"check": "identity_number", "length": 17, "grade": "sensitive"}, "长度"),
        ({"reference": "natural_persn"}, "引用类别"),
        ({"reference": "natural_person"}, "引用类别"),
    ],
)
def test_an_item_is_described_so_that_it_can_be_held(changes: dict[str, Any], field: str) -> None:
    found_faults = faults(items=[*person()["items"], item("z", **changes)])
    assert [where.rpartition(" › ")[2] for where in found_faults] == [field]


def test_an_item_may_refer_to_the_same_named_item_of_a_class() -> None:
    assert faults(items=[*person()["items"], item("task_code", reference="service_item")]) == {}


def test_the_class_and_its_table_exist() -> None:
    assert faults(record_class="natural_persn") == {"数据类别": "没有数据类别 natural_persn"}
    assert faults(record_class="natural_person") == {"数据表": "缺少"}
    assert faults(record_class="natural_person", table="nobody") == {"数据表": "自然人基本信息没有数据表 nobody"}
    assert faults(table="population") == {"数据类别": "写了数据表而没有写数据类别"}


def of_class(**changes: dict[str, Any]) -> dict[str, Any]:
    table = record_class("natural_person").tables[0]
    items = [
        entry.model_dump() | changes.get(entry.name, {})
        for entry in table.items
        if entry.name in ("identity_number", "name", "update_time")
    ]
    return {"record_class": "natural_person", "table": table.name, "items": items, "key": None, "version_item": None}


def test_items_of_a_class_are_those_of_its_table() -> None:
    assert found(**of_class()) == ()
    assert faults(**of_class(name={"length": 20})) == {}
    changed = of_class(
        name={"length": 500, "grade": "none"}, update_time={"type": "D"}, identity_number={"name": "idnumber"}
    )
    assert faults(**changed) == {
        "信息项 1（公民身份号码） › 英文名称": "数据表 population 没有这个信息项",
        "信息项 2（姓名） › 长度": "超过数据表 population",
        "信息项 2（姓名） › 个人信息等级": "低于数据表 population",
        "信息项 3（更新时间） › 数据类型": "与数据表 population 不一致",
        "信息项": "缺少数据表 population 的业务主键 identity_number",
        "业务主键": "缺少",
    }


def test_the_key_of_a_class_is_not_another() -> None:
    assert faults(**of_class() | {"key": ["name"]}) == {"业务主键": "与数据表 population 不一致"}


def test_a_mandatory_item_of_the_class_that_is_missing_is_pointed_out() -> None:
    changed = of_class()
    changed["items"] = [entry for entry in changed["items"] if entry["name"] != "name"]
    assert told(found(**changed), "warning") == {"信息项": "没有数据表 population 的必填项 name（姓名）"}


def test_key_and_version_are_items_that_can_serve() -> None:
    assert faults(key=[]) == {"业务主键": "缺少"}
    assert faults(key=["id_number", "id_number"]) == {"业务主键": "重复"}
    assert faults(key=["birth_date"]) == {"信息项 3（出生日期） › 是否必填": "业务主键须必填"}
    assert faults(version_item="nobody") == {"版本项": "没有信息项 nobody"}
    memo = [*person()["items"], item("memo", type="M", length=None)]
    assert faults(items=memo, key=["memo"]) == {"信息项 5（项memo） › 数据类型": "业务主键不能用 M"}


def test_an_offer_is_at_an_endpoint_of_the_provider() -> None:
    assert told(found(Surroundings(provider=PROVIDER, endpoint=None))) == {
        "资源挂接 › 端点": "没有登记端点 police-front"
    }
    foreign = ENDPOINT.model_copy(update={"department": APPROVAL})
    assert told(found(Surroundings(provider=PROVIDER, endpoint=foreign))) == {
        "资源挂接 › 端点": "police-front 不是提供方的端点"
    }


def test_an_offer_binds_known_items_under_a_known_family() -> None:
    offer = {"endpoint": "police-front", "object": "t", "columns": {"nam": "XM", "name": "GH", "id_number": "GH"},
             "profile": "jiangxi"}  # fmt: skip
    assert faults(offer=offer) == {
        "资源挂接 › 信息项对应字段": "没有信息项 nam",
        "资源挂接 › 前置库表族": "没有 jiangxi",
    }
    assert warnings(offer=offer) == {"资源挂接 › 信息项对应字段": "字段 GH 对应 2 个信息项"}


@pytest.mark.parametrize(
    ("capture", "profile"), [("outbox", "jiangsu"), ("batches", "national"), ("snapshot", "national")]
)
def test_what_has_one_reader_or_several_rows_of_a_key_is_not_served_by_its_provider(capture: str, profile: str) -> None:
    offer = {"endpoint": "police-front", "object": "t", "capture": capture, "profile": profile}
    assert faults(offer=offer) == {}
    assert list(faults(offer=offer | {"served": "provider"})) == ["资源挂接 › 共享来源"]
    assert faults(offer={"endpoint": "police-front", "object": "t", "capture": "snapshot", "served": "provider"}) == {}


def test_without_a_directory_nothing_is_compared_with_it() -> None:
    assert found(None, related=["101001001/0003"], provider="不知何人") == ()


def test_personal_data_is_pointed_out() -> None:
    plain = [entry | {"grade": "none"} for entry in person()["items"]]
    assert set(warnings(items=plain)) == {
        f"信息项 {n} › 个人信息等级" for n in ("1（公民身份号码）", "2（姓名）", "3（出生日期）")
    }
    assert warnings(share_type=1, share_condition="无条件") == {
        "信息项 1（公民身份号码） › 共享类型": "敏感个人信息无条件共享"
    }
    opened = warnings(open_to_public=True, open_condition="无条件")
    assert opened == {"是否向社会开放": "向社会开放的资源含个人信息：公民身份号码、姓名、出生日期"}


def test_a_warning_is_no_error() -> None:
    found_problems = found(share_type=1, share_condition="无条件")
    assert found_problems
    assert errors(found_problems) == ()


HOSTILE = (
    "'; DROP TABLE resource; --",
    '" OR 1=1 --',
    "%' OR '1'='1",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "../../etc/passwd",
    "<script>",
    "=cmd|' /C calc'!A0",
    "[red]x[/red]",
    "%s%n{0}",
)


@given(st.sampled_from([*Resource.model_fields]), st.sampled_from(HOSTILE))
def test_hostile_text_is_text(field: str, hostile: str) -> None:
    draft = read_resource(person() | {field: hostile})
    for problem in problems(draft, AROUND):
        assert str(problem)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_item_name_and_label_is_answered(name: str, label: str) -> None:
    entries = [*person()["items"], item(name, label=label)]
    for problem in problems(read_resource(person(items=entries)), AROUND):
        assert problem.message


FAMILY = {
    "name": "family", "label": "家庭成员", "type": "M", "grade": "personal",
    "rows": [{"name": "relation", "label": "关系", "type": "C", "length": 2}],
}  # fmt: skip
IN_TABLE = {"table": "family", "key": {"id_number": "ID"}, "columns": {"relation": "REL"}}


def offered(children: object) -> dict[str, object]:
    return {"endpoint": "police-front", "object": "person", "options": {"children": children}}


def test_child_rows_that_fit() -> None:
    items = [*person()["items"], FAMILY]
    assert faults(items=items) == {}
    assert faults(items=items, offer=offered({"family": IN_TABLE})) == {}


def test_what_is_wrong_with_child_rows_is_told() -> None:
    row = {"name": "关系", "label": "关系", "type": "C", "code_list": "nonsense"}
    items = [*person()["items"], FAMILY | {"rows": [row]}]
    assert faults(items=items) == {
        "信息项 5（家庭成员） › 子表行（关系） › 英文名称": "不是有效的英文名称",
        "信息项 5（家庭成员） › 子表行（关系） › 代码表": "没有代码表 nonsense",
    }
    named = [*person()["items"], FAMILY]
    for children, message in (
        ({"name": IN_TABLE}, "children 中的 name 不是有子表行的信息项"),
        ({"family": IN_TABLE | {"key": {"name": "N"}}}, "family 的子表 family 的 key 应恰好写明业务主键"),
        ({"family": IN_TABLE | {"columns": {}}}, "没有写明子信息项 relation 的列"),
    ):
        told_of_offer = faults(items=named, offer=offered(children))
        assert list(told_of_offer) == ["资源挂接 › 选项"]
        assert message in told_of_offer["资源挂接 › 选项"]
    assert "信息项 5（家庭成员） › 数据类型" in faults(items=named, key=["family"])


def test_child_rows_that_look_personal_are_told() -> None:
    family = FAMILY | {"grade": "none", "rows": [{"name": "id_number", "label": "公民身份号码", "type": "C"}]}
    assert "信息项 5（家庭成员） › 个人信息等级" in warnings(items=[*person()["items"], family])
