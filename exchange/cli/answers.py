"""What a command answers: a document for programs, and the same in parts for people."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from exchange.cli.messages import _
from exchange.words import BEIJING


@dataclass(frozen=True)
class Table:
    """A table; ``empty`` is said in its place when it has no rows."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    empty: str
    title: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values, one pair a line; pairs without a value are left out."""

    pairs: Sequence[tuple[str, Any]]
    title: str = ""


@dataclass(frozen=True)
class Words:
    """A line of text; an important one stands out where there is colour."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Verbatim:
    """Text that goes out as it is: YAML, SQL, a form."""

    text: str


Part = Table | Facts | Words | Verbatim


@dataclass(frozen=True)
class Answer:
    """What a command has to say.

    Attributes:
        document: One JSON object, for programs.
        parts: The same for people.
        notes: What is worth a second look; told beside the answer, to people only.
        status: Exit status.
    """

    document: Mapping[str, Any]
    parts: Sequence[Part]
    notes: Sequence[str] = ()
    status: int = 0


def plain(value: Any) -> Any:
    """A value as JSON can hold it: times in ISO form with their zone, secrets as their stand-in."""
    match value:
        case None | bool() | int() | float() | str() if not isinstance(value, enum.Enum):
            return value
        case enum.Enum():
            return plain(value.value)
        case datetime() | date():
            return value.isoformat()
        case Mapping():
            return {str(name): plain(part) for name, part in value.items()}
        case set() | frozenset():
            return sorted(plain(part) for part in value)
        case list() | tuple():
            return [plain(part) for part in value]
        case Path():
            return str(value)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def cell(value: Any) -> str:
    """A value as people read it: times in Beijing, lists with their Chinese comma, nothing unseen."""
    match value:
        case None:
            return ""
        case bool():
            return _("是") if value else _("否")
        case datetime():
            return value.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple() | set() | frozenset():
            return _("、").join(cell(part) for part in (sorted(value) if isinstance(value, set | frozenset) else value))
    return seen(str(value))


def hour(moment: datetime | None) -> str:
    """A moment of these days, short: month, day, hour and minute in Beijing."""
    return "" if moment is None else moment.astimezone(BEIJING).strftime("%m-%d %H:%M")


def seen(text: str) -> str:
    """Text in which nothing steers the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def listed(names: Iterable[str]) -> str:
    """Names with the Chinese comma between them."""
    return _("、").join(names)
