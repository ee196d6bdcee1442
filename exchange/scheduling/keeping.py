"""Housekeeping (日常维护): what the hub is reminded of, minute by minute, hour by hour, day by day.

Airflow may lose an event, and so may whoever sends one. What is owed stands in the hub's books: every minute those are
asked what should have been begun and was not, and that is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, BaseOperator, CronTriggerTimetable, Param, get_parsing_context
from airflow.sdk.exceptions import AirflowFailException

from exchange.errors import HubError
from exchange.scheduling.assets import ZONE, call, minute
from exchange.scheduling.factory import keyed
from exchange.scheduling.operators import opened
from exchange.scheduling.outcomes import HubRetryPolicy, outcome, told
from exchange.snapshot import Scheduled, read

if TYPE_CHECKING:
    from airflow.sdk import Context

    from exchange.hub import Hub

GRACE = 120.0
"""Seconds that whoever is told of something has to begin it, before he is told again."""
AT_ONCE = 50
"""How many exchanges are called in one minute: more of them would only wait, and keep Airflow's database."""
HOUSEKEEPERS = ("shutong-keep", "shutong-verify")
"""Ids of the DAGs of housekeeping."""
UNDER_WAY = ("queued", "running")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_IN_LINE = 1000
"""Priority of housekeeping: it is short, and what it finds is late already."""


class KeepOperator(BaseOperator):
    """Keeps the hub, then calls what should have been begun and was not (维护与补办)."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Do it; what it came to is the task's result."""
        with closing(opened()) as hub:
            try:
                kept = hub.timetable.keep()
                late = hub.timetable.lost(float(context["params"].get("grace", GRACE)))
                snapshot = read(hub.timetable.path)
            except HubError as error:
                raise outcome(error, lease=timedelta(seconds=hub.settings.lease_seconds)) from error
            scheduled = {each.id: each for each in snapshot.exchanges}
            # What is carried out in batches is looked after there.
            alone = [scheduled[each] for each in late if each in scheduled and not scheduled[each].batched]
            called = self._call(context, alone)
            # One that cannot be scheduled waits for who mends it.
            ended = self._end(hub, [each for each in late if each not in (*scheduled, *snapshot.broken)])
        for part, reason in kept.failed.items():
            self.log.warning("维护 %s 未成，下次再办：%s", part, reason)
        return {"kept": dict(kept.done), "failed": dict(kept.failed), "called": called, "ended": ended}

    def _call(self, context: Context, late: Iterable[Scheduled]) -> list[str]:
        """Call exchanges that have no run under way; as many as can be begun in a minute."""
        count, key = context["ti"].get_dr_count, minute(datetime.now(UTC))
        outlets: list[Asset] = []
        for exchange in late:
            if len(outlets) == AT_ONCE:
                break
            if count(dag_id=exchange.id, states=list(UNDER_WAY)):
                continue
            asset = call(exchange.id)
            event = context["outlet_events"][asset]
            event.extra = {"exchange": exchange.id, "reason": "lost"}
            if keyed(exchange):
                event.add_partitions(key)
            outlets.append(asset)
            self.log.info("补办交换 %s", exchange.id)
        self.outlets[:] = outlets
        return [asset.name.partition("/")[2] for asset in outlets]

    def _end(self, hub: Hub, late: Iterable[str]) -> list[str]:
        """Bring to its end what was begun and is not scheduled any more: its grant is over."""
        done = []
        for exchange in late:
            try:
                hub.oversight.carry_out(exchange, scheduled=True)
            except HubError as error:
                self.log.info("交换 %s：%s", exchange, told(error))
            else:
                done.append(exchange)
        return done


class VerifyOperator(BaseOperator):
    """Verifies the hub's log (日志核验)."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Do it.

        Raises:
            AirflowFailException: The log is not as it was written.
        """
        from exchange.identity import PLATFORM

        with closing(opened()) as hub:
            try:
                found = hub.oversight.verify(by=PLATFORM)
            except HubError as error:
                raise outcome(error, lease=timedelta(seconds=hub.settings.lease_seconds)) from error
        for warning in found.warnings:
            self.log.warning("%s", warning)
        if found.faults:
            for fault in found.faults:
                self.log.error("%s", fault)
            message = f"日志有 {len(found.faults)} 处问题（由审计管理员执行 shutong audit verify 查看并处理）"
            raise AirflowFailException(message)
        return {"verified": found.verified, "warnings": len(found.warnings)}


def dags() -> Mapping[str, DAG]:
    """The DAGs of housekeeping, by name; while a task is run, its DAG alone."""
    wanted = get_parsing_context().dag_id
    made = {
        "shutong-keep": ("日常维护", "* * * * *", KeepOperator, _KEEP),
        "shutong-verify": ("日志核验", "30 5 * * *", VerifyOperator, _VERIFY),
    }
    return {name: _dag(name, *given) for name, given in made.items() if wanted in (None, name)}


_KEEP = """每分钟：到期的授权、隔离行、附件和旧账目，待送与撤回，处理结果；重新发布有变的排班快照；
把该办而没有办的交换补办。"""
_VERIFY = """每天：核验日志链，以回执、台账和批次为证。有问题时任务失败，请审计管理员处理。"""


def _dag(name: str, title: str, cron: str, operator: type[BaseOperator], what: str) -> DAG:
    dag = DAG(
        dag_id=name,
        dag_display_name=title,
        description=title,
        doc_md=what,
        schedule=CronTriggerTimetable(cron, timezone=ZONE),
        start_date=FIRST,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=1),
        tags=["平台"],
        default_args={"owner": "shutong"},
        is_paused_upon_creation=False,
        params={"grace": Param(GRACE, type="number", minimum=0, title="宽限（秒）")}
        if operator is KeepOperator
        else {},
    )
    operator(
        task_id="keep" if operator is KeepOperator else "verify",
        dag=dag,
        priority_weight=FIRST_IN_LINE,
        weight_rule="absolute",
        execution_timeout=timedelta(minutes=30),
        retries=2,
        retry_delay=timedelta(seconds=10),
        retry_policy=HubRetryPolicy(),
    )
    return dag
