"""Cells of a sheet (单元格) as canonical texts: what a person typed, without the noise of binary numbers.

A sheet knows numbers, and shows some of them as dates. Which, its number formats say; from which day they are counted,
the workbook says. A sheet keeps fifteen digits: a whole number of more has lost its last ones and is refused.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from math import isfinite

from schemas.unreadable import unreadable

DIGITS = 15
"""Digits that a sheet keeps of a number."""
_CODE = 255
"""Characters of a number format at most."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]+)?")
_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,14}")
_ROUND = 10.0**DIGITS
_LAST_SERIAL = 2_958_466
"""The day after 9999-12-31, counted from 1900."""
_LEAP = 60
"""The 29 February 1900 that there never was."""
_DAY = 86_400_000
# Those a workbook need not define; 27 to 36 and 50 to 58 are dates in Chinese and Japanese workbooks.
_DATES = frozenset({*range(14, 18), 22, *range(27, 32), 36, *range(50, 59)})
_CLOCKS = frozenset({18, 19, 20, 21, 32, 33, 34, 35, 45, 46, 47})
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def shows(number: int, code: str | None) -> str:
    """What a number format shows: ``date``, ``time`` or ``number``.

    Args:
        number: Its number in the workbook.
        code: How the workbook defines it, None if it need not.
    """
    if code is None:
        return "date" if number in _DATES else "time" if number in _CLOCKS else "number"
    signs = _LITERAL.sub("", code[:_CODE].split(";")[0]).casefold()
    if "general" in signs or "g/通用格式" in signs:
        return "number"
    if any(sign in signs for sign in "yd年日") or ("m" in signs and not any(sign in signs for sign in "hs")):
        return "date"
    return "time" if any(sign in signs for sign in "hs") else "number"


def number_text(literal: str) -> str:
    """A number as it was typed: plain, with at most fifteen digits."""
    if _PLAIN.fullmatch(literal):
        return literal
    value = _number(literal)
    if value is None:
        return unreadable("error", literal)
    if value.is_integer():
        return unreadable("digits", literal) if abs(value) >= _ROUND else str(int(value))
    return format(Decimal(f"{value:.{DIGITS}g}"), "f")


def date_text(literal: str, *, from_1904: bool) -> str:
    """The day, and the time where there is one, that a serial number stands for."""
    value = _number(literal)
    if value is None or not 0 <= value < _LAST_SERIAL:
        return unreadable("day", literal)
    # To the millisecond, which is what a double can tell of a day in this century.
    days, clock = divmod(round(value * _DAY), _DAY)
    if from_1904:
        first = date(1904, 1, 1)
    elif days == _LEAP or days == 0:
        return unreadable("day", literal)
    else:
        first = date(1899, 12, 31) if days < _LEAP else date(1899, 12, 30)
    try:
        day = (first + timedelta(days=days)).isoformat()
    except OverflowError:
        return unreadable("day", literal)
    return f"{day}T{_clock(clock)}" if clock else day


def time_text(literal: str, *, from_1904: bool) -> str:
    """The time of day that a fraction of a day stands for; with a day before it, both."""
    value = _number(literal)
    if value is None:
        return unreadable("day", literal)
    if 0 <= value < 1:
        # What rounds to a whole day is shown as the next one's beginning.
        return _clock(round(value * _DAY) % _DAY)
    return date_text(literal, from_1904=from_1904)


def unescaped(text: str) -> str:
    """A text without the escapes for characters that XML cannot carry (``_x000D_``).

    They are written in UTF-16, where two may be one character; half of one is none.
    """
    if "_x" not in text:
        return text
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    try:
        return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return unreadable("text", text)


def _number(literal: str) -> float | None:
    """A number as a workbook writes it, and not as Python also reads it."""
    value = float(literal) if _NUMBER.fullmatch(literal) else None
    return value if value is not None and isfinite(value) else None


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if rest else text
