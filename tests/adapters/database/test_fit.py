from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from adapters.database.dialects import Dialect, dialect
from adapters.database.dialects.types import plain
from adapters.database.fit import faults, fields_of, fitted, misfit
from adapters.database.shapes import Column, Family
from adapters.errors import Refused, Unsupported
from schemas import Item, arrow_schema

PRODUCTS = ("sqlite", "postgresql", "mariadb")
ZONE = "Asia/Shanghai"
INSTANT = pa.timestamp("us", tz="UTC")


@pytest.fixture(params=PRODUCTS)
def product(request: pytest.FixtureRequest) -> Dialect:
    return dialect(request.param)


def column(family: Family, declared: str = "text", **more: Any) -> Column:
    return Column(**{"name": "c", "family": family, "declared": declared, "type": sa.Text()} | more)


def item(type: str, length: int | None = None, scale: int | None = None) -> pa.Field:
    return arrow_schema([Item(name="i", label="项", type=type, length=length, scale=scale)]).field(0)


FITS = [
    (item("C", 5), column("text", length=5)),
    (item("C", 5), column("text", length=5, unicode=False)),
    (item("C", 5), column("text")),
    (item("C"), column("text", length=255)),
    (item("M"), column("text")),
    (item("N", 9), column("integer", "integer", length=9)),
    (item("N", 10, 2), column("text", length=12)),
    (item("I"), column("integer", "integer", length=9)),
    (item("I"), column("text", length=10)),
    (item("D"), column("date", "date")),
    (item("D"), column("text", length=10)),
    (item("T"), column("time", "datetime")),
    (item("T"), column("text", length=19)),
    (item("L"), column("integer", "integer", length=4)),
    (item("L"), column("text", length=1)),
    (item("B"), column("float", "real")),
    (item("G"), column("binary", "blob")),
]
MISFITS = [
    (item("C", 6), column("text", length=5), "只容 5 个字符，需要 6 个"),
    (item("C"), column("text", length=50), "需要 255 个"),
    (item("C", 5), column("integer", "integer", length=9), "装不下文本"),
    (item("N"), column("integer", "bigint", length=18), "18 位整数"),
    (item("N", 12, 4), column("decimal", "decimal(12,2)", length=12, scale=2), "2 位小数"),
    (item("N", 10, 2), column("text", length=11), "需要 12 个"),
    (item("I"), column("integer", "smallint", length=4), "4 位整数"),
    (item("I"), column("boolean", "boolean"), "装不下整数"),
    (item("D"), column("time", "datetime"), "装不下日期"),
    (item("T"), column("date", "date"), "装不下日期时间"),
    (item("T"), column("text", length=14), "需要 19 个"),
    (item("B"), column("decimal", "decimal"), "装不下浮点数"),
    (item("G"), column("text"), "装不下二进制"),
    (item("C", 5), column("other", "uuid"), "装不下文本"),
    (item("C", 5), column("text", computed=True), "由数据库计算"),
]


@pytest.mark.parametrize(("field", "place"), FITS, ids=str)
def test_what_fits(product: Dialect, field: pa.Field, place: Column) -> None:
    assert misfit(field, place, product, key=False, version=False) is None


@pytest.mark.parametrize(("field", "place", "words"), MISFITS, ids=str)
def test_what_does_not_fit(product: Dialect, field: pa.Field, place: Column, words: str) -> None:
    assert words in (misfit(field, place, product, key=False, version=False) or "")


def test_keys_and_versions_must_compare(product: Dialect) -> None:
    assert misfit(item("B"), column("float", "real"), product, key=True, version=False)
    assert misfit(item("B"), column("float", "real"), product, key=False, version=True)
    assert misfit(item("G"), column("binary", "blob"), product, key=True, version=False)
    text = misfit(item("I"), column("text"), product, key=False, version=True)
    assert (text is None) == (not product.types_itself)
    assert misfit(item("T"), column("text"), product, key=False, version=True) is None


def test_a_place_without_types_bends_what_looks_like_a_number() -> None:
    sqlite = dialect("sqlite")
    for declared, field in (
        ("string", item("C", 5)),
        ("date", item("C", 8)),
        ("real", item("I")),
        ("decimal(20,2)", item("N", 20, 2)),
    ):
        family: Family = {"string": "text", "date": "text", "real": "integer"}.get(declared, "decimal")  # type: ignore[assignment]
        assert misfit(field, column(family, declared), sqlite, key=False, version=False)
    assert misfit(item("N", 15, 2), column("decimal", "decimal(15,2)"), sqlite, key=False, version=False) is None
    assert misfit(item("D"), column("date", "date"), sqlite, key=False, version=False) is None


def test_values_are_written_in_the_places_words(product: Dialect) -> None:
    def written(values: list[Any], kind: pa.DataType, place: Column) -> list[Any]:
        made = fitted(pa.array(values, kind), place, product, ZONE)
        told = pa.types.is_temporal(made.type) or pa.types.is_decimal(made.type)
        assert product.takes_arrow or not told
        return (plain(made) if told else made).to_pylist()

    assert written([True, False, None], pa.bool_(), column("boolean")) == [1, 0, None]
    assert written([True, None], pa.bool_(), column("text")) == ["1", None]
    assert written([2**63 - 1], pa.int64(), column("integer")) == [2**63 - 1]
    assert written([5], pa.int64(), column("text")) == ["5"]
    assert written([date(1, 1, 1)], pa.date32(), column("date")) == ["0001-01-01"]
    assert written([Decimal("-0.50")], pa.decimal128(10, 2), column("decimal")) == ["-0.50"]
    assert written([b"\x00"], pa.binary(), column("binary")) == [b"\x00"]
    assert written(["𠮷", ""], pa.string(), column("text")) == ["𠮷", ""]
    moments = [datetime(2024, 1, 1, 16, tzinfo=UTC), datetime(2024, 1, 1, 16, 0, 0, 5, UTC), None]
    assert written(moments, INSTANT, column("time")) == ["2024-01-02 00:00:00", "2024-01-02 00:00:00.000005", None]
    assert written(moments, INSTANT, column("instant"))[0] == "2024-01-01 16:00:00"
    assert written(moments, INSTANT, column("text"))[0] == "2024-01-02 00:00:00"


def test_what_would_become_another_value_is_refused(product: Dialect) -> None:
    def refused(values: list[Any], kind: pa.DataType, place: Column) -> str:
        with pytest.raises(Refused) as caught:
            fitted(pa.array(values, kind), place, product, ZONE)
        return caught.value.message

    assert "列 c" in refused(["a\x00b"], pa.string(), column("text"))
    moment = [datetime(2024, 1, 1, 0, 0, 0, 1000, UTC)]
    assert "2 位小数" in refused(moment, INSTANT, column("time", "datetime(2)", fraction=2))
    assert fitted(pa.array(moment, INSTANT), column("time", fraction=3), product, ZONE).to_pylist()
    if not product.not_a_number:
        assert "非数字" in refused([float("nan")], pa.float64(), column("float"))
        assert "非数字" in refused([1.0, float("-inf")], pa.float64(), column("float"))
    else:
        assert fitted(pa.array([float("inf")]), column("float"), product, ZONE).to_pylist() == [float("inf")]


def test_what_a_column_cannot_hold_is_told_by_row(product: Dialect) -> None:
    def told(values: list[Any], kind: pa.DataType, place: Column) -> list[tuple[str, list[Any]]]:
        return [(each.rule, each.rows.to_pylist()) for each in faults(pa.array(values, kind), place, product, ZONE)]

    texts = ["甲", "𠮷", None, "\U0010ffff"]
    assert told(texts, pa.string(), column("text", plane=True)) == [("text", [False, True, None, True])]
    assert told(texts, pa.string(), column("text")) == []
    narrow = [("length", [False, True, None])] if product.types_itself else []
    assert told(["甲乙", "甲乙丙", None], pa.string(), column("text", length=2)) == narrow
    padded = [("text", [False, True, None])] if product.types_itself else []
    assert told([" a", "a ", None], pa.string(), column("text", length=5, type=sa.CHAR(5))) == padded
    fine = [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2024, 1, 1, tzinfo=UTC), None]
    assert told(fine, INSTANT, column("instant", fraction=3)) == [("time", [True, False, None])]


def test_an_hour_that_came_twice(product: Dialect) -> None:
    """On 15 September 1991 clocks in China went back from two to one."""
    twice = [datetime(1991, 9, 14, 16, 30, tzinfo=UTC), datetime(1991, 9, 14, 17, 30, tzinfo=UTC)]
    text = fitted(pa.array(twice, INSTANT), column("text"), product, ZONE).to_pylist()
    assert text == ["1991-09-15 01:30:00", "1991-09-15 01:30:00+08:00"]
    assert plain(fitted(pa.array(twice, INSTANT), column("instant"), product, ZONE))[1].as_py() == "1991-09-14 17:30:00"
    assert plain(fitted(pa.array(twice[:1], INSTANT), column("time"), product, ZONE)).to_pylist() == text[:1]
    with pytest.raises(Refused, match="时钟回拨"):
        fitted(pa.array(twice, INSTANT), column("time"), product, ZONE)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=10, max_value=10**15, min_value=-(10**15))))
def test_decimals_are_plain_digits(values: list[Decimal]) -> None:
    for scale in (10, 2, 0):
        rounded = [round(value, scale) for value in values]
        texts = plain(pa.array(rounded, pa.decimal128(38, scale))).to_pylist()
        assert [Decimal(text) for text in texts] == rounded
        assert not [text for text in texts if set(text) - set("-.0123456789")]


def test_other_types_are_unsupported(product: Dialect) -> None:
    with pytest.raises(Unsupported):
        misfit(pa.field("i", pa.list_(pa.int8())), column("text"), product, key=False, version=False)


def test_reserved_columns_are_no_items() -> None:
    schema = pa.schema(
        [("_operation", pa.int8()), ("a", pa.string()), ("_reference", pa.string()), ("_b", pa.string())]
    )
    assert list(fields_of(schema)) == ["a", "_b"]
    assert plain(pa.array([1, None])).to_pylist() == ["1", None]
    assert replace(column("text"), name="d").name == "d"
