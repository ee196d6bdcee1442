"""Searching the log (日志检索) and writing what is found to a file (日志导出)."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, Text, cast
from sqlalchemy.orm import Session

from exchange.audit.chain import Stored, Unreadable, instant_text, stored
from exchange.audit.events import REGISTRY
from exchange.db.tables import EventRow
from exchange.errors import Invalid, Misplaced, Tampered

LARGEST_PAGE = 1000
_BATCH = 5000


@dataclass(frozen=True)
class Query:
    """What to look for; every field given narrows it.

    Attributes:
        department: Credit code of the department the event is about.
        resource: Code of a resource.
        exchange: Id of an exchange.
        run: Id of a run.
        type: Name of a type of event.
        actor: Name of who acted.
        since: No earlier than this.
        until: Earlier than this.
        text: Occurs in what the event says.
    """

    department: str | None = None
    resource: str | None = None
    exchange: str | None = None
    run: str | None = None
    type: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could find nothing.

        Raises:
            Invalid: There is no such type of event, or a time has no zone.
        """
        if self.type is not None and self.type not in REGISTRY:
            near = get_close_matches(self.type, REGISTRY, n=3)
            raise Invalid(f"没有审计事件类型 {self.type}", remedy=f"是否指 {'、'.join(near or sorted(REGISTRY))}")
        if any(moment is not None and moment.utcoffset() is None for moment in (self.since, self.until)):
            raise Invalid("检索日志的起止时间须带时区", remedy="例如 2026-01-31T08:00:00+08:00")

    def said(self) -> dict[str, str]:
        """What was asked for, as the log notes it."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: instant_text(value) if isinstance(value, datetime) else value
            for name, value in given.items()
            if value is not None
        }

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same as conditions on rows."""
        found: list[ColumnElement[bool]] = []
        for name in ("department", "resource", "exchange", "run", "type", "actor"):
            value = getattr(self, name)
            if value is not None:
                found.append(getattr(EventRow, name) == value)
        if self.since is not None:
            found.append(EventRow.at >= self.since)
        if self.until is not None:
            found.append(EventRow.at < self.until)
        if self.text is not None:
            # As it is written inside the JSON.
            inside = json.dumps(self.text, ensure_ascii=False)[1:-1]
            found.append(cast(EventRow.body, Text).icontains(inside, autoescape=True))
        return found


@dataclass(frozen=True)
class Page:
    """Some of the events found, newest first.

    Attributes:
        events: The events.
        cursor: Give this to get the next page; None on the last one.
    """

    events: tuple[Stored, ...]
    cursor: str | None


def page(session: Session, query: Query, own: int, *, limit: int, cursor: str | None) -> Page:
    """One page of what a query finds, without the event of this very search.

    Raises:
        Invalid: The limit or the cursor is wrong.
        Tampered: A row found cannot be read.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(f"每页条数应在 1 到 {LARGEST_PAGE} 之间")
    where = [*query.conditions(), EventRow.id != own]
    if cursor is not None:
        if not cursor.isdecimal():
            raise Invalid("翻页标记不对", remedy="原样使用上一页给出的标记")
        where.append(EventRow.id < int(cursor))
    found = list(_readable(stored(session, *where, order=EventRow.id.desc(), limit=limit + 1)))
    return Page(tuple(found[:limit]), str(found[limit - 1].id) if len(found) > limit else None)


def _readable(rows: Iterable[Stored | Unreadable]) -> Iterator[Stored]:
    for row in rows:
        if isinstance(row, Unreadable):
            raise Tampered(
                f"日志记录 {row.id} 无法读取，内容与写入时不符", remedy="用 shutong audit verify 核验，并保全现场"
            )
        yield row


def export(session: Session, query: Query, own: int, path: Path, format: str) -> int:
    """Write what a query finds to a file, oldest first and without the event of this very export.

    The file appears whole or not at all.

    Returns:
        How many events it holds.

    Raises:
        Tampered: A row found cannot be read.
    """
    events = _readable(stored(session, *query.conditions(), EventRow.id != own, order=EventRow.id.asc()))
    with _appearing(path) as beside:
        return WRITERS[format](beside, (_flat(event) for event in events))


def checked_format(path: Path, format: str | None) -> str:
    """The format to write, from the file's name if none is given.

    Raises:
        Invalid: There is no such format, or no such folder.
        Misplaced: The file is there already.
    """
    chosen = format or path.suffix.removeprefix(".").lower()
    if chosen not in WRITERS:
        raise Invalid("日志只能导出为 " + "、".join(WRITERS), remedy="写明格式，或用相应的文件扩展名")
    if not path.parent.is_dir():
        raise Invalid(f"没有文件夹 {path.parent}", remedy="先建立该文件夹")
    if path.exists():
        raise Misplaced(f"{path} 已存在，没有改动", remedy="换一个文件名")
    return chosen


_SCHEMA = pa.schema(
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


def _flat(event: Stored) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _SCHEMA.names}


def _written(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"at": instant_text(event["at"])}


def _jsonl(path: Path, events: Iterator[dict[str, Any]]) -> int:
    count = 0
    with _text(path) as out:
        for event in events:
            out.write(json.dumps(_written(event), ensure_ascii=False) + "\n")
            count += 1
    return count


def _csv(path: Path, events: Iterator[dict[str, Any]]) -> int:
    count = 0
    # Spreadsheets read Chinese rightly only after a byte order mark.
    with _text(path, encoding="utf-8-sig") as out:
        writer = csv.DictWriter(out, _SCHEMA.names, lineterminator="\r\n")
        writer.writeheader()
        for event in events:
            row = _written(event) | {"body": _body(event)}
            writer.writerow({name: _harmless(value) for name, value in row.items()})
            count += 1
    return count


def _parquet(path: Path, events: Iterator[dict[str, Any]]) -> int:
    count = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        while batch := [event | {"body": _body(event)} for event in islice(events, _BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=_SCHEMA))
            count += len(batch)
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return count


WRITERS: dict[str, Callable[[Path, Iterator[dict[str, Any]]], int]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}
"""How each format is written."""


def _body(event: dict[str, Any]) -> str:
    return json.dumps(event["body"], ensure_ascii=False)


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


@contextmanager
def _text(path: Path, encoding: str = "utf-8") -> Iterator[TextIO]:
    with path.open("w", encoding=encoding, newline="") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    beside = path.with_name(f".{path.name}.part")
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    try:
        yield beside
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
