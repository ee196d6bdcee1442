from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import FormData

from catalog import Resource, read_sheet, write_sheet
from catalog.reading import read_resource
from exchange.console.views import Form
from exchange.console.written import Written, beside, digest, given_of, of_form, of_resource, of_sheet, place
from exchange.errors import Problem
from tests.exchange.engine.town import POLICE, resource


def sent(**fields: Any) -> Written:
    pairs = [(name, each) for name, value in fields.items() for each in (value if isinstance(value, list) else [value])]
    return of_form(Form(FormData(pairs)))


def filled(written: Written) -> dict[str, Any]:
    """What a browser sends of a form as it is shown."""
    rows = {
        f"item-{number}-{name}": value
        for number, row in enumerate(written.items)
        for name, value in row.items()
        if value
    }
    version = {} if written.version is None else {"version_item": str(written.version)}
    return written.fields | {"share_ways": list(written.ways), "order": " ".join(written.order)} | rows | version


ROWS = [{"name": "kind", "label": "类型", "type": "C", "length": 8}]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"offer": None},
        {"key": ["ver", "id_no"], "version_item": None},
        {"share_type": 3, "legal_basis": "《某法》第一条", "share_ways": []},
        {"open_to_public": True, "open_condition": "无条件", "related": ["101001001/0009", "1/1"]},
        {"offer": {"endpoint": "police", "object": "t", "capture": "watermark", "options": {"watermark": "u", "n": 1}}},
        {"items": [*resource()["items"], {"name": "kids", "label": "子女", "type": "M", "rows": ROWS}]},
        {"record_class": "natural_person", "table": "population"},
    ],
)
def test_what_a_form_shows_it_says_again(changes: dict[str, Any]) -> None:
    before = read_resource(Resource.model_validate(resource(**changes))).resource
    again = read_resource(given_of(sent(**filled(of_resource(before))), POLICE))
    assert again.problems == ()
    assert again.resource == before


def test_a_sheet_that_can_be_read_is_the_form_of_its_resource() -> None:
    known = read_resource(Resource.model_validate(resource())).resource
    assert of_sheet(read_sheet(write_sheet(known))) == of_resource(known)


def test_of_a_sheet_that_cannot_be_read_nothing_is_lost() -> None:
    text = (
        "信息资源名称,甲\n共享类型,也许\n更新周期,每日\n共享方式,数据库\n"
        "信息项名称,数据类型,长度,业务主键\n乙,字符型,长,是\n丙,整型,,"
    )
    written = of_sheet(read_sheet(text.encode()))
    assert (written["name"], written["share_type"], written["update_cycle"]) == ("甲", "也许", "daily")
    assert [(row["label"], row.get("length", ""), row["key"]) for row in written.items] == [
        ("乙", "长", "是"),
        ("丙", "", ""),
    ]


def test_blank_rows_are_left_out_and_the_version_stays_with_its_item() -> None:
    written = sent(**{
        "item-0-type": "C", "item-3-label": "甲", "item-7-label": "乙", "version_item": "7", "item-9999999-label": "丙",
    })  # fmt: skip
    assert [row["label"] for row in written.items] == ["甲", "乙"]
    assert written.version == 1
    written.remove_row(0)
    assert (written.version, written.items[0]["label"]) == (0, "乙")
    written.remove_row(0)
    written.remove_row(5)
    assert written.version is None
    written.add_rows(1000)
    assert len(written.items) == 500


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("资源 a/1 › 信息资源名称", "name"),
        ("资源 a/1 › 数据类别", "of"),
        ("资源 a/1 › 业务主键", "items"),
        ("资源 a/1 › 信息项", "items"),
        ("资源 a/1 › 信息项 3（出生日期）› 长度".replace("）›", "） ›"), "item-2-length"),
        ("资源 a/1 › 信息项 12", "item-11-label"),
        ("资源 a/1 › 信息项 1（子女） › 子表行（类型） › 长度", "item-0-label"),
        ("资源 a/1 › 资源挂接 › 端点", "offer-endpoint"),
        ("资源 a/1 › 资源挂接 › 选项 › watermark", "options"),
        ("资源 a/1 › 资源挂接", "offer-endpoint"),
        ("登记表 › 第 3 行", ""),
        ("别的", ""),
    ],
)
def test_a_problem_stands_beside_its_field(where: str, field: str) -> None:
    assert place(where, "资源 a/1") == field
    found = beside([Problem(where, "错", "改")], "资源 a/1")
    assert found == ({field: "错（改）"} if field else {})


def test_options_and_rows_that_cannot_be_read_are_problems_and_no_accident() -> None:
    options = given_of(sent(**{"offer-endpoint": "police", "offer-object": "t", "options": "a: [1"}), POLICE)
    assert [place(each.where, "资源 a") for each in options.problems] == ["options"] * len(options.problems) != []
    rows = given_of(sent(**{"item-0-label": "甲", "item-0-name": "a", "item-0-rows": "[" * 100_000}), POLICE)
    assert read_resource(rows).problems


def test_who_goes_on_has_seen_these_warnings_and_no_others() -> None:
    first, second = Problem("a", "b"), Problem("a", "c")
    assert digest([first]) != digest([second])
    assert digest([first, second]) == digest([first, second])
