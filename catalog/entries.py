"""What the directory answers: entries with their state, moves, lists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catalog.comparison import Change
from catalog.errors import Problem
from catalog.model import Demand, Department, Resource
from catalog.vocabulary import DEMAND_STATES, DemandState
from catalog.workflow import STATES, Action, Part, State, actions


@dataclass(frozen=True)
class Outline:
    """What a version of a resource is called, without its content (资源名目).

    Attributes:
        name: Its name.
        provider: Credit code of its provider.
        update_cycle: How often it is updated.
    """

    name: str
    provider: str
    update_cycle: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One version of a resource as it stands in the directory (目录条目).

    Attributes:
        resource: What is registered.
        version: Number of the version, from 1.
        state: Its state in the workflow.
        in_force: It is the published version.
        version_in_force: Number of the published version, None if there is none.
        latest: Number of the newest version.
        changed_at: When it last moved.
        published_at: When it was published.
    """

    resource: Resource
    version: int
    state: State
    in_force: bool
    version_in_force: int | None
    latest: int
    changed_at: datetime
    published_at: datetime | None

    @property
    def code(self) -> str:
        """The resource code."""
        return self.resource.code

    @property
    def mark(self) -> str:
        """What this entry is told by from any other content or state of it (版本标记)."""
        standing = (self.version, self.state, self.version_in_force, self.resource.model_dump_json())
        return hashlib.sha256(repr(standing).encode()).hexdigest()[:32]

    @property
    def label(self) -> str:
        """The state in words."""
        return STATES[self.state].label

    @property
    def actions(self) -> tuple[Action, ...]:
        """What people can do with it now."""
        return actions(self.state)


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The answer to a registration.

    Attributes:
        entry: The entry as it stands now.
        action: ``add``, ``update`` or ``revise``; None: it was registered so already.
        changes: What differs from the version before.
        warnings: What is worth a second look.
    """

    entry: Entry
    action: Action | None
    changes: tuple[Change, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One move of a version (流转记录)."""

    version: int
    action: Action
    from_state: State | None
    to_state: State
    part: Part
    actor: str
    department: str | None
    opinion: str
    changes: tuple[dict[str, Any], ...]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One entry found, and how much speaks for it."""

    entry: Entry
    score: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of a search; ``cursor`` starts the next one, None: this is the last."""

    hits: tuple[Hit, ...]
    cursor: str | None


@dataclass(frozen=True, kw_only=True)
class DemandEntry:
    """An entry of the list of demand (需求清单) and its answer."""

    id: int
    demand: Demand
    state: DemandState
    resource: str | None
    """The resource that meets it."""
    actor: str
    at: datetime
    answer: str
    answered_by: str | None
    answered_at: datetime | None

    @property
    def label(self) -> str:
        """The state in words."""
        return DEMAND_STATES[self.state]


@dataclass(frozen=True, kw_only=True)
class ResponsibilityList:
    """What a department has to provide (责任清单): what it registered and what is asked of it."""

    department: Department
    resources: tuple[Entry, ...]
    """The version in force of each of its resources, else the newest unless it was discarded."""
    demands: tuple[DemandEntry, ...]
    """Open demands addressed to it."""
