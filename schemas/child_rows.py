"""Child rows (子表行): the rows of a child table that belong to one parent row, as the value of one item of it.

Inside the hub the value is one text, a JSON array of objects, one for each child row: names of items to texts, or
null. It is canonical, so that equal rows give equal texts: every item is named, in the order of names; texts are those
of :func:`texts_of`; the objects stand in the order of their bytes; there is no blank between signs, and nothing is
escaped that need not be.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as json_lines

from schemas.items import Item, arrow_type

EMPTY = "[]"
"""No child rows."""
_CONTROL = r"[\x00-\x1f]"
_AT_ONCE = 2_048
"""Parents whose child rows are Python's at one time: there they take many times the room."""
_PLAIN_SCALE = 6
"""Decimals of more digits after the point are written with an exponent by Arrow."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Child rows of a column of parents, side by side.

    Attributes:
        owners: For each child row, the number of its parent's row in the column.
        places: For each child row, its place among those of its parent, from 1.
        columns: The values of each item, as texts.
        wrong: Parents whose text is no array of objects of known items, and in words why.
    """

    owners: pa.Int64Array
    places: pa.Int64Array
    columns: Mapping[str, pa.StringArray]
    wrong: Mapping[int, str]


class _Wrong(ValueError):
    """What a text is not; says what in words."""


def unpacked(texts: pa.StringArray, names: Sequence[str]) -> Unpacked:
    """Take the texts of a column apart; null, and nothing but blanks, are no child rows.

    Args:
        texts: One text for each parent, canonical or not. A number or a truth value is read as it is written.
        names: The items of a child row. One that an object does not name is null.
    """
    kind = pa.list_(pa.struct([pa.field(name, pa.string()) for name in names]))
    wrong: dict[int, str] = {}
    parts = [pa.array([], kind)]
    for start in range(0, len(texts), _AT_ONCE):
        part = texts.slice(start, _AT_ONCE)
        lists = _read_at_once(part, kind)
        parts.append(_read_each(part, kind, start, wrong) if lists is None else lists)
    lists = pa.concat_arrays(parts)
    children = lists.flatten()
    owners = pc.cast(pc.list_parent_indices(lists), pa.int64())
    first = lists.offsets.to_numpy()[:-1]
    places = np.arange(1, len(children) + 1) - first[owners.to_numpy()]
    columns = dict(zip(names, children.flatten(), strict=True))
    return Unpacked(owners, pa.array(places, pa.int64()), columns, wrong)


def packed(owners: pa.Int64Array, parents: int, columns: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """The canonical text of each of so many parents.

    Args:
        owners: For each child row, the number of its parent.
        parents: How many there are.
        columns: The values of each item of the child rows, as texts.
    """
    pieces: list[Any] = []
    for number, name in enumerate(sorted(columns)):
        pieces += [pa.scalar(f"{',' if number else '{'}{json.dumps(name, ensure_ascii=False)}:"), quoted(columns[name])]
    objects = pc.binary_join_element_wise(*pieces, pa.scalar("}"), "")
    order = pc.sort_indices(
        pa.table({"owner": owners, "object": objects}), sort_keys=[("owner", "ascending"), ("object", "ascending")]
    )
    many = np.bincount(owners.to_numpy(), minlength=parents)
    offsets = pa.array(np.concatenate([[0], np.cumsum(many)]), pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, objects.take(order)), ",")
    return pc.binary_join_element_wise(pa.scalar("["), joined, pa.scalar("]"), "")


def quoted(texts: pa.StringArray) -> pa.StringArray:
    """Texts as JSON writes them, with nothing escaped that need not be; null where there is none."""
    if pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
        return pa.array([json.dumps(text, ensure_ascii=False) for text in texts.to_pylist()], pa.string())
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"')):
        if pc.any(pc.match_substring(texts, plain)).as_py():
            texts = pc.replace_substring(texts, plain, escaped)
    return pc.fill_null(pc.binary_join_element_wise(pa.scalar('"'), texts, pa.scalar('"'), ""), "null")


def texts_of(values: pa.Array) -> pa.StringArray:
    """Values of an item as the one text that each has: ISO dates, instants in UTC, decimals without exponents."""
    kind = values.type
    if pa.types.is_decimal(kind) and kind.scale > _PLAIN_SCALE:
        return pa.array([None if value is None else f"{value:f}" for value in values.to_pylist()], pa.string())
    return pc.cast(values, pa.string())


def values_of(texts: pa.StringArray, item: Item) -> pa.Array:
    """Values of an item from the texts that :func:`texts_of` wrote."""
    return pc.cast(texts, arrow_type(item))


def _read_at_once(texts: pa.StringArray, kind: pa.ListType) -> pa.ListArray | None:
    """Arrays of objects of known items with texts; None: some may be something else, or there is an error."""
    if pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
        return None
    numbers = pa.array(range(len(texts)), pa.int64())
    values = pc.fill_null(texts, "")
    values = pc.if_else(pc.equal(values, ""), "null", values)
    pieces = ['{"n":', pc.cast(numbers, pa.string()), ',"r":', values, "}\n", ""]
    lines = b"".join(pc.binary_join_element_wise(*pieces).cast(pa.binary()).to_pylist())
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("r", kind)])
    parse = json_lines.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    try:
        read = json_lines.ReadOptions(use_threads=False, block_size=len(lines) + 1)
        found = json_lines.read_json(pa.BufferReader(lines), read, parse).combine_chunks()
    except pa.ArrowInvalid:
        return None
    if found.schema != schema or not found.column("n").combine_chunks().equals(numbers):
        return None
    lists = found.column("r").combine_chunks()
    return None if lists.flatten().null_count else lists


def _read_each(texts: pa.StringArray, kind: pa.ListType, first: int, wrong: dict[int, str]) -> pa.ListArray:
    """The same of any texts, one after the other, with what is wrong."""
    known = {kind.value_type.field(place).name for place in range(kind.value_type.num_fields)}
    arrays: list[list[dict[str, str | None]]] = []
    for row, text in enumerate(texts.to_pylist(), first):
        try:
            arrays.append(_read(text, known) if text else [])
        except _Wrong as error:
            wrong[row] = str(error)
            arrays.append([])
    return pa.array(arrays, kind)


def _read(text: str, known: Collection[str]) -> list[dict[str, str | None]]:
    try:
        rows = json.loads(text, object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=str)
    except _Wrong:
        raise
    except (ValueError, RecursionError):
        if not text.strip():
            return []
        raise _Wrong("不是 JSON 数组") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _Wrong("应为 JSON 数组，每个子表行是其中一个对象")
    for number, row in enumerate(rows, start=1):
        if not row.keys() <= known:
            raise _Wrong(f"第 {number} 个子表行有没登记的信息项")
        for name, value in row.items():
            if value is True or value is False:
                row[name] = "true" if value else "false"
            elif value is not None and not isinstance(value, str):
                raise _Wrong(f"第 {number} 个子表行的 {name} 不是单个值")
    if "\\u" in text and not _is_text(rows):
        raise _Wrong("有不成字符的转义")
    return rows


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Wrong("同一个子表行里有重名的信息项")
    return made


def _is_text(rows: object) -> bool:
    try:
        json.dumps(rows, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class ChildBinding(NamedTuple):
    """What the option ``children`` says of one item, as far as it can be read."""

    table: str
    key: Mapping[str, str]
    columns: Mapping[str, str]


def problems_of_children(given: object, items: Sequence[Item], key: Sequence[str]) -> list[str]:
    """Everything about an option ``children`` that does not fit the items of its resource, in words.

    Args:
        given: The option as it is written: item to table, key and columns.
        items: The items of the resource.
        key: Its business key.
    """
    if not given:
        return []
    if not isinstance(given, Mapping):
        return ["children 应为“信息项: {table, key, columns}”的对照"]
    known = {item.name: item for item in items}
    found = []
    for name, each in given.items():
        item = known.get(name)
        read = _binding(each)
        if item is None or not item.rows:
            found.append(f"children 中的 {name} 不是有子表行的信息项")
        elif read is None:
            found.append(f"children 中的 {name} 应写明 table（子表）、key（主键对应列）和 columns（子信息项对应列）")
        else:
            found += [f"{name} 的子表 {read.table} {text}" for text in _unfit(read, item, key)]
    return found


def _binding(given: object) -> ChildBinding | None:
    if not isinstance(given, Mapping) or set(given) != set(ChildBinding._fields):
        return None
    key, columns = given["key"], given["columns"]
    if not isinstance(given["table"], str) or not isinstance(key, Mapping) or not isinstance(columns, Mapping):
        return None
    return ChildBinding(given["table"], key, columns)


def _unfit(read: ChildBinding, item: Item, key: Sequence[str]) -> list[str]:
    found = []
    if set(read.key) != set(key):
        found.append(f"的 key 应恰好写明业务主键 {'、'.join(key)} 各自的列")
    names = {each.name for each in item.rows}
    if missing := [each.name for each in item.rows if each.name not in read.columns]:
        found.append(f"没有写明子信息项 {'、'.join(missing)} 的列")
    if strange := sorted(set(read.columns) - names):
        found.append(f"没有子信息项 {'、'.join(strange)}")
    return found
