"""A single row whose values are plainly right: seen at once, one by one, without a step for each column.

The rules stand in :mod:`exchange.checks.normalise` and :mod:`exchange.checks.rules`, and nowhere else. Here is said of
some values only that nothing would be changed or found there, by forms narrower than those read there; of every other
value nothing is said, and it is looked at as any column is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pyarrow as pa

from exchange.checks.check_digits import credit_code_check, identity_number_check
from schemas import CodeList, Item, arrow_type

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])"
)
_IDENTITY = re.compile(r"[0-9]{17}[0-9X]")
_CREDIT = re.compile(r"[0-9A-HJ-NPQRTUWXY]{18}")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class _Doubtful(ValueError):
    """The value has to be looked at closely."""


def plain_values(
    batch: pa.RecordBatch,
    items: Sequence[Item],
    *,
    key: Collection[str],
    version: str | None,
    today: date,
    code_lists: Mapping[str, CodeList],
) -> dict[str, pa.Array]:
    """The typed columns of a single row that break no rule.

    Args:
        batch: One row, as :func:`~exchange.checks.normalise.normalise` takes it.
        items: The items of the resource.
        key: Items of the business key.
        version: Item of the version, if there is one.
        today: The last day on which somebody can have been born.
        code_lists: The code lists that the items name.
    """
    if batch.num_rows != 1:
        return {}
    found = {}
    for item in items:
        if item.rows:
            continue  # rows inside a row are looked at like all rows
        required = item.mandatory or item.name in key or item.name == version
        listing = code_lists[item.code_list] if item.code_list else None
        try:
            found[item.name] = _typed(batch.column(item.name), item, today, listing, required=required)
        except (KeyError, ValueError, OverflowError, pa.ArrowInvalid):
            continue
    return found


def _typed(column: pa.Array, item: Item, today: date, listing: CodeList | None, *, required: bool) -> pa.Array:
    kind = arrow_type(item)
    if column.type == pa.int64() and item.type == "I" and not column.null_count:
        return column
    if column.type != pa.string():
        raise _Doubtful
    text = column[0].as_py()
    if text is None:
        if required:
            raise _Doubtful
        return pa.nulls(1, kind)
    return pa.array([_READ[item.type](text, item, today, listing)], kind)


def _text(text: str, item: Item, today: date, listing: CodeList | None) -> str:
    # Of all blanks only the common one is printable.
    if not text.isprintable() or not text or text[0] == " " or text[-1] == " ":
        raise _Doubtful
    if item.length is not None and len(text) > item.length:
        raise _Doubtful
    if listing is not None and (text not in listing.codes or text in listing.barred):
        raise _Doubtful
    if item.check is not None and not _CHECKED[item.check](text, today):
        raise _Doubtful
    return text


def _identity_number(text: str, today: date) -> bool:
    if not _IDENTITY.fullmatch(text) or identity_number_check(text[:17]) != text[17]:
        return False
    return date(int(text[6:10]), int(text[10:12]), int(text[12:14])) <= today


def _credit_code(text: str, _: date) -> bool:
    return bool(_CREDIT.fullmatch(text)) and credit_code_check(text[:17]) == text[17]


_CHECKED: dict[str, Callable[[str, date], bool]] = {"identity_number": _identity_number, "credit_code": _credit_code}


def _decimal(text: str, item: Item, *_: object) -> Decimal:
    kind = arrow_type(item)
    if not _decimal_form(kind.precision - kind.scale, kind.scale).fullmatch(text):
        raise _Doubtful
    return Decimal(text)


@lru_cache(256)
def _decimal_form(whole: int, part: int) -> re.Pattern[str]:
    """Digits before the point and behind it; there is always one before."""
    if not whole:
        return re.compile("(?!)")
    behind = rf"(?:\.[0-9]{{1,{part}}})?" if part else ""
    return re.compile(rf"-?[0-9]{{1,{whole}}}{behind}")


def _integer(text: str, *_: object) -> int:
    if not _WHOLE.fullmatch(text):
        raise _Doubtful
    return int(text)


def _date(text: str, *_: object) -> date:
    if not _DAY.fullmatch(text):
        raise _Doubtful
    return date.fromisoformat(text)


def _instant(text: str, *_: object) -> datetime:
    if not _MOMENT.fullmatch(text):
        raise _Doubtful
    return datetime.fromisoformat(text).astimezone(UTC)


def _truth(text: str, *_: object) -> bool:
    return _TRUTHS[text]


def _unread(*_: object) -> Any:
    raise _Doubtful


_READ: dict[str, Callable[[str, Item, date, CodeList | None], Any]] = {
    "C": _text, "M": _text, "N": _decimal, "Y": _decimal, "I": _integer, "D": _date, "T": _instant, "L": _truth,
    "G": _unread, "B": _unread, "F": _unread,
}  # fmt: skip
