"""The row filter of a grant (数据范围条件): a small typed expression, never SQL text.

Forms, as written in YAML or JSON::

    all: [expression, …]              every one of them
    any: [expression, …]              at least one of them
    not: expression
    {item: name, is: value}           also is_not, less, at_most, more, at_least, starts_with
    {item: name, between: [low, high]}    both ends included
    {item: name, in: [value, …]}
    {item: name, is_null: true}

Values are text, whole numbers, true and false; dates, times and decimals are written as text. A time
without a zone is Beijing time.

Comparison is exact and binary: no collation, no case folding, no trimming. A missing value makes a
comparison *unknown*, and so does its ``not``, as in SQL; a row whose filter is unknown is not handed
over. A database that evaluates the same filter can therefore save work, but never decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import reduce
from typing import Annotated, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    TypeAdapter,
)

from exchange.authorisation.literals import scalar
from exchange.authorisation.reading import TAG, Text, near, printable, quoted, read
from exchange.errors import Invalid, Problem
from schemas import ITEM_TYPES, Item, arrow_type

MAX_DEPTH = 32
"""Levels of nested lists and mappings."""
MAX_VALUES = 5_000
"""Lists, mappings and values in all."""


def _as_written(value: Any) -> Any:
    """One value of a comparison; a date that YAML read from unquoted text is text again."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("应为有限的数")
    if isinstance(value, str):
        return printable(value)
    if not isinstance(value, (bool, int, float)):
        raise ValueError("应为一个文本、数或 true、false")  # noqa: TRY004 — pydantic reports ValueError
    return value


Value: TypeAlias = Annotated[Any, BeforeValidator(_as_written)]


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class All(_Node):
    """Every part holds (且)."""

    all: tuple[Expression, ...] = Field(min_length=1)


class AnyOf(_Node):
    """At least one part holds (或)."""

    any: tuple[Expression, ...] = Field(min_length=1)


class Not(_Node):
    """The part does not hold (非)."""

    part: Expression = Field(alias="not")


class _Comparison(_Node):
    item: Text


class Is(_Comparison):
    """Equal (等于)."""

    value: Value = Field(alias="is")


class IsNot(_Comparison):
    """Not equal (不等于)."""

    value: Value = Field(alias="is_not")


class Less(_Comparison):
    """Less than (小于)."""

    value: Value = Field(alias="less")


class AtMost(_Comparison):
    """Less or equal (不大于)."""

    value: Value = Field(alias="at_most")


class More(_Comparison):
    """Greater than (大于)."""

    value: Value = Field(alias="more")


class AtLeast(_Comparison):
    """Greater or equal (不小于)."""

    value: Value = Field(alias="at_least")


class Between(_Comparison):
    """Within two bounds, both included (介于)."""

    bounds: tuple[Value, Value] = Field(alias="between")


class In(_Comparison):
    """One of several values (属于)."""

    values: tuple[Value, ...] = Field(alias="in", min_length=1)


class StartsWith(_Comparison):
    """Text that begins with a prefix (以…开头)."""

    prefix: Annotated[Text, Field(strict=True)] = Field(alias="starts_with", min_length=1)


class IsNull(_Comparison):
    """Without a value, or with one (为空、不为空)."""

    is_null: StrictBool


_FORMS: dict[str, type[_Node]] = {
    "all": All,
    "any": AnyOf,
    "not": Not,
    "is": Is,
    "is_not": IsNot,
    "less": Less,
    "at_most": AtMost,
    "more": More,
    "at_least": AtLeast,
    "between": Between,
    "in": In,
    "starts_with": StartsWith,
    "is_null": IsNull,
}


def _form(data: Any) -> str | None:
    if isinstance(data, _Node):
        return next(TAG + name for name, form in _FORMS.items() if type(data) is form)
    if isinstance(data, dict):
        return next((TAG + name for name in _FORMS if name in data), None)
    return None


Expression: TypeAlias = Annotated[
    Annotated[All, Tag(TAG + "all")]
    | Annotated[AnyOf, Tag(TAG + "any")]
    | Annotated[Not, Tag(TAG + "not")]
    | Annotated[Is, Tag(TAG + "is")]
    | Annotated[IsNot, Tag(TAG + "is_not")]
    | Annotated[Less, Tag(TAG + "less")]
    | Annotated[AtMost, Tag(TAG + "at_most")]
    | Annotated[More, Tag(TAG + "more")]
    | Annotated[AtLeast, Tag(TAG + "at_least")]
    | Annotated[Between, Tag(TAG + "between")]
    | Annotated[In, Tag(TAG + "in")]
    | Annotated[StartsWith, Tag(TAG + "starts_with")]
    | Annotated[IsNull, Tag(TAG + "is_null")],
    Discriminator(
        _form,
        custom_error_type="form",
        custom_error_message="不认识的条件写法，可用 " + "、".join(_FORMS),
    ),
]

_adapter: TypeAdapter[Any] = TypeAdapter(Expression)

_Ordered: TypeAlias = Less | AtMost | More | AtLeast
_ORDERS: dict[type[_Node], tuple[str, str]] = {
    Less: ("less", "小于"),
    AtMost: ("less_equal", "不大于"),
    More: ("greater", "大于"),
    AtLeast: ("greater_equal", "不小于"),
}


def parse(data: Any, where: str = "过滤条件") -> Expression:
    """Read an expression from plain values.

    Raises:
        Invalid: With everything wrong in its form; types are checked by :func:`problems`.
    """
    too_much = _limits(data)
    if too_much:
        raise Invalid(f"{where}过于复杂", [Problem(where=where, message=text) for text in too_much])
    found: Expression = read(_adapter, data, where)
    return found


def dump(expression: Expression) -> dict[str, Any]:
    """The expression as plain values, in the form :func:`parse` reads."""
    found: dict[str, Any] = expression.model_dump(mode="json", by_alias=True)
    return found


def both(one: Expression | None, other: Expression | None) -> Expression | None:
    """The rows that pass both filters; None passes all."""
    if one is None or other is None or one == other:
        return one if other is None else other
    parts = [part for each in (one, other) for part in (each.all if isinstance(each, All) else (each,))]
    return All(all=tuple(dict.fromkeys(parts)))


def items_used(expression: Expression) -> tuple[str, ...]:
    """Names of the items the expression looks at, each once, in order."""
    return tuple(dict.fromkeys(node.item for node in _comparisons(expression)))


def problems(expression: Expression, items: Iterable[Item]) -> list[str]:
    """Everything about an expression that does not fit the items; empty: it fits."""
    known = {item.name: item for item in items}
    found = _limits(dump(expression))
    for node in _comparisons(expression):
        item = known.get(node.item)
        if item is None:
            found.append(f"没有信息项 {quoted(node.item)}{near(node.item, known)}")
        else:
            found += [f"{item.label}（{item.name}）：{text}" for text in _misfits(node, item)]
    return list(dict.fromkeys(found))


def evaluate(expression: Expression, batch: pa.RecordBatch) -> pa.BooleanArray:
    """Which rows of a batch pass: never null.

    Raises:
        Invalid: If the expression does not fit the batch's columns; see :func:`problems`.
    """
    return pc.fill_null(_truth(expression, batch), fill_value=False)


def describe(expression: Expression, items: Iterable[Item] = ()) -> str:
    """The expression in Chinese, as people read it."""
    return _said(expression, {item.name: item.label for item in items}, outermost=True)


def _limits(data: Any) -> list[str]:
    values, waiting = 0, [(data, 1)]
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if depth > MAX_DEPTH:
            return [f"嵌套超过 {MAX_DEPTH} 层"]
        if values > MAX_VALUES:
            return [f"条件和取值合计超过 {MAX_VALUES} 个"]
        if isinstance(value, dict):
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += [(each, depth + 1) for each in value]
    return []


def _comparisons(expression: Expression) -> Iterator[Any]:
    match expression:
        case All(all=parts) | AnyOf(any=parts):
            for part in parts:
                yield from _comparisons(part)
        case Not(part=part):
            yield from _comparisons(part)
        case _:
            yield expression


def _literals(node: Any) -> tuple[Any, ...]:
    """The values a comparison compares with."""
    match node:
        case Between(bounds=values) | In(values=values):
            return tuple(values)
        case StartsWith(prefix=prefix):
            return (prefix,)
        case _:
            return (node.value,)


def _misfits(node: Any, item: Item) -> list[str]:
    """What is wrong with one comparison of one item."""
    kind = ITEM_TYPES[item.type]
    if item.rows:
        return ["有子表行的信息项不能作过滤条件"]
    if isinstance(node, IsNull):
        return []
    if item.type == "G":
        return [f"{kind}只能判断是否为空"]
    if isinstance(node, StartsWith) and item.type not in "CM":
        return [f"{kind}不能用 starts_with"]
    if item.type == "L" and isinstance(node, (*_ORDERS, Between)):
        return [f"{kind}不能比较大小"]
    found, read_values = [], []
    literals = _literals(node)
    for number, literal in enumerate(literals, start=1):
        try:
            read_values.append(scalar(literal, arrow_type(item)))
        except ValueError as wrong:
            # A value may be a citizen's: where it stands is told, never what it is.
            found.append(f"{f'第 {number} 个' if len(literals) > 1 else ''}取值{wrong}")
    if isinstance(node, Between) and len(read_values) == 2 and pc.greater(*read_values).as_py():
        found.append("between 的下限大于上限")
    return found


def _truth(expression: Expression, batch: pa.RecordBatch) -> pa.Array:
    """True, false or null (unknown) for each row."""
    match expression:
        case All(all=parts):
            return reduce(pc.and_kleene, (_truth(part, batch) for part in parts))
        case AnyOf(any=parts):
            return reduce(pc.or_kleene, (_truth(part, batch) for part in parts))
        case Not(part=part):
            return pc.invert(_truth(part, batch))
        case IsNull(item=name, is_null=wanted):
            column = _column(batch, name)
            return pc.is_null(column) if wanted else pc.is_valid(column)
        case _:
            return _compared(expression, _column(batch, expression.item))


def _compared(node: Any, column: pa.Array) -> pa.Array:
    try:
        scalars = [scalar(literal, column.type) for literal in _literals(node)]
    except ValueError as wrong:
        raise Invalid(f"过滤条件不能用于信息项 {node.item}：{wrong}") from wrong
    match node:
        case Is():
            return pc.equal(column, scalars[0])
        case IsNot():
            return pc.not_equal(column, scalars[0])
        case Between():
            return pc.and_(pc.greater_equal(column, scalars[0]), pc.less_equal(column, scalars[1]))
        case In():
            within = pc.is_in(column, value_set=pa.array([s.as_py() for s in scalars], column.type))
            return pc.if_else(pc.is_valid(column), within, pa.scalar(None, pa.bool_()))
        case StartsWith():
            return pc.starts_with(column, pattern=node.prefix)
        case _:
            return pc.call_function(_ORDERS[type(node)][0], [column, scalars[0]])


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise Invalid(f"过滤条件用到的信息项 {name} 不在数据中")
    column = batch.column(index)
    if pa.types.is_float64(column.type):
        # NaN is no number to compare with: like a missing value, it is handed to nobody by comparison.
        # Adding zero makes both zeros one, which set membership would tell apart.
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), pc.add(column, 0.0))
    return column


def _said(expression: Expression, labels: dict[str, str], *, outermost: bool = False) -> str:
    match expression:
        case All(all=parts):
            return _joined(parts, " 且 ", labels, outermost=outermost)
        case AnyOf(any=parts):
            return _joined(parts, " 或 ", labels, outermost=outermost)
        case Not(part=part):
            return f"不满足（{_said(part, labels, outermost=True)}）"
    item = labels.get(expression.item, expression.item)
    match expression:
        case Is(value=value):
            return f"{item} 为 {_shown(value)}"
        case IsNot(value=value):
            return f"{item} 不为 {_shown(value)}"
        case Between(bounds=(low, high)):
            return f"{item} 在 {_shown(low)} 至 {_shown(high)} 之间"
        case In(values=values):
            more = f" 等 {len(values)} 个值" if len(values) > 10 else ""
            return f"{item} 为 {'、'.join(_shown(value) for value in values[:10])}{more or ' 之一'}"
        case StartsWith(prefix=prefix):
            return f"{item} 以 {_shown(prefix)} 开头"
        case IsNull(is_null=wanted):
            return f"{item} {'为空' if wanted else '不为空'}"
        case _:
            return f"{item} {_ORDERS[type(expression)][1]} {_shown(expression.value)}"


def _joined(parts: Sequence[Expression], word: str, labels: dict[str, str], *, outermost: bool) -> str:
    said = word.join(_said(part, labels) for part in parts)
    return said if outermost or len(parts) == 1 else f"（{said}）"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "真" if value else "假"
    return quoted(value) if isinstance(value, str) else str(value)


for _model in (All, AnyOf, Not):
    _model.model_rebuild()
