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
        moment = clock(session)
        minute = int(moment // 60)
        row = self._row(session, department, minute)
        limits = self._limits
        for word, taken, more, most in (
            ("次调用", row.calls, calls, limits.calls_per_minute),
            ("行", row.rows, 1 if rows else 0, limits.rows_per_minute),
        ):
            if more and taken + more > most:
                left = max(1, round((minute + 1) * 60 - moment))
                raise Exceeded(f"本部门每分钟不超过 {most} {word}，这一分钟已用完", left)
        row.calls += calls
        row.rows += rows

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
