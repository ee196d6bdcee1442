"""What a binding to a table may say beside its columns, and what it must not."""

from __future__ import annotations

from pydantic import Field

from adapters.base import Binding, Options
from adapters.database.keys import SCOPE_LENGTH, scope_text
from adapters.database.ledger import PREFIX
from adapters.errors import Misconfigured
from adapters.options import read_options


class TableOptions(Options):
    """Options of a binding to a table.

    Attributes:
        journal: The target counts its deliveries, so that the capture ``journal`` can read from it.
        overlap: Seconds that a window of operation batches reaches back before the last one's end:
            longer than the writer's longest transaction.
        text: Columns to read as text, because some of their values are not of their type.
    """

    journal: bool = False
    overlap: int = Field(default=600, ge=0)
    text: tuple[str, ...] = ()


def table_options(binding: Binding) -> TableOptions:
    """The binding's options, read; the binding itself, checked for what no table could mend.

    Raises:
        Misconfigured: lists everything that is wrong.
    """
    problems = []
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
    return read_options(TableOptions, binding.options, f"表 {binding.object} 的挂接")
