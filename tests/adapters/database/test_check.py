from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.base import Binding
from adapters.database.check import sink_misfits, source_misfits
from adapters.database.dialects import dialect
from adapters.database.shapes import Column, Family, TableShape
from schemas import DeleteMark, Item, Profile, StateColumn, arrow_schema, profile

SCHEMA = arrow_schema([Item(name="id", label="编号", type="C", length=9), Item(name="v", label="版本", type="I")])
BOUND = Binding(object="t", columns={"id": "id", "v": "v"}, key=("id",), version="v")


def column(name: str, family: Family = "text", **more: Any) -> Column:
    return Column(**{"name": name, "family": family, "declared": family, "type": sa.Text()} | more)


def shape(*columns: Column, unique: tuple[str, ...] = ("id",)) -> TableShape:
    return TableShape(
        name="t", namespace=None, columns={each.name: each for each in columns}, unique=frozenset({frozenset(unique)})
    )


ID, V = column("id", length=9, nullable=False), column("v", "integer", length=18)


def misfits(found: TableShape, **changes: Any) -> list[str]:
    return sink_misfits(replace(BOUND, **changes), SCHEMA, found, dialect("postgresql"))


def test_a_table_that_fits() -> None:
    assert misfits(shape(ID, V, column("other"))) == []


def test_all_misfits_are_told_in_the_clerks_words() -> None:
    found = shape(column("id", length=5), column("must", nullable=False), column("has", nullable=False, filled=True))
    told = "\n".join(misfits(found, fixed={"p": "x"}))
    for words in ("没有列 v（信息项 v）", "列 id（信息项 id）只容 5", "没有固定值的列 p", "列 must 不可为空又无默认值"):
        assert words in told
    assert "has" not in told
    assert misfits(shape(ID, V), columns={"id": "id"})[0] == "信息项 v 没有挂接到列"


def test_the_key_needs_an_index_of_exactly_its_columns() -> None:
    for unique in ((), ("id", "v"), ("v",)):
        assert "唯一索引" in misfits(shape(ID, V, unique=unique))[0]
    p = column("p", length=5)
    assert "p、id" in misfits(shape(ID, V, p), fixed={"p": "x"})[0]
    assert misfits(shape(ID, V, p, unique=("p", "id")), fixed={"p": "x"}) == []


def test_key_and_version_must_be_delivered() -> None:
    told = sink_misfits(replace(BOUND, version="w"), arrow_schema([]), shape(ID, V), dialect("postgresql"))
    assert told[:2] == ["交付的数据中没有信息项 id（业务主键或版本）", "交付的数据中没有信息项 w（业务主键或版本）"]


FAMILY = Profile(
    name="p", label="", source="", capture="outbox",
    state=StateColumn(column="flag", new=(None, "0"), fresh="0", done="1", failed="2"),
    delete=DeleteMark(column="mark", values=("D",), inserted="I", updated="UU"),
    written_at="made", constants={"std": "v1"},
)  # fmt: skip


def test_the_familys_columns_must_take_what_is_written() -> None:
    told = "\n".join(misfits(shape(ID, V), profile=FAMILY))
    assert all(f"列 {name}" in told for name in ("flag", "mark", "made", "std"))
    good = (column("flag", "integer"), column("mark", length=2), column("made", "time"), column("std", length=2))
    assert misfits(shape(ID, V, *good), profile=FAMILY) == []
    bad = (column("flag", "date"), column("mark", length=1), column("made", "boolean"), column("std", "integer"))
    told = "\n".join(misfits(shape(ID, V, *bad), profile=FAMILY))
    assert all(f"列 {name}" in told for name in ("flag", "mark", "made", "std"))
    mandatory = tuple(replace(each, nullable=False) for each in good)
    assert misfits(shape(ID, V, *mandatory), profile=FAMILY) == []
    fresh_is_null = FAMILY.model_copy(
        update={"state": StateColumn(column="flag", new=(None,), fresh=None, done="1", failed="1")}
    )
    assert misfits(shape(ID, V, *good), profile=fresh_is_null) == []
    assert "不可为空" in misfits(shape(ID, V, *mandatory), profile=fresh_is_null)[0]


def test_a_familys_column_is_no_items() -> None:
    columns = {"id": "id", "v": "made"}
    told = "\n".join(
        misfits(shape(ID, column("made", "time"), column("flag"), column("std")), columns=columns, profile=FAMILY)
    )
    assert "列 made 由表族填写" in told
    marked = misfits(
        shape(ID, column("mark", "integer"), column("flag"), column("std"), column("made", "text")),
        columns={"id": "id", "v": "mark"},
        profile=FAMILY,
    )
    assert marked == []


def test_operation_batches_are_no_target() -> None:
    assert "只作来源" in misfits(shape(ID, V), profile=profile("national"))[0]


def test_a_source_needs_what_its_capture_looks_at() -> None:
    def told(capture: str, found: TableShape, family: Profile | None = None, **more: Any) -> str:
        return "\n".join(source_misfits(replace(BOUND, capture=capture, profile=family, **more), found))  # type: ignore[arg-type]

    assert told("snapshot", shape(ID, V)) == ""
    assert "没有列 v" in told("snapshot", shape(ID))
    assert "没有固定值的列 p" in told("snapshot", shape(ID, V), fixed={"p": "x"})
    assert "浮点数" in told("snapshot", shape(column("id", "float"), V))
    assert "二进制" in told("snapshot", shape(column("id", "binary"), V))
    assert "shutong_serial" in told("journal", shape(ID, V))
    assert "同步标志" in told("outbox", shape(ID, V))
    assert "操作批次" in told("batches", shape(ID, V), FAMILY)
    missing = told("outbox", shape(ID, V), profile("jiangsu"))
    assert all(name in missing for name in ("sync_sign", "sync_date", "sync_error_desc"))
    assert "删除标志列 DATASTATE" in told("outbox", shape(ID, V), profile("shandong"))
    national = shape(ID, V, *map(column, ("cd_batch", "cd_time", "cd_operation")))
    assert told("batches", national, profile("national")) == ""


@pytest.mark.parametrize("capture", ["outbox", "batches"])
def test_a_family_must_say_what_it_has(capture: str) -> None:
    empty = Profile(name="p", label="", source="", capture=capture)  # type: ignore[arg-type]
    binding = replace(BOUND, capture=capture, profile=empty)  # type: ignore[arg-type]
    assert list(source_misfits(binding, shape(ID, V))) != []
