"""What is counted as runs end is what follows from the runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from exchange.db.tables import RunRow, TallyRow
from exchange.engine.tallying import Tally, counted, recount, recount_missing, tally
from exchange.errors import HubError
from tests.exchange.engine.town import SYNC, Town, person, wrong

FIELDS = tuple(vars(Tally()))


def kept(town: Town) -> dict[tuple[str, object, str], Tally]:
    rows = town.all(sa.select(TallyRow))
    return {(row.exchange, row.day, row.way): Tally(*(getattr(row, name) for name in FIELDS)) for row in rows}


def from_runs(town: Town) -> dict[tuple[str, object, str], Tally]:
    return dict(counted(town.all(sa.select(RunRow).where(RunRow.ended_at.is_not(None)))))


def exercised(town: Town) -> None:
    """Runs that deliver, refuse, stop and fail."""
    town.report(*(person(number) for number in range(1, 40)), wrong(40))
    town.run_both()
    town.report(person(1, version=2))
    town.run_both()
    town.report(*(wrong(number) for number in range(50, 90)))
    assert town.run(SYNC).state == "stopped"
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.text("UPDATE exchange SET last_delivery = 'lost' WHERE id = :id"), {"id": town.share})
    with pytest.raises(HubError):
        town.run(town.share)


def test_counts_are_taken_where_runs_end(town: Town) -> None:
    exercised(town)
    found = kept(town)
    assert found == from_runs(town)
    sums = sum(found.values(), Tally())
    assert (sums.runs, sums.delivered, sums.stopped, sums.failed) == (6, 4, 1, 1)
    assert sums.refused == 41
    assert sums.written == sum(run.counts["written"] for run in town.all(sa.select(RunRow)) if run.state == "settled")
    assert 0 < sums.slowest <= sums.milliseconds


def test_they_can_be_counted_again_from_the_runs(town: Town) -> None:
    exercised(town)
    before = kept(town)
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.update(TallyRow).values(written=7, runs=99))
    assert kept(town) != before
    with town.hub() as hub, hub.database.transaction() as session:
        for name in (SYNC, town.share):
            recount(session, name)
    assert kept(town) == before


def test_a_hub_that_is_older_than_they_are_counts_once(town: Town) -> None:
    exercised(town)
    before = kept(town)
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.execute(sa.delete(TallyRow))
        assert recount_missing(hub.database) == 2
        assert recount_missing(hub.database) == 0
        assert hub.timetable.keep().done["tallies"] == 0
    assert kept(town) == before


def test_a_day_is_one_in_china_and_a_clock_set_back_takes_no_time_away() -> None:
    began = datetime(2026, 1, 31, 16, 30, tzinfo=UTC)
    run = RunRow(exchange="E", state="red", plan={"way": "file"}, counts=None, started_at=began)
    run.ended_at = began - timedelta(seconds=3)
    assert tally(run) == Tally(runs=1, failed=1)
    ((_, day, way),) = counted([run])
    assert (str(day), way) == ("2026-02-01", "file")
