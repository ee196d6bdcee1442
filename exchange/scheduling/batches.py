"""Exchanges beyond what Airflow bears a DAG each of (成批交换): every minute, those that are due.

They stand in the snapshot as ``batched``. One task asks the hub's books what is due, was refreshed or is owed; one
mapped task for each endpoint carries its exchanges out one after the other: no department's machine is overrun.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable, get_parsing_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from exchange.errors import HubError
from exchange.scheduling.assets import ZONE
from exchange.scheduling.factory import snapshot_file
from exchange.scheduling.keeping import FIRST
from exchange.scheduling.operators import opened
from exchange.scheduling.outcomes import HubRetryPolicy, judged, outcome
from exchange.snapshot import read

if TYPE_CHECKING:
    from airflow.sdk import Context

BATCH = "shutong-batch"
"""Id of their DAG."""
AT_ONCE = 100
"""Exchanges of one task at most; the others are due in a minute still."""


class GatherOperator(BaseOperator):
    """Finds the batched exchanges that should be run now (到期清点)."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Lists of exchanges, one for each endpoint."""
        with closing(opened()) as hub:
            try:
                batched = {each.id: each for each in read(hub.timetable.path).exchanges if each.batched}
                late = [batched[each] for each in hub.timetable.lost(0) if each in batched]
            except HubError as error:
                raise outcome(error, lease=timedelta(seconds=hub.settings.lease_seconds)) from error
        found: dict[str, list[str]] = defaultdict(list)
        for each in sorted(late, key=lambda each: -each.priority):
            if not each.paused and len(found[each.pool]) < AT_ONCE:
                found[each.pool].append(each.id)
        return [{"exchanges": each} for _pool, each in sorted(found.items())]


class BatchOperator(BaseOperator):
    """Carries several exchanges out, one after the other (成批执行); one that fails keeps none of the others.

    Args:
        exchanges: Their ids.
    """

    def __init__(self, *, exchanges: list[str], **options: Any) -> None:
        super().__init__(**options)
        self.exchanges = exchanges

    def execute(self, context: Context) -> dict[str, Any]:
        """How each ended, by id.

        Raises:
            AirflowFailException: A person must look at some; what may heal has its next time in the hub's books.
        """
        ended, failed = {}, {}
        with closing(opened()) as hub:
            for exchange in self.exchanges:
                try:
                    result = hub.oversight.carry_out(exchange, scheduled=True)
                    ended[exchange] = str(result.state)
                    judged(result)
                except HubError as error:
                    ended[exchange] = type(error).__name__.lower()
                    found: AirflowException = outcome(error, lease=timedelta(seconds=hub.settings.lease_seconds))
                except AirflowException as error:
                    found = error
                else:
                    self.log.info("交换 %s：%s", exchange, result.state)
                    continue
                self.log.warning("交换 %s：%s", exchange, found)
                if isinstance(found, AirflowFailException):
                    failed[exchange] = str(found)
        if failed:
            message = "；".join(f"{exchange}：{why}" for exchange, why in failed.items())
            raise AirflowFailException(message)
        return ended


def dags(path: str | None = None) -> Mapping[str, DAG]:
    """Their DAG, where the snapshot, by default the hub's, has any; else nothing."""
    if get_parsing_context().dag_id not in (None, BATCH):
        return {}
    many = sum(each.batched for each in read(Path(path) if path else snapshot_file()).exchanges)
    if not many:
        return {}
    dag = DAG(
        dag_id=BATCH,
        dag_display_name="成批交换",
        description=f"{many} 个交换成批执行，每分钟办理到期的",
        schedule=CronTriggerTimetable("* * * * *", timezone=ZONE),
        start_date=FIRST,
        catchup=False,
        max_active_runs=1,
        tags=["平台"],
        default_args={"owner": "shutong"},
        is_paused_upon_creation=False,
    )
    common: dict[str, Any] = {"dag": dag, "retries": 2, "retry_delay": timedelta(seconds=10)}
    due = GatherOperator(task_id="due", retry_policy=HubRetryPolicy(), **common)
    BatchOperator.partial(task_id="batch", execution_timeout=timedelta(hours=4), **common).expand_kwargs(due.output)
    return {BATCH: dag}
