"""What a binding to a table may say beside its columns, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic import Field

from adapters.base import Binding, Options
from adapters.database.keys import SCOPE_LENGTH, scope_text
from adapters.database.ledger import PREFIX
from adapters.errors import Misconfigured
from adapters.options import read_options


class ChildTable(Options):
    """Where the child rows of one item lie (子表).

    Attributes:
        table: The child table, in the same database and schema.
        key: For each item of the business key, the column of the child table that has its value.
        columns: For each item of a child row, its column.
    """

    table: str = Field(min_length=1)
    key: dict[str, str] = Field(min_length=1)
    columns: dict[str, str] = Field(min_length=1)


class TableOptions(Options):
    """Options of a binding to a table.

    Attributes:
        journal: The target counts its deliveries, so that the capture ``journal`` can read from it.
        overlap: Seconds that a window of operation batches or of a watermark reaches back before the last one's
            end: longer than the writer's longest transaction.
        watermark: Column of times or of ever higher numbers that every change raises, for the capture of that name.
        recount: So many rows of windows read before are counted again in each pass at most, to find rows that
            were committed later still; 0: none.
        text: Columns to read as text, because some of their values are not of their type.
        children: For each item with child rows, the table they lie in; such an item is no column of this table.
    """

    journal: bool = False
    overlap: int = Field(default=600, ge=0)
    watermark: str | None = Field(default=None, min_length=1)
    recount: int = Field(default=10_000, ge=0)
    text: tuple[str, ...] = ()
    children: dict[str, ChildTable] = Field(default_factory=dict)


def table_options(binding: Binding) -> TableOptions:
    """The binding's options, read; the binding itself, checked for what no table could mend.

    Raises:
        Misconfigured: lists everything that is wrong.
    """
    options = read_options(TableOptions, binding.options, f"表 {binding.object} 的挂接")
    problems = list(_wrong_children(binding, options))
    binding = without_children(binding)
    if not binding.key:
        problems.append("没有业务主键")
    if not binding.object or binding.object.startswith(PREFIX):
        problems.append(f"表名 {binding.object!r} 不能用于挂接")
    named = [*binding.key, *([binding.version] if binding.version else [])]
    if len(scope_text(binding.fixed)) > SCOPE_LENGTH:
        problems.append(f"固定值合起来超过 {SCOPE_LENGTH} 个字符")
    problems += [f"信息项 {item} 没有挂接到列" for item in dict.fromkeys(named) if item not in binding.columns]
    seen: dict[str, str] = {}
    for item, column in binding.columns.items():
        if column in seen:
            problems.append(f"列 {column} 同时挂接了 {seen[column]} 和 {item}")
        if column in binding.fixed:
            problems.append(f"列 {column} 既挂接了 {item} 又有固定值")
        seen[column] = item
    if problems:
        raise Misconfigured(f"表 {binding.object} 的挂接有误：{'；'.join(problems)}", remedy="改正挂接")
    if (binding.capture == "watermark") != (options.watermark is not None):
        raise Misconfigured(
            f"表 {binding.object} 的挂接有误：读取方式 watermark 与选项 watermark（水位列）须同时写明",
            remedy="在 options 中写 watermark: 列名，列是每次改动都会变大的时间或整数；或改用其他读取方式",
        )
    return options


def answerable(binding: Binding) -> bool:
    """Whether a target's family has a state for its reader, and a time by which deliveries are told apart."""
    profile = binding.profile
    return profile is not None and profile.state is not None and profile.written_at is not None


def without_children(binding: Binding) -> Binding:
    """The binding of the table itself: items with child tables of their own are none of its columns."""
    children = binding.options.get("children") or {}
    columns = {item: column for item, column in binding.columns.items() if item not in children}
    return replace(binding, columns=columns)


def children_of(binding: Binding) -> Mapping[str, ChildTable]:
    """The child tables of the items that are bound; an item that is not asked for is neither read nor written."""
    children = table_options(binding).children
    return {item: table for item, table in children.items() if item in binding.columns}


def _wrong_children(binding: Binding, options: TableOptions) -> Iterator[str]:
    if not options.children:
        return
    if binding.fixed:
        yield "有固定值的表不能有子表"
    if binding.capture == "diff":
        yield "逐段比对（diff）看不到子表的变化，不能用于有子表的资源，可改用 snapshot、watermark 或 outbox"
    tables = [child.table.casefold() for child in options.children.values()]
    for item, child in options.children.items():
        where = f"{item} 的子表 {child.table}"
        if child.table.startswith(PREFIX):
            yield f"{where}：表名不能用于挂接"
        if child.table.casefold() == binding.object.casefold() or tables.count(child.table.casefold()) > 1:
            yield f"{where}：每个有子表行的信息项各用一张子表"
        if set(child.key) != set(binding.key):
            yield f"{where}：key 应恰好写明业务主键 {'、'.join(binding.key)} 各自的列"
        if item in (*binding.key, binding.version):
            yield f"{where}：有子表行的信息项不能作业务主键或版本"
        columns = [*child.key.values(), *child.columns.values()]
        if len(set(columns)) < len(columns):
            yield f"{where}：一列只能对应一个信息项"
