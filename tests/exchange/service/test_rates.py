from __future__ import annotations

import pytest
import sqlalchemy as sa

from exchange.db.tables import RateRow
from exchange.hub import Hub
from exchange.service.rates import Exceeded, Rates
from exchange.settings import Limits
from tests.exchange.engine.town import POLICE, TAX
from tests.exchange.service.callers import Callers


def take(hub: Hub, rates: Rates, department: str = TAX, **asked: int) -> None:
    with hub.database.transaction() as session:
        rates.take(session, department, **asked)


def test_calls_and_rows_of_a_minute_are_those_of_all_workers(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [6000.0]
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: moment[0])
    limits = Limits(calls_per_minute=3, rows_per_minute=10)
    with callers.town.hub() as hub:
        one, other = Rates(limits), Rates(limits)
        take(hub, one)
        take(hub, other)
        take(hub, one)
        moment[0] = 6050.0
        for rates in (one, other):
            with pytest.raises(Exceeded) as caught:
                take(hub, rates)
            assert caught.value.seconds == 10
            assert "retry_after=10" in caught.value.remedy
        take(hub, one, POLICE)
        moment[0] = 6060.0
        take(hub, one, rows=9)
        take(hub, one, rows=500)  # may go beyond
        with pytest.raises(Exceeded, match="行"):
            take(hub, one, rows=1)
        take(hub, one)  # a call without rows
        moment[0] = 60_000.0
        take(hub, one)
        with hub.database.reading() as session:
            assert [row.minute for row in session.scalars(sa.select(RateRow))] == [1000]
