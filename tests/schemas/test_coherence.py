from __future__ import annotations

import pytest

from schemas.coherence import Library, faults
from schemas.model import CodeList, Profile, RecordClass
from schemas.plain_yaml import Document

ITEM = {"name": "id", "label": "编号", "type": "C", "length": 4, "mandatory": True}
TABLE = {"name": "t", "label": "表", "items": [ITEM], "key": ["id"]}


def found(**parts: object) -> list[str]:
    """What is said of a class, a code list or a profile that differs so much from a right one."""
    group = RecordClass.model_validate(
        {"name": "c", "label": "类", "source": "某处", "tables": [TABLE], **_of(parts, "group")}
    )
    codes = CodeList.model_validate(
        {"name": "l", "label": "表", "source": "某处", "codes": {"1": "一"}, **_of(parts, "codes")}
    )
    family = Profile.model_validate(
        {
            "name": "p", "label": "族", "source": "某处", "capture": "outbox",
            "state": {"column": "f", "new": [None, "0"], "fresh": "0", "done": "1", "failed": "2"},
            **_of(parts, "family"),
        }
    )  # fmt: skip
    library = Library({"c": group}, {"l": codes}, {"p": family})
    kinds = {("classes", "c"): "c.yaml", ("codelists", "l"): "l.yaml", ("profiles", "p"): "p.yaml"}
    return faults(library, {place: Document(name, None, {}) for place, name in kinds.items()})


def _of(parts: dict[str, object], name: str) -> dict[str, object]:
    part = parts.get(name, {})
    assert isinstance(part, dict)
    return part


def tables(*changed: dict[str, object]) -> dict[str, object]:
    return {"tables": [{**TABLE, **change} for change in changed]}


def items(*changed: dict[str, object]) -> dict[str, object]:
    return tables({"items": [{**ITEM, **change} for change in changed]})


def test_what_fits_is_not_blamed() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"tables": []}, "至少要有一张表"),
        (tables({}, {}), "表名“t”已用于"),
        (tables({"name": "1t"}), "应以字母开头"),
        (tables({"name": "t; DROP TABLE x"}), "应以字母开头"),
        (tables({"key": []}), "至少要有一个主键"),
        (tables({"key": ["idd"]}), "您是不是要写 id"),
        (tables({"version": "none"}), "版本信息项“none”不在"),
        (tables({"version": "id"}), "须能比较先后"),
        (tables({"parent": "u"}), "没有表“u”"),
        (tables({"parent": "t"}), "没有表“t”"),
        (tables({}, {"name": "u", "parent": "t", "items": [{**ITEM, "name": "n"}], "key": ["n"]}), "缺少上级表 t"),
        (items({}, {}), "信息项“id”重复"),
        (items({}, {"name": "_operation"}), "应以字母开头"),
        (items({}, {"name": "x" * 64}), "应以字母开头"),
        (items({"mandatory": False}), "须为必填"),
        (items({}, {"name": "a", "code_list": "ll"}), "没有代码表“ll”，您是不是要写 l"),
        (items({}, {"name": "a", "reference": "d"}), "没有数据类“d”"),
    ],
)  # fmt: skip
def test_classes(group: dict[str, object], expected: str) -> None:
    problems = found(group=group)
    assert len(problems) == 1
    assert problems[0].startswith("c.yaml ")
    assert expected in problems[0]


def test_a_reference_needs_an_item_of_the_same_name_there() -> None:
    assert found(group=items({}, {"name": "a", "reference": "c"})) == []
    other = RecordClass.model_validate(
        {"name": "d", "label": "类", "source": "某处", **items({}, {"name": "a", "reference": "c"})}
    )
    one = RecordClass.model_validate({"name": "c", "label": "类", "source": "某处", **tables({"name": "u"})})
    origins = {("classes", name): Document(f"{name}.yaml", None, {}) for name in "cd"}
    assert ["没有同名信息项“a”" in text for text in faults(Library({"c": one, "d": other}, {}, {}), origins)] == [True]


def test_a_code_list_must_fit_its_item() -> None:
    narrow = items({}, {"name": "a", "length": 2, "code_list": "l"})
    assert found(group=narrow, codes={"codes": {"12": "甲"}}) == []
    assert "更长的代码" in found(group=narrow, codes={"codes": {"123": "甲"}})[0]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"codes": {}}, "不能为空"),
        ({"codes": {" 1": "一"}}, "首尾不能有空格"),
        ({"codes": {"a": "一", "A": "二"}, "ignore_case": True}, "不分大小写时代码有重复"),
    ],
)
def test_code_lists(codes: dict[str, object], expected: str) -> None:
    assert [expected in problem for problem in found(codes=codes)] == [True]


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ({"state": None}, "必须给出此项"),
        ({"capture": "batches", "time": "t", "row": "r"}, "必须给出此项"),
        ({"version": "a b"}, "不是列名"),
        ({"constants": {"x'; --": "1"}}, "不是列名"),
        ({"delete": {"column": "", "values": ["D"]}}, "不是列名"),
        ({"error_table": "errors"}, "{table} 或 {stem}"),
        ({"error_table": "{table}.{secret}"}, "{table} 或 {stem}"),
        ({"state": {"column": "f", "new": ["0"], "fresh": None, "done": "1", "failed": "2"}}, "对方读不到"),
        ({"state": {"column": "f", "new": ["0"], "fresh": "0", "done": "0", "failed": "2"}}, "反复读取"),
        ({"state": {"column": "f", "new": ["0"], "fresh": "0", "done": "1", "failed": "0"}}, "反复读取"),
    ],
)
def test_profiles(family: dict[str, object], expected: str) -> None:
    problems = found(family=family)
    assert len(problems) == 1
    assert problems[0].startswith("p.yaml ")
    assert expected in problems[0]


def test_items_of_child_rows_are_looked_at_too() -> None:
    rows = [{"name": "1", "label": "关系", "type": "C", "code_list": "nobody"}]
    told = found(group=tables({"items": [ITEM, {"name": "f", "label": "成员", "type": "M", "rows": rows}]}))
    assert len(told) == 2
