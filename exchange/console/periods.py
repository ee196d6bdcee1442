"""Periods as people write them (期间): days of Beijing in filters, the last one included."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from exchange.errors import Invalid, Problem
from exchange.messages import _
from exchange.words import BEIJING

_FIRST = 1970
"""Year before which there is nothing to look at; no difference from such a day leaves the calendar."""


def day(text: str, label: str) -> date | None:
    """The day that was written; None: none was.

    Raises:
        Invalid: It is none.
    """
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        problem = Problem(label, _("不是日期"), _("写成 2026-01-31 的样子"))
        raise Invalid(_("期间有误"), [problem]) from None
    if found.year < _FIRST:
        problem = Problem(label, _("不早于 {first} 年").format(first=_FIRST))
        raise Invalid(_("期间有误"), [problem])
    return found


def begins(text: str, label: str) -> datetime | None:
    """When a day that was written begins."""
    found = day(text, label)
    return None if found is None else datetime.combine(found, time(), BEIJING)


def ends(text: str, label: str) -> datetime | None:
    """When a day that was written is over."""
    found = day(text, label)
    if found is None:
        return None
    try:
        return datetime.combine(found, time(), BEIJING) + timedelta(days=1)
    except OverflowError:
        return None  # the last day of all
