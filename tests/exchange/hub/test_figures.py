"""Figures of a period: right, and to those whom they concern."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, RunRow
from exchange.errors import Invalid
from exchange.hub.figures import DEFAULT, LONGEST
from tests.exchange.engine.town import HUB, POLICE, SYNC, Town, person, wrong


def run(town: Town) -> None:
    town.report(*(person(number) for number in range(1, 40)), wrong(40))
    town.run_both()


def test_a_dashboard_says_what_the_runs_say(town: Town) -> None:
    run(town)
    with town.hub() as hub:
        found = hub.figures.dashboard(by=town.actor("auditor"))
    counts = [each.counts for each in town.all(sa.select(RunRow))]
    assert found.until - found.since == DEFAULT - timedelta(days=1)
    assert (found.whole.runs, found.success) == (2, 1.0)
    assert found.whole.written == sum(each["written"] for each in counts)
    assert found.refusal == 1 / sum(each["read"] for each in counts)
    assert {(each.day, each.way) for each in found.volume} == {(found.until, "database")}
    assert {(each.provider, each.recipient) for each in found.flows} >= {(POLICE, HUB)}
    assert [each.exchange for each in found.most_refused] == [SYNC]
    assert {each.exchange for each in found.slowest} == {SYNC, town.share}
    assert all(each.seconds > 0 for each in found.slowest)
    assert (found.overdue, found.stalest) == (0, ())
    assert [(each.timely, each.overdue, each.resting) for each in found.cycles] == [(1, 0, 0)]
    with town.hub() as hub:
        assert hub.figures.volume(by=town.actor("auditor")) == found.volume
        assert hub.figures.cycles(by=town.actor("auditor")) == found.cycles
        assert hub.figures.cycles(by=town.actor("tax")) == ()


def test_people_see_what_concerns_their_department(town: Town) -> None:
    run(town)
    with town.hub() as hub:
        whole = hub.figures.exchanges(by=town.actor("auditor"))
        for name in ("police", "tax"):
            by = town.actor(name)
            own = hub.figures.exchanges(by=by)
            assert own == tuple(each for each in whole if by.department in (each.provider, each.recipient))
            dashboard = hub.figures.dashboard(by=by)
            assert {each.exchange for each in dashboard.slowest} == {each.exchange for each in own}
            assert sum(each.figures.runs for each in own) == dashboard.whole.runs
        tax = hub.figures.exchanges(by=town.actor("tax"))
    assert SYNC not in {each.exchange for each in tax}
    assert tax


def test_a_period_is_bounded(town: Town) -> None:
    run(town)
    with town.hub() as hub:
        by = town.actor("auditor")
        today = hub.figures.dashboard(by=by).until
        before = hub.figures.dashboard(by=by, until=today - timedelta(days=1))
        assert (before.whole.runs, before.success, before.refusal, before.volume) == (0, None, None, ())
        for since, until in ((today, today - timedelta(days=1)), (today - LONGEST - timedelta(days=1), today)):
            with pytest.raises(Invalid):
                hub.figures.dashboard(by=by, since=since, until=until)


def test_figures_are_exported_and_an_event_says_so(town: Town) -> None:
    run(town)
    out = io.BytesIO()
    with town.hub() as hub:
        assert hub.figures.export(out, "csv", by=town.actor("auditor")) == 2
        with pytest.raises(Invalid):
            hub.figures.export(out, "xls", by=town.actor("auditor"))
    header, *rows = out.getvalue().decode("utf-8-sig").splitlines()
    assert header.startswith("exchange,resource,provider,recipient,runs,")
    assert len(rows) == 2
    (event,) = town.all(sa.select(EventRow).where(EventRow.type == "FiguresExported"))
    assert event.body == {"exchanges": 2, "format": "csv"}
