from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from exchange.checks.child_rows import MOST
from exchange.checks.examination import Examined, examine
from exchange.checks.normalise import DELETE
from schemas import arrow_schema
from tests.exchange.checks.rows import SHANGHAI, TODAY, batch, code_lists, item

FAMILY = item(
    "family",
    "M",
    label="家庭成员",
    rows=(
        item("relation", length=2, mandatory=True, code_list="relation", label="关系"),
        item("id_no", length=18, check="identity_number", label="身份证号"),
        item("born", "D", label="出生"),
        item("share", "N", length=5, scale=2, label="份额"),
        item("seen", "T", label="时间"),
        item("alive", "L", label="在世"),
    ),
)
ITEMS = (item("id", length=18, mandatory=True), FAMILY)
LISTS = code_lists(relation=["子", "女"])


def looked_at(*families: Any, must: bool = False, operations: list[int] | None = None) -> Examined:
    texts = [each if each is None or isinstance(each, str) else json.dumps(each) for each in families]
    items = (ITEMS[0], FAMILY.model_copy(update={"mandatory": must}))
    made = batch(operations, id=[str(number) for number in range(len(texts))], family=pa.array(texts, pa.string()))
    return examine(made, items, ["id"], None, SHANGHAI, TODAY, code_lists=LISTS)


def test_child_rows_are_typed_and_written_in_one_form() -> None:
    seen = looked_at(
        [
            {"relation": "女 ", "id_no": "11010519491231002x", "born": "1949年12月31日", "share": " 100.5 "},
            {"relation": "子", "seen": "2024-01-01 08:00:00", "alive": "是", "born": "暂无"},
        ],
        [],
        None,
    )
    assert seen.findings == []
    assert seen.accepted.schema.field("family") == arrow_schema(ITEMS).field("family")
    first, second, third = seen.accepted.column("family").to_pylist()
    daughter = '"born":"1949-12-31","id_no":"11010519491231002X","relation":"女","seen":null,"share":"100.50"'
    son = '"born":null,"id_no":null,"relation":"子","seen":"2024-01-01 00:00:00.000000Z","share":null'
    assert first == '[{"alive":"true",' + son + '},{"alive":null,' + daughter + "}]"
    assert second == third == "[]"
    again = looked_at(first)
    assert again.accepted.column("family").to_pylist() == [first]


def test_what_is_wrong_with_a_child_row_refuses_its_parent_and_names_it() -> None:
    seen = looked_at(
        [{"relation": "子"}],
        [{"relation": "子"}, {"relation": "父", "born": "昨天"}, {"id_no": "110105194912310021"}],
        [{"relation": "子", "share": "1.234"}],
    )
    assert seen.accepted_rows.to_pylist() == [0]
    assert seen.refused.column("id").to_pylist() == ["1", "2"]
    assert {found.item for found in seen.findings} == {"family"}
    assert {(found.row, found.reason.split()[0], found.rule) for found in seen.findings} == {
        (1, "家庭成员：family[2].relation", "code_list"),
        (1, "家庭成员：family[2].born", "type"),
        (1, "家庭成员：family[3].relation", "mandatory"),
        (1, "家庭成员：family[3].id_no", "identity_number"),
        (2, "家庭成员：family[1].share", "scale"),
    }
    told = next(found.reason for found in seen.findings if "family[2].born" in found.reason)
    assert told.startswith("家庭成员：family[2].born 出生：")
    assert "昨天" not in "".join(found.reason for found in seen.findings)


@pytest.mark.parametrize("text", ["x", '{"relation":"子"}', '[{"relation":"子","other":"1"}]', '[{"relation":["子"]}]'])
def test_what_is_no_array_of_known_items_refuses_the_row(text: str) -> None:
    seen = looked_at(text, [])
    assert [(found.row, found.item, found.rule) for found in seen.findings] == [(0, "family", "type")]
    assert seen.refused.column("family").to_pylist() == [text]
    assert seen.accepted.num_rows == 1


def test_an_item_that_must_be_there_needs_a_child_row() -> None:
    seen = looked_at([], [{"relation": "子"}], must=True)
    assert [(found.row, found.item, found.rule) for found in seen.findings] == [(0, "family", "mandatory")]


def test_a_deletion_is_not_held_to_its_child_rows() -> None:
    seen = looked_at("x", [{"relation": "父"}], operations=[DELETE, DELETE])
    assert seen.findings == []
    assert seen.accepted.num_rows == 2


def test_not_every_one_of_very_many_findings_is_told() -> None:
    seen = looked_at([{"relation": "父"}] * 1000, [{"relation": "父"}])
    assert len(seen.findings) == MOST + 1


def test_text_that_is_none_refuses_the_row() -> None:
    seen = looked_at('[{"relation": "\\u0000"}]')
    assert [(found.item, found.rule) for found in seen.findings] == [("family", "text")]
    assert "family[1].relation" in seen.findings[0].reason


def test_a_source_that_gives_no_text_is_told_so() -> None:
    made = batch(id=["1"], family=[1.5])
    seen = examine(made, ITEMS, ["id"], None, SHANGHAI, TODAY, code_lists=LISTS)
    assert [(found.item, found.rule) for found in seen.findings] == [("family", "type")]
