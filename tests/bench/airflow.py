"""``shutong bench airflow``: what the hub adds to Airflow, each beside an Airflow that has nothing of ours.

Every part runs in private Airflows of its own: components on loopback, SQLite, the executor of one machine.
What is compared with is made in turn in the same run: as many plans of one empty task each, read from as many files.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from exchange.scheduling.shapes import COMPONENTS, SHARDS
from exchange.snapshot import NAME, Scheduled, Snapshot, write
from tests.bench.report import Result, told
from tests.exchange.engine.town import SYNC, Town, person
from tests.exchange.engine.town import build as town_of
from tests.support.airflow import AirflowServer

ROUNDS = 3
MANY = 1000
NOTHING = "plans of one empty task"


def snapshot(many: int) -> Snapshot:
    """So many exchanges: half collect a resource, half deliver what another one collected."""
    found = []
    for number in range(many):
        collects = number % 2 == 0
        code = f"101001001/{number // 2 + 1:04}"
        found.append(
            Scheduled(
                id=f"{'sync' if collects else 'share'}-{number:05}",
                kind="synchronisation" if collects else "sharing",
                title=f"第 {number} 项交换",
                description=f"**资源** {code}\n\n每天一次，供基准测试。",
                owner="某市数据局",
                tags=("归集" if collects else "共享", code, "某市公安局", "某市税务局"),
                cron=f"{number % 60} {number % 5 + 1} 1 1 *" if collects else None,
                activated_at="2100-01-01T00:00:00+08:00",
                reads=() if collects else (code,),
                refreshes=(code,) if collects else (),
                pool="",
            )
        )
    return Snapshot(exchanges=tuple(found))


EMPTY = '''"""{count} empty plans for airflow, to be compared with a dag each."""
from datetime import UTC, datetime
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
for number in range({first}, {last}):
    name = f"empty_{{number:05}}"
    with DAG(dag_id=name, schedule="{{}} {{}} * * *".format(number % 60, number % 5 + 1), catchup=False,
             start_date=datetime(2100, 1, 1, tzinfo=UTC)) as dag:
        EmptyOperator(task_id="nothing")
    globals()[name] = dag
'''


def empty_files(folder: Path, many: int) -> None:
    """As many plans that do nothing, in as many files as ours are in."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(SHARDS):
        first, last = many * number // SHARDS, many * (number + 1) // SHARDS
        (folder / f"empty_{number:02}.py").write_text(EMPTY.format(count=last - first, first=first, last=last))


_BUILD = """
import sys, time, pathlib
from exchange.scheduling.factory import planned
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.empty import EmptyOperator
times = []
for _ in range(int(sys.argv[3])):
    begun = time.perf_counter()
    built = planned(sys.argv[1])
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    for path in sorted(pathlib.Path(sys.argv[2]).glob("*.py")):
        exec(compile(path.read_text(), path, "exec"), {})
    print(len(built), ours, time.perf_counter() - begun)
"""


def build(folder: Path, *, many: int = MANY, rounds: int = ROUNDS) -> list[Result]:
    """From the snapshot file to plans, and so many empty ones written out."""
    write(folder / NAME, snapshot(many))
    empty_files(folder / "empty", many)
    with AirflowServer(folder) as airflow:  # its settings, and a database to read connections from
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, str(folder / NAME), str(folder / "empty"), str(rounds)],
            env=airflow.environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert [int(line[0]) for line in lines] == [many] * rounds
    return [_beside(f"{many} exchanges built", *([float(line[at]) for line in lines] for at in (1, 2)))]


def _beside(name: str, mine: Sequence[float], theirs: Sequence[float], baseline: str = NOTHING) -> Result:
    ours, other = statistics.median(mine), statistics.median(theirs)
    return Result(
        name=name, seconds=round(ours, 3), baseline=baseline, baseline_seconds=round(other, 3),
        ratio=round(ours / other, 2),
    )  # fmt: skip


def _bundles(empty: Path, *, ours: bool = False) -> dict[str, str]:
    """Settings of an Airflow that reads a folder of files, and has nothing of ours unless that is said."""
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles: list[dict[str, Any]] = [{"name": "empty", "classpath": local, "kwargs": {"path": str(empty)}}]
    if ours:
        bundles.append({"name": "shutong", "classpath": "exchange.scheduling.bundle.HubBundle", "kwargs": {}})
    return {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles)}


def _until(airflow: AirflowServer, look: Callable[[], bool], what: str) -> float:
    """Seconds until something is so."""
    begun = time.perf_counter()
    airflow.until(lambda: look() or None, what, 600)
    return time.perf_counter() - begun


def _count(airflow: AirflowServer, word: str) -> int:
    return int(airflow.get("dags", limit=1, dag_id_pattern=word)["total_entries"])


def visible(folder: Path, *, many: int = MANY, rounds: int = ROUNDS) -> list[Result]:
    """From files that nobody has read to plans that everybody sees; then one more exchange."""
    ours, theirs, one = [], [], []
    for number in range(rounds):
        told(f"第 {number + 1} 轮")
        empty, hub = folder / f"empty{number}", folder / f"hub{number}"
        empty.mkdir()
        with AirflowServer(folder, _bundles(empty)) as airflow:
            empty_files(empty, many)
            theirs.append(_until(airflow, lambda: _count(airflow, "empty_%") == many, "empty plans"))
        write(hub / NAME, Snapshot())
        with AirflowServer(hub) as airflow:
            given = snapshot(many)
            write(hub / NAME, given)
            ours.append(_until(airflow, lambda: _count(airflow, "s%-0%") == many, "exchanges"))
            new = replace(given.exchanges[1], id="share-99999")
            write(hub / NAME, replace(given, exchanges=(*given.exchanges, new)))
            one.append(_until(airflow, lambda: _count(airflow, "share-99999") == 1, "the new exchange"))
    return [
        _beside(f"{many} exchanges visible", ours, theirs),
        Result(name=f"one more beside {many}: visible", seconds=round(statistics.median(one), 3)),
    ]


CHAIN = '''"""Two empty plans for airflow: one dag is called, the other starts when it is done."""
from airflow.sdk import DAG, Asset, task
called, done = Asset("empty/called"), Asset("empty/done")
with DAG(dag_id="empty_first", schedule=[called], max_active_runs=1):
    @task(outlets=[done])
    def nothing():
        pass
    nothing()
with DAG(dag_id="empty_second", schedule=[done], max_active_runs=1):
    @task
    def nothing_again():
        pass
    nothing_again()
'''
CHANGES = 20


def event(folder: Path, *, changes: int = CHANGES) -> list[Result]:
    """From a change at a department, told by an event, to its delivery: two exchanges, one after the other."""
    empty = folder / "empty"
    empty.mkdir()
    (empty / "chain.py").write_text(CHAIN)
    ours, theirs = [], []
    with _town(folder) as town, AirflowServer(town.home, _bundles(empty, ours=True)) as airflow:
        _until(airflow, lambda: {SYNC, town.share, "empty_second"} <= set(airflow.dags()), "all plans")
        called, empty_called = _asset(airflow, f"exchange/{SYNC}"), _asset(airflow, "empty/called")
        for number in range(changes + 1):
            town.report(person(3 * number + 1))
            begun = time.perf_counter()
            _call(airflow, called)
            _until(airflow, lambda rows=number + 1: len(town.rows("tax")) == rows, "the row at its recipient")
            seconds = time.perf_counter() - begun
            airflow.wait_idle(SYNC, town.share)
            begun = time.perf_counter()
            _call(airflow, empty_called)
            _until(airflow, lambda many=number + 1: _ended(airflow, "empty_second") == many, "the empty plans")
            if number:  # the first pair reads in what the others find
                ours.append(seconds)
                theirs.append(time.perf_counter() - begun)
    return [
        _beside("change to delivered, p50", ours, theirs, "two empty plans, one after the other"),
        _beside(
            "change to delivered, p95", *([_p95(each)] for each in (ours, theirs)),
            baseline="two empty plans, one after the other",
        ),
    ]  # fmt: skip


def _p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95) - 1]


def _ended(airflow: AirflowServer, dag: str) -> int:
    return sum(run["state"] == "success" for run in airflow.runs(dag))


def _asset(airflow: AirflowServer, name: str) -> int:
    [found] = [each for each in airflow.all("assets", "assets", name_pattern=name) if each["name"] == name]
    return int(found["id"])


def _call(airflow: AirflowServer, asset: int) -> None:
    """Tell of something; while somebody else writes into its one file, Airflow refuses."""
    content = {"asset_id": asset, "extra": {}}
    airflow.until(lambda: airflow.call("POST", "assets/events", content=content), "an event to be taken")


@contextmanager
def _town(folder: Path) -> Iterator[Town]:
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(town_of(folder / "home", urls)) as town:
        with town.hub() as hub:
            hub.timetable.publish()
        yield town


def memory(folder: Path, *, changes: int = 5) -> list[Result]:
    """Proportional set size of all processes at its highest: with our exchanges, and with empty plans instead."""
    empty = folder / "empty"
    empty.mkdir()
    (empty / "chain.py").write_text(CHAIN)
    with AirflowServer(folder, _bundles(empty)) as airflow:
        _until(airflow, lambda: "empty_second" in airflow.dags(), "empty plans")
        empty_called = _asset(airflow, "empty/called")
        with _highest(airflow) as theirs:
            for number in range(changes):
                _call(airflow, empty_called)
                _until(airflow, lambda many=number + 1: _ended(airflow, "empty_second") == many, "the empty plans")
    with _town(folder) as town, AirflowServer(town.home) as airflow:
        _until(airflow, lambda: {SYNC, town.share} <= set(airflow.dags()), "all plans")
        called = _asset(airflow, f"exchange/{SYNC}")
        with _highest(airflow) as ours:
            for number in range(changes):
                town.report(person(3 * number + 1))
                _call(airflow, called)
                _until(airflow, lambda rows=number + 1: len(town.rows("tax")) == rows, "the row at its recipient")
                airflow.wait_idle(SYNC, town.share)
    return [
        Result(name=f"processes {when}, proportional set size", seconds=0.0, baseline=NOTHING,
               ratio=round(mine / other, 2), peak_mb=mine)
        for when, mine, other in (("at rest", ours[0], theirs[0]), ("at work", ours[1], theirs[1]))
    ]  # fmt: skip


@contextmanager
def _highest(airflow: AirflowServer) -> Iterator[list[int]]:
    """What all processes hold at rest, and at most until the block is left, in MiB."""
    found: list[int] = []
    done = threading.Event()
    time.sleep(10)
    rest = most = _held(airflow)

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, _held(airflow))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield found
    finally:
        done.set()
        watching.join()
        found += [rest, most]


def _held(airflow: AirflowServer) -> int:
    """Proportional set size of its processes, in MiB: what they share is counted once."""
    groups = {str(airflow.pid(name)) for name in COMPONENTS}
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            if after[3] in groups:  # its session
                pss = (folder / "smaps_rollup").read_text().split("\nPss:")[1]
                total += int(pss.split()[0])
    return total // 1024


def batch(folder: Path, *, many: int = 40) -> list[Result]:
    """One process carries many exchanges out in a row; and each with a task of its own."""
    with _town(folder) as town:
        seconds = []
        with town.hub() as hub:
            for number in range(many):
                town.report(person(3 * number + 1))
                begun = time.perf_counter()
                hub.oversight.carry_out(SYNC, scheduled=True)
                hub.oversight.carry_out(town.share, scheduled=True)
                seconds.append((time.perf_counter() - begun) / 2)
        with AirflowServer(town.home) as airflow:
            _until(airflow, lambda: {SYNC, town.share} <= set(airflow.dags()), "all plans")
            begun = time.perf_counter()
            # Its interface may find its database in others' hands; the next try finds it free.
            runs = [
                (dag, airflow.until(lambda dag=dag: airflow.trigger(dag), f"a run of {dag}"))  # type: ignore[misc]
                for _ in range(many // 2)
                for dag in (SYNC, town.share)
            ]
            for dag, run in runs:
                airflow.wait_run(dag, run, 600)
            each = (time.perf_counter() - begun) / len(runs)
    return [_beside("one exchange among many in one task", seconds, [each], "a task of its own for each")]


PARTS: dict[str, Callable[[Path], list[Result]]] = {
    "build": build,
    "visible": visible,
    "event": event,
    "memory": memory,
    "batch": batch,
}


def results(only: Sequence[str]) -> list[Result]:
    """Run the parts, all of them if none is named."""
    found = []
    for name in only or PARTS:
        told(f"—— {name}")
        with tempfile.TemporaryDirectory(prefix="shutong-bench-") as folder:
            found += PARTS[name](Path(folder))
    return found
