"""Processes that are started together, watched, and ended together (进程组).

Each has a session of its own, so that Ctrl-C reaches whoever started them alone; what it says goes to a file of bounded
size. One that dies is started again after a pause, and whatever it had started ends with it. All end with whoever
started them, even if that is killed: a small process, the :mod:`leash <exchange.scheduling.leash>`, sees to it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exchange.errors import Failed
from exchange.scheduling import leash

Say = Callable[[str], None]
"""What is told how it goes, a line at a time."""

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds after which one that died is started again: the first time, the second …"""
FORGET_SECONDS = 600.0
"""After which a death counts no more."""
LOOK_SECONDS = 0.5
"""How often it is looked whether all live."""
_APPENDED = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True)
class Part:
    """One process of those that run together (部件).

    Attributes:
        name: Its name, and that of its log.
        title: What people call it.
        command: The words that start it.
    """

    name: str
    title: str
    command: tuple[str, ...]


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
    again_at: float = 0.0


class Processes:
    """Processes that run together until they are stopped.

    Args:
        parts: What is to run.
        environment: What each finds in its environment.
        logs: Folder of what they have to say, a file each.
        log_bytes: How large such a file may become; what was before is kept once, beside it.
        kept_open: A file that stays open as long as any of it may run, by which others see that it does.
        say: Told of deaths.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        environment: Mapping[str, str],
        logs: Path,
        *,
        log_bytes: int = 10 << 20,
        kept_open: int | None = None,
        say: Say = lambda _line: None,
    ) -> None:
        self._running = {part.name: _Running(part) for part in parts}
        self._environment = dict(environment)
        self._logs = logs
        self._log_bytes = log_bytes
        self._kept_open = () if kept_open is None else (kept_open,)
        self._say = say
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._leash: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._failure: Failed | None = None

    def start(self) -> None:
        """Start all, and watch over them from now on."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._hold()
        for each in self._running.values():
            self._start(each)
        self._watcher = threading.Thread(target=self._watch, name="processes", daemon=True)
        self._watcher.start()

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run, by the name of their part; each number is also its session's."""
        with self._lock:
            return {
                name: each.process.pid for name, each in self._running.items() if each.process is not None
            }  # fmt: skip

    def log(self, name: str) -> Path:
        """Where a part says what it has to say."""
        return self._logs / f"{name}.log"

    def demand_running(self) -> None:
        """Raise if one died again and again.

        Raises:
            Failed: One did; names it and its log.
        """
        if self._failure is not None:
            raise self._failure

    def wait(self, seconds: float | None = None) -> None:
        """Wait until one has died again and again, or they were stopped.

        Raises:
            Failed: One did; names it and its log.
        """
        self._ended.wait(seconds)
        self.demand_running()

    def stop(self) -> None:
        """End all, with whatever they have started. Repeatable."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        self._end()
        if self._leash is not None and self._leash.stdin is not None:
            self._leash.stdin.close()
            self._leash.wait()
            self._leash = None
        self._ended.set()

    # --- inside --------------------------------------------------------------------------------

    def _end(self) -> None:
        with self._lock:
            processes = [each.process for each in self._running.values() if each.process is not None]
            # Their numbers are nobody else's until they have been waited for, and so are those of their groups.
            leash.end({process.pid for process in processes})
            for each in self._running.values():
                each.process = None
        for process in processes:
            process.wait()
            self._tell_leash("-", process.pid)

    def _start(self, each: _Running) -> None:
        with self._lock:
            # Written at its end always, so that it can be cut while it is written.
            with os.fdopen(os.open(self.log(each.part.name), _APPENDED, 0o600), "ab") as told:
                process = subprocess.Popen(  # noqa: S603 - words of ours
                    each.part.command,
                    stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
                    env=self._environment, cwd=self._logs, start_new_session=True, umask=0o077,
                    # It puts itself on the leash before it is anything else: there is no moment without.
                    preexec_fn=lambda: self._tell_leash("+", os.getpid()), restore_signals=False,
                )  # fmt: skip
            each.process = process

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._look()
            except Failed as failure:
                self._failure = failure
                self._end()
                self._ended.set()
                return

    def _look(self) -> None:
        now = time.monotonic()
        if self._leash is None or self._leash.poll() is not None:
            self._hold()
        for name, each in self._running.items():
            if each.process is None:
                if now >= each.again_at:
                    self._start(each)
            elif (ended := _ended(each.process.pid)) is not None:
                self._bury(each, ended, now)
            self._bound(self.log(name))

    def _bury(self, each: _Running, ended: str, now: float) -> None:
        assert each.process is not None  # noqa: S101 - it has just ended
        # What it had started is ended too: nobody would ever wait for it, and what begins anew does its work again.
        leash.kill({each.process.pid})
        each.process.wait()
        self._tell_leash("-", each.process.pid)
        each.process = None
        each.deaths = [*(moment for moment in each.deaths if now - moment < FORGET_SECONDS), now]
        title, log = each.part.title, self.log(each.part.name)
        if len(each.deaths) > len(PAUSES):
            raise Failed(f"{title}接连停止 {len(each.deaths)} 次（{ended}）", remedy=f"原因在 {log}")
        pause = PAUSES[len(each.deaths) - 1]
        each.again_at = now + pause
        self._say(f"{title}意外停止（{ended}），{pause:.0f} 秒后重新启动；原因在 {log}")

    def _bound(self, log: Path) -> None:
        """Keep a log within its bounds; what is written between the two steps is lost."""
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > self._log_bytes:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

    def _hold(self) -> None:
        """Put those that run on a leash, a new one if the one before is gone."""
        if self._leash is not None and self._leash.stdin is not None:
            self._leash.stdin.close()
        started = subprocess.Popen(  # noqa: S603 - a file of ours
            [sys.executable, "-I", "-S", str(Path(leash.__file__))],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, pass_fds=self._kept_open,
        )  # fmt: skip
        self._leash = started
        for pid in self.pids.values():
            self._tell_leash("+", pid)

    def _tell_leash(self, sign: str, group: int) -> None:
        if self._leash is not None and self._leash.stdin is not None:
            # One that was killed is replaced at the next look, and told of all.
            with contextlib.suppress(BrokenPipeError):
                os.write(self._leash.stdin.fileno(), f"{sign}{group}\n".encode())


def _ended(pid: int) -> str | None:
    """How a child has ended, in words, without letting go of its number; None: it runs."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return f"退出状态 {found.si_status}"
    return f"信号 {found.si_status}"
