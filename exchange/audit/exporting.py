"""Writing what was found to a file (导出): CSV, XLSX, Parquet, or a JSON document per line.

Cells that a spreadsheet would take for a formula are texts: in CSV behind an apostrophe, in XLSX by their type.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from exchange.audit.chain import instant_text
from exchange.errors import Invalid, Misplaced

_BATCH = 5000
MOST_IN_SHEET = 1_048_575
"""Rows that a sheet holds below its header."""
_LONGEST = 32_767
"""Characters that a cell holds."""

Row = Mapping[str, Any]


def write(out: BinaryIO, format: str, schema: pa.Schema, rows: Iterable[Row], *, most: int | None = None) -> int:
    """Write rows to an open file.

    Args:
        out: Written to from where it stands; it is left open.
        format: One of :data:`FORMATS`.
        schema: Names and types of the columns.
        rows: By the names of the columns; dicts in them become JSON.
        most: More are refused.

    Returns:
        How many rows were written.

    Raises:
        Invalid: There is no such format, or there are too many rows for it or for what is allowed.
    """
    if format not in FORMATS:
        raise Invalid("只能导出为 " + "、".join(FORMATS), remedy="写明其中一种格式")
    bound = min(most or MOST_IN_SHEET, MOST_IN_SHEET) if format == "xlsx" else most
    return FORMATS[format](out, schema, _bounded(iter(rows), bound))


def _bounded(rows: Iterator[Row], most: int | None) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if most is not None and number >= most:
            raise Invalid(f"要导出的超过 {most:,} 行", remedy="缩小条件分几次导出，或改用 parquet、csv 格式")
        yield row


def checked_format(path: Path, format: str | None) -> str:
    """The format to write, from the file's name if none is given.

    Raises:
        Invalid: There is no such format, or no such folder.
        Misplaced: The file is there already.
    """
    chosen = format or path.suffix.removeprefix(".").lower()
    if chosen not in FORMATS:
        raise Invalid("日志只能导出为 " + "、".join(FORMATS), remedy="写明格式，或用相应的文件扩展名")
    if not path.parent.is_dir():
        raise Invalid(f"没有文件夹 {path.parent}", remedy="先建立该文件夹")
    if path.exists():
        raise Misplaced(f"{path} 已存在，没有改动", remedy="换一个文件名")
    return chosen


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    try:
        with beside.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return instant_text(value)
        case date():
            return value.isoformat()
        case dict() | list() | tuple():
            return json.dumps(value, ensure_ascii=False)
    return value


def _jsonl(out: BinaryIO, schema: pa.Schema, rows: Iterator[Row]) -> int:
    count = 0
    for row in rows:
        told = {name: _moment(row[name]) for name in schema.names}
        out.write((json.dumps(told, ensure_ascii=False) + "\n").encode())
        count += 1
    return count


def _moment(value: Any) -> Any:
    return value if isinstance(value, dict | list) else _plain(value)


def _csv(out: BinaryIO, schema: pa.Schema, rows: Iterator[Row]) -> int:
    count = 0
    # Spreadsheets read Chinese rightly only after a byte order mark.
    text = io.TextIOWrapper(out, encoding="utf-8-sig", newline="", write_through=False)
    try:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([harmless(name) for name in schema.names])
        for row in rows:
            writer.writerow([harmless(_plain(row[name])) for name in schema.names])
            count += 1
        text.flush()
    finally:
        text.detach()
    return count


def _parquet(out: BinaryIO, schema: pa.Schema, rows: Iterator[Row]) -> int:
    count = 0
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while batch := [_columns(row, schema) for row in islice(rows, _BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _columns(row: Row, schema: pa.Schema) -> dict[str, Any]:
    return {name: row[name] if isinstance(row[name], date) else _plain(row[name]) for name in schema.names}


def _xlsx(out: BinaryIO, schema: pa.Schema, rows: Iterator[Row]) -> int:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    count = 0
    with xlsxwriter.Workbook(out, options) as book:
        sheet = book.add_worksheet()
        bold = book.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(schema.names):
            sheet.write_string(0, column, name, bold)
        for count, row in enumerate(rows, 1):
            for column, field in enumerate(schema):
                value = _plain(row[field.name])
                if value is None:
                    continue
                if isinstance(value, int | float) and not pa.types.is_string(field.type):
                    sheet.write_number(count, column, value)
                else:
                    sheet.write_string(count, column, _cell(str(value)))
    return count


def _cell(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


FORMATS: dict[str, Callable[[BinaryIO, pa.Schema, Iterator[Row]], int]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
    "xlsx": _xlsx,
}
"""How each format is written."""

MEDIA_TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""What each is called where it is downloaded."""

EVENTS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("number", pa.int64()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("type", "actor", "established")),
        *(pa.field(name, pa.string()) for name in ("department", "resource", "exchange", "run")),
        *(pa.field(name, pa.string(), nullable=False) for name in ("body", "tag")),
        pa.field("seal", pa.string()),
    ]
)
"""Columns of events of the log."""
