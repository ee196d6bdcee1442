"""Does an item fit a column, and what is written there: one table from item type to column family.

Values that a column would change are refused, never bent: the fit is judged once by declarations
(:func:`misfit`) and, where these do not decide, again for each value (:func:`faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import OPERATION, REFERENCE
from adapters.database.dialects import Dialect
from adapters.database.dialects.types import INSTANT, from_zone, item_length, plain
from adapters.database.shapes import FAMILIES, Column
from adapters.errors import Refused, Unsupported

_UNDECLARED = 255
"""Characters that a column needs for a text whose length was not registered."""
_WHOLE = 9
"""Digits that a column needs for a whole number, which is registered without a length."""
_BEYOND_FIRST_PLANE = "[\\x{10000}-\\x{10FFFF}]"
_ITEM_FAMILIES: tuple[tuple[Callable[[pa.DataType], bool], str, frozenset[str]], ...] = (
    (pa.types.is_boolean, "逻辑", frozenset({"boolean", "integer", "text"})),
    (pa.types.is_integer, "整数", frozenset({"integer", "decimal", "text"})),
    (pa.types.is_decimal, "数值", frozenset({"decimal", "integer", "text"})),
    (pa.types.is_floating, "浮点数", frozenset({"float"})),
    (pa.types.is_date, "日期", frozenset({"date", "text"})),
    (pa.types.is_timestamp, "日期时间", frozenset({"time", "instant", "text"})),
    (pa.types.is_string, "文本", frozenset({"text"})),
    (pa.types.is_large_string, "文本", frozenset({"text"})),
    (pa.types.is_binary, "二进制", frozenset({"binary"})),
)


def misfit(field: pa.Field, column: Column, dialect: Dialect, *, key: bool, version: bool) -> str | None:
    """Why values of an item cannot all be kept unchanged in a column, in words; None: they can."""
    word, families = _families(field.type)
    if column.computed:
        return "由数据库计算，写不进去"
    if column.family not in families:
        return f"是{FAMILIES[column.family]}（{column.declared}），装不下{word}"
    if (key or version) and pa.types.is_floating(field.type):
        return "是浮点数，不能作业务主键或版本"
    if key and pa.types.is_binary(field.type):
        return "是二进制，不能作业务主键"
    if column.family == "text":
        needed = characters(field)
        if column.length is not None and column.length < needed:
            return f"只容 {column.length} 个字符，需要 {needed} 个"
        if version and not pa.types.is_string(field.type) and not pa.types.is_timestamp(field.type):
            return None if not dialect.types_itself else "是文本，不能比较数值版本的高低"
    if column.family in ("integer", "decimal") and (narrow := _too_few_digits(field.type, column)):
        return narrow
    lost = dialect.loses(field, column, version=version)
    return f"（{column.declared}）{lost}" if lost else None


def belongs(field: pa.Field, column: Column) -> bool:
    """Whether an item may stand in a column of that family at all, whatever its size."""
    return column.family in _families(field.type)[1]


@dataclass(frozen=True)
class Fault:
    """Values that would become others in their column (放不下的值).

    Attributes:
        rows: True for each of them.
        rule: What they break: ``text``, ``length``, ``time`` or ``number``.
        reason: The column, and in words why.
        remedy: What can be done about it.
    """

    rows: pa.BooleanArray
    rule: str
    reason: str
    remedy: str = "在校验中拒收这样的行"


def faults(values: pa.Array, column: Column, dialect: Dialect, zone: str) -> Iterator[Fault]:
    """What of an item's values would become another value in a column, told before it is written there.

    What only the place itself can tell, such as the range of its numbers, is left to it: it says so.
    """
    kind = values.type
    if pa.types.is_timestamp(kind):
        yield from _time_faults(values, column, zone)
    elif pa.types.is_floating(kind):
        number = pc.cast(values, pa.float64())
        if not dialect.not_a_number and _some(endless := pc.invert(pc.is_finite(number))):
            yield Fault(endless, "number", f"列 {column.name} 存不下无穷大或非数字的值")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield from _text_faults(values, column, dialect)


def fitted(values: pa.Array, column: Column, dialect: Dialect, zone: str) -> pa.Array:
    """Values as they are written into a column: 64-bit numbers, truth values, bytes and text.

    Dates, times and decimals stay what they are where the product takes them from Arrow, else they are text;
    times are those of the column: in UTC if it has a zone, else in that of the place.

    Raises:
        Refused: a value would become another one there; names the column.
    """
    for fault in faults(values, column, dialect, zone):
        raise Refused(fault.reason, remedy=fault.remedy)
    return written(values, column, dialect, zone)


def written(values: pa.Array, column: Column, dialect: Dialect, zone: str) -> pa.Array:
    """Values without :func:`faults` as they are written into a column.

    Dates, times and decimals stay what they are where the product takes them from Arrow, else they are text;
    times are those of the column: in UTC if it has a zone, else in that of the place.
    """
    kind = values.type
    if pa.types.is_timestamp(kind):
        time = _time(values, column, zone)
        return time if dialect.takes_arrow else plain(time)
    if pa.types.is_date(kind) or pa.types.is_decimal(kind):
        return values if dialect.takes_arrow and column.family != "text" else plain(values)
    if pa.types.is_boolean(kind):
        number = pc.cast(values, pa.int8())
        return pc.cast(number, pa.string()) if column.family == "text" else number
    if pa.types.is_integer(kind):
        return pc.cast(values, pa.string() if column.family == "text" else pa.int64())
    if pa.types.is_floating(kind):
        return pc.cast(values, pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return values
    return pc.cast(values, pa.string())


def fields_of(schema: pa.Schema) -> Mapping[str, pa.Field]:
    """The items of a schema, without the reserved columns."""
    return {field.name: field for field in schema if field.name not in (OPERATION, REFERENCE)}


def _families(kind: pa.DataType) -> tuple[str, frozenset[str]]:
    for holds, word, families in _ITEM_FAMILIES:
        if holds(kind):
            return word, families
    raise Unsupported(f"数据库端点不认识数据类型 {kind}")


def characters(field: pa.Field) -> int:
    """Characters that every value of an item has room in, written as text."""
    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return item_length(field) or _UNDECLARED
    if pa.types.is_decimal(kind):
        return int(kind.precision) + (2 if kind.scale else 1)
    if pa.types.is_timestamp(kind):
        return 19
    if pa.types.is_date(kind):
        return 10
    return 1 if pa.types.is_boolean(kind) else _WHOLE + 1


def _too_few_digits(kind: pa.DataType, column: Column) -> str | None:
    if column.length is None or pa.types.is_boolean(kind):
        return None
    scale = column.scale or 0
    whole, after = (kind.precision - kind.scale, kind.scale) if pa.types.is_decimal(kind) else (_WHOLE, 0)
    if column.length - scale < whole or scale < after:
        return f"（{column.declared}）只容 {column.length - scale} 位整数、{scale} 位小数，需要 {whole} 位、{after} 位"
    return None


def _some(mask: pa.BooleanArray) -> bool:
    return bool(pc.any(mask).as_py())


def _text_faults(values: pa.Array, column: Column, dialect: Dialect) -> Iterator[Fault]:
    text = pc.cast(values, pa.string())
    if _some(rows := pc.match_substring(text, "\x00")):
        yield Fault(rows, "text", f"列 {column.name} 的文本中有空字符（NUL）")
    if column.plane and _some(rows := pc.match_substring_regex(text, _BEYOND_FIRST_PLANE)):
        yield Fault(rows, "text", f"列 {column.name} 的字符集装不下生僻字", "请对方把该列改为装得下全部汉字的字符集")
    if not dialect.types_itself:
        return
    # No text has more characters than bytes.
    long = column.length is not None and (pc.max(pc.binary_length(text)).as_py() or 0) > column.length
    if long and _some(rows := pc.greater(pc.utf8_length(text), column.length)):
        yield Fault(rows, "length", f"列 {column.name} 只容 {column.length} 个字符", "请对方加宽该列")
    if isinstance(column.type, sa.CHAR) and _some(rows := pc.ends_with(text, " ")):
        yield Fault(rows, "text", f"列 {column.name}（{column.declared}）会丢掉末尾的空格", "请对方把该列改为变长")


def _local(values: pa.Array, column: Column, zone: str) -> pa.Array:
    moment = pc.cast(values, INSTANT)
    if column.family == "instant":
        return pc.local_timestamp(moment)
    return pc.local_timestamp(pc.cast(moment, pa.timestamp("us", tz=zone)))


def _repeated(local: pa.Array, moment: pa.Array, zone: str) -> pa.BooleanArray:
    """Clocks that are put back show an hour twice; zone-less, it is taken for the earlier one."""
    return pc.not_equal(from_zone(zone)[1](local), moment)


def _time_faults(values: pa.Array, column: Column, zone: str) -> Iterator[Fault]:
    local = _local(values, column, zone)
    if column.family != "text" and column.fraction < 6:
        grain = 10 ** (6 - column.fraction)
        ticks = pc.cast(local, pa.int64())
        if _some(rows := pc.not_equal(ticks, pc.multiply(pc.divide(ticks, grain), grain))):
            yield Fault(
                rows,
                "time",
                f"列 {column.name}（{column.declared}）的秒只留 {column.fraction} 位小数，数据比它细",
                "请对方把该列改为六位小数，或在来源处截到整秒",
            )
    if column.family == "time" and _some(rows := _repeated(local, pc.cast(values, INSTANT), zone)):
        yield Fault(
            rows,
            "time",
            f"列 {column.name}（{column.declared}）没有时区，装不下时钟回拨后重复的时间",
            "请对方把该列改为带时区的类型，或在校验中拒收这样的行",
        )


def _time(values: pa.Array, column: Column, zone: str) -> pa.Array:
    local = _local(values, column, zone)
    if column.family != "text":
        return local
    moment = pc.cast(values, INSTANT)
    repeated = _repeated(local, moment, zone)
    return _with_offset(plain(local), moment, repeated, zone) if _some(repeated) else plain(local)


def _with_offset(text: pa.Array, moment: pa.Array, where: pa.Array, zone: str) -> pa.Array:
    there = ZoneInfo(zone)
    told = [
        f"{words}{each.astimezone(there).isoformat()[-6:]}" if repeats else words
        for words, each, repeats in zip(text.to_pylist(), moment.to_pylist(), where.to_pylist(), strict=True)
    ]
    return pa.array(told, pa.string())
