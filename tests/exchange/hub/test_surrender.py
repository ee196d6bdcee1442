from __future__ import annotations

from exchange.hub.surrender import given_up
from tests.exchange.engine.town import CODE, SYNC, TAX, Town


def test_what_a_scheduler_gave_up_stands_in_the_log(town: Town) -> None:
    with town.hub() as hub:
        given_up(hub, town.share, attempt="manual__1", reason="timed_out")
        [found] = hub.audit.search(by=town.actor("auditor"), type="ScheduledRunAbandoned").events
        assert (found.exchange, found.resource, found.department) == (town.share, CODE, TAX)
        assert found.body == {"attempt": "manual__1", "reason": "timed_out"}


def test_of_an_exchange_that_is_not_there_nothing_is_written(town: Town) -> None:
    with town.hub() as hub:
        given_up(hub, "share-nobody", attempt="manual__1", reason="failed")
        assert hub.audit.search(by=town.actor("auditor"), type="ScheduledRunAbandoned").events == ()
    assert town.runs(SYNC) == []
