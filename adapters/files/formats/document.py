"""The format ``document``: a file is itself what travels, and one row about it (文件本身).

What is in the file is not looked into: an encrypted PDF or archive is a file like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from adapters.base import Options
from adapters.errors import Unsupported
from adapters.files.formats.base import Format, FormatName, Reader, Writer
from schemas.unreadable import unreadable

COLUMNS = ("name", "size", "modified", "sha256", "document")
"""What is known of every file."""
_FIELD = re.compile(r"\{([^{}]*)\}")


class DocumentReading(Options):
    """What a binding may say about files that are rows.

    Attributes:
        naming: How files are called, without their ending: ``{certificate_number}_{issue_date}``. Each field is a
            column that can be bound; the earlier ones take as little of the name as they can.
    """

    naming: str = Field("", max_length=200)

    @field_validator("naming")
    @classmethod
    def _readable(cls, value: str) -> str:
        fields = _FIELD.findall(value)
        if value and not fields:
            raise ValueError("应含字段，如 {certificate_number}_{issue_date}")
        if strange := [name for name in fields if not re.fullmatch(r"[A-Za-z_]\w*", name) or name in COLUMNS]:
            raise ValueError(f"字段名 {'、'.join(strange)} 不能用：用字母、数字、下划线，不用 {'、'.join(COLUMNS)}")
        if len(set(fields)) < len(fields) or "}{" in value:
            raise ValueError("字段不能重复，两个字段之间要有分隔的文字")
        return value


class Documents(Format):
    """The format ``document``."""

    name: ClassVar[FormatName] = "document"
    endings: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[type[Options]] = DocumentReading
    opaque: ClassVar[bool] = True

    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Nothing: such a file has no rows of its own."""
        raise Unsupported(f"文件 {name} 本身就是一行，里面的内容不读取", remedy="要读取其中的行，改写 format")

    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Nothing: rows are not delivered as documents."""
        raise Unsupported("格式 document 只用于收取", remedy="交付时写 csv 等格式，附件随数据文件一同交付")


def header_of(naming: str) -> tuple[str, ...]:
    """The columns that can be bound."""
    return (*COLUMNS, *_FIELD.findall(naming))


class Described:
    """What the names of files tell.

    Args:
        naming: See :class:`DocumentReading`.
    """

    def __init__(self, naming: str) -> None:
        self._fields = _FIELD.findall(naming)
        parts = _FIELD.split(naming)
        # The captured names lie between the texts around them.
        pattern = "".join(re.escape(part) if place % 2 == 0 else "(.+?)" for place, part in enumerate(parts))
        self._pattern = re.compile(pattern, re.DOTALL) if naming else None

    def fields(self, names: Sequence[str]) -> dict[str, pa.StringArray]:
        """What each field is in each name; a name that does not follow the rule says so in all of them."""
        columns: dict[str, list[str]] = {field: [] for field in self._fields}
        if self._pattern is None:
            return {}
        for name in names:
            stem = name.rpartition(".")[0] or name
            found = self._pattern.fullmatch(stem)
            for place, field in enumerate(self._fields, 1):
                columns[field].append(found[place] if found else unreadable("document_naming", name))
        return {field: pa.array(values, pa.string()) for field, values in columns.items()}


def moment(seconds: float) -> str:
    """A time of change as a text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
