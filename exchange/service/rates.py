"""How much a department may ask for in a minute (调用限额), counted in the hub's database for all workers."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from adapters.errors import Unavailable
from exchange.db import clock
from exchange.db.tables import Base
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


class Count:
    """What a department asked for in one minute; of others, it is held until the transaction ends.

    Args:
        limits: What it may ask for.
        department: Its code.
        moment: Seconds since 1970.
        calls: How many there were in the minute.
        rows: How many they asked for.
    """

    def __init__(self, limits: Limits, department: str, moment: float, calls: int, rows: int) -> None:
        self._limits = limits
        self._department = department
        self._moment = moment
        self._calls = calls
        self._rows = rows

    def refusal(self, *, calls: int = 1, rows: int = 0) -> Exceeded | None:
        """Why calls that ask for so many rows are too many; None: they are not."""
        limits = self._limits
        for word, taken, more, most in (
            ("次调用", self._calls, calls, limits.calls_per_minute),
            ("行", self._rows, 1 if rows else 0, limits.rows_per_minute),
        ):
            if more and taken + more > most:
                left = max(1, round((self._moment // 60 + 1) * 60 - self._moment))
                return Exceeded(f"本部门每分钟不超过 {most} {word}，这一分钟已用完", left)
        return None

    def add(self, *, calls: int = 1, rows: int = 0) -> None:
        """Count them; it is kept by :meth:`store`."""
        self._calls += calls
        self._rows += rows

    def store(self, session: Session) -> None:
        """Keep what was counted."""
        values = {"calls": self._calls, "rows": self._rows}
        session.connection().execute(_STORED, {"whose": self._department, "when": int(self._moment // 60), **values})


class Rates:
    """Counts calls and rows.

    Args:
        limits: What one department may ask for.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def take(self, session: Session, department: str, *, calls: int = 1, rows: int = 0) -> None:
        """Count a call and the rows it asks for, in the caller's transaction.

        The rows of one call may go beyond the limit; then the next call waits.

        Raises:
            Exceeded: The limit was reached before; nothing is counted.
        """
        count = self.count(session, department, clock(session))
        if refusal := count.refusal(calls=calls, rows=rows):
            raise refusal
        count.add(calls=calls, rows=rows)
        count.store(session)

    def count(self, session: Session, department: str, moment: float) -> Count:
        """The count of a department in the minute of a moment, in the caller's transaction, which holds it."""
        minute = int(moment // 60)
        where = {"whose": department, "when": minute}
        connection = session.connection()
        if (row := connection.execute(_TAKEN, where).first()) is not None:
            calls, rows = row
        else:
            connection.execute(delete(_RATE).where(_RATE.c.minute < minute - _REMEMBERED))
            try:
                with connection.begin_nested():
                    connection.execute(
                        insert(_RATE), {"department": department, "minute": minute, "calls": 0, "rows": 0}
                    )
                calls, rows = 0, 0
            except IntegrityError:  # another worker has begun the minute
                calls, rows = connection.execute(_TAKEN, where).one()
        return Count(self._limits, department, moment, calls, rows)
