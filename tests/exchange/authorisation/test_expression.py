from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.authorisation import expression
from exchange.authorisation.expression import MAX_DEPTH, MAX_VALUES, both, describe, dump, items_used, parse, problems
from exchange.errors import Invalid
from schemas import Item, arrow_schema

ITEMS = (
    Item(name="division_code", label="行政区划代码", type="C", length=12),
    Item(name="note", label="备注", type="M"),
    Item(name="state", label="状态", type="I"),
    Item(name="amount", label="金额", type="N", length=10, scale=2),
    Item(name="born", label="出生日期", type="D"),
    Item(name="changed", label="更新时间", type="T"),
    Item(name="valid", label="有效", type="L"),
    Item(name="ratio", label="比例", type="F"),
    Item(name="photo", label="照片", type="G"),
)
SCHEMA = arrow_schema(ITEMS)


def batch(**columns: list[Any]) -> pa.RecordBatch:
    rows = len(next(iter(columns.values())))
    return pa.record_batch(
        [pa.array(columns.get(field.name, [None] * rows), field.type) for field in SCHEMA], schema=SCHEMA
    )


def passing(data: Any, **columns: list[Any]) -> list[bool]:
    return expression.evaluate(parse(data), batch(**columns)).to_pylist()


# --- against plain Python ------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "3212", "321202", "3213", "甲", "𠮷野", "ａ", "A", "a", " a", "a "])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "division_code": TEXTS,
    "state": st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63)]),
    "amount": st.decimals(-3, 3, places=2),
    "born": st.dates(date(1, 1, 1), date(9999, 12, 31)) | st.sampled_from([date(2020, 2, 29)]),
    "changed": st.integers(-(2**31), 2**32).map(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=n)),
    "valid": st.booleans(),
    "ratio": st.floats(allow_infinity=False) | st.sampled_from([0.0, -0.0, 0.1]),
}
ORDERED = [name for name in VALUES if name != "valid"]


def written(value: Any) -> Any:
    """A value as somebody would write it in YAML."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return value


def literals(name: str) -> st.SearchStrategy[Any]:
    return VALUES[name].filter(lambda v: not (isinstance(v, float) and math.isnan(v))).map(written)


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    form = draw(
        st.sampled_from(
            ["is", "is_not", "less", "at_most", "more", "at_least", "between", "in", "starts_with", "is_null"]
        )
    )
    if form == "starts_with":
        return {"item": "division_code", form: draw(TEXTS.filter(bool))}
    name = draw(st.sampled_from(ORDERED if form in {"less", "at_most", "more", "at_least", "between"} else [*VALUES]))
    if form == "is_null":
        return {"item": name, form: draw(st.booleans())}
    if form == "in":
        return {"item": name, form: draw(st.lists(literals(name), min_size=1, max_size=4))}
    if form == "between":
        return {"item": name, form: [draw(literals(name)), draw(literals(name))]}
    return {"item": name, form: draw(literals(name))}


EXPRESSIONS = st.recursive(
    comparisons(),
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=6,
)
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), max_size=5)


def read_back(name: str, literal: Any) -> Any:
    match name:
        case "amount":
            return Decimal(literal)
        case "born":
            return date.fromisoformat(literal)
        case "changed":
            return datetime.fromisoformat(literal)
        case _:
            return literal


def truth(data: dict[str, Any], row: dict[str, Any]) -> bool | None:
    """Three-valued logic, one row at a time."""
    if "all" in data:
        answers = [truth(part, row) for part in data["all"]]
        return False if False in answers else None if None in answers else True
    if "any" in data:
        answers = [truth(part, row) for part in data["any"]]
        return True if True in answers else None if None in answers else False
    if "not" in data:
        answer = truth(data["not"], row)
        return None if answer is None else not answer
    name = data["item"]
    value = row[name]
    if isinstance(value, float) and math.isnan(value):
        value = None
    (form,) = data.keys() - {"item"}
    if form == "is_null":
        return (row[name] is None or value is None) is data[form]
    if value is None:
        return None
    if form == "starts_with":
        return value.startswith(data[form])
    given = [read_back(name, each) for each in (data[form] if isinstance(data[form], list) else [data[form]])]
    if isinstance(value, str):  # binary, not by code point of UTF-16 or any collation
        value, given = value.encode(), [each.encode() for each in given]
    match form:
        case "is":
            return value == given[0]
        case "is_not":
            return value != given[0]
        case "less":
            return value < given[0]
        case "at_most":
            return value <= given[0]
        case "more":
            return value > given[0]
        case "at_least":
            return value >= given[0]
        case "between":
            return given[0] <= value <= given[1]
        case "in":
            return value in given
    raise AssertionError(form)


@settings(deadline=None)
@given(EXPRESSIONS, ROWS)
def test_arrow_and_plain_python_agree(data: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    filled = batch(**{name: [row[name] for row in rows] for name in VALUES})
    found = expression.evaluate(parse(data), filled)
    assert found.null_count == 0
    assert found.type == pa.bool_()
    assert found.to_pylist() == [truth(data, row) is True for row in rows]


@settings(deadline=None)
@given(EXPRESSIONS)
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    once = parse(data)
    assert parse(json.loads(json.dumps(dump(once)))) == once
    assert parse(yaml.safe_load(yaml.safe_dump(dump(once), allow_unicode=True))) == once
    assert describe(once, ITEMS)
    assert set(items_used(once)) <= set(VALUES)


@settings(deadline=None)
@given(EXPRESSIONS, EXPRESSIONS, ROWS)
def test_both_passes_no_row_that_one_of_them_stops(
    one: dict[str, Any], other: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    filled = batch(**{name: [row[name] for row in rows] for name in VALUES})
    narrowed = both(parse(one), parse(other))
    assert expression.evaluate(narrowed, filled).to_pylist() == [
        truth(one, row) is True and truth(other, row) is True for row in rows
    ]


def test_both_with_nothing_is_the_other() -> None:
    only = parse({"item": "state", "is": 1})
    assert both(None, None) is None
    assert both(only, None) == both(None, only) == both(only, only) == only


# --- meaning -------------------------------------------------------------------------------------


def test_a_missing_value_passes_neither_a_comparison_nor_its_negation() -> None:
    assert passing({"item": "state", "is": 1}, state=[1, 2, None]) == [True, False, False]
    assert passing({"not": {"item": "state", "is": 1}}, state=[1, 2, None]) == [False, True, False]
    assert passing({"not": {"item": "state", "in": [1]}}, state=[1, 2, None]) == [False, True, False]


def test_no_collation_no_folding_no_trimming() -> None:
    values = ["A", "a", "ａ", "a ", None]
    assert passing({"item": "division_code", "is": "a"}, division_code=values) == [False, True, False, False, False]


def test_both_zeros_are_one() -> None:
    for zero in (0.0, -0.0, 0, "-0"):
        for data in ({"item": "ratio", "in": [zero]}, {"item": "ratio", "is": zero}):
            assert passing(data, ratio=[0.0, -0.0, math.nan, None]) == [True, True, False, False]


def test_a_filter_for_part_of_a_city() -> None:
    data = {"all": [{"item": "division_code", "starts_with": "3212"}, {"item": "state", "in": ["1", "2"]}]}
    assert passing(data, division_code=["321202", "3201", "321203"], state=[1, 1, 3]) == [True, False, False]


def test_zone_less_times_are_beijing_time() -> None:
    moment = datetime(2026, 1, 31, 0, 0, tzinfo=UTC)
    for text in ("2026-01-31 08:00", "2026-01-31T08:00:00.000", "2026-01-31T00:00:00Z", "2026-01-31 01:00:00+01:00"):
        assert passing({"item": "changed", "is": text}, changed=[moment]) == [True]


def test_unquoted_dates_of_yaml_are_dates_again() -> None:
    data = yaml.safe_load("{item: born, between: [2020-01-01, 2020-12-31]}")
    assert passing(data, born=[date(2020, 12, 31), date(2021, 1, 1)]) == [True, False]
    aware = {"item": "changed", "at_least": datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=8)))}
    assert passing(aware, changed=[datetime(2026, 1, 31, tzinfo=UTC)]) == [True]


def test_an_expression_for_other_columns_is_told_so() -> None:
    with pytest.raises(Invalid, match="不在数据中"):
        passing({"item": "absent", "is": 1}, state=[1])
    with pytest.raises(Invalid, match="state"):
        passing({"item": "state", "is": "one"}, state=[1])


def test_an_empty_batch() -> None:
    assert passing({"item": "division_code", "starts_with": "32"}, state=[]) == []


# --- form ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "不认识的条件写法"),
        ("1 = 1; DROP TABLE grant", "不认识的条件写法"),
        ([{"item": "a", "is": 1}], "不认识的条件写法"),
        ({}, "不认识的条件写法"),
        ({"sql": "1 = 1"}, "不认识的条件写法"),
        ({"all": []}, "个数不足"),
        ({"item": "a", "in": []}, "个数不足"),
        ({"item": "a", "is": 1, "less": 3}, "多余或不认识的键"),
        ({"itm": "a", "is": 1}, "缺少这一项"),
        ({"item": "a", "is": None}, "应为一个文本、数或 true、false"),
        ({"item": "a", "is": ["b"]}, "应为一个文本、数或 true、false"),
        ({"item": "a", "is": {"not": "b"}}, "应为一个文本、数或 true、false"),
        ({"item": "a", "is": math.inf}, "应为有限的数"),
        ({"item": "a", "is": "\0"}, "看不见的字符"),
        ({"item": "a", "is": "\ud800"}, "看不见的字符"),
        ({"item": "a\u202e", "is": "b"}, "看不见的字符"),
        ({"item": 1, "is": "b"}, "应为文本"),
        ({"item": "a", "between": ["1"]}, "缺少这一项"),
        ({"item": "a", "between": "12"}, "应为列表"),
        ({"item": "a", "starts_with": ""}, "不能为空"),
        ({"item": "a", "starts_with": 32}, "应为文本"),
        ({"item": "a", "is_null": 1}, "应为 true 或 false"),
        ({"not": [{"item": "a", "is": 1}]}, "不认识的条件写法"),
    ],
)
def test_wrong_forms_are_named(data: Any, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(data)
    assert any(words in problem.message for problem in caught.value.problems), caught.value.problems


def test_every_wrong_place_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        parse({"all": [{"item": 1, "is": None}, {"like": "%"}]})
    assert [problem.where for problem in caught.value.problems] == [
        "过滤条件 › all › 1 › item",
        "过滤条件 › all › 1 › is",
        "过滤条件 › all › 2",
    ]


def test_depth_and_size_are_limited() -> None:
    deep: Any = {"item": "a", "is": 1}
    for _ in range(100_000):
        deep = {"not": deep}
    with pytest.raises(Invalid) as caught:
        parse(deep)
    assert caught.value.problems[0].message == f"嵌套超过 {MAX_DEPTH} 层"
    with pytest.raises(Invalid) as caught:
        parse({"item": "a", "in": list(range(MAX_VALUES))})
    assert str(MAX_VALUES) in caught.value.problems[0].message
    ring: dict[str, Any] = {}
    ring["not"] = ring
    with pytest.raises(Invalid):
        parse(ring)


def test_no_message_repeats_a_value() -> None:
    with pytest.raises(Invalid) as caught:
        parse({"item": "a", "like": "32120218850101001X"})
    assert "32120218850101001X" not in str(caught.value) + "".join(map(str, caught.value.problems))
    for name in ("state", "amount", "born", "changed", "valid", "ratio", "photo"):
        (problem,) = problems(parse({"item": name, "is": "32120218850101001X"}), ITEMS)
        assert "3212" not in problem


# --- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"item": "divisoin_code", "is": "3"}, "是否指 division_code"),
        ({"item": "division_code", "is": 3212}, "带引号"),
        ({"item": "state", "is": "1.5"}, "整数"),
        ({"item": "state", "is": True}, "整数"),
        ({"item": "state", "is": 2**63}, "整数"),
        ({"item": "state", "starts_with": "1"}, "starts_with"),
        ({"item": "amount", "is": 1.1}, "带引号"),
        ({"item": "amount", "is": "1.005"}, "小数 2 位"),
        ({"item": "amount", "is": "123456789"}, "10 位"),
        ({"item": "amount", "is": "1e3"}, "十进制"),
        ({"item": "amount", "is": "一"}, "十进制"),
        ({"item": "amount", "is": "٣"}, "十进制"),
        ({"item": "amount", "is": False}, "十进制"),
        ({"item": "born", "is": "2020-02-30"}, "历上"),
        ({"item": "born", "is": "20200101"}, "不是日期"),
        ({"item": "born", "is": 20200101}, "不是日期"),
        ({"item": "changed", "is": "2020-01-01"}, "不是时间"),
        ({"item": "changed", "is": "2020-01-01 25:00"}, "历上"),
        ({"item": "changed", "is": "0001-01-01 00:00"}, "历上"),
        ({"item": "valid", "is": "true"}, "true 或 false"),
        ({"item": "valid", "more": False}, "不能比较大小"),
        ({"item": "ratio", "is": "nan"}, "不是数"),
        ({"item": "ratio", "is": True}, "不是数"),
        ({"item": "ratio", "is": 2**53 + 1}, "精确"),
        ({"item": "photo", "is": "x"}, "是否为空"),
        ({"item": "born", "between": ["2021-01-01", "2020-01-01"]}, "下限大于上限"),
        ({"item": "state", "in": [1, "x"]}, "第 2 个取值不是"),
    ],
)
def test_values_are_checked_against_their_items(data: Any, words: str) -> None:
    (problem,) = problems(parse(data), ITEMS)
    assert words in problem


def test_every_problem_of_type_is_told_at_once() -> None:
    data = {"any": [{"item": "absent", "is": 1}, {"not": {"item": "state", "in": ["x", "y"]}}]}
    assert len(problems(parse(data), ITEMS)) == 3


@settings(deadline=None)
@given(EXPRESSIONS)
def test_what_has_no_problems_can_be_evaluated(data: dict[str, Any]) -> None:
    tree = parse(data)
    assert all("下限大于上限" in text for text in problems(tree, ITEMS))
    expression.evaluate(tree, batch(state=[None]))


def test_presence_can_be_asked_of_every_type() -> None:
    for item in ITEMS:
        assert problems(parse({"item": item.name, "is_null": True}), ITEMS) == []
        assert passing({"item": item.name, "is_null": True}, **{item.name: [None]}) == [True]
        assert passing({"item": item.name, "is_null": False}, **{item.name: [None]}) == [False]


def test_text_of_any_kind_is_only_text() -> None:
    for hostile in ("' OR '1'='1", '"; DROP TABLE grant; --', "%", "_", "\\", "${jndi:ldap://x}", "{0}", "<!ENTITY>"):
        tree = parse({"item": "division_code", "is": hostile})
        assert problems(tree, ITEMS) == []
        found = expression.evaluate(tree, batch(division_code=[hostile, "3212"]))
        assert found.to_pylist() == [True, False]
        prefix = parse({"item": "division_code", "starts_with": hostile})
        assert expression.evaluate(prefix, batch(division_code=[hostile + "x", "3212"])).to_pylist() == [True, False]


# --- words ---------------------------------------------------------------------------------------


def test_people_read_it_in_chinese() -> None:
    data = {
        "all": [
            {"item": "division_code", "starts_with": "3212"},
            {"any": [{"item": "state", "in": [1, 2]}, {"item": "valid", "is": True}]},
            {"not": {"item": "born", "between": ["2000-01-01", "2000-12-31"]}},
            {"item": "amount", "at_most": "10.00"},
            {"item": "note", "is_null": False},
        ]
    }
    assert describe(parse(data), ITEMS) == (
        "行政区划代码 以 “3212” 开头 且 （状态 为 1、2 之一 或 有效 为 真） 且 "
        "不满足（出生日期 在 “2000-01-01” 至 “2000-12-31” 之间） 且 金额 不大于 “10.00” 且 备注 不为空"
    )


def test_long_lists_and_line_ends_stay_on_one_line() -> None:
    said = describe(parse({"item": "note", "in": [f"第{n}行\n" for n in range(11)]}), ITEMS)
    assert "\n" not in said
    assert said.endswith("等 11 个值")
    assert describe(parse({"item": "note", "is_not": "长" * 100})).count("长") == 60


def test_child_rows_are_no_condition() -> None:
    family = Item(name="family", label="家庭成员", type="M", rows=(Item(name="r", label="关系", type="C"),))
    for data in ({"item": "family", "is": "[]"}, {"item": "family", "is_null": True}):
        (problem,) = problems(parse(data), [family])
        assert "不能作过滤条件" in problem
