"""Values written in a filter, read as values of a column's type: exactly, or not at all."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

BEIJING = ZoneInfo("Asia/Shanghai")

_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)


def scalar(literal: Any, type: pa.DataType) -> pa.Scalar:
    """A literal as a value of a column's type, exactly.

    Raises:
        ValueError: In Chinese, why it is no value of that type.
    """
    written = literal if isinstance(literal, str) else None
    whole = isinstance(literal, int) and not isinstance(literal, bool)
    if pa.types.is_string(type):
        if written is None:
            raise ValueError("应写成带引号的文本")
        return pa.scalar(written, type)
    if pa.types.is_boolean(type):
        if not isinstance(literal, bool):
            raise ValueError("应为 true 或 false")
        return pa.scalar(literal, type)
    if pa.types.is_int64(type):
        if not (whole or (written and _WHOLE.fullmatch(written))) or not -(2**63) <= int(literal) < 2**63:
            raise ValueError("不是可存的整数")
        return pa.scalar(int(literal), type)
    if pa.types.is_decimal(type):
        return _decimal(literal if whole else written, type)
    if pa.types.is_date32(type):
        return pa.scalar(_day(written), type)
    if pa.types.is_timestamp(type):
        return pa.scalar(_instant(written), type)
    if pa.types.is_float64(type):
        return pa.scalar(_double(literal), type)
    raise ValueError("该类型不能比较")


def _decimal(literal: Any, type: pa.DataType) -> pa.Scalar:
    if literal is None or not _DECIMAL.fullmatch(str(literal)):
        raise ValueError("不是十进制数（小数请写成带引号的文本）")
    try:
        return pa.scalar(Decimal(literal), type)
    except pa.ArrowInvalid as wide:
        raise ValueError(f"超出该项的 {type.precision} 位（其中小数 {type.scale} 位）") from wide


def _day(written: str | None) -> date:
    if written is None or not _DATE.fullmatch(written):
        raise ValueError("不是日期，应如 2026-01-31")
    try:
        return date.fromisoformat(written)
    except ValueError as wrong:
        raise ValueError("不是历上的日期") from wrong


def _instant(written: str | None) -> datetime:
    if written is None or not _TIME.fullmatch(written):
        raise ValueError("不是时间，应如 2026-01-31 08:00:00（北京时间）")
    try:
        found = datetime.fromisoformat(written)
        return (found if found.tzinfo else found.replace(tzinfo=BEIJING)).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise ValueError("不是历上的时间") from wrong


def _double(literal: Any) -> float:
    """A literal as a double; zero has one sign."""
    if isinstance(literal, bool) or (isinstance(literal, str) and not _DECIMAL.fullmatch(literal)):
        raise ValueError("不是数")
    if isinstance(literal, int) and abs(literal) > 2**53:
        raise ValueError("超出双精度能精确表示的整数")
    return float(literal) + 0.0
