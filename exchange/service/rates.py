"""How much a department may ask for in a minute (调用限额), counted in the hub's database for all workers."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from adapters.errors import Unavailable
from exchange.db import clock
from exchange.db.tables import RateRow
from exchange.settings import Limits

_REMEMBERED = 10
"""Minutes after which a count is dropped."""


class Exceeded(Unavailable):
    """A limit of rate was reached; ``seconds`` says when to come again."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, remedy=f"retry_after={seconds}：{seconds} 秒后再试")
        self.seconds = seconds


class Count:
    """What a department asked for in one minute.

    Args:
        limits: What it may ask for.
        row: The minute's.
        moment: Seconds since 1970.
    """

    def __init__(self, limits: Limits, row: RateRow, moment: float) -> None:
        self._limits = limits
        self._row = row
        self._moment = moment

    def refusal(self, *, calls: int = 1, rows: int = 0) -> Exceeded | None:
        """Why calls that ask for so many rows are too many; None: they are not."""
        row, limits = self._row, self._limits
        for word, taken, more, most in (
            ("次调用", row.calls, calls, limits.calls_per_minute),
            ("行", row.rows, 1 if rows else 0, limits.rows_per_minute),
        ):
            if more and taken + more > most:
                left = max(1, round((row.minute + 1) * 60 - self._moment))
                return Exceeded(f"本部门每分钟不超过 {most} {word}，这一分钟已用完", left)
        return None

    def add(self, *, calls: int = 1, rows: int = 0) -> None:
        """Count them."""
        self._row.calls += calls
        self._row.rows += rows


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

    def count(self, session: Session, department: str, moment: float) -> Count:
        """The count of a department in the minute of a moment, in the caller's transaction, which holds it."""
        return Count(self._limits, self._row(session, department, int(moment // 60)), moment)

    def _row(self, session: Session, department: str, minute: int) -> RateRow:
        where = (department, minute)
        row = session.get(RateRow, where, with_for_update=True)
        if row is None:
            session.execute(delete(RateRow).where(RateRow.minute < minute - _REMEMBERED))
            try:
                with session.begin_nested():
                    row = RateRow(department=department, minute=minute, calls=0, rows=0)
                    session.add(row)
            except IntegrityError:  # another worker has begun the minute
                row = session.get_one(RateRow, where, with_for_update=True)
        return row
