"""Everything about a binding that does not fit the table it is bound to, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from adapters.base import Binding
from adapters.database.binding import TableOptions
from adapters.database.dialects import Dialect
from adapters.database.fit import fields_of, misfit
from adapters.database.ledger import SERIAL
from adapters.database.shapes import Column, TableShape
from adapters.database.watermark import unfit

_STATE_FAMILIES = frozenset({"text", "integer", "boolean"})
_TIME_FAMILIES = frozenset({"text", "date", "time", "instant"})


def sink_misfits(binding: Binding, schema: pa.Schema, shape: TableShape, dialect: Dialect) -> list[str]:
    """What does not fit a target."""
    fields = fields_of(schema)
    problems = [
        f"表 {shape.name} 没有列 {binding.columns[item]}（信息项 {item}）"
        for item in fields
        if item in binding.columns and binding.columns[item] not in shape.columns
    ]
    problems += [f"信息项 {item} 没有挂接到列" for item in fields if item not in binding.columns]
    problems += [f"表 {shape.name} 没有固定值的列 {name}" for name in binding.fixed if name not in shape.columns]
    for item, field in fields.items():
        column = shape.columns.get(binding.columns.get(item, ""))
        if column is None:
            continue
        found = misfit(field, column, dialect, key=item in binding.key, version=item == binding.version)
        if found:
            problems.append(f"列 {column.name}（信息项 {item}）{found}")
    wanted = [*binding.key, *([binding.version] if binding.version else [])]
    problems += [f"交付的数据中没有信息项 {item}（业务主键或版本）" for item in wanted if item not in fields]
    if not shape.atomic:
        problems.append(f"表 {shape.name} 的存储引擎没有事务，一次交付不能整体生效或整体撤回，应改为有事务的引擎")
    problems += _profile_misfits(binding, shape)
    problems += _fixed_misfits(binding, shape)
    problems += _key_misfits(binding, shape)
    problems += _unwritten(binding, fields, shape)
    return problems


def source_misfits(binding: Binding, shape: TableShape) -> list[str]:
    """What does not fit a table that is read."""
    problems = [
        f"表 {shape.name} 没有列 {column}（信息项 {item}）"
        for item, column in binding.columns.items()
        if column not in shape.columns
    ]
    problems += [f"表 {shape.name} 没有固定值的列 {name}" for name in binding.fixed if name not in shape.columns]
    problems += [
        f"列 {column.name}（信息项 {item}）是{'浮点数' if column.family == 'float' else '二进制'}，不能作业务主键"
        for item in binding.key
        if (column := shape.columns.get(binding.columns[item])) is not None and column.family in ("float", "binary")
    ]
    return [*problems, *_capture_misfits(binding, shape)]


def watermark_misfits(options: TableOptions, shape: TableShape) -> list[str]:
    """What does not fit of the column that tells changed rows."""
    if options.watermark is None:
        return []
    found = unfit(shape.columns.get(options.watermark), options.watermark)
    return [f"表 {shape.name} {found}"] if found else []


def _capture_misfits(binding: Binding, shape: TableShape) -> Iterator[str]:
    profile, capture = binding.profile, binding.capture
    if capture == "journal" and SERIAL not in shape.columns:
        yield f"表 {shape.name} 没有交付序号列 {SERIAL}，不能以 journal 方式读取"
    wanted: dict[str, str | None] = {}
    if capture == "outbox":
        if profile is None or profile.state is None:
            yield "以 outbox 方式读取须写明有同步标志列的前置库表族"
        else:
            wanted = {
                "同步标志列": profile.state.column,
                "重报版本列": profile.version,
                "读取时间列": profile.read_at,
                "错误原因列": profile.error_text,
            }
    elif capture == "batches":
        if profile is None or profile.capture != "batches":
            yield "以 batches 方式读取须写明操作批次的前置库表族"
        else:
            wanted = {"批次号列": profile.batch, "批次时间列": profile.time}
            yield from (f"前置库表族 {profile.name} 没有写明{word}" for word, name in wanted.items() if name is None)
    if profile is not None and profile.delete is not None and capture != "journal":
        wanted["删除标志列"] = profile.delete.column
    for word, name in wanted.items():
        if name is not None and name not in shape.columns:
            yield f"表 {shape.name} 没有{word} {name}"


def _profile_misfits(binding: Binding, shape: TableShape) -> Iterator[str]:
    profile = binding.profile
    if profile is None:
        return
    if profile.capture == "batches":
        yield f"前置库表族 {profile.name} 是操作批次，只作来源，不作目标"
        return
    texts: dict[str, str | None] = dict(profile.constants)
    if profile.state is not None:
        texts[profile.state.column] = profile.state.fresh
    marks = (profile.delete.inserted, profile.delete.updated) if profile.delete is not None else ()
    if profile.delete is not None and any(marks) and profile.delete.column not in binding.columns.values():
        texts[profile.delete.column] = max(filter(None, marks), key=len)
    for name, text in texts.items():
        yield from _constant_misfits(shape, name, text, "表族的")
    if profile.written_at is not None:
        column = shape.columns.get(profile.written_at)
        if column is None:
            yield f"表 {shape.name} 没有写入时间列 {profile.written_at}"
        elif column.family not in _TIME_FAMILIES:
            yield f"写入时间列 {column.name}（{column.declared}）不是日期时间"
    bound = {column: item for item, column in binding.columns.items()}
    for name in [*texts, *([profile.written_at] if profile.written_at else [])]:
        if name in bound:
            yield f"列 {name} 由表族填写，不能再挂接信息项 {bound[name]}"


def _fixed_misfits(binding: Binding, shape: TableShape) -> Iterator[str]:
    for name, text in binding.fixed.items():
        if name in shape.columns:
            yield from _constant_misfits(shape, name, text, "固定值的")


def _constant_misfits(shape: TableShape, name: str, text: str | None, word: str) -> Iterator[str]:
    column = shape.columns.get(name)
    if column is None:
        yield f"表 {shape.name} 没有{word}列 {name}"
    elif text is None:
        if not column.nullable:
            yield f"{word}列 {name} 不可为空，却要写空值"
    elif column.family not in _STATE_FAMILIES and column.family != "decimal":
        yield f"{word}列 {name}（{column.declared}）不能写常量"
    elif column.family == "text" and column.length is not None and column.length < len(text):
        yield f"{word}列 {name} 只容 {column.length} 个字符，需要 {len(text)} 个"
    elif column.family != "text" and not text.lstrip("-").isdigit():
        yield f"{word}列 {name}（{column.declared}）不是文本，写不进要写的常量"


def _key_misfits(binding: Binding, shape: TableShape) -> Iterator[str]:
    columns = [*binding.fixed, *(binding.columns[item] for item in binding.key if item in binding.columns)]
    if all(name in shape.columns for name in columns) and frozenset(columns) not in shape.unique:
        yield f"表 {shape.name} 没有恰在业务主键（{'、'.join(columns)}）上的唯一索引"


def _unwritten(binding: Binding, fields: Mapping[str, pa.Field], shape: TableShape) -> Iterator[str]:
    written = {binding.columns[item] for item in fields if item in binding.columns} | set(binding.fixed) | {SERIAL}
    if binding.profile is not None:
        written |= set(binding.profile.constants)
        written |= {binding.profile.state.column} if binding.profile.state else set()
        written |= {binding.profile.written_at} if binding.profile.written_at else set()
        if binding.profile.delete is not None and binding.profile.delete.inserted is not None:
            written.add(binding.profile.delete.column)

    def stuck(column: Column) -> bool:
        return not (column.nullable or column.filled or column.computed or column.name in written)

    yield from (
        f"列 {column.name} 不可为空又无默认值，交付不写它" for column in shape.columns.values() if stuck(column)
    )
