"""Settings that may change at run time (可调设置): which they are, and the settings with others in their place.

Only numbers that say how strictly somebody is let in and how often: what opens a door, removes records or decides what
a run does stays in the file, which nobody reaches from a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from exchange.errors import Invalid, Problem, Unknown
from exchange.settings.loading import message_of
from exchange.settings.model import Settings

CHANGEABLE: tuple[str, ...] = (
    "accounts.idle_minutes",
    "accounts.session_hours",
    "accounts.failures",
    "accounts.lock_minutes",
    "accounts.address_failures",
    "accounts.password_length",
    "accounts.password_days",
    "accounts.token_days",
    "web.calls_per_minute",
    "limits.calls_per_minute",
    "limits.rows_per_minute",
    "limits.message_rows",
)
"""Each as ``section.name``; type and limits are those of the file."""


def value_of(settings: Settings, name: str) -> Any:
    """The value of one of them.

    Raises:
        Unknown: It is none of them.
    """
    part, own = _split(name)
    return getattr(getattr(settings, part), own)


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with these values in the place of their own.

    Raises:
        Unknown: A name is none of those that may change.
        Invalid: A value is not right for its setting.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, own = _split(name)
        found.setdefault(part, {})[own] = value
    return settings.model_copy(update={part: _part(settings, part, given) for part, given in found.items()})


def bounds(name: str) -> tuple[int, int]:
    """The least and the greatest value of one of them."""
    part, own = _split(name)
    section = Settings.model_fields[part].annotation
    assert section is not None  # noqa: S101 - every section has a type
    limits = section.model_fields[own].metadata
    least, most = (next(getattr(each, word) for each in limits if hasattr(each, word)) for word in ("ge", "le"))
    return least, most


def _split(name: str) -> tuple[str, str]:
    if name not in CHANGEABLE:
        raise Unknown(f"没有可调的设置项 {name[:64]}", remedy=f"可调的有 {'、'.join(CHANGEABLE)}；其他的写在设置文件里")
    part, _dot, own = name.partition(".")
    return part, own


def _part(settings: Settings, part: str, given: Mapping[str, Any]) -> Any:
    before = getattr(settings, part)
    own = {name: getattr(before, name) for name in type(before).model_fields}
    try:
        # A whole number is one as it is written: true is none.
        return type(before).model_validate(
            {**own, **{name: str(value) if isinstance(value, bool) else value for name, value in given.items()}}
        )
    except ValidationError as error:
        problems = [Problem(".".join([part, *map(str, each["loc"])]), message_of(each)) for each in error.errors()]
        raise Invalid("设置的值不对", problems) from error
