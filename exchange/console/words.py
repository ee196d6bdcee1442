"""How values are written for people (显示): times of Beijing, grouped numbers, terms for codes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from exchange.messages import _
from exchange.words import BEIJING

ABSENT = "—"


def moment(value: datetime | None) -> Markup:
    """A time, for people and for programs that read the page."""
    if value is None:
        return Markup("") + ABSENT
    local = value.astimezone(BEIJING)
    # Pages have hundreds, and there is nothing in a time that would have to be escaped.
    return Markup(f'<time datetime="{value.isoformat()}">{local:%Y-%m-%d %H:%M:%S}</time>')  # noqa: S704


def day(value: date | None) -> str:
    """A day."""
    if isinstance(value, datetime):
        value = value.astimezone(BEIJING).date()
    return ABSENT if value is None else value.isoformat()


def last_day(value: datetime | None) -> str:
    """The last day of a period by the moment after which it is over."""
    return _("长期") if value is None else day(value - timedelta(microseconds=1))


def number(value: float | None) -> str:
    """A number with its thousands apart."""
    return ABSENT if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """A share as per cent."""
    return ABSENT if value is None else f"{value:.1%}"


def text(value: Any) -> Any:
    """Whatever it is; nothing shows as a dash."""
    return ABSENT if value in (None, "") else escape(value)


def choices(options: Iterable[tuple[Any, Any]], chosen: Any) -> Markup:
    """The options of a field (选项), one of them chosen."""
    return _choices(tuple((str(key), str(title)) for key, title in options), str(chosen))


@lru_cache(256)  # Lists of departments and events are long, and stand on every page of their kind.
def _choices(options: tuple[tuple[str, str], ...], chosen: str) -> Markup:
    line = Markup('<option value="{}"{}>{}</option>')
    selected = Markup(" selected")
    return Markup("").join(line.format(key, selected if key == chosen else "", title) for key, title in options)


def pair(value: Any) -> tuple[Any, Any]:
    """A value that is its own title, as a field offers it."""
    return value, value


def plainly(value: Any) -> Any:
    """A value of a registration as a line: what is inside it by its names."""
    if isinstance(value, dict):
        return _("；").join(f"{name}={plainly(part)}" for name, part in value.items() if part not in (None, "", [], {}))
    if isinstance(value, (list, tuple)):
        return _("、").join(str(plainly(part)) for part in value)
    if isinstance(value, bool):
        return _("是") if value else _("否")
    return ABSENT if value in (None, "") else str(value)


def said(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Terms and their values on a line (内容)."""
    # A page of the log has hundreds of them: everything that is no markup of ours is escaped, one by one.
    line = '<span class="said-of"><span class="quiet">{}</span> {}</span>'
    return Markup(" ".join(line.format(escape(term), escape(value)) for term, value in pairs))  # noqa: S704


FILTERS = {
    "choices": choices,
    "moment": moment,
    "day": day,
    "last_day": last_day,
    "number": number,
    "share": share,
    "text": text,
    "pair": pair,
    "plainly": plainly,
    "said": said,
}
