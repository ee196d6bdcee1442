from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.authorisation import masks
from exchange.authorisation.masks import Clear, Hmac, IdentityNumber, Mobile, Name, Null, Period, Truncate
from exchange.errors import Invalid
from schemas import ITEM_TYPES, Item, arrow_type
from schemas.items import arrow_schema

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
ALL: list[dict[str, Any]] = [
    {"mask": "clear", "justification": "核对本人身份"},
    {"mask": "name"},
    {"mask": "identity_number"},
    {"mask": "mobile"},
    {"mask": "bank_card"},
    {"mask": "address"},
    {"mask": "credit_code"},
    {"mask": "truncate", "length": 4},
    {"mask": "period", "unit": "year"},
    {"mask": "period", "unit": "month"},
    {"mask": "hmac"},
    {"mask": "hmac", "digest": "sm3"},
    {"mask": "null"},
]
HIDING = [data for data in ALL if data["mask"] in {"name", "identity_number", "mobile", "bank_card"}]


def item(letter: str, **more: Any) -> Item:
    return Item(name="x", label="甲", type=letter, **more)  # type: ignore[arg-type]


def masked(data: dict[str, Any], values: list[Any], type: pa.DataType | None = None) -> list[Any]:
    found = masks.apply(masks.parse(data), pa.array(values, type or pa.string()), KEY)
    assert isinstance(found, pa.Array)
    return found.to_pylist()


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        ({"mask": "name"}, {"张三": "张*", "欧阳娜娜": "欧***", "𠮷野": "𠮷*", "䶮": "*", "": "", "John": "J***"}),
        (
            {"mask": "identity_number"},
            {"32120218850101001X": "321202********001X", "321202850101001": "321202*****1001", "E12345678": "*" * 9},
        ),
        ({"mask": "mobile"}, {"13800000000": "138****0000", "+8613800000000": "+86*******0000", "86880": "*****"}),
        ({"mask": "bank_card"}, {"6222020200112233445": "*" * 15 + "3445", "123": "***"}),
        ({"mask": "truncate", "length": 2}, {"张三丰": "张三", "𠮷野家": "𠮷野", "一": "一"}),
    ],
)
def test_each_mask_shows_its_part_and_no_more(mask: dict[str, Any], shown: dict[str, str]) -> None:
    assert masked(mask, [*shown, None]) == [*shown.values(), None]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("江苏省泰州市海陵区南通路1号", "江苏省泰州市海陵区"),
        ("江苏省兴化市戴南镇某村3组", "江苏省兴化市"),
        ("北京市朝阳区建国路", "北京市朝阳区"),
        ("新疆维吾尔自治区乌鲁木齐市天山区新华北路", "新疆维吾尔自治区乌鲁木齐市天山区"),
        ("西双版纳傣族自治州勐海县勐遮镇", "西双版纳傣族自治州勐海县"),
        ("内蒙古自治区锡林郭勒盟多伦县", "内蒙古自治区锡林郭勒盟多伦县"),
        ("江苏省泰州市阳光花园小区3幢", "江苏省泰州市"),
        ("海陵区南通路1号", "***"),
        ("某地", "**"),
        ("", ""),
        (None, None),
    ],
)
def test_addresses_end_at_the_district(address: str | None, shown: str | None) -> None:
    assert masked({"mask": "address"}, [address]) == [shown]


def test_codes_of_companies_are_open_and_those_of_persons_are_not() -> None:
    company, sole_trader, person = "91321202MA0TE00A1K", "92321202MA0TE00BX8", "32120218850101001X"
    assert masked({"mask": "credit_code"}, [company, sole_trader, person, "暂无", None]) == [
        company,
        "923212********0BX8",
        "321202********001X",
        "**",
        None,
    ]


def test_periods_begin_in_beijing() -> None:
    year, month = {"mask": "period", "unit": "year"}, {"mask": "period", "unit": "month"}
    assert masked(year, [date(2020, 5, 17), None], pa.date32()) == [date(2020, 1, 1), None]
    assert masked(month, [date(2020, 5, 17)], pa.date32()) == [date(2020, 5, 1)]
    eve = datetime(2020, 12, 31, 17, tzinfo=UTC)  # already 2021 in Beijing
    assert masked(year, [eve, None], pa.timestamp("us", tz="UTC")) == [datetime(2020, 12, 31, 16, tzinfo=UTC), None]


@settings(deadline=None)
@given(st.dates(date(1, 1, 2), date(9999, 12, 30)), st.times(), st.sampled_from(["year", "month"]))
def test_a_period_exists_for_every_moment(day: date, hour: time, unit: str) -> None:
    moment = datetime.combine(day, hour, UTC)
    (found,) = masked({"mask": "period", "unit": unit}, [moment], pa.timestamp("us", tz="UTC"))
    assert found <= moment
    assert (moment - found).days <= (366 if unit == "year" else 31)


def test_a_month_that_begins_in_a_gap_of_summer_time() -> None:
    moment = datetime(1940, 6, 5, tzinfo=UTC)
    (found,) = masked({"mask": "period", "unit": "month"}, [moment], pa.timestamp("us", tz="UTC"))
    assert found == datetime(1940, 5, 31, 16, tzinfo=UTC)


@settings(deadline=None)
@given(st.sampled_from(HIDING), st.text(alphabet="0123456789X张𠮷 a", max_size=24))
def test_what_hides_keeps_at_most_its_ends(data: dict[str, Any], value: str) -> None:
    (found,) = masked(data, [value])
    stars = found.count("*")
    shown = {"name": 1, "identity_number": 10, "mobile": 7, "bank_card": 4}[data["mask"]]
    assert len(found) - stars <= shown
    assert stars >= min(len(value), 1)
    assert len(found) <= max(len(value), 1)


# --- the keyed digest ----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=5), max_size=20), st.sampled_from(["sha256", "sm3"]))
def test_hmac_tells_values_apart_and_nothing_else(values: list[str | None], digest: str) -> None:
    found = masked({"mask": "hmac", "digest": digest}, values)
    assert found == [None if v is None else hmac.new(KEY, v.encode(), digest).hexdigest() for v in values]
    assert len(set(found)) == len(set(values))


def test_hmac_is_under_the_key() -> None:
    array = pa.array(["32120218850101001X"])
    one, other = (masks.apply(Hmac(), array, key)[0].as_py() for key in (KEY, OTHER_KEY))
    assert one != other
    assert one != hashlib.sha256(b"32120218850101001X").hexdigest()
    with pytest.raises(ValueError, match="16 bytes"):
        masks.apply(Hmac(), array, b"short")


@pytest.mark.parametrize(
    ("letter", "value", "canonical"),
    [
        ("I", -7, b"-7"),
        ("N", Decimal("1"), b"1"),
        ("Y", Decimal("1.50"), b"1.50"),
        ("D", date(2020, 1, 2), b"2020-01-02"),
        ("T", datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), b"1577934245000006"),
        ("L", True, b"true"),
        ("G", b"\x00\xff", b"\x00\xff"),
        ("M", "𠮷", "𠮷".encode()),
    ],
)
def test_each_type_has_one_canonical_form(letter: str, value: Any, canonical: bytes) -> None:
    found = masked({"mask": "hmac"}, [value, None, value], arrow_type(item(letter)))
    assert found == [hmac.new(KEY, canonical, "sha256").hexdigest(), None, found[0]]


# --- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ALL)
def test_masks_are_data(data: dict[str, Any]) -> None:
    mask = masks.parse(data)
    assert masks.parse(json.loads(json.dumps(masks.dump(mask)))) == mask
    assert masks.describe(mask)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"mask": "rot13"},
        {"mask": "name", "length": 1},
        {"mask": "truncate"},
        {"mask": "truncate", "length": 0},
        {"mask": "truncate", "length": "2"},
        {"mask": "period", "unit": "day"},
        {"mask": "hmac", "digest": "md5"},
        {"mask": "hmac", "key": "00"},
        {"mask": "clear"},
        {"mask": "clear", "justification": ""},
    ],
)
def test_what_is_no_mask_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        masks.parse(data)
    assert caught.value.problems


@pytest.mark.parametrize("data", ALL)
@pytest.mark.parametrize("letter", ITEM_TYPES)
def test_the_field_foretells_the_values(data: dict[str, Any], letter: str) -> None:
    mask = masks.parse(data)
    if letter not in mask.types:
        assert masks.problems({"x": mask}, [item(letter)], key=())
        return
    field = arrow_schema([item(letter, mandatory=True, length=18 if letter == "C" else None)]).field(0)
    found = masks.masked_field(mask, field)
    values = pa.array([None], field.type)
    assert masks.apply(mask, values, KEY).type == found.type
    assert masks.apply(mask, values, KEY).null_count == 1
    assert found.name == "x"
    assert found.metadata[b"label"] == "甲".encode()
    assert found.nullable == (data["mask"] == "null")
    if data["mask"] == "hmac":
        assert (found.metadata[b"type"], found.metadata[b"length"]) == (b"C", b"64")
    if data["mask"] == "truncate":
        assert found.metadata[b"length"] == b"4"


def test_truncating_never_widens_a_field() -> None:
    field = arrow_schema([item("C", length=2)]).field(0)
    assert masks.masked_field(Truncate(length=10), field).metadata[b"length"] == b"2"


@settings(deadline=None)
@given(st.sampled_from([d for d in ALL if d["mask"] != "clear"]), st.data())
def test_injective_is_what_it_says(data: dict[str, Any], draw: st.DataObject) -> None:
    mask = masks.parse(data)
    letter = "D" if data["mask"] == "period" else "C"
    days = st.dates(date(2020, 1, 1), date(2020, 1, 31))
    values = draw.draw(st.lists(days if letter == "D" else st.text(max_size=30), unique=True, min_size=2, max_size=8))
    found = masked(data, values, arrow_type(item(letter)))
    if mask.injective:
        assert len(set(found)) == len(values)


# --- where masks may stand -----------------------------------------------------------------------

IDENTITY = Item(name="cert_no", label="证件号码", type="C", check="identity_number", grade="sensitive")
NAME = Item(name="user_name", label="姓名", type="C", grade="personal")
VERSION = Item(name="version", label="版本", type="I")
SERVICE = Item(name="task_code", label="实施编码", type="C", reference="item")
PLAIN = Item(name="state", label="状态", type="C")
ITEMS = (IDENTITY, NAME, VERSION, SERVICE, PLAIN)
FITTING: dict[str, masks.Mask] = {"cert_no": Hmac(), "user_name": Name()}


def told(**change: masks.Mask | None) -> list[str]:
    chosen = {name: mask for name, mask in {**FITTING, **change}.items() if mask is not None}
    return masks.problems(chosen, ITEMS, key=("cert_no",), version="version", references=("state",))


def test_masks_that_fit() -> None:
    assert told() == []
    assert told(cert_no=Clear(justification="核对身份"), task_code=Hmac(), state=Hmac()) == []
    assert told(version=Clear(justification="比较先后")) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cert_no": IdentityNumber()}, "业务主键"),
        ({"cert_no": Null()}, "业务主键"),
        ({"version": Hmac()}, "版本项"),
        ({"version": Null()}, "版本项"),
        ({"task_code": Truncate(length=3)}, "引用项"),
        ({"state": Null()}, "引用项"),
        ({"user_name": None}, "个人信息"),
        ({"cert_no": None}, "个人信息"),
        ({"stat": Null()}, "是否指 state"),
        ({"user_name": Period(unit="year")}, "不能用脱敏规则 period"),
    ],
)
def test_masks_that_do_not_fit(change: dict[str, Any], words: str) -> None:
    (problem,) = told(**change)
    assert words in problem


def test_narrower_shows_no_more() -> None:
    clear = Clear(justification="核对身份")
    assert masks.narrower(Name(), None)
    assert masks.narrower(None, None)
    assert masks.narrower(Hmac(), clear)
    assert masks.narrower(Null(), Name())
    assert masks.narrower(Name(), Name())
    assert masks.narrower(Truncate(length=2), Truncate(length=3))
    assert masks.narrower(Period(unit="year"), Period(unit="month"))
    assert not masks.narrower(Truncate(length=3), Truncate(length=2))
    assert not masks.narrower(Period(unit="month"), Period(unit="year"))
    assert not masks.narrower(None, Name())
    assert not masks.narrower(clear, Name())
    assert not masks.narrower(Hmac(), Name())
    assert not masks.narrower(Name(), Null())


@pytest.mark.parametrize(
    ("label", "letter", "check", "expected"),
    [
        ("姓名", "C", None, "name"),
        ("法定代表人", "C", None, "name"),
        ("联系人手机", "C", None, "mobile"),
        ("联系人证件号码", "C", None, "identity_number"),
        ("公民身份号码", "C", "identity_number", "identity_number"),
        ("居住地址", "C", None, "address"),
        ("银行账号", "C", None, "bank_card"),
        ("经营者代码", "C", "credit_code", "credit_code"),
        ("出生日期", "D", None, "period"),
        ("核验时间", "T", None, "period"),
        ("婚姻状况", "C", None, "null"),
        ("用户生日", "C", None, "truncate"),
        ("证件有效期起始日期", "C", None, "truncate"),
        ("与户主关系", "C", None, "null"),
        ("办理人员", "C", None, "name"),
        ("月收入", "N", None, "null"),
        ("照片", "G", None, "null"),
    ],
)
def test_what_a_personal_item_gets_by_default(label: str, letter: str, check: Any, expected: str) -> None:
    personal = Item(name="x", label=label, type=letter, check=check, grade="personal")  # type: ignore[arg-type]
    mask = masks.proposed(personal)
    assert mask.mask == expected
    assert masks.problems({"x": mask}, [personal], key=()) == []


def test_keys_get_a_keyed_digest_by_default() -> None:
    assert masks.proposed(IDENTITY, key=True, digest="sm3") == Hmac(digest="sm3")


def test_mobile_numbers_are_found_by_name_too() -> None:
    assert masks.proposed(Item(name="user_mobile", label="通讯", type="C", grade="personal")) == Mobile()


def test_child_rows_are_handed_over_as_they_are_or_not_at_all() -> None:
    family = Item(
        name="family", label="家庭成员", type="M", grade="personal", rows=(Item(name="r", label="关系", type="C"),)
    )
    assert masks.problems({"family": Clear(justification="核定扣除")}, [family], key=()) == []
    for mask in (Null(), Name(), Truncate(length=3), Hmac()):
        assert "有子表行" in masks.problems({"family": mask}, [family], key=())[0]


def test_documents_are_handed_over_as_they_are_or_not_at_all() -> None:
    """What is left of a text that stands for a file stands for none."""
    file = Item.model_validate({"name": "file", "label": "证照文件", "type": "G", "document": True})
    for mask in (Clear(justification="核对证照"), Null()):
        assert masks.problems({"file": mask}, [file], key=()) == []
    for mask in (Hmac(), Hmac(digest="sm3")):
        assert "是附件" in masks.problems({"file": mask}, [file], key=())[0]
