"""What can go wrong in the hub, sorted by what to do next.

::

    HubError                exit status
    ├── Invalid      2      what was given is wrong; lists every problem at once
    ├── Denied       3      the law of the house says no, with reasons
    ├── Unknown      4      there is nothing under that name; says what is near
    ├── Misplaced    5      right thing, wrong moment: the state does not allow the move
    │   ├── Overtaken 5   somebody else was first, and what one wrote is not taken over it
    │   └── Held     5      a table is no longer what was approved; somebody must look, with reasons
    ├── Busy         6      somebody else is at it; try again later
    ├── Red          7      a run stopped: the books do not balance, or a side was restored
    ├── Failed       8      an endpoint could not be used; ``retry`` says whether later may help
    │   └── Unavailable 8   the hub's own database is away: nothing can be done until it is back
    └── Tampered     9      the log or a receipt is not as it was written

A message names what, where and the remedy; it never carries a value of a record or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what was given.

    Attributes:
        where: Path to the field in the user's own terms (``resource 101001001/0001 › 信息项 3 › 长度``).
        message: What is wrong.
        remedy: What to write instead, if known.
    """

    where: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        tail = f"（{self.remedy}）" if self.remedy else ""
        return f"{self.where}: {self.message}{tail}"


class HubError(Exception):
    """Base of all errors a user may see; ``remedy`` says what to do next."""

    status = 1
    retry = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Invalid(HubError):
    """What was given is wrong; every problem is listed at once."""

    status = 2

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.problems = tuple(problems)


class Denied(HubError):
    """Refused by rule; every reason is given."""

    status = 3

    def __init__(self, message: str, reasons: Sequence[str] = (), *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reasons = tuple(reasons)


class Unknown(HubError):
    """Nothing is registered under that name."""

    status = 4


class Misplaced(HubError):
    """The present state does not allow this move."""

    status = 5


class Overtaken(Misplaced):
    """What one began from stands no more: somebody else was first, and what one wrote is not taken over it."""


class Held(Misplaced):
    """An exchange is held until a changed structure is approved, followed or undone; every change is given."""

    def __init__(self, message: str, reasons: Sequence[str] = (), *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reasons = tuple(reasons)


class Busy(HubError):
    """Another owner holds the exchange or the database; later may work."""

    status = 6
    retry = True


class Red(HubError):
    """A run stopped because going on could lose or repeat something."""

    status = 7


class Failed(HubError):
    """An endpoint could not be used."""

    status = 8

    def __init__(self, message: str, *, remedy: str = "", retry: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.retry = retry


class Unavailable(Failed):
    """The hub's own database could not be used; what is asked again when it is back, works."""


class Tampered(HubError):
    """The log, a receipt or a manifest is not as it was written."""

    status = 9
