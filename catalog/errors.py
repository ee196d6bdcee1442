"""What can go wrong in the directory, sorted by what to do next.

::

    CatalogError
    ├── Rejected        what was given is wrong; lists every problem at once
    ├── UnknownEntry    there is nothing under that name; says what is near
    ├── WrongState      right thing, wrong moment: the state does not allow the move
    │   └── Overtaken   somebody else was first; what one began from stands no more
    └── SamePerson      whoever had one part in a version may not play another

Messages are in the clerk's terms and name what, where and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing wrong, or worth a second look, in what was given.

    Attributes:
        where: Path in the clerk's terms (``资源 101001001/0001 › 信息项 3（出生日期）› 长度``).
        message: What is wrong.
        remedy: What to write instead, if known.
        severity: An ``error`` stops the registration, a ``warning`` does not.
    """

    where: str
    message: str
    remedy: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        tail = f"（{self.remedy}）" if self.remedy else ""
        return f"{self.where}: {self.message}{tail}"


class CatalogError(Exception):
    """Base of all errors of the directory; ``remedy`` says what to do next."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Rejected(CatalogError):
    """What was given is wrong; ``problems`` holds every error and warning."""

    def __init__(self, message: str, problems: Sequence[Problem], *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {problem}" for problem in self.problems)])


class UnknownEntry(CatalogError):
    """Nothing is registered under that name; ``near`` holds names like it."""

    def __init__(self, message: str, near: Sequence[str] = ()) -> None:
        super().__init__(message, remedy=f"是否指：{'、'.join(near)}" if near else "请核对名称，或先登记")
        self.near = tuple(near)


class WrongState(CatalogError):
    """The present state does not allow this move."""


class Overtaken(WrongState):
    """What one began from stands no more: somebody else was first (他人已先修改)."""


class SamePerson(CatalogError):
    """Registering, approving the registration and approving the publication are three people's work."""
