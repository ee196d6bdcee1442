"""What can go wrong at a department's endpoint, sorted by what to do next.

::

    AdapterError
    ├── Unavailable     try again later: the peer is away, slow or locked
    │   └── Unanswered  the peer is there, and a part of it says nothing: that part may have to be mended
    ├── Refused         the peer said no: credentials, rights, a closed door; never retried
    ├── Malformed       what the peer sent cannot be read; the provider must repair it
    ├── Misconfigured   the registration is wrong; the integrator must change it
    ├── Unsupported     the adapter cannot do what was planned; planning must refuse it
    ├── ReadAnew        a part of what was handed over is not to be used: begin the reading again, now
    ├── Overtaken       a newer owner of the exchange has been here; this one must stop
    ├── Diminished      a refresh would leave too few rows; a person must decide
    ├── Restored        the target no longer holds what it acknowledged; a person must decide
    ├── TooManyRefused  the target refuses more rows than are tolerable; nothing is committed
    └── Unbalanced      what is staged is not what was sent; nothing is committed
        └── StageLost   nothing is staged any more, nothing is committed: read and stage again

Every driver exception is translated at the edge of its adapter into one of these, with its
cause kept. A message names what, where and the remedy, and never carries a value of a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.base import RefusedRow


class AdapterError(Exception):
    """Base of all errors of the adapters.

    Args:
        message: What happened and where, without any value of a record.
        remedy: What the reader can do about it.
    """

    retry = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Unavailable(AdapterError):
    """The peer is away, slow or locked: the same call may succeed later."""

    retry = True


class Unanswered(Unavailable):
    """The peer is there, but a part of it gives no answer, or a broken one (无应答)."""


class Refused(AdapterError):
    """The peer answered no; asking again changes nothing."""


class Malformed(AdapterError):
    """The peer's answer or file cannot be read as what it was registered to be."""


class Misconfigured(AdapterError):
    """The endpoint or the binding is described wrongly."""


class Unsupported(AdapterError):
    """This adapter cannot do what was asked of it."""


class ReadAnew(AdapterError):
    """Rows were handed over of something that turned out to be unusable as a whole, a file for one (重新读取).

    The source leaves it out when it is asked for :meth:`~adapters.base.Source.batches` again; each time is for
    something else, so that it comes to an end.
    """


class Overtaken(AdapterError):
    """The target has seen a higher epoch of this exchange: another owner has taken over."""


class Restored(AdapterError):
    """The target has lost a delivery that it had acknowledged."""


class Diminished(AdapterError):
    """A refresh would leave the target with too few rows; nothing was changed.

    Args:
        message: What happened and where, without any value of a record.
        remedy: What the reader can do about it.
        held: Rows that the target holds.
        left: Rows that would be left.
    """

    def __init__(self, message: str, *, remedy: str = "", held: int = 0, left: int = 0) -> None:
        super().__init__(message, remedy=remedy)
        self.held = held
        self.left = left


class TooManyRefused(AdapterError):
    """The target refuses more of the staged rows than are tolerable (拒收过多): it is as it was before the commit.

    Args:
        message: What happened and where, without any value of a record.
        remedy: What the reader can do about it.
        refused: Every row that the target would have refused.
    """

    def __init__(self, message: str, *, remedy: str = "", refused: Sequence[RefusedRow] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.refused = tuple(refused)


class Unbalanced(AdapterError):
    """The stage does not hold what the manifest says was staged."""


class StageLost(Unbalanced):
    """What was staged is gone and nothing of it was committed: it must be read and staged again.

    Args:
        message: What happened and where, without any value of a record.
        remedy: What the reader can do about it.
        key: Delivery key of what is gone, where it is not the delivery's own but one it was to gather.
    """

    def __init__(self, message: str, *, remedy: str = "", key: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.key = key
