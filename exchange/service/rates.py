"""How much may be asked for in a minute (调用限额), counted in the hub's database for all workers.

Each department has a measure by the settings; a grant may have one of its own, and what is asked for under it counts
in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from adapters.errors import Unavailable
from exchange.authorisation.application import PER_MINUTE
from exchange.db import clock
from exchange.db.tables import Base, GrantRow
from exchange.settings import Limits

_RATE = Base.metadata.tables["rate"]
_MINUTE = (_RATE.c.department == bindparam("whose")) & (_RATE.c.minute == bindparam("when"))
_TAKEN = select(_RATE.c.calls, _RATE.c.rows).where(_MINUTE).with_for_update()
_STORED = update(_RATE).where(_MINUTE).values(calls=bindparam("calls"), rows=bindparam("rows"))
_REMEMBERED = 10
"""Minutes after which a count is dropped."""


class Exceeded(Unavailable):
    """A limit of rate was reached; ``seconds`` says when to come again."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, remedy=f"retry_after={seconds}：{seconds} 秒后再试")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Measure:
    """What may be asked for in a minute.

    Attributes:
        name: What it is counted under: a department's code, or a grant's id.
        who: Whose it is, in words.
        calls: How many calls; None: as many as one likes.
        rows: How many rows; None: as many as one likes.
    """

    name: str
    who: str
    calls: int | None
    rows: int | None


def granted(grant: GrantRow) -> Measure | None:
    """The measure that a grant brings with it; None: it has none."""
    calls, rows = (grant.body.get(name) for name in PER_MINUTE)
    return None if calls is rows is None else Measure(grant.id, f"授权 {grant.id} ", calls, rows)


class Count:
    """What was asked for under a measure in one minute; of others, it is held until the transaction ends.

    Args:
        measure: What may be asked for.
        moment: Seconds since 1970.
        calls: How many there were in the minute.
        rows: How many they asked for.
    """

    def __init__(self, measure: Measure, moment: float, calls: int, rows: int) -> None:
        self._measure = measure
        self._moment = moment
        self._calls = calls
        self._rows = rows

    def refusal(self, *, calls: int = 1, rows: int = 0) -> Exceeded | None:
        """Why calls that ask for so many rows are too many; None: they are not."""
        measure = self._measure
        for word, taken, more, most in (
            ("次调用", self._calls, calls, measure.calls),
            ("行", self._rows, 1 if rows else 0, measure.rows),
        ):
            if most is not None and more and taken + more > most:
                left = max(1, round((self._moment // 60 + 1) * 60 - self._moment))
                return Exceeded(f"{measure.who}每分钟不超过 {most} {word}，这一分钟已用完", left)
        return None

    def fitting(self, rows: int) -> int:
        """As many of the rows as the minute still has, where nothing is against the first of them."""
        return rows if self._measure.rows is None else min(rows, max(0, self._measure.rows - self._rows))

    def add(self, *, calls: int = 1, rows: int = 0) -> None:
        """Count them; it is kept by :func:`store`."""
        self._calls += calls
        self._rows += rows

    def stored(self) -> dict[str, str | int]:
        """The count as it is kept."""
        when = int(self._moment // 60)
        return {"whose": self._measure.name, "when": when, "calls": self._calls, "rows": self._rows}


def store(session: Session, counts: Sequence[Count]) -> None:
    """Keep what was counted, all of it by one statement."""
    if counts:
        session.connection().execute(_STORED, [count.stored() for count in counts])


class Rates:
    """Counts calls and rows.

    Args:
        limits: What one department may ask for, now.
    """

    def __init__(self, limits: Callable[[], Limits]) -> None:
        self._limits = limits

    def of(self, department: str) -> Measure:
        """The measure of a department."""
        limits = self._limits()
        return Measure(department, "本部门", limits.calls_per_minute, limits.rows_per_minute)

    def take(
        self, session: Session, department: str, *, calls: int = 1, rows: int = 0, grant: Measure | None = None
    ) -> int:
        """Count a call and the rows it asks for, in the caller's transaction.

        The rows of one call may go beyond the limit of the department; then the next call waits. Beyond that of a
        grant they never go.

        Args:
            session: The caller's.
            department: Who asks.
            calls: How many calls it is: none where it was counted before.
            rows: How many rows are asked for.
            grant: The measure of the grant they are asked for under, if it has one.

        Returns:
            How many of the rows there may be.

        Raises:
            Exceeded: A limit was reached before; nothing is counted.
        """
        moment = clock(session)
        # Always the department before its grant, so that none wait in a circle.
        counts = [self.count(session, measure, moment) for measure in (self.of(department), grant) if measure]
        for count in counts:
            if refusal := count.refusal(calls=calls, rows=rows):
                raise refusal
        if grant is not None:
            rows = counts[-1].fitting(rows)
        for count in counts:
            count.add(calls=calls, rows=rows)
        store(session, counts)
        return rows

    def count(self, session: Session, measure: Measure, moment: float) -> Count:
        """The count under a measure in the minute of a moment, in the caller's transaction, which holds it."""
        minute = int(moment // 60)
        where = {"whose": measure.name, "when": minute}
        connection = session.connection()
        if (row := connection.execute(_TAKEN, where).first()) is not None:
            calls, rows = row
        else:
            connection.execute(delete(_RATE).where(_RATE.c.minute < minute - _REMEMBERED))
            try:
                with connection.begin_nested():
                    connection.execute(
                        insert(_RATE), {"department": measure.name, "minute": minute, "calls": 0, "rows": 0}
                    )
                calls, rows = 0, 0
            except IntegrityError:  # another worker has begun the minute
                calls, rows = connection.execute(_TAKEN, where).one()
        return Count(measure, moment, calls, rows)
