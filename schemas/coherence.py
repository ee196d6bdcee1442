"""What no single file can show to be right: that the files fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.errors import did_you_mean
from schemas.items import Item
from schemas.model import CodeList, Profile, RecordClass, RecordTable
from schemas.plain_yaml import Document, Place

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
"""Names in data. A leading underscore is kept for the hub's own columns."""

_ORDERED = frozenset("INTD")


class Library(NamedTuple):
    """Everything that was read, by name."""

    classes: dict[str, RecordClass]
    code_lists: dict[str, CodeList]
    profiles: dict[str, Profile]


Origins = dict[tuple[str, str], Document]
"""The document behind each thing, by folder and name."""


def faults(library: Library, origins: Mapping[tuple[str, str], Document]) -> list[str]:
    """Everything that does not fit together, in words, each with file and line."""
    found: list[str] = []
    taken: dict[str, str] = {}
    for name, group in library.classes.items():
        document = origins["classes", name]
        found += [f"{document.where(place)}: {text}" for place, text in _class(group, library, taken)]
    for name, codes in library.code_lists.items():
        document = origins["codelists", name]
        found += [f"{document.where(place)}: {text}" for place, text in _code_list(codes)]
    for name, family in library.profiles.items():
        document = origins["profiles", name]
        found += [f"{document.where(place)}: {text}" for place, text in _profile(family)]
    return found


_Fault = tuple[Place, str]


def _class(group: RecordClass, library: Library, taken: dict[str, str]) -> Iterator[_Fault]:
    if not group.tables:
        yield ("tables",), "至少要有一张表"
    by_name = {table.name: table for table in group.tables}
    for number, table in enumerate(group.tables):
        place: Place = ("tables", number)
        if not IDENTIFIER.fullmatch(table.name):
            yield (*place, "name"), f"“{table.name}”应以字母开头，只含字母、数字、下划线，最长 63 个字符"
        if table.name in taken:
            yield (*place, "name"), f"表名“{table.name}”已用于数据类 {taken[table.name]}"
        taken.setdefault(table.name, group.name)
        for where, text in _table(table, library):
            yield (*place, *where), text
        if table.parent is not None:
            parent = by_name.get(table.parent)
            if parent is None or parent is table:
                yield (*place, "parent"), f"本类中没有表“{table.parent}”{did_you_mean(table.parent, by_name)}"
            else:
                for key in sorted(set(parent.key) - {item.name for item in table.items}):
                    yield (*place, "parent"), f"缺少上级表 {parent.name} 的主键信息项“{key}”"


def _table(table: RecordTable, library: Library) -> Iterator[_Fault]:
    items: dict[str, Item] = {}
    for number, item in enumerate(table.items):
        place: Place = ("items", number)
        if item.name in items:
            yield (*place, "name"), f"信息项“{item.name}”重复"
        items[item.name] = item
        for where, text in _item(item, library):
            yield (*place, where), text
        for position, row in enumerate(item.rows):
            for where, text in _item(row, library):
                yield (*place, "rows", position, where), text
    if not table.key:
        yield ("key",), "至少要有一个主键信息项"
    for number, name in enumerate(table.key):
        yield from _needed(items, name, ("key", number), "主键")
    if table.version is not None:
        yield from _needed(items, table.version, ("version",), "版本")
        if table.version in items and items[table.version].type not in _ORDERED:
            yield ("version",), f"版本信息项“{table.version}”须能比较先后：类型用 I、N、T 或 D"


def _needed(items: Mapping[str, Item], name: str, place: Place, role: str) -> Iterator[_Fault]:
    if name not in items:
        yield place, f"{role}信息项“{name}”不在信息项中{did_you_mean(name, items)}"
    elif not items[name].mandatory:
        yield place, f"{role}信息项“{name}”须为必填（mandatory: true）"


def _item(item: Item, library: Library) -> Iterator[tuple[str, str]]:
    if not IDENTIFIER.fullmatch(item.name):
        yield "name", f"“{item.name}”应以字母开头，只含字母、数字、下划线，最长 63 个字符"
    if item.code_list is not None:
        codes = library.code_lists.get(item.code_list)
        if codes is None:
            yield "code_list", f"没有代码表“{item.code_list}”{did_you_mean(item.code_list, library.code_lists)}"
        elif item.type == "C" and item.length is not None and max(map(len, codes.codes), default=0) > item.length:
            yield "code_list", f"代码表“{item.code_list}”中有比长度 {item.length} 更长的代码"
    if item.reference is not None:
        group = library.classes.get(item.reference)
        if group is None:
            yield "reference", f"没有数据类“{item.reference}”{did_you_mean(item.reference, library.classes)}"
        elif not any(item.name == other.name for table in group.tables for other in table.items):
            yield "reference", f"数据类“{item.reference}”中没有同名信息项“{item.name}”，无从核对"


def _code_list(codes: CodeList) -> Iterator[_Fault]:
    if not codes.codes:
        yield ("codes",), "代码表不能为空"
    if codes.ignore_case and len({code.casefold() for code in codes.codes}) < len(codes.codes):
        yield ("codes",), "不分大小写时代码有重复"
    for code in codes.codes:
        if code != code.strip() or not code:
            yield ("codes", code), "代码不能为空，首尾不能有空格"


def _profile(family: Profile) -> Iterator[_Fault]:
    needed = ("state",) if family.capture == "outbox" else ("batch", "time", "row")
    for field in needed:
        if getattr(family, field) is None:
            yield (field,), f"读取方式 {family.capture} 必须给出此项"
    columns: list[tuple[Place, str | None]] = [(("constants", column), column) for column in family.constants]
    columns.append((("state", "column"), family.state.column if family.state else None))
    columns.append((("delete", "column"), family.delete.column if family.delete else None))
    columns += [
        ((field,), getattr(family, field))
        for field in ("version", "read_at", "error_text", "error_column", "written_at", "batch", "time", "row")
    ]
    for place, column in columns:
        if column is not None and not IDENTIFIER.fullmatch(column):
            yield place, f"“{column}”不是列名：应以字母开头，只含字母、数字、下划线，最长 63 个字符"
    if family.error_table is not None:
        shown = family.error_table.replace("{table}", "t").replace("{stem}", "t")
        if shown == family.error_table or not IDENTIFIER.fullmatch(shown):
            yield ("error_table",), "只能由字母、数字、下划线和 {table} 或 {stem} 组成"
    if family.state is not None:
        if family.state.fresh not in family.state.new:
            yield ("state", "fresh"), "写入时的标志须列在未读标志 new 之中，否则对方读不到"
        for field in ("done", "failed"):
            if getattr(family.state, field) in family.state.new:
                yield ("state", field), "读后的标志同时列为未读 new，会反复读取"
