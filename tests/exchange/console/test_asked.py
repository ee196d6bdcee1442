from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import FormData

from catalog import Resource
from exchange.authorisation import parse_application
from exchange.console.asked import MOST, given_of, mask_options, of_form, place, whole
from exchange.console.views import Form
from tests.exchange.engine.town import TAX, resource

KNOWN = Resource.model_validate(resource())


def given(**fields: Any) -> dict[str, Any]:
    pairs = [(name, each) for name, value in fields.items() for each in (value if isinstance(value, list) else [value])]
    return given_of(of_form(Form(FormData(pairs)), KNOWN), KNOWN, TAX)


def test_every_way_to_be_shown_an_item_that_is_offered_can_be_asked_for() -> None:
    for item in KNOWN.items:
        for kind, _title in mask_options(item, KNOWN):
            asked = given(items=[item.name], **{f"mask-{item.name}": kind, f"why-{item.name}": "理由"})
            assert parse_application(asked).items == (item.name,)
            assert ("masks" in asked) is bool(kind)


@pytest.mark.parametrize(
    ("op", "value", "made"),
    [
        ("is", "x", {"is": "x"}),
        ("in", "a；b; c", {"in": ["a", "b", "c"]}),
        ("between", "1；2", {"between": ["1", "2"]}),
        ("is_null", "ignored", {"is_null": True}),
        ("not_null", "", {"is_null": False}),
        ("at_most", "9", {"at_most": "9"}),
    ],
)
def test_conditions_in_words(op: str, value: str, made: dict[str, Any]) -> None:
    asked = given(**{"cond-4-item": "district", "cond-4-op": op, "cond-4-value": value})
    assert asked["filter"] == {"item": "district"} | made
    assert parse_application(asked).filter is not None


def test_what_is_not_of_the_resource_is_not_taken_over() -> None:
    asked = given(
        items=["id_no", "password"], department="x", resource="y", **{"mask-password": "clear", "to-name": "n"}
    )
    assert (asked["items"], asked["department"], asked["resource"]) == (["id_no"], TAX, KNOWN.code)
    assert "masks" not in asked
    assert given(items=["id_no"], object="t", **{"to-name": "n"})["target"]["columns"] == {}


def test_there_is_an_end_to_conditions() -> None:
    many = {f"cond-{n}-item": "name" for n in range(MOST + 20)}
    assert len(given(**many)["filter"]["all"]) == MOST


@pytest.mark.parametrize(
    ("text", "value"), [("1,000", 1000), ("7", 7), ("-1", "-1"), ("多", "多"), ("9" * 30, "9" * 30)]
)
def test_numbers_as_they_are_typed(text: str, value: Any) -> None:
    assert whole(text) == value


@pytest.mark.parametrize(
    ("where", "field", "words"),
    [
        ("共享申请 › until", "until", "截止日期"),
        ("共享申请 › masks › id_no › clear › justification", "why-id_no", "脱敏 › id_no › 理由"),
        ("共享申请 › masks › id_no", "mask-id_no", "脱敏 › id_no"),
        ("共享申请 › target › object", "object", "接收端 › 表、操作或文件"),
        ("共享申请 › filter › all › 1", "conditions", "数据范围 › all › 1"),
        ("使用依据", "basis", "使用依据"),
        ("别的", "", "别的"),
    ],
)
def test_a_problem_stands_beside_its_field(where: str, field: str, words: str) -> None:
    assert place(where) == (field, words)
