from __future__ import annotations

import pytest
import sqlalchemy as sa

from exchange.db.tables import GrantRow, RateRow
from exchange.hub import Hub
from exchange.service.rates import Exceeded, Measure, Rates, granted
from exchange.settings import Limits
from tests.exchange.engine.town import POLICE, TAX
from tests.exchange.service.callers import Callers


def take(hub: Hub, rates: Rates, department: str = TAX, grant: Measure | None = None, **asked: int) -> int:
    with hub.database.transaction() as session:
        return rates.take(session, department, grant=grant, **asked)


def counted(hub: Hub) -> dict[str, tuple[int, int]]:
    with hub.database.reading() as session:
        return {row.department: (row.calls, row.rows) for row in session.scalars(sa.select(RateRow))}


def measure(calls: int | None, rows: int | None) -> Measure:
    return Measure("G1", "授权 G1 ", calls, rows)


def test_calls_and_rows_of_a_minute_are_those_of_all_workers(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [6000.0]
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: moment[0])
    limits = Limits(calls_per_minute=3, rows_per_minute=10)
    with callers.town.hub() as hub:
        one, other = Rates(lambda: limits), Rates(lambda: limits)
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


def test_what_is_asked_for_under_a_grant_counts_in_both(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [6000.0]
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: moment[0])
    with callers.town.hub() as hub:
        one, other = (Rates(lambda: Limits(calls_per_minute=4, rows_per_minute=100)) for _ in range(2))
        narrow = measure(2, None)
        take(hub, one, grant=narrow)
        take(hub, other, grant=narrow)
        for rates in (one, other):
            with pytest.raises(Exceeded, match="授权 G1 每分钟不超过 2 次调用") as caught:
                take(hub, rates, grant=narrow)
            assert caught.value.seconds == 60
        assert counted(hub) == {TAX: (2, 0), "G1": (2, 0)}  # what was refused is in neither
        take(hub, one)  # of another grant of the department
        wide = measure(1000, None)
        take(hub, one, grant=wide)
        with pytest.raises(Exceeded, match="本部门每分钟不超过 4 次调用"):
            take(hub, one, grant=wide)
        assert counted(hub) == {TAX: (4, 0), "G1": (3, 0)}
        moment[0] = 6060.0
        take(hub, one, grant=narrow)
        take(hub, one, calls=0, rows=5, grant=narrow)  # it has no limit of rows


def test_the_rows_of_a_grant_never_go_beyond(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: 6000.0)
    with callers.town.hub() as hub:
        rates = Rates(lambda: Limits(calls_per_minute=100, rows_per_minute=8))
        assert take(hub, rates, rows=3, grant=measure(None, 5)) == 3
        assert take(hub, rates, rows=3, grant=measure(None, 5)) == 2
        assert take(hub, rates, rows=0, grant=measure(None, 5)) == 0  # a call without rows
        assert take(hub, rates, rows=0, grant=measure(None, 1)) == 0
        with pytest.raises(Exceeded, match="授权 G1 每分钟不超过 5 行"):
            take(hub, rates, rows=1, grant=measure(None, 5))
        assert take(hub, rates, rows=500, grant=measure(9, None)) == 500  # of the department they may
        with pytest.raises(Exceeded, match="本部门每分钟不超过 8 行"):
            take(hub, rates, rows=1, grant=measure(None, 1000))


def test_the_measure_of_a_grant() -> None:
    assert granted(GrantRow(id="G1", body={"items": []})) is None
    assert granted(GrantRow(id="G1", body={"rows_per_minute": 5})) == measure(None, 5)
    assert granted(GrantRow(id="G1", body={"calls_per_minute": 3, "rows_per_minute": 5})) == measure(3, 5)
