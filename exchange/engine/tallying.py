"""Day by day, what the runs of each exchange came to (日计).

It is counted where a run ends, in the transaction that ends it, so that a view of a month reads a row for each exchange
and day and no runs. Whoever doubts it counts again from the runs, exchange by exchange, each under its lease.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from exchange.db import HubDatabase
from exchange.db.tables import ExchangeRow, LeaseRow, RunRow, TallyRow
from exchange.engine.states import UNFINISHED, RunState

ZONE = ZoneInfo("Asia/Shanghai")
_DELIVERED = (RunState.COMMITTED, RunState.SETTLED)
_STOPPED = (RunState.STOPPED, RunState.BARRED)
_UNDER_WAY = tuple(state for state in UNFINISHED if state is not RunState.COMMITTED)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Tally:
    """What some runs came to."""

    runs: int = 0
    delivered: int = 0
    stopped: int = 0
    failed: int = 0
    read: int = 0
    refused: int = 0
    written: int = 0
    milliseconds: int = 0
    slowest: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Of both together."""
        return Tally(
            self.runs + other.runs,
            self.delivered + other.delivered,
            self.stopped + other.stopped,
            self.failed + other.failed,
            self.read + other.read,
            self.refused + other.refused,
            self.written + other.written,
            self.milliseconds + other.milliseconds,
            max(self.slowest, other.slowest),
        )


def tally(run: RunRow) -> Tally:
    """What one run came to that has ended."""
    counts = run.counts or {}
    took = ((run.ended_at or run.started_at) - run.started_at) // _MILLISECOND
    return Tally(
        runs=1,
        delivered=int(run.state in _DELIVERED),
        stopped=int(run.state in _STOPPED),
        failed=int(run.state not in (*_DELIVERED, *_STOPPED)),
        read=counts.get("read", 0),
        refused=counts.get("refused", 0),
        written=counts.get("written", 0),
        milliseconds=max(took, 0),
        slowest=max(took, 0),
    )


def note(session: Session, run: RunRow) -> None:
    """Count a run that ends in this transaction, which holds the exchange's lease."""
    key = _key(run)
    row = session.get(TallyRow, key, with_for_update=True)
    if row is None:
        session.add(_row(key, tally(run)))
        return
    standing = Tally(**{each.name: getattr(row, each.name) for each in fields(Tally)})
    for name, value in vars(standing + tally(run)).items():
        setattr(row, name, value)


def counted(runs: Iterable[RunRow]) -> dict[tuple[str, date, str], Tally]:
    """The tallies that follow from runs, by exchange, day and way."""
    found: dict[tuple[str, date, str], Tally] = defaultdict(Tally)
    for run in runs:
        found[_key(run)] += tally(run)
    return dict(found)


def recount(session: Session, exchange: str) -> None:
    """Make the tallies of an exchange again from its runs; whoever ends one waits for that."""
    session.scalar(select(LeaseRow).where(LeaseRow.exchange == exchange).with_for_update())
    ended = select(RunRow).where(
        RunRow.exchange == exchange, RunRow.ended_at.is_not(None), RunRow.state.not_in(_UNDER_WAY)
    )
    session.execute(delete(TallyRow).where(TallyRow.exchange == exchange))
    runs = session.scalars(ended.execution_options(yield_per=500))
    session.add_all([_row(key, each) for key, each in counted(runs).items()])
    session.flush()


def recount_missing(database: HubDatabase) -> int:
    """Count the exchanges whose runs were not counted as they ended; how many there were."""
    with database.reading() as session:
        ended = exists().where(
            RunRow.exchange == ExchangeRow.id, RunRow.ended_at.is_not(None), RunRow.state.not_in(_UNDER_WAY)
        )
        known = exists().where(TallyRow.exchange == ExchangeRow.id)
        names = session.scalars(select(ExchangeRow.id).where(ended, ~known).order_by(ExchangeRow.id)).all()
    for name in names:
        with database.transaction() as session:
            recount(session, name)
    return len(names)


def _key(run: RunRow) -> tuple[str, date, str]:
    ended = run.ended_at or run.started_at
    return run.exchange, ended.astimezone(ZONE).date(), str(run.plan["way"])


def _row(key: tuple[str, date, str], each: Tally) -> TallyRow:
    name, day, way = key
    return TallyRow(exchange=name, day=day, way=way, **vars(each))
