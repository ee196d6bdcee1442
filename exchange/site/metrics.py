"""Figures for Prometheus (监控指标): what this process answered, and how the hub stands when it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from exchange.db import now
from exchange.db.tables import DispatchRow, EventRow, ExchangeRow, RunRow, TallyRow
from exchange.engine.dispatch import DispatchState
from exchange.engine.states import UNFINISHED
from exchange.engine.tallying import ZONE
from exchange.errors import HubError
from exchange.hub import Hub

_OWED = [each.value for each in DispatchState if each not in (DispatchState.DONE, DispatchState.WITHDRAWN)]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
KEPT_SECONDS = 10.0
"""How long what was asked of the database is told again: many may ask."""


class Metrics:
    """The figures of a process.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "shutong_calls_total", "Calls answered, by route.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "shutong_call_seconds", "How long calls took, by route.", ["method", "route"], registry=self._registry
        )
        self._registry.register(_Standing(hub))

    def called(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a call; what is no address or method of ours is one, whatever it was: strangers make no figures."""
        method, route = method if method in _METHODS else "other", route or "none"
        self._calls.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def told(self) -> tuple[bytes, str]:
        """All figures, and what kind of text it is."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Standing:
    """How the hub stands, by its books."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._kept: tuple[float, list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_SECONDS:
                self._kept = time.monotonic(), self._asked()
            yield from self._kept[1]

    def _asked(self) -> list[Metric]:
        up = GaugeMetricFamily("shutong_database_up", "Whether the hub's database answers.")
        try:
            found = self._books()
        except HubError:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *found]

    def _books(self) -> list[Metric]:
        """What is under way, and the day's tallies: as much work however long the log is."""
        with self._hub.database.reading() as session:
            return [*_under_way(session), *_today(session)]


def _under_way(session: Session) -> list[Metric]:
    exchanges = GaugeMetricFamily("shutong_exchanges", "Exchanges, by kind and state.", labels=["kind", "state"])
    runs = GaugeMetricFamily("shutong_runs_unfinished", "Runs that have not ended, by state.", labels=["state"])
    owed = GaugeMetricFamily(
        "shutong_dispatches", "Deliveries owed to recipients of files, by state.", labels=["state"]
    )
    lag = GaugeMetricFamily("shutong_lag_seconds", "How long the most overdue exchange has been due.")
    sealed = GaugeMetricFamily("shutong_events_unsealed", "Events of the log that are not sealed yet.")
    kinds = select(ExchangeRow.kind, ExchangeRow.state, func.count()).group_by(ExchangeRow.kind, ExchangeRow.state)
    for kind, state, many in session.execute(kinds):
        exchanges.add_metric([kind, state], many)
    unfinished = [each.value for each in UNFINISHED]
    for state, many in session.execute(
        select(RunRow.state, func.count()).where(RunRow.state.in_(unfinished)).group_by(RunRow.state)
    ):
        runs.add_metric([state], many)
    for state, many in session.execute(
        select(DispatchRow.state, func.count()).where(DispatchRow.state.in_(_OWED)).group_by(DispatchRow.state)
    ):
        owed.add_metric([state], many)
    oldest = session.scalar(select(func.min(ExchangeRow.due_at)).where(ExchangeRow.state == "active"))
    lag.add_metric([], max(0.0, (now(session) - oldest).total_seconds()) if oldest is not None else 0.0)
    open_events = select(func.count()).select_from(EventRow).where(EventRow.number.is_(None))
    sealed.add_metric([], session.scalar(open_events) or 0)
    return [exchanges, runs, owed, lag, sealed]


def _today(session: Session) -> list[Metric]:
    """Counters that begin anew at midnight in China, as rates allow them to; the same in every process."""
    runs = CounterMetricFamily("shutong_runs", "Runs that ended since midnight, by outcome.", labels=["way", "outcome"])
    rows = CounterMetricFamily("shutong_rows", "Rows read, written and refused since midnight.", labels=["way", "what"])
    seconds = CounterMetricFamily("shutong_run_seconds", "Seconds that these runs took together.", labels=["way"])
    slowest = GaugeMetricFamily("shutong_run_slowest_seconds", "The longest of these runs.", labels=["way"])
    columns: list[ColumnElement[Any]] = [
        func.sum(each)
        for each in (
            TallyRow.delivered, TallyRow.stopped, TallyRow.failed, TallyRow.read, TallyRow.written, TallyRow.refused,
            TallyRow.milliseconds,
        )
    ]  # fmt: skip
    found = (
        select(TallyRow.way, *columns, func.max(TallyRow.slowest))
        .where(TallyRow.day == now(session).astimezone(ZONE).date())
        .group_by(TallyRow.way)
    )
    for way, delivered, stopped, failed, read, written, refused, milliseconds, longest in session.execute(found):
        for outcome, many in (("delivered", delivered), ("stopped", stopped), ("failed", failed)):
            runs.add_metric([way, outcome], float(many))
        for what, many in (("read", read), ("written", written), ("refused", refused)):
            rows.add_metric([way, what], float(many))
        seconds.add_metric([way], float(milliseconds) / 1000)
        slowest.add_metric([way], longest / 1000)
    return [runs, rows, seconds, slowest]
