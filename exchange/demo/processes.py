"""Processes of the city (进程): departments' own services and programmes, and the hub's door.

Each is a process of its own, as it would be a machine of its own. It has a session of its own, so that Ctrl-C reaches
the demonstration alone, which then stops it; and it reads its standard input, which closes with the demonstration
however that ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from exchange.errors import Failed
from exchange.settings.model import PREFIX

ROOT = Path(__file__).resolve().parents[2]
"""Where our packages are."""
START_SECONDS = 60
"""Within which a service must say where it is."""
STOP_SECONDS = 15
"""Within which a service that is told to stop has stopped."""


class ServiceProcess:
    """A service in a process of its own.

    Args:
        name: What people call it.
        role: What it is to be; see :mod:`exchange.demo.services`.
        place: Where its files are.
        log: File for what it has to say.
    """

    def __init__(self, name: str, role: str, place: Path, log: Path) -> None:
        self.name = name
        self._log = log
        self._told = False
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as told:
            self._process = subprocess.Popen(  # noqa: S603 - a module of ours
                [sys.executable, "-m", "exchange.demo.services", role, str(place)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, env=environment(), start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its number, which is also its process group's."""
        return self._process.pid

    def address(self) -> str:
        """Where it answers; waits until it does.

        Raises:
            Failed: It has not started.
        """
        assert self._process.stdout is not None  # noqa: S101 - it has a pipe
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        told = self._process.stdout.readline() if ready else b""
        if not told:
            raise Failed(f"{self.name}没有启动", remedy=f"原因在 {self._log}")
        return told.decode().strip()

    def demand_running(self) -> None:
        """Raise if it has ended.

        Raises:
            Failed: It has; says how.
        """
        ended = self._ended()
        if ended is not None:
            raise Failed(f"{self.name}意外停止（{ended}）", remedy=f"原因在 {self._log}；查明后重新演示")

    def tell_to_stop(self) -> None:
        """Ask it to stop, once: whoever is ending already would be killed by a second word. Repeatable."""
        if self._process.returncode is None and not self._told:
            self._told = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        """Stop it and whatever it started. Repeatable."""
        if self._process.returncode is not None:
            return
        self.tell_to_stop()
        until = time.monotonic() + STOP_SECONDS
        while self._ended() is None and time.monotonic() < until:
            time.sleep(0.02)
        # Its number is nobody else's until it has been waited for, and so is that of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ended(self) -> str | None:
        """How it has ended, in words, without letting go of its number; None: it runs."""
        status = self._process.returncode
        if status is not None:
            return f"信号 {-status}" if status < 0 else f"退出状态 {status}"
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return f"退出状态 {found.si_status}"
        return f"信号 {found.si_status}"


def stop_all(processes: Sequence[ServiceProcess]) -> None:
    """Stop services; all are told before any is waited for."""
    for process in processes:
        process.tell_to_stop()
    for process in processes:
        process.stop()


def environment() -> dict[str, str]:
    """The environment of a process of the city: without the settings of whoever looks on, whose hub is not this one."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    path = [str(ROOT), *filter(None, [found.get("PYTHONPATH")])]
    return {**found, "PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}
