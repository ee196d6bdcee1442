from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.hub import Hub
from exchange.site import metrics
from exchange.site.metrics import Metrics
from tests.exchange.engine.town import SYNC, Town, person, wrong


@pytest.fixture
def hub(town: Town) -> Iterator[Hub]:
    with town.hub() as found:
        yield found


def told(hub: Hub) -> dict[str, float]:
    content, kind = Metrics(hub).told()
    assert kind.startswith("text/plain")
    lines = [line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_what_moved_today_what_was_refused_and_what_waits(town: Town, hub: Hub) -> None:
    before = told(hub)
    assert before["shutong_database_up"] == 1
    assert not [name for name in before if name.startswith("shutong_rows_total")]
    town.report(*(person(number) for number in range(30)), wrong(31))
    hub.oversight.carry_out(SYNC)
    after = told(hub)
    assert after['shutong_runs_total{outcome="delivered",way="database"}'] == 1
    assert after['shutong_runs_total{outcome="failed",way="database"}'] == 0
    assert after['shutong_rows_total{way="database",what="read"}'] == 31
    assert after['shutong_rows_total{way="database",what="written"}'] == 30
    assert after['shutong_rows_total{way="database",what="refused"}'] == 1
    assert (
        0 < after['shutong_run_slowest_seconds{way="database"}'] <= after['shutong_run_seconds_total{way="database"}']
    )
    assert after['shutong_exchanges{kind="synchronisation",state="active"}'] == 1
    assert after["shutong_lag_seconds"] >= 0
    assert "shutong_events_unsealed" in after


def test_no_question_takes_longer_with_the_years(town: Town, hub: Hub) -> None:
    """Of tables that grow with history nothing is read but by an index."""
    town.report(person(1))
    hub.oversight.carry_out(SYNC)
    asked: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    try:
        assert told(hub)["shutong_database_up"] == 1
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", heard)
    plans = []
    with hub.database.reading() as session:
        for statement, parameters in asked:
            if statement.startswith("SELECT"):
                found = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += [row[-1] for row in found]
    read = [plan for plan in plans if any(f" {name} " in f"{plan} " for name in ("run", "event", "dispatch", "tally"))]
    assert len(read) >= 4
    assert [plan for plan in read if not plan.startswith("SEARCH")] == []


def test_strangers_make_no_figures_of_their_own(hub: Hub) -> None:
    found = Metrics(hub)
    for number in range(50):
        found.called(f"FOO{number}", None, 404, 0.1)
    found.called("GET", "/me", 200, 0.1)
    lines = [line for line in found.told()[0].decode().splitlines() if line.startswith("shutong_calls_total")]
    assert lines == [
        'shutong_calls_total{method="other",route="none",status="404"} 50.0',
        'shutong_calls_total{method="GET",route="/me",status="200"} 1.0',
    ]


def test_the_database_is_asked_seldom(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(metrics, "_under_way", lambda _session: asked.append(1) or [])
    found = Metrics(hub)
    for _ in range(5):
        found.told()
    assert asked == [1]
