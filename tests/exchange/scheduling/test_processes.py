"""Processes run together: one that dies begins anew, none outlives whoever started them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exchange.errors import Failed
from exchange.scheduling import leash, processes
from exchange.scheduling.processes import Part, Processes

ROOT = Path(__file__).resolve().parents[3]
# Starts a child, as the scheduler does, and lives.
FAMILY = "import os, sys, time; os.fork(); print(os.environ['WHO'], flush=True); time.sleep(120)"
MORTAL = "import sys; print('no licence', flush=True); sys.exit(3)"
CHATTY = "import time\nwhile True: print('x' * 999, flush=True); time.sleep(0.0005)"


def part(name: str, programme: str) -> Part:
    return Part(name, f"部件 {name}", (sys.executable, "-c", programme))


def until(seen: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    made: list[Processes] = []

    def start(*parts: Part, **options: object) -> Processes:
        found = Processes(parts, {**os.environ, "WHO": "it"}, tmp_path / "logs", **options)  # type: ignore[arg-type]
        made.append(found)
        found.start()
        return found

    yield start
    for each in made:
        each.stop()


def test_they_run_and_end_together(started: Callable[..., Processes], tmp_path: Path) -> None:
    both = started(part("a", FAMILY), part("b", FAMILY))
    groups = set(both.pids.values())
    until(lambda: len(leash.living(groups)) == 4)
    assert all(os.getsid(pid) == pid for pid in groups), "Ctrl-C is not for them"
    until(lambda: both.log("a").read_text() == "it\nit\n")
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    assert both.log("a").stat().st_mode & 0o077 == 0
    both.wait(0.1)
    began = time.monotonic()
    both.stop()
    assert time.monotonic() - began < 8
    assert leash.living(groups) == set()
    both.stop()
    both.wait()


def test_one_that_dies_begins_anew_without_what_it_left(
    started: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PAUSES", (0.2, 0.2))
    said: list[str] = []
    both = started(part("a", FAMILY), part("b", FAMILY), say=said.append)
    before = both.pids
    until(lambda: len(leash.living({before["a"]})) == 2)
    os.kill(before["a"], signal.SIGKILL)
    until(lambda: both.pids.get("a") not in (None, before["a"]))
    assert leash.living({before["a"]}) == set(), "its child has ended with it"
    assert both.pids["b"] == before["b"]
    assert said == [f"部件 a意外停止（信号 9），0 秒后重新启动；原因在 {both.log('a')}"]


def test_one_that_dies_again_and_again_ends_them_all(
    started: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PAUSES", (0.1, 0.1))
    both = started(part("a", MORTAL), part("b", FAMILY))
    other = both.pids["b"]
    with pytest.raises(Failed, match="部件 a接连停止 3 次（退出状态 3）") as raised:
        both.wait(30)
    assert str(both.log("a")) in raised.value.remedy
    assert both.log("a").read_text() == "no licence\n" * 3
    assert leash.living({other}) == set()
    assert both.pids == {}


def test_deaths_of_long_ago_do_not_count(started: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAUSES", (0.1,))
    monkeypatch.setattr(processes, "FORGET_SECONDS", 0.3)
    one = started(part("a", FAMILY))
    for _ in range(3):
        time.sleep(0.5)
        pid = one.pids["a"]
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: one.pids.get("a") not in (None, pid))
    one.demand_running()


def test_a_log_stays_within_its_bounds(started: Callable[..., Processes]) -> None:
    one = started(part("a", CHATTY), log_bytes=100_000)
    until(lambda: one.log("a").with_suffix(".log.1").exists())
    before = one.log("a").with_suffix(".log.1").read_bytes()
    assert before.count(b"x" * 999 + b"\n") > 90
    until(lambda: one.log("a").stat().st_size < 100_000)
    assert b"\0" not in one.log("a").read_bytes(), "it is written on at its new end"


ELSEWHERE = f"""
import os, sys, time
from pathlib import Path
from exchange.scheduling.processes import Part, Processes
held = os.open(sys.argv[1] + "/lock", os.O_CREAT | os.O_RDWR)
import fcntl
fcntl.flock(held, fcntl.LOCK_EX)
parts = [Part(name, name, (sys.executable, "-c", {FAMILY!r})) for name in "ab"]
found = Processes(parts, {{**os.environ, "WHO": "it"}}, Path(sys.argv[1]), kept_open=held)
found.start()
print(found._leash.pid, *found.pids.values(), flush=True)
time.sleep(120)
"""


@pytest.mark.parametrize(("death", "lost"), [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGKILL, True)])
def test_none_outlives_whoever_started_them(tmp_path: Path, death: signal.Signals, lost: bool) -> None:
    words = [sys.executable, "-c", ELSEWHERE, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        holder, *started = map(int, process.stdout.readline().split())
        groups = set(started)
        until(lambda: len(leash.living(groups)) == 4)
        if lost:
            # A new one takes its place.
            os.kill(holder, signal.SIGKILL)
            time.sleep(2)
        process.send_signal(death)
    until(lambda: not leash.living(groups))
    with (tmp_path / "lock").open() as lock:
        # It is held as long as any of them lives, and free then.
        until(lambda: _free(lock.fileno()))
        fcntl.flock(lock, fcntl.LOCK_UN)


def _free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
