"""The snapshot of what is to be scheduled (排班快照): one file that the hub writes and a scheduler reads.

A scheduler that builds its plans from it needs neither the hub's database nor its libraries: reading it imports
the standard library alone. It is written whole or not at all, and says by its digest that it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

from exchange.errors import Invalid

FORMAT = 1
"""Raised when a reader of the one before could misunderstand it."""

NAME = "airflow/snapshot.json"
"""Where it lies in a hub's home, unless the settings say otherwise."""

Kind = Literal["synchronisation", "sharing"]
Arrivals = Literal["files", "messages"]


@dataclass(frozen=True)
class Scheduled:
    """One exchange as a scheduler sees it (排班项).

    Attributes:
        id: Id of the exchange; letters, digits, hyphens.
        kind: Into the base library, or to a recipient.
        title: What a person calls it, one line.
        description: What it does for whom and why, Markdown.
        owner: Name of the department that answers for it.
        tags: Kind, resource and departments, as words to search by.
        cron: When it runs, in five fields, or None where only what arrives starts it.
        activated_at: Since when, ISO 8601 with offset; the oldest are the last to be batched.
        reads: Codes of library resources a refresh of which starts it.
        all_of: Whether it waits until all that it reads were refreshed on one day.
        refreshes: Codes of library resources that it refreshes.
        arrivals: What may arrive at its source at any time.
        pool: Name of the endpoint whose share of the machine it uses.
        priority: Higher goes first where a pool is full.
        parts: Into how many ranges of keys a full pass is split; 1 is not split.
        timeout_minutes: How long a run may take.
        paused: Whether it rests; None leaves that to the scheduler's people.
        link: Its page in the hub's console, if there is one.
        batched: Whether it is carried out in one task with others (成批), as there are too many for a DAG each.
    """

    id: str
    kind: Kind
    title: str
    description: str
    owner: str
    tags: tuple[str, ...]
    cron: str | None
    activated_at: str
    reads: tuple[str, ...] = ()
    all_of: bool = False
    refreshes: tuple[str, ...] = ()
    arrivals: Arrivals | None = None
    pool: str = ""
    priority: int = 1
    parts: int = 1
    timeout_minutes: int = 240
    paused: bool | None = None
    link: str | None = None
    batched: bool = False


@dataclass(frozen=True)
class Pool:
    """How many runs an endpoint bears at once (端点并发).

    Attributes:
        name: The endpoint's name.
        slots: How many; 0 while it is paused.
        description: Whose it is.
    """

    name: str
    slots: int
    description: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Everything that is to be scheduled at one hub.

    Attributes:
        exchanges: By id.
        pools: By name.
        broken: Exchanges that cannot be scheduled, by id, each with its reason.
    """

    exchanges: tuple[Scheduled, ...] = ()
    pools: tuple[Pool, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    def written(self) -> str:
        """The file's text; the same for the same content."""
        body = _dumped({
            "format": FORMAT,
            "exchanges": [vars(each) for each in self.exchanges],
            "pools": [vars(each) for each in self.pools],
            "broken": dict(self.broken),
        })  # fmt: skip
        return f'{{"digest":"{_digest(body)}",{body[1:]}\n'


def write(path: Path, snapshot: Snapshot) -> bool:
    """Put a snapshot in the place of the one before, whole or not at all; one at a time.

    Returns:
        Whether there was anything new in it.
    """
    text = snapshot.written()
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return False
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 32}"):
        left.unlink(missing_ok=True)  # somebody died over it
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return True


def read(path: Path) -> Snapshot:
    """The snapshot that lies there.

    An exchange that does not read as one is among the broken; the others live on.

    Raises:
        Invalid: There is none, it is not whole, or a newer hub wrote it.
    """
    remedy = "执行 shutong airflow publish 重新生成"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        body = {name: value for name, value in found.items() if name != "digest"}
    except FileNotFoundError:
        raise Invalid(f"没有排班快照 {path}", remedy=remedy) from None
    except OSError as error:
        raise Invalid(f"不能读取排班快照 {path}：{os.strerror(error.errno or 0)}", remedy="检查该文件的权限") from error
    except (ValueError, AttributeError) as error:
        raise Invalid(f"排班快照 {path} 不完整", remedy=remedy) from error
    if body.get("format") != FORMAT:
        raise Invalid(f"排班快照 {path} 由其他版本的数通写成", remedy="各处使用同一版本，或" + remedy)
    if found.get("digest") != _digest(_dumped(body)):
        raise Invalid(f"排班快照 {path} 不完整", remedy=remedy)
    exchanges, broken = [], dict(body["broken"])
    for number, given in enumerate(body["exchanges"], 1):
        try:
            exchanges.append(_scheduled(given))
        except ValueError as error:
            broken[_name(given, number)] = str(error)
    return Snapshot(tuple(exchanges), tuple(Pool(**each) for each in body["pools"]), broken)


_LISTS = tuple(each.name for each in fields(Scheduled) if str(each.type).startswith("tuple"))
_RIGHT: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "bool | None": lambda value: value is None or isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "Kind": lambda value: value in get_args(Kind),
    "Arrivals | None": lambda value: value is None or value in get_args(Arrivals),
}
"""What a value must be, by the type its field is declared with."""


_RULES = {each.name: _RIGHT[str(each.type)] for each in fields(Scheduled)}
_NEEDED = tuple(each.name for each in fields(Scheduled) if each.default is MISSING)


def _scheduled(given: Any) -> Scheduled:
    """An exchange as it was written.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(given, dict):
        raise ValueError("不是排班项")  # noqa: TRY004 - it is the file that is wrong, not the program
    wrong = [name for name, value in given.items() if name not in _RULES or not _RULES[name](value)]
    wrong += [name for name in _NEEDED if name not in given]
    if wrong:
        raise ValueError(f"排班项有误：{'、'.join(sorted(wrong))}")
    told: dict[str, Any] = {name: tuple(value) if name in _LISTS else value for name, value in given.items()}
    return Scheduled(**told)


def _name(given: Any, number: int) -> str:
    """What a broken one is called: its id, or its place in the file."""
    name = given.get("id") if isinstance(given, dict) else None
    return name if isinstance(name, str) else f"#{number}"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _dumped(content: Mapping[str, Any]) -> str:
    # Without blanks, which the quick encoder can write: there may be ten thousand exchanges.
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
