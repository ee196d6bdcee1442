from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalog.model import Department, EndpointSpec, Offer, Resource, completed, unseen
from schemas import Item, profile, record_class
from tests.catalog.conftest import POLICE, person

DEPARTMENT = {"code": POLICE, "name": "泰州市公安局", "division": "321200"}


def table(name: str = "population") -> Any:
    return next(t for t in record_class("natural_person").tables if t.name == name)


def resource(**changes: Any) -> Resource:
    return Resource.model_validate(person(**changes))


@pytest.mark.parametrize(
    "code", ["11321200TE00000104", "11321200TE0000037U", "12321200TE0000AB6N", "11100000000013338W"]
)
def test_a_credit_code_with_its_check_digit_is_taken(code: str) -> None:
    assert Department.model_validate(DEPARTMENT | {"code": code}).code == code


@given(st.integers(8, 17), st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"))
def test_a_credit_code_with_one_character_changed_is_refused(place: int, letter: str) -> None:
    changed = POLICE[:place] + letter + POLICE[place + 1 :]
    if changed == POLICE:
        return
    with pytest.raises(ValidationError, match="统一社会信用代码"):
        Department.model_validate(DEPARTMENT | {"code": changed})


@pytest.mark.parametrize("code", [POLICE.lower(), f"{POLICE[:8]} {POLICE[8:]}", "", "1" * 19, "1132120OTE00000291"])
def test_a_credit_code_is_written_as_it_stands(code: str) -> None:
    with pytest.raises(ValidationError):
        Department.model_validate(DEPARTMENT | {"code": code})


@pytest.mark.parametrize(
    ("division", "good"),
    [
        ("321200", True),
        ("321202001000", True),
        ("32120", False),
        ("032120", False),
        ("３２１２００", False),
        ("3212000", False),
    ],
)
def test_a_division_has_six_or_twelve_digits(division: str, good: bool) -> None:
    try:
        Department.model_validate(DEPARTMENT | {"division": division})
    except ValidationError:
        assert not good
    else:
        assert good


def test_a_division_read_as_a_number_is_refused() -> None:
    with pytest.raises(ValidationError):
        Department.model_validate(DEPARTMENT | {"division": 321200})


@pytest.mark.parametrize("text", ["a\x00", "a\x1b[31m", "零\u200b宽", "\u202e倒", "\ufeff标记", "\ud800", "断\u2028行"])
def test_characters_nobody_sees_are_refused(text: str) -> None:
    assert unseen(text)
    with pytest.raises(ValidationError):
        Department.model_validate(DEPARTMENT | {"name": f"局{text}局"})
    with pytest.raises(ValidationError):
        EndpointSpec.model_validate(
            {"name": "e", "department": POLICE, "kind": "k", "options": {"a": [{"b": f"x{text}x"}]}}
        )
    with pytest.raises(ValidationError):
        EndpointSpec.model_validate({"name": "e", "department": POLICE, "kind": "k", "options": {f"x{text}x": 1}})


@pytest.mark.parametrize("text", ["泰州市公安局", "𠮷野䶮", "O'Brien; -- <b>", "表（一）"])
def test_everything_else_is_text(text: str) -> None:
    assert not unseen(text)
    assert Department.model_validate(DEPARTMENT | {"name": text}).name == text


def test_a_paragraph_may_break_its_lines_and_a_name_may_not() -> None:
    assert resource(abstract="第一行\n第二行").abstract == "第一行\n第二行"
    with pytest.raises(ValidationError):
        resource(name="第一行\n第二行")


def test_an_endpoint_keeps_the_zone_of_china_unless_told_otherwise() -> None:
    spec = EndpointSpec.model_validate({"name": "e", "department": POLICE, "kind": "database"})
    assert spec.zone == "Asia/Shanghai"
    with pytest.raises(ValidationError):
        EndpointSpec.model_validate({"name": "e", "department": POLICE, "kind": "database", "zone": "../../etc/passwd"})


@pytest.mark.parametrize("name", ["../e", "a b", "-e", "端点", "e\n", "a/b"])
def test_an_endpoint_name_is_plain(name: str) -> None:
    spec = {"name": name, "department": POLICE, "kind": "database"}
    if name == "e\n":
        assert EndpointSpec.model_validate(spec).name == "e"
        return
    with pytest.raises(ValidationError):
        EndpointSpec.model_validate(spec)


def test_unknown_fields_are_refused_everywhere() -> None:
    for spec in (person(colour="red"), person(offer={"endpoint": "e", "object": "t", "colour": "red"})):
        with pytest.raises(ValidationError, match="colour"):
            Resource.model_validate(spec)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("数据库/postgresql", "数据库/PostgreSQL"),
        ("电子文件 / ofd", "电子文件/OFD"),
        ("自描述格式/点云", "自描述格式/点云"),
    ],
)
def test_a_format_is_a_category_and_a_type(written: str, kept: str) -> None:
    assert resource(formats=[written]).formats == (kept,)


@pytest.mark.parametrize("written", ["数据库", "数据库/", "数据库/纸", "卷宗/纸", "/OFD", ""])
def test_an_unknown_format_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        resource(formats=[written])


def test_terms_may_be_written_in_chinese() -> None:
    written = resource(
        share_type="有条件共享", share_ways=["数据库", "文件下载"], update_cycle="每日", open_to_public="否"
    )
    assert (written.share_type, written.share_ways, written.update_cycle) == (2, ("database", "file"), "daily")
    assert written.open_to_public is False


def test_a_resource_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        resource().name = "别名"


def test_a_resource_survives_json() -> None:
    written = resource(classes=["101001001", "201001"], published_on="2026-01-31")
    assert Resource.model_validate_json(written.model_dump_json()) == written


def test_an_item_is_shared_as_its_resource_unless_it_says_otherwise() -> None:
    own = Item(name="a", label="甲", type="C", share_type=3)
    assert resource().shared_as(own) == 3
    assert resource().shared_as(own.model_copy(update={"share_type": None})) == 2


def test_what_is_left_out_comes_from_the_class() -> None:
    bare = resource(
        items=None, key=None, version_item=None, record_class="natural_person", table="population", offer=None
    )
    full = completed(bare, table())
    assert full.items == table().items
    assert (full.key, full.version_item, full.classes) == (("identity_number",), "update_time", ("101001001",))


def test_what_is_written_is_kept() -> None:
    full = completed(resource(classes=["201001"]), table())
    assert full.items == resource().items
    assert (full.key, full.version_item, full.classes) == (("id_number",), "updated", ("201001",))


def test_a_version_taken_from_the_class_is_mandatory() -> None:
    bare = resource(
        items=None, key=None, version_item="data_version", record_class="natural_person", table="population"
    )
    version = completed(bare, table()).item("data_version")
    assert version is not None
    assert version.mandatory


def test_columns_are_named_like_their_items_unless_said_otherwise() -> None:
    offer = {"endpoint": "e", "object": "t", "columns": {"name": "XM"}}
    full = completed(resource(offer=offer))
    assert full.offer is not None
    assert full.offer.columns == {
        "id_number": "id_number",
        "name": "XM",
        "birth_date": "birth_date",
        "updated": "updated",
    }
    assert full.offer.capture == "snapshot"


def test_a_family_decides_case_and_capture() -> None:
    full = completed(resource(offer={"endpoint": "e", "object": "t", "profile": "shandong"}), None, profile("shandong"))
    assert full.offer is not None
    assert full.offer.columns["birth_date"] == "BIRTH_DATE"
    assert full.offer.capture == "outbox"
    told = {"endpoint": "e", "object": "t", "profile": "shandong", "capture": "snapshot"}
    kept = completed(resource(offer=told), None, profile("shandong"))
    assert kept.offer is not None
    assert kept.offer.capture == "snapshot"


def test_completing_twice_changes_nothing() -> None:
    once = completed(resource(offer={"endpoint": "e", "object": "t", "profile": "shandong"}), None, profile("shandong"))
    again = completed(Resource.model_validate(once.model_dump(mode="json")), None, profile("shandong"))
    assert again == once


def test_an_offer_names_no_capture_the_port_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Offer.model_validate({"endpoint": "e", "object": "t", "capture": "guess"})


def test_files_of_a_class_come_only_where_a_column_is_named_for_them() -> None:
    table = record_class("licence").tables[0]
    assert "certificate_file" in {item.name for item in table.items}
    given = person(items=[], record_class="licence", table="up_lic_data", key=[], version_item=None)
    bare = completed(Resource.model_validate(given), table)
    assert [item.name for item in bare.items] == [item.name for item in table.items if not item.document]
    offer = {"endpoint": "drop", "object": "*.csv", "columns": {"certificate_file": "文件"}}
    bound = completed(Resource.model_validate(given | {"offer": offer}), table)
    assert {item.name for item in bound.items} == {item.name for item in table.items}
