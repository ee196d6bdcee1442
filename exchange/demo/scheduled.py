"""The demonstration's Airflow (演示排班): the same exchanges, carried out by the DAGs that a real hub's Airflow has.

It is started in the city's home and ends with the city. When each exchange runs is the demonstration's to say, so that
what a visitor is shown is the same each time: in its own snapshot nothing has a time, and nothing waits for anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from exchange.demo.processes import environment
from exchange.engine import RunResult
from exchange.errors import Busy, Failed, Unknown
from exchange.scheduling.client import Airflow, DagRun
from exchange.scheduling.embedded import Embedded
from exchange.scheduling.shapes import bundles
from exchange.snapshot import Snapshot, write

if TYPE_CHECKING:
    from exchange.demo.city import City

SNAPSHOT = "airflow/demonstration.json"
KEEPING = ("shutong-keep", "shutong-verify")
"""DAGs that look after a hub; in a city that lives for minutes there is nothing to look after."""
SEEN_SECONDS = 120
"""Within which Airflow must have read the exchanges."""
RUN_SECONDS = 600
"""Within which a round of exchanges must have ended."""
TASK = "exchange"


class Scheduled:
    """Airflow in the city's home.

    Args:
        city: The city, whose exchanges there are already when this is started.
        say: Told how it goes on.
    """

    def __init__(self, city: City, say: Callable[[str], None]) -> None:
        self._city = city
        self._say = say
        snapshot = city.home / SNAPSHOT
        self._snapshot = snapshot
        options = {"dag_processor.dag_bundle_config_list": bundles(snapshot)}
        settings = city.hub.settings
        # The settings of whoever looks on are none of it.
        self._embedded = Embedded(settings, port=0, options=options, inherited=environment(), say=say)

    @property
    def address(self) -> str:
        """Where its interface is, as long as the demonstration lasts."""
        return self._embedded.address

    def start(self) -> None:
        """Start it, and wait until it knows the city's exchanges."""
        self._say("启动 Airflow（内置）……")
        published = self._city.hub.timetable.snapshot()
        if published.broken:
            raise Failed(f"有交换不能排班：{json.dumps(dict(published.broken), ensure_ascii=False)}")
        quiet = [replace(each, cron=None, reads=(), arrivals=None) for each in published.exchanges]
        write(self._snapshot, Snapshot(exchanges=tuple(quiet), pools=published.pools))
        self._embedded.start()
        wanted = {each.id for each in quiet}
        until = time.monotonic() + SEEN_SECONDS
        with self._embedded.client() as airflow:
            while missing := self._missing(airflow, wanted):
                if time.monotonic() > until:
                    raise Failed(
                        f"Airflow 没有读到 {len(missing)} 个交换", remedy=f"原因在 {self._embedded.folder}/logs"
                    )
                self._embedded.wait(0.5)
            for name in KEEPING:
                with suppress(Unknown):
                    airflow.pause(name)
        self._say(f"Airflow 已就绪：{self.address}，{len(wanted)} 个交换")

    def _missing(self, airflow: Airflow, wanted: set[str]) -> set[str]:
        """What Airflow has not read yet; while it is too busy to say, all of it."""
        try:
            return wanted - {dag.id for dag in airflow.dags()}
        except Failed:
            return wanted

    def stop(self) -> None:
        """End it. Repeatable."""
        self._embedded.stop()

    def run(self, exchanges: Sequence[str], called: Sequence[str]) -> list[RunResult]:
        """Carry exchanges out, as many together as there is room for.

        Args:
            exchanges: Their ids.
            called: Those of them that departments' own programmes call for; nobody schedules these.

        Returns:
            What their books say, in the order of the ids.

        Raises:
            HubError: One was not carried out; says why.
        """
        done = self._embedded.perform({each: {} for each in exchanges if each not in called}, RUN_SECONDS)
        return [self._city.run(each) if each in called else self._booked(done[each]) for each in exchanges]

    def _booked(self, done: DagRun) -> RunResult:
        """What the hub's books say of a run that Airflow carried out."""
        if done.state != "success":
            logs = self._embedded.folder / "runs" / f"dag_id={done.dag}" / f"run_id={done.id}"
            raise Failed(f"Airflow 没有办成交换 {done.dag}（{done.state}）", remedy=f"原因在 {logs}")
        with self._embedded.client() as airflow:
            told = airflow.xcom(done.dag, done.id, TASK)
        if not told:
            raise Busy(f"交换 {done.dag} 在 Airflow 中没有结果")
        return self._city.programmes.booked(told["run"])
