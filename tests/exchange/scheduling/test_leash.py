"""The leash ends the groups it was told of when whoever held it is gone, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.scheduling import leash

STUBBORN = """
import signal, time
for each in (2, 15):
    signal.signal(each, signal.SIG_IGN)
print(1, flush=True)
time.sleep(60)
"""
POLITE = "import time; print(1, flush=True); time.sleep(60)"
# A leader that has ended, and a child of its group that has not.
LEADERLESS = f"import os, sys; os.fork() and os._exit(0); os.execv(sys.executable, [sys.executable, '-c', {POLITE!r}])"
# A leader, and a child that has left its group and is stubborn, as a task of Airflow's may be.
APART = f"""
import os, sys, time
if not os.fork():
    os.setpgid(0, 0)
    os.execv(sys.executable, [sys.executable, "-c", {STUBBORN!r}])
time.sleep(60)
"""


def group(programme: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", programme], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    return process


@pytest.fixture
def groups() -> Iterator[list[subprocess.Popen[bytes]]]:
    found = [group(POLITE), group(STUBBORN), group(LEADERLESS), group(POLITE), group(APART)]
    yield found
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until_gone(groups: set[int], seconds: float) -> float:
    began = time.monotonic()
    while leash.living(groups) and time.monotonic() - began < seconds:
        time.sleep(0.02)
    return time.monotonic() - began


def test_it_ends_what_is_left_when_its_input_closes(groups: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    # Run as it is run: as a file, without anything of ours; its patience is cut short to try all three steps.
    text = Path(leash.__file__).read_text(encoding="utf-8")
    file = tmp_path / "leash.py"
    quick = text.replace("ASKED_SECONDS = 12.0", "ASKED_SECONDS = 1.0")
    quick = quick.replace("TOLD_SECONDS = 5.0", "TOLD_SECONDS = 1.0")
    file.write_text(quick, encoding="utf-8")
    assert len(quick) == len(text) - 1
    holder = subprocess.Popen([sys.executable, "-I", "-S", str(file)], stdin=subprocess.PIPE)
    assert holder.stdin is not None
    held, released = groups[:3] + groups[4:], groups[3]
    for each in groups:
        holder.stdin.write(f"+{each.pid}\n".encode())
    holder.stdin.write(f"-{released.pid}\n".encode())
    holder.stdin.flush()
    time.sleep(1)
    holder.send_signal(signal.SIGTERM)
    holder.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert holder.poll() is None, "it ends with its input alone"
    assert len(leash.living({each.pid for each in groups})) == 6
    holder.stdin.close()
    assert holder.wait(10) == 0
    assert leash.living({each.pid for each in held}) == set()
    assert leash.living({released.pid}) == {released.pid}


def test_polite_ones_are_not_waited_for_long(groups: list[subprocess.Popen[bytes]]) -> None:
    polite = {groups[0].pid, groups[3].pid}
    began = time.monotonic()
    leash.end(polite)
    assert time.monotonic() - began < 5
    assert leash.living(polite) == set()
    assert leash.living({groups[1].pid}), "others live on"


def test_nobody_else_is_ended(groups: list[subprocess.Popen[bytes]]) -> None:
    leash.end({0, 1})  # its own group, and the first process
    leash.end({2**22 + 1})  # none of that number
    assert all(leash.living({group.pid}) for group in groups)


def test_a_killed_one_that_nobody_waits_for_is_gone(groups: list[subprocess.Popen[bytes]]) -> None:
    process = groups[0]
    process.kill()
    assert until_gone({process.pid}, 5) < 5
