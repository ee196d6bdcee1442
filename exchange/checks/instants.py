"""Dates and times: the ways sources write them, and the zone of those that do not say.

A time without a zone is one of the endpoint's zone. Where clocks were put back and it happened twice the
earlier is meant; where they were put forward and it never happened it is counted from before the change
(in Shanghai, midnight of 1940-06-01 is such a time, and people were born on that day). Zones that still
change their clocks are known to do so until 2037, as far as Arrow reads the time zone database.
"""

from __future__ import annotations

from datetime import UTC
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import blank, byte_lengths, column, flags, indices, mask, matrix, rows_where
from exchange.checks.check_digits import month_days
from exchange.checks.findings import Fault, Mask, Rows
from exchange.checks.numerals import Numbers, Parsed
from exchange.errors import Invalid

_NOTHING, _ZERO = pa.scalar(""), pa.scalar("0")
INSTANT = pa.timestamp("us", tz="UTC")
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31."""
_DAY = 86_400_000_000
_FIRST, _LAST = _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1
_FARTHEST_AHEAD = 14 * 60
_NEVER_AHEAD = 99 * 60
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}

_SIGNS = {"Y": "year", "m": "month", "d": "day", "H": "hour", "M": "minute", "S": "second"}
_FIXED = (
    "YYYY-mm-dd",
    "YYYY/mm/dd",
    "YYYYmmdd",
    "YYYY-mm-dd HH:MM:SS",
    "YYYY-mm-ddTHH:MM:SS",
    "YYYY/mm/dd HH:MM:SS",
    "YYYYmmddHHMMSS",
)
"""Forms with a fixed place for every digit; whatever is written otherwise is left to the patterns."""
_CLOCK = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
_ZONE = r"\s*(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_CHINESE_CLOCK = r"(?P<hour>[0-9]{1,2})时(?P<minute>[0-9]{1,2})分(?:(?P<second>[0-9]{1,2})秒)?"
_TAIL = rf"(?:(?:[Tt]|\s+){_CLOCK})?{_ZONE}$"
_FORMS = tuple(
    rf"^(?P<year>[0-9]{{4}}){form}"
    for form in (
        rf"-(?P<month>[0-9]{{1,2}})-(?P<day>[0-9]{{1,2}}){_TAIL}",
        rf"/(?P<month>[0-9]{{1,2}})/(?P<day>[0-9]{{1,2}}){_TAIL}",
        rf"\.(?P<month>[0-9]{{1,2}})\.(?P<day>[0-9]{{1,2}}){_TAIL}",
        rf"年(?P<month>[0-9]{{1,2}})月(?P<day>[0-9]{{1,2}})日(?:\s*{_CLOCK})?{_ZONE}$",
        rf"年(?P<month>[0-9]{{1,2}})月(?P<day>[0-9]{{1,2}})日\s*{_CHINESE_CLOCK}$",
        rf"(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}}){_TAIL}",
        r"(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})$",
    )
)
_FIELDS = (*_SIGNS.values(), "fraction", "zoned", "offset")

_NO_DATE = "应为日期（年-月-日、年/月/日、年月日八位数字或某年某月某日）"
_NO_TIME = "应为日期时间（年-月-日 时:分:秒，可带时区）"
_NO_DAY = "没有这一天或这一时刻"
_HAS_CLOCK = "带有时刻，日期型放不下；如确有时刻，请将信息项登记为日期时间型 T"
_OUTSIDE = "不在公元 1 年至 9999 年之间"
_TOO_FINE = "秒的小数超过 6 位"


@cache
def require_zone(zone: str) -> ZoneInfo:
    """The time zone of that name, known both to Python and to Arrow.

    Raises:
        Invalid: there is no such zone, or the machine has no time zone database.
    """
    try:
        pc.assume_timezone(pa.array([0], pa.timestamp("us")), zone)
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Invalid(
            f"没有名为 {zone} 的时区", remedy="写 IANA 时区名，如 Asia/Shanghai；并确认系统装有 tzdata"
        ) from error


def dates_from_text(text: pa.StringArray) -> Parsed:
    """Dates, from text that may carry midnight too."""
    fields, unread = _read(text)
    days, wrong = _days(fields)
    clock, wrong_clock = _clock(fields)
    timed = (clock != 0) | (fields["fraction"] != 0)
    return _finish(
        column(days.astype(np.int32), pa.date32(), mask(pc.is_null(text))),
        [(unread, _NO_DATE), (wrong | wrong_clock, _NO_DAY), (timed, _HAS_CLOCK)],
    )


def instants_from_text(text: pa.StringArray, zone: str) -> Parsed:
    """Instants in UTC to the microsecond, from text with or without a zone."""
    fields, unread = _read(text)
    days, wrong_day = _days(fields)
    clock, wrong_clock = _clock(fields)
    fine = fields["fraction"] % 1000 != 0
    bad = unread | wrong_day | wrong_clock | fine | mask(pc.is_null(text))
    local = days * _DAY + clock * 1_000_000 + fields["fraction"] // 1000
    zoned = fields["zoned"] != 0
    moments = _in_zone(column(local, pa.timestamp("us"), bad | zoned), zone)
    if zoned.any():
        there = column(local - fields["offset"] * 60_000_000, INSTANT, bad)
        moments = pc.if_else(flags(zoned), there, moments)
    values, outside = _instants_between(moments)
    _, faults = _finish(values, [(unread, _NO_TIME), (wrong_day | wrong_clock, _NO_DAY), (fine, _TOO_FINE)])
    return values, faults + outside


def dates_from_native(values: pa.Array, zone: str) -> Parsed:
    """Dates from the source's own dates, and from its times where they are midnight in its zone."""
    if pa.types.is_date(values.type):
        return _dates_between(values.cast(pa.date32()))
    numbers, null, faults = _microseconds(values)
    if values.type.tz:
        local = column(numbers, INSTANT, null).cast(pa.timestamp("us", tz=zone))
        numbers = _numbers(pc.local_timestamp(local))
    days, clock = np.divmod(numbers, _DAY)
    dates, late = _dates_between(column(days.astype(np.int32), pa.date32(), null))
    faults += late
    timed = rows_where((clock != 0) & ~null)
    if len(timed):
        faults = [*faults, Fault("type", timed, _HAS_CLOCK)]
    return blank(dates, timed), faults


def instants_from_native(values: pa.Array, zone: str) -> Parsed:
    """Instants from the source's own times and dates, of any unit."""
    if pa.types.is_date(values.type):
        days, early = _dates_between(values.cast(pa.date32()))
        instants, faults = _instants_between(_in_zone(days.cast(pa.timestamp("us")), zone))
        return instants, early + faults
    numbers, null, early = _microseconds(values)
    if values.type.tz:
        return column(numbers, INSTANT, null), early
    instants, faults = _instants_between(_in_zone(column(numbers, pa.timestamp("us"), null), zone))
    return instants, early + faults


def _microseconds(values: pa.TimestampArray) -> tuple[Numbers, Mask, list[Fault]]:
    """Times as microseconds, which rows have none, and why those do that had one."""
    numbers, null = _numbers(values), mask(pc.is_null(values))
    if values.type.unit == "ns":
        numbers, rest = np.divmod(numbers, 1000)
        wrong, reason = (rest != 0) & ~null, _TOO_FINE
    else:
        factor = _UNITS[values.type.unit]
        wrong, reason = ((numbers < _FIRST // factor) | (numbers > _LAST // factor)) & ~null, _OUTSIDE
        numbers = np.where(wrong, 0, numbers) * factor
    return numbers, null | wrong, [Fault("type", rows_where(wrong), reason)] if wrong.any() else []


def written(values: pa.Array, zone: str) -> pa.StringArray:
    """The source's own dates and times as text: ``2025-01-02``, ``2025-01-02 13:05:00`` in its zone."""
    if pa.types.is_timestamp(values.type) and values.type.tz:
        values = pc.local_timestamp(values.cast(pa.timestamp(values.type.unit, tz=zone)))
    return pc.replace_substring_regex(values.cast(pa.string()), pattern=r"\.0+$", replacement="")


def _numbers(values: pa.Array) -> Numbers:
    return np.asarray(pc.fill_null(values.cast(pa.int64()), 0).to_numpy(), np.int64)


def _read(text: pa.StringArray) -> tuple[dict[str, Numbers], Mask]:
    """Fields of every row as numbers (0 where unread), and which rows no form reads."""
    unread = mask(pc.is_valid(text))
    fields = {name: np.zeros(len(text), np.int64) for name in _FIELDS}
    fields["year"].fill(1970)
    fields["month"].fill(1)
    fields["day"].fill(1)
    _read_fixed(text, fields, unread)
    for form in _FORMS:
        rows = rows_where(unread)
        if len(rows) == 0:
            break
        parts = pc.extract_regex(text.take(indices(rows)), pattern=form)
        read = mask(pc.is_valid(parts))
        parts, rows = parts.filter(flags(read)), rows[read]
        unread[rows] = False
        for field in parts.type:
            part = pc.struct_field(parts, field.name)
            if field.name == "zone":
                fields["zoned"][rows], fields["offset"][rows] = _offsets(part)
            else:
                part = pc.utf8_rpad(part, width=9, padding="0") if field.name == "fraction" else part
                fields[field.name][rows] = _integers(part)
    return fields, unread


def _read_fixed(text: pa.StringArray, fields: dict[str, Numbers], unread: Mask) -> None:
    """Read what is written in one of the fixed forms: nearly everything, straight from the bytes."""
    lengths = set(np.unique(byte_lengths(text)).tolist())
    for form in _FIXED:
        if len(form) not in lengths:
            continue
        rows, characters = matrix(text, len(form))
        digits = characters - 48
        fits = unread[rows]
        for place, sign in enumerate(form):
            fits &= digits[place] <= 9 if sign in _SIGNS else characters[place] == ord(sign)
        if not fits.any():
            continue
        rows = rows[fits]
        unread[rows] = False
        for sign, name in _SIGNS.items():
            number = np.zeros(len(rows), np.int64)
            for place in (place for place, other in enumerate(form) if other == sign):
                number = number * 10 + digits[place][fits]
            if sign in form:
                fields[name][rows] = number


def _integers(part: pa.StringArray) -> Numbers:
    return _numbers(pc.if_else(pc.equal(part, _NOTHING), _ZERO, part))


def _offsets(part: pa.StringArray) -> tuple[Numbers, Numbers]:
    """Whether a zone is written, and how many minutes it is ahead of UTC."""
    given = mask(pc.not_equal(part, _NOTHING))
    digits = pc.utf8_rpad(pc.replace_substring_regex(part, pattern="[^0-9]", replacement=""), width=4, padding="0")
    written = _integers(digits)
    minutes = np.where(written % 100 > 59, _NEVER_AHEAD, written // 100 * 60 + written % 100)
    return given.astype(np.int64), np.where(mask(pc.starts_with(part, "-")), -minutes, minutes)


def _days(fields: dict[str, Numbers]) -> tuple[Numbers, Mask]:
    """Days of the epoch, and which rows name a day that does not exist."""
    year, month, day = fields["year"], fields["month"], fields["day"]
    first, length = month_days(year, np.clip(month, 1, 12))
    wrong = (year < 1) | (month < 1) | (month > 12) | (day < 1) | (day > length)
    return np.where(wrong, 0, first + day - 1), wrong


def _clock(fields: dict[str, Numbers]) -> tuple[Numbers, Mask]:
    """Seconds of the day, and which rows name a time that does not exist."""
    hour, minute, second = fields["hour"], fields["minute"], fields["second"]
    wrong = (hour > 23) | (minute > 59) | (second > 59) | (np.abs(fields["offset"]) > _FARTHEST_AHEAD)
    return (hour * 60 + minute) * 60 + second, wrong


def _finish(values: pa.Array, flagged: list[tuple[Mask, str]]) -> Parsed:
    """Blank what is flagged; each row gets the first reason only."""
    faults = []
    seen = np.zeros(len(values), np.bool_)
    for wrong, reason in flagged:
        rows: Rows = rows_where(wrong & ~seen)
        seen |= wrong
        if len(rows):
            faults.append(Fault("type", rows, reason))
    return blank(values, rows_where(seen)), faults


def _in_zone(local: pa.TimestampArray, zone: str) -> pa.TimestampArray:
    try:
        return pc.assume_timezone(local, zone, ambiguous="earliest").cast(INSTANT)
    except pa.ArrowInvalid:
        pass  # a time that never was: below
    before = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest").cast(INSTANT)
    after = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest").cast(INSTANT)
    never = mask(pc.not_equal(before, after))
    here = require_zone(zone)
    counted = [moment.replace(tzinfo=here).astimezone(UTC) for moment in local.filter(flags(never)).to_pylist()]
    return pc.replace_with_mask(after, flags(never), pa.array(counted, INSTANT))


def _dates_between(dates: pa.Date32Array) -> Parsed:
    days = _numbers(dates.cast(pa.int32()))
    outside = rows_where(((days < _FIRST_DAY) | (days > _LAST_DAY)) & mask(pc.is_valid(dates)))
    return blank(dates, outside), [Fault("type", outside, _OUTSIDE)] if len(outside) else []


def _instants_between(instants: pa.TimestampArray) -> Parsed:
    moments = _numbers(instants)
    outside = rows_where(((moments < _FIRST) | (moments > _LAST)) & mask(pc.is_valid(instants)))
    return blank(instants, outside), [Fault("type", outside, _OUTSIDE)] if len(outside) else []
