"""The task that carries an exchange out (交换任务).

The hub and its libraries are imported when a task runs, never when a DAG is read. What a run did is in its XCom
and its log: sizes, counts, names; never anything of a record.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator, Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from exchange.errors import HubError
from exchange.scheduling.assets import minute
from exchange.scheduling.connections import open_hub
from exchange.scheduling.lineage import Traceable
from exchange.scheduling.links import ExchangeLink, RunLink
from exchange.scheduling.outcomes import judged, outcome, told

if TYPE_CHECKING:
    from airflow.sdk import Context

    from exchange.engine import RunResult
    from exchange.hub import Hub
    from exchange.identity import Actor

CONNECTION = "shutong"
"""Airflow's connection that names the hub's home (extra ``home``), where ``SHUTONG_HOME`` does not."""
STEPS = {
    "1.planned": "已定计划",
    "2.leased": "开始执行",
    "3.read": "读取",
    "5.staged": "已暂存",
    "5.manifest": "清单已落盘",
    "6.gate": "核对授权",
    "6.gated": "授权核对完毕",
    "7.commit": "提交",
    "7.committed": "已提交",
    "7.refused": "目标端拒收",
    "8.promoted": "已入账",
    "9.settled": "已办结",
}
EVERY = 5.0
"""Seconds between two lines of one step."""


class ExchangeOperator(Traceable, BaseOperator):
    """Carries one exchange out: a synchronisation or an authorised delivery (交换).

    Args:
        exchange: Id of the exchange.
        home: Home of the hub, where neither ``SHUTONG_HOME`` nor the connection is to say.
    """

    template_fields: Sequence[str] = ()
    operator_extra_links = (RunLink(), ExchangeLink())
    ui_color = "#e8f3ee"

    def __init__(self, *, exchange: str, home: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.exchange = exchange
        self.home = home
        self._running = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the exchange; what it did becomes the task's result.

        Raises:
            Again: What stopped it may heal by itself.
            AirflowFailException: It stopped, and a person must look.
            AirflowSkipException: It is no longer granted, or rests.
        """
        # Emitted are events of what was changed, and nothing of a run that changed nothing.
        outlets, self.outlets[:] = [each for each in self.outlets if isinstance(each, Asset)], []
        with closing(opened(self.home)) as hub:
            result = self._carried(hub, context)
            self.trace(hub, result)
        metrics = told_of(result)
        context["ti"].xcom_push(key="metrics", value=metrics)
        self.log.info("批次 %s 办结：%s", result.id, figures(result.counts))
        judged(result)
        if metrics["written"]:
            extra = {"exchange": self.exchange, **metrics}
            for asset in outlets:
                event = context["outlet_events"][asset]
                event.extra = extra
                event.add_partitions(minute(datetime.now(UTC)))
            self.outlets[:] = outlets
        return metrics

    def on_kill(self) -> None:
        """Let go at once: what was begun stays as it is, and whoever comes next goes on with it.

        Raises:
            SystemExit: While the exchange is run; on its way out the lease is given back.
        """
        if self._running:
            self.log.warning("任务被终止；已做的不会丢，下次执行接着办理")
            raise SystemExit(143)

    def _carried(self, hub: Hub, context: Context) -> RunResult:
        redeliver = bool(context["params"].get("redeliver"))
        try:
            by = _actor(context)
        except HubError as error:
            raise AirflowFailException(told(error)) from error
        self._running = True
        try:
            return hub.oversight.carry_out(
                self.exchange, by=by, scheduled=True, redeliver=redeliver, observe=self._progress()
            )
        except HubError as error:
            lease = timedelta(seconds=hub.settings.lease_seconds)
            raise outcome(error, lease=lease, rests=self._rests(hub)) from error
        finally:
            self._running = False

    def _rests(self, hub: Hub) -> bool:
        """Whether somebody has paused or ended the exchange, or it is gone."""
        states = {each.id: each.state for each in hub.oversight.status()}
        return states.get(self.exchange, "ended") in ("paused", "ended")

    def _progress(self) -> Any:
        last: dict[str, float] = {}

        def observe(step: str, given: dict[str, Any]) -> None:
            moment = time.monotonic()
            if moment - last.get(step, -EVERY) >= EVERY:
                last[step] = moment
                self.log.info("%s %s %s", self.exchange, STEPS.get(step, step), figures(given))

        return observe


def opened(home: str | None = None) -> Hub:
    """The hub that a task works for.

    Args:
        home: Its home, where neither the environment nor the connection is to say.

    Raises:
        AirflowFailException: This worker cannot get in; that says nothing about any exchange.
        Again: Its database is busy.
    """
    try:
        return open_hub(hub_home(home))
    except HubError as error:
        if error.retry:
            raise outcome(error, lease=timedelta(seconds=30)) from error
        raise AirflowFailException(told(error)) from error


def hub_home(given: str | None = None) -> Path | None:
    """The home of the hub that a task works for: the one given, ``SHUTONG_HOME``'s, or the connection's.

    Returns:
        None where none of them says anything: then it is the user's own.
    """
    home = given or os.environ.get("SHUTONG_HOME")
    if not home:
        try:
            home = Connection.get(CONNECTION).extra_dejson.get("home")
        except AirflowNotFoundException:
            return None
    return Path(str(home)).expanduser() if home else None


def figures(given: dict[str, Any]) -> str:
    """Counts of a step, as a line shows them; whatever is no number stays out."""
    numbers = {name: value for name, value in given.items() if isinstance(value, int) and not isinstance(value, bool)}
    return " ".join(f"{name}={value:,}" for name, value in numbers.items())


def told_of(result: RunResult) -> dict[str, Any]:
    """What a run came to, as other tasks and people read it."""
    return {
        "run": result.id,
        "delivery": f"{result.plan.digest()}-{result.id}",
        "state": result.state,
        "receipt": result.receipt,
        "seconds": round(result.seconds, 3),
        **{name: int(result.counts.get(name, 0)) for name in COUNTS},
        "files": dict(result.files),
        "owed": list(result.owed),
        "reasons": list(result.reasons),
    }


COUNTS = ("read", "filtered", "refused", "unchanged", "superseded", "written", "deleted")


def _actor(context: Context) -> Actor:
    """The platform, or who started the run by hand."""
    from exchange.identity import PLATFORM, through_scheduler

    run = context["dag_run"]
    by_hand = str(getattr(run.run_type, "value", run.run_type)) == "manual"
    redeliver = context["params"].get("redeliver")
    if not by_hand or not (run.triggering_user_name or redeliver):
        return PLATFORM
    return through_scheduler(run.triggering_user_name or "")
