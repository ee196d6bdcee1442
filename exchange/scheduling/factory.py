"""From the snapshot to DAGs (排班工厂): one for each exchange, the same from the same snapshot.

Nothing here opens the hub or its database. A worker that parses for one task builds that task's DAG alone.
"""

from __future__ import annotations

import os
import re
import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import (
    DAG,
    AssetAll,
    AssetAny,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    Param,
    PartitionedAssetTimetable,
    StartOfDayMapper,
    get_parsing_context,
)

from exchange.errors import HubError, Invalid
from exchange.scheduling.alerts import given_up
from exchange.scheduling.assets import MINUTE, ZONE, call, resource
from exchange.scheduling.operators import ExchangeOperator
from exchange.scheduling.outcomes import TRIES, HubRetryPolicy
from exchange.scheduling.parts import PartOperator, SplitOperator
from exchange.scheduling.shapes import SHARDS
from exchange.scheduling.triggers import WaitingTrigger
from exchange.snapshot import NAME, Scheduled, Snapshot, read

POOL = "shutong:{}"
"""What an endpoint's share of the machine is called."""
DEFAULT_POOL = "default_pool"
SYNCHRONISATION = "synchronisation"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,199}")
_CRON = re.compile(r"\S+(?: \S+){4}")


def shard(exchange: str) -> int:
    """In which of the files an exchange is: always the same, whatever becomes of the others."""
    return zlib.crc32(exchange.encode()) % SHARDS


def pool(endpoint: str) -> str:
    """Name of an endpoint's pool (端点并发池)."""
    return POOL.format(endpoint) if endpoint else DEFAULT_POOL


def keyed(exchange: Scheduled) -> bool:
    """Whether it is started by events with a key; the others by events without one."""
    return bool(exchange.reads) and exchange.cron is None and not exchange.paused


def dags(snapshot: Snapshot) -> dict[str, DAG]:
    """The DAGs of a snapshot by their names, in the order of the names; while a task is run, its DAG alone.

    What cannot be built is left out with a warning that names it: the others live on.
    """
    wanted = get_parsing_context().dag_id
    if wanted is None:
        for broken, reason in sorted(snapshot.broken.items()):
            warnings.warn(unschedulable(broken, reason), stacklevel=2)
    built = {}
    for exchange in sorted(snapshot.exchanges, key=lambda each: each.id):
        if exchange.batched or (wanted is not None and exchange.id != wanted):
            continue
        try:
            built[exchange.id] = dag_of(exchange)
        except (HubError, TypeError, ValueError) as error:
            warnings.warn(unschedulable(exchange.id, str(error)), stacklevel=2)
    return built


def planned(path: Path | str | None = None, *, pooled: bool = True) -> dict[str, DAG]:
    """The DAGs of a snapshot file, by default of the hub's that ``SHUTONG_HOME`` names.

    Args:
        path: The file.
        pooled: Whether somebody makes the endpoints' pools: a task that names one that is not there waits for ever.

    Raises:
        Invalid: There is none, it is not whole, or a newer hub wrote it.
    """
    snapshot = read(Path(path) if path is not None else snapshot_file())
    if not pooled:
        snapshot = replace(snapshot, exchanges=tuple(replace(each, pool="") for each in snapshot.exchanges))
    return dags(snapshot)


def snapshot_file() -> Path:
    """Where the hub's snapshot lies, unless its settings say otherwise."""
    home = os.environ.get("SHUTONG_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".shutong") / NAME


def fault(exchange: Scheduled) -> str | None:
    """Why an exchange cannot be scheduled, if it cannot."""
    try:
        dag_of(exchange)
    except (HubError, TypeError, ValueError) as error:
        return str(error)
    return None


def unschedulable(exchange: str, reason: str) -> str:
    """What is said of an exchange that is left out."""
    return f"交换 {exchange} 不能排班：{reason}（改正后执行 shutong airflow publish）"


def dag_of(exchange: Scheduled) -> DAG:
    """The DAG of one exchange.

    Raises:
        Invalid: Something about it cannot be scheduled; says what.
    """
    _check(exchange)
    dag = DAG(
        dag_id=exchange.id,
        dag_display_name=exchange.title,
        description=exchange.title,
        doc_md=_described(exchange),
        schedule=schedule_of(exchange),
        # Without a beginning: with one that is past, the first look would run the tick before it. Windows before
        # anybody looked can be back-filled.
        catchup=False,
        max_active_runs=1,
        tags=sorted(set(exchange.tags)),
        default_args={"owner": exchange.owner or "shutong"},
        is_paused_upon_creation=exchange.paused,
        on_failure_callback=given_up,
        params={
            "redeliver": Param(
                default=False, type="boolean", title="重新交付", description="不论以前交付过什么，全部重新交付一次"
            )
        },
    )
    common: dict[str, Any] = {
        "dag": dag,
        "pool": pool(exchange.pool),
        "priority_weight": exchange.priority,
        "weight_rule": "absolute",
        "execution_timeout": timedelta(minutes=exchange.timeout_minutes),
        "retries": TRIES,
        "retry_delay": timedelta(seconds=15),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=10),
        "retry_policy": HubRetryPolicy(),
    }
    carried = ExchangeOperator(
        task_id="exchange",
        exchange=exchange.id,
        outlets=[resource(code) for code in sorted(set(exchange.refreshes))],
        # Of a run in parts it does what the others could not.
        trigger_rule="all_done",
        **common,
    )
    if exchange.parts > 1:
        cut = SplitOperator(task_id="split", exchange=exchange.id, parts=exchange.parts, **common)
        PartOperator.partial(task_id="part", **common).expand_kwargs(cut.output) >> carried
    return dag


def schedule_of(exchange: Scheduled) -> Any:
    """When an exchange runs (排班).

    What reads the library starts on refreshes, by their keys, unless it was given times. Everything else
    starts by the clock and when it is called.
    """
    if exchange.paused:
        return None
    called = call(exchange.id, [] if keyed(exchange) or exchange.arrivals is None else [watcher(exchange.id)])
    if keyed(exchange):
        read_ones = [resource(code) for code in sorted(set(exchange.reads))]
        if exchange.all_of and len(read_ones) > 1:
            # A key is mapped to its day, and each day asks for all of them; to be called is enough by itself.
            day = StartOfDayMapper(timezone=ZONE, input_format=MINUTE)
            return PartitionedAssetTimetable(
                assets=AssetAny(AssetAll(*read_ones), called), default_partition_mapper=day
            )
        return PartitionedAssetTimetable(assets=AssetAny(*read_ones, called))
    if exchange.cron is None:
        return [called]
    # Whoever sees it for the first time begins with the next tick, however long it has been there.
    ticks = CronTriggerTimetable(exchange.cron, timezone=ZONE, run_immediately=timedelta(0))
    return AssetOrTimeSchedule(timetable=ticks, assets=[called])


def watcher(exchange: str) -> AssetWatcher:
    """What calls an exchange when something arrives for it (看守): by events without a key."""
    return AssetWatcher(name=f"waiting/{exchange}", trigger=WaitingTrigger(None, exchange))


def _described(exchange: Scheduled) -> str:
    lines = [exchange.description.strip()]
    if exchange.link:
        lines.append(f"[{exchange.id}]({exchange.link})")
    return "\n\n".join(filter(None, lines))


def _check(exchange: Scheduled) -> None:
    """What Airflow would only find out later, or never."""
    if not _ID.fullmatch(exchange.id):
        raise Invalid("编号只能由字母、数字和连字符组成")
    if exchange.kind not in ("synchronisation", "sharing"):
        raise Invalid(f"未知的交换种类 {exchange.kind}")
    _check_numbers(exchange, {"priority": exchange.priority, "timeout_minutes": exchange.timeout_minutes})
    if exchange.cron is not None:
        _check_cron(exchange.cron)


def _check_numbers(exchange: Scheduled, numbers: Mapping[str, Any]) -> None:
    names = {"priority": "优先级", "timeout_minutes": "时限"}
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise Invalid(f"{names[name]}不是正整数")


def _check_cron(cron: str) -> None:
    from croniter import CroniterError, croniter

    if not _CRON.fullmatch(cron):
        raise Invalid(f"时间表 {cron} 不是五段的 cron 表达式")
    try:
        croniter(cron, datetime.now(ZoneInfo(ZONE))).get_next()
    except CroniterError as error:
        raise Invalid(f"时间表 {cron} 不能用：{error}") from error


def parts(snapshot: Snapshot) -> Mapping[int, Snapshot]:
    """The exchanges of a snapshot by file; files that would be empty are left out."""
    spread: dict[int, list[Scheduled]] = {}
    for exchange in snapshot.exchanges:
        if exchange.batched:
            continue
        spread.setdefault(shard(exchange.id), []).append(exchange)
    return {number: Snapshot(exchanges=_sorted(spread[number])) for number in sorted(spread)}


def _sorted(exchanges: Iterable[Scheduled]) -> tuple[Scheduled, ...]:
    return tuple(sorted(exchanges, key=lambda each: each.id))
