from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from catalog import Resource
from exchange.authorisation import masks
from exchange.authorisation.application import parse
from exchange.authorisation.policy import Assessment, assess, collectable, lapsed
from tests.exchange.authorisation.conftest import ITEMS, LAW, OPEN, POLICE, application, resource

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
UNTIL = "2026-12-31"


def registered(**changes: Any) -> Resource:
    return Resource.model_validate(resource(OPEN, **changes))


def asked(of: dict[str, Any] | None = None, **changes: Any) -> Assessment:
    share: dict[str, Any] = of or {}
    how = {name: share.pop(name) for name in ("in_force", "longest", "digest") if name in share}
    return assess(registered(**share), parse(application(until=UNTIL, **changes)), NOW, **how)


def items(**types: int) -> list[dict[str, Any]]:
    return [{**item, "share_type": types.get(item["name"], item.get("share_type"))} for item in ITEMS]


# --- the three sharing types ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share_type", "own", "wanted", "outcome"),
    [
        (1, {}, ["name"], "granted"),
        (1, {}, ["name", "income"], "refer"),
        (1, {}, ["income"], "refer"),
        (1, {}, ["name", "note"], "granted"),
        (1, {}, ["note"], "refused"),
        (2, {}, ["name"], "refer"),
        (2, {"name": 1, "id_no": 1, "version": 1}, ["name"], "granted"),
        (2, {"name": 1, "version": 1}, ["name"], "refer"),
        (2, {"name": 3}, ["name"], "refused"),
        (2, {"name": 3}, ["name", "district"], "refer"),
        (3, {}, ["name"], "refused"),
        (3, {}, ["id_no", "name", "district"], "refused"),
        (1, {"version": 3}, ["name"], "refused"),
        (1, {"version": 3}, ["name", "version"], "refused"),
        (1, {"id_no": 3}, ["name"], "granted"),
        (1, {"id_no": 3}, ["name", "id_no"], "granted"),
        (1, {"id_no": 3}, ["id_no"], "refused"),
        (1, {"id_no": 2}, ["name"], "refer"),
    ],
)
def test_each_item_is_answered_by_its_own_type(
    share_type: int, own: dict[str, int], wanted: list[str], outcome: str
) -> None:
    given = asked({"share_type": share_type, "share_condition": "限本市窗口", "items": items(**own)}, items=wanted)
    assert given.outcome == outcome
    assert given.reasons
    assert "note" not in given.items
    if outcome != "refused":
        assert {"id_no", "version"} <= set(given.items)
        assert set(given.items) - {"id_no", "version"} <= set(wanted)


def test_unconditional_is_granted_at_once_and_says_so() -> None:
    given = asked()
    assert given.outcome == "granted"
    assert given.reasons == (f"所申请的信息项均为无条件共享，由平台直接授权，并告知提供部门（{POLICE}）",)
    assert given.items == ("id_no", "name", "district", "version")


def test_conditional_names_the_items_and_the_condition() -> None:
    given = asked({"share_condition": "限本市窗口"}, items=["name", "income"])
    assert any("月收入（income）为有条件共享，共享条件：限本市窗口" in reason for reason in given.reasons)


def test_withheld_is_refused_with_its_legal_text() -> None:
    given = asked({"share_type": 3, "share_ways": [], "items": items(income=3)})
    (reason,) = given.reasons
    assert LAW in reason
    assert "不予共享" in reason


def test_an_item_withheld_is_left_out_with_its_legal_text() -> None:
    given = asked(items=["name", "note"])
    assert any("侦查备注（note）不予共享" in remark and LAW in remark for remark in given.remarks)


# --- material, way, period -----------------------------------------------------------------------


def test_all_missing_material_is_told_at_once() -> None:
    bare = parse({"resource": OPEN, "department": "11321200TE0000037U", "basis": "  "})
    given = assess(registered(), bare, NOW)
    assert given.outcome == "refused"
    (reason,) = given.reasons
    for word in ("basis", "scene", "scope", "way", "until", "items", "一次性告知"):
        assert word in reason


def test_every_reason_is_told_at_once() -> None:
    given = asked(
        {"in_force": False},
        department=POLICE,
        basis="",
        way="webservice",
        items=["name", "nmae"],
        since="2027-01-01",
        filter={"item": "district", "is": 3},
        masks={"absent": {"mask": "null"}},
        target={"endpoint": "e", "object": "t", "columns": {"absent": "a", "name": "b", "district": "b"}},
    )
    told = "\n".join(given.reasons)
    for words in (
        "未在目录中发布",
        "申请部门就是提供部门",
        "使用依据",
        "不以 “webservice” 方式共享，可选：database（数据库）、file（文件）",
        "早于起日",
        "是否指 name",
        "数据范围：所在区（district）：取值应写成带引号的文本",
        "脱敏规则：没有信息项 “absent”",
        "接收端字段对应：资源没有信息项 “absent”",
        "“b” 用了两次",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"until": "2026-03-01"}, "granted"),
        ({"until": "2026-02-28"}, "refused"),
        ({"since": "2026-05-01", "until": "2026-05-01"}, "granted"),
        ({"since": "2026-05-02", "until": "2026-05-01"}, "refused"),
        ({"until": "2026-03-31"}, "granted"),
        ({"until": "2026-04-01"}, "refused"),
        ({"until": "9999-12-31"}, "refused"),
        ({"until": None}, "refused"),
    ],
)
def test_an_end_is_needed_within_limits(changes: dict[str, Any], outcome: str) -> None:
    longest = timedelta(days=30)
    given = assess(registered(), parse(application(**{"until": UNTIL, **changes})), NOW, longest=longest)
    assert given.outcome == outcome


def test_the_day_is_that_of_beijing() -> None:
    late = datetime(2026, 2, 28, 17, tzinfo=UTC)  # 1 March in Beijing
    assert assess(registered(), parse(application(until="2026-02-28")), late).outcome == "refused"
    assert assess(registered(), parse(application(until="2026-03-01")), late).outcome == "granted"


def test_exchange_by_hand_is_no_way_of_the_platform() -> None:
    given = asked({"share_ways": ["database", "medium"], "share_ways_note": "涉密"}, way="medium")
    assert given.outcome == "refused"


# --- masks ---------------------------------------------------------------------------------------


def test_key_and_version_come_along_the_key_without_its_value() -> None:
    given = asked(items=["district"])
    assert given.items == ("id_no", "district", "version")
    assert given.masks == {"id_no": masks.Hmac()}
    assert any("公民身份号码（id_no）是业务主键，随数据提供其密钥散列" in remark for remark in given.remarks)
    assert any("数据版本（version）是版本项" in remark for remark in given.remarks)


def test_personal_items_are_masked_by_default() -> None:
    given = asked(items=["id_no", "name", "marital", "district"])
    assert given.masks == {"id_no": masks.Hmac(), "name": masks.Name(), "marital": masks.Null()}
    assert sum("是个人信息，脱敏提供" in remark for remark in given.remarks) == 3


def test_the_digest_of_the_hub_is_used() -> None:
    assert asked({"digest": "sm3"}).masks["id_no"] == masks.Hmac(digest="sm3")


def test_personal_data_as_it_is_needs_a_justification() -> None:
    clear = {"mask": "clear", "justification": "登记须核对姓名"}
    given = asked(masks={"name": clear})
    assert given.outcome == "granted"
    assert isinstance(given.masks["name"], masks.Clear)
    assert any("姓名（name）按申请所述理由以原值提供" in remark for remark in given.remarks)


@pytest.mark.parametrize("name", ["id_no", "marital"])
def test_sensitive_data_as_it_is_is_the_providers_to_answer(name: str) -> None:
    clear = {"mask": "clear", "justification": "登记须核对"}
    given = asked(items=["name", name], masks={name: clear})
    assert given.outcome == "refer"
    assert any("敏感个人信息" in reason for reason in given.reasons)


def test_a_withheld_key_leaves_as_a_keyed_digest_whatever_was_asked() -> None:
    clear = {"mask": "clear", "justification": "核对"}
    given = asked({"items": items(id_no=3)}, items=["id_no", "name"], masks={"id_no": clear})
    assert given.outcome == "granted"
    assert given.masks["id_no"] == masks.Hmac()
    assert any("只提供其密钥散列" in remark for remark in given.remarks)


def test_a_key_not_asked_for_is_never_clear() -> None:
    clear = {"mask": "clear", "justification": "核对"}
    assert asked(items=["name"], masks={"id_no": clear}).masks["id_no"] == masks.Hmac()


@pytest.mark.parametrize(
    "chosen",
    [
        {"id_no": {"mask": "identity_number"}},
        {"version": {"mask": "hmac"}},
        {"district": {"mask": "period", "unit": "year"}},
    ],
)
def test_masks_that_cannot_stand_are_refused(chosen: dict[str, Any]) -> None:
    assert asked(items=["id_no", "name", "district", "version"], masks=chosen).outcome == "refused"


def test_a_mask_of_an_item_not_handed_over_has_nothing_to_hide() -> None:
    given = asked(items=["name"], masks={"marital": {"mask": "null"}})
    assert given.outcome == "granted"
    assert set(given.masks) == {"id_no", "name"}


def test_a_personal_version_is_handed_over_as_it_is() -> None:
    own = [{**item, "grade": "personal"} if item["name"] == "version" else item for item in ITEMS]
    given = asked({"items": own})
    assert isinstance(given.masks["version"], masks.Clear)
    assert given.outcome == "granted"


# --- filters -------------------------------------------------------------------------------------


def test_a_filter_on_open_items_changes_nothing() -> None:
    given = asked(items=["name"], filter={"item": "district", "starts_with": "3212"})
    assert given.outcome == "granted"
    assert given.filter is not None


@pytest.mark.parametrize("name", ["id_no", "name", "marital"])
def test_a_filter_that_would_reveal_what_is_masked_is_the_providers_to_answer(name: str) -> None:
    given = asked(items=["district"], filter={"item": name, "is": "x"})
    assert given.outcome == "refer"
    assert any("可推知原值" in reason for reason in given.reasons)


def test_a_filter_on_a_conditional_item_is_the_providers_to_answer() -> None:
    assert asked(filter={"item": "income", "more": "1000"}).outcome == "refer"


def test_a_filter_on_a_withheld_item_is_refused() -> None:
    given = asked(filter={"item": "note", "is_null": False})
    assert given.outcome == "refused"
    assert any("不能按侦查备注（note）筛选" in reason and LAW in reason for reason in given.reasons)


# --- what the directory says later ---------------------------------------------------------------


def body(**chosen: Any) -> dict[str, Any]:
    return {"items": ["id_no", "name", "version"], "masks": {"id_no": {"mask": "hmac"}, **chosen}}


def test_a_grant_lapses_with_the_publication() -> None:
    assert lapsed(registered(), OPEN, "sharing", body()) == []
    assert "不在目录中发布" in lapsed(None, OPEN, "sharing", body())[0]
    assert "不在目录中发布" in lapsed(None, OPEN, "collection", body())[0]


def test_a_grant_lapses_when_an_item_is_withheld_or_gone() -> None:
    now_withheld = registered(items=items(name=3, id_no=3))
    (reason,) = lapsed(now_withheld, OPEN, "sharing", body())
    assert "姓名（name）现已改为不予共享" in reason
    assert lapsed(now_withheld, OPEN, "sharing", body(name={"mask": "null"})) == []
    assert lapsed(now_withheld, OPEN, "collection", body()) == []
    gone = registered(items=[item for item in ITEMS if item["name"] != "name"])
    assert "已没有信息项 name" in lapsed(gone, OPEN, "sharing", body())[0]


def test_what_is_withheld_is_not_collected() -> None:
    assert collectable(registered()) == ("id_no", "name", "district", "marital", "income", "version")
    assert collectable(registered(items=items(id_no=3)))[0] == "id_no"
    assert collectable(registered(share_type=3, items=items(income=3))) == ()


def test_dates_are_those_of_the_application() -> None:
    assert parse(application(until=UNTIL)).until == date(2026, 12, 31)
