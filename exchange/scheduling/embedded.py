"""The embedded Airflow (内置排班): its files, its keys, its processes, in a hub's home.

One small machine, one command: ``shutong up``. Everything lies in ``airflow/`` in the home, open to its owner alone.
Nothing here imports Airflow, whose processes are started by name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import requests

from exchange.errors import Busy, Failed, HubError, Misplaced, Unknown
from exchange.scheduling import leash
from exchange.scheduling.client import Airflow, DagRun
from exchange.scheduling.processes import Part, Processes, Say
from exchange.scheduling.shapes import ADMINISTRATOR, COMPONENTS, embedded, module, variable
from exchange.settings import Settings
from exchange.settings.model import PREFIX

ROOT = Path(__file__).resolve().parents[2]
"""Where our packages are."""
FOLDER = "airflow"
"""Folder of a home that is Airflow's."""
START_SECONDS = 180.0
"""Within which all of Airflow must be well."""
MIGRATE_SECONDS = 300.0
"""Within which its database must be there."""
TELL_SECONDS = 5.0
"""How often it is said that something is waited for."""
DAY = 86400.0

TITLES: Mapping[str, str] = {
    "api-server": "Airflow 接口",
    "scheduler": "Airflow 排班",
    "dag-processor": "Airflow 解析",
    "triggerer": "Airflow 触发",
}
QUIET: Mapping[str, str] = {
    # Threads and arenas of libraries that nobody here waits for cost memory.
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONUTF8": "1",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


class Embedded:
    """An Airflow of a home's own; use as a context manager.

    Args:
        settings: The hub's.
        port: Port of its interface, in place of the settings'; 0: a free one.
        options: Airflow's own settings that are to differ, before those of the hub's settings.
        beside: Further processes that are to run as long as it does, or what makes them of its address.
        inherited: The environment that its processes have theirs from; by default this process's own.
        say: Told of the start's steps, and of deaths.

    Attributes:
        folder: Where its files are.
        port: Port of its interface.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        beside: Sequence[Part] | Callable[[str], Sequence[Part]] = (),
        inherited: Mapping[str, str] | None = None,
        say: Say = lambda _line: None,
    ) -> None:
        self._settings = settings
        self._chosen = {**(options or {}), **settings.airflow.options}
        self._beside = beside
        self._inherited = dict(os.environ if inherited is None else inherited)
        self._say = say
        self._lock: int | None = None
        self._halted = threading.Event()
        self._pruned = 0.0
        self._processes: Processes | None = None
        self.folder = settings.home / FOLDER
        self.port = settings.airflow.port if port is None else port

    # --- what it is ----------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where its interface is."""
        host = self._settings.airflow.host
        return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '::') else host}:{self.port}"  # noqa: S104 - compared

    @property
    def password_file(self) -> Path:
        """Where the password of its account lies."""
        return self.folder / "passwords.json"

    @property
    def password(self) -> str:
        """The password of its account, as it stands in the file."""
        return str(json.loads(self.password_file.read_text(encoding="utf-8"))[ADMINISTRATOR])

    @property
    def parts(self) -> list[Part]:
        """The processes that it consists of, and those beside it."""
        found = [
            Part(name, TITLES[name], (sys.executable, "-m", module(words), *words))
            for name, words in COMPONENTS.items()
        ]
        return [*found, *(self._beside(self.address) if callable(self._beside) else self._beside)]

    @property
    def pids(self) -> dict[str, int]:
        """Its processes that run, by name."""
        return {} if self._processes is None else self._processes.pids

    def log(self, name: str) -> Path:
        """Where a process says what it has to say."""
        return self.folder / "logs" / f"{name}.log"

    def client(self) -> Airflow:
        """Its interface."""
        return Airflow(self.address, ADMINISTRATOR, self.password)

    def environment(self) -> dict[str, str]:
        """What its processes find in their environment.

        Settings of another Airflow, which whoever starts this one may have, are none of it; connections are.
        """
        chosen = embedded(
            self.folder,
            host=self._settings.airflow.host,
            port=self.port,
            parallelism=self._settings.airflow.parallelism,
            snapshot=self._settings.home / self._settings.airflow.snapshot.expanduser(),
        )
        ours = {name: value for name, value in self._inherited.items() if not _of_another_airflow(name)}
        path = [str(ROOT), *filter(None, [ours.get("PYTHONPATH")])]
        return {
            **ours,
            **QUIET,
            "AIRFLOW_HOME": str(self.folder),
            f"{PREFIX}HOME": str(self._settings.home),
            "PYTHONPATH": os.pathsep.join(path),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), ours.get("PATH", os.defpath)]),
            **{variable(name): value for name, value in {**chosen, **self._keys(), **self._chosen}.items()},
        }

    # --- starting and stopping -----------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self) -> bool:
        """Make the folder and what it needs, its password too.

        Returns:
            Whether the password was made just now, so that nobody knows it yet.
        """
        for folder in (self.folder, self.folder / "logs", self.folder / "runs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keys()
        return self._private("passwords.json", lambda: json.dumps({ADMINISTRATOR: secrets.token_urlsafe(18)}))

    def start(self) -> None:
        """Start all of it; returns when all is well.

        Raises:
            Misplaced: It runs already, or somebody else has its port.
            Failed: It did not start; says which log tells why.
            KeyboardInterrupt: It was halted meanwhile; it has ended again.
        """
        self.prepare()
        self._claim()
        try:
            self._choose_port()
            self._migrate()
            self._prune()
            self._processes = Processes(
                self.parts,
                self.environment(),
                self.folder / "logs",
                log_bytes=self._settings.airflow.log_bytes,
                kept_open=self._lock,
                say=self._say,
            )
            self._processes.start()
            self._await_well()
        except BaseException:
            self.stop()
            raise

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it was stopped, or for a while.

        Raises:
            Failed: One of its processes died again and again.
            KeyboardInterrupt: It was halted.
        """
        assert self._processes is not None  # noqa: S101 - it was started
        until = None if seconds is None else time.monotonic() + seconds
        while until is None or time.monotonic() < until:
            self._processes.wait(0.5)
            self._heed()
            if time.monotonic() - self._pruned > DAY:
                self._prune()

    def halt(self) -> None:
        """Interrupt a start or a wait that is going on; what runs is stopped by whoever is interrupted.

        For signals: nothing but a mark is made.
        """
        self._halted.set()

    def stop(self) -> None:
        """End all of it. Repeatable."""
        if self._processes is not None:
            self._processes.stop()
            self._processes = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def command(self, words: Sequence[str]) -> int:
        """Have Airflow itself carry a command line out, in the environment of this one; returns its exit status."""
        self.prepare()
        done = subprocess.run(  # noqa: S603 - its owner's words, to its owner's own Airflow
            [sys.executable, "-m", "airflow", *words], env=self.environment(), check=False
        )
        return done.returncode

    def perform(self, exchanges: Mapping[str, Mapping[str, Any]], seconds: float) -> dict[str, DagRun]:
        """Start a run of each of these exchanges and wait for all.

        Args:
            exchanges: What each is to know, by id.
            seconds: Within which all must have ended.

        Returns:
            The runs, by exchange.

        Raises:
            HubError: One was not started, or has not ended.
        """
        until = time.monotonic() + seconds
        with self.client() as airflow:
            begun = {exchange: _begun(airflow, exchange, conf, until) for exchange, conf in exchanges.items()}
            return {
                exchange: airflow.await_run(exchange, run.id, max(1.0, until - time.monotonic()))
                for exchange, run in begun.items()
            }

    # --- inside --------------------------------------------------------------------------------

    def _heed(self) -> None:
        if self._halted.is_set():
            raise KeyboardInterrupt

    def _claim(self) -> None:
        """Let nobody else start one in this home; what a killed one left is no hindrance.

        The lock is held by this process and by the leash of those it starts: it is free when all have ended.
        """
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        until = time.monotonic() + leash.ASKED_SECONDS + leash.TOLD_SECONDS + 5
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, began = os.pread(lock, 100, 0).decode(errors="replace").partition(" ")
                if (began and _began(pid) == began) or time.monotonic() > until:
                    os.close(lock)
                    raise Misplaced(
                        f"{self.folder} 的 Airflow 已在运行（进程 {pid}）", remedy="先停止它，或另用一个主目录"
                    ) from None
                if self._halted.is_set():
                    os.close(lock)
                    raise KeyboardInterrupt from None
                if not told:
                    self._say("等待上一次留下的进程结束……")
                    told = True
                time.sleep(0.2)
            else:
                break
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} {_began(str(os.getpid()))}".encode(), 0)
        self._lock = lock

    def _choose_port(self) -> None:
        with socket.socket(socket.AF_INET6 if ":" in self._settings.airflow.host else socket.AF_INET) as plug:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                plug.bind((self._settings.airflow.host, self.port))
            except OSError as error:
                raise Misplaced(
                    f"不能在 {self._settings.airflow.host}:{self.port} 上监听：{os.strerror(error.errno or 0)}",
                    remedy="用 --port 或 shutong.toml 的 [airflow] port 换一个端口",
                ) from error
            self.port = plug.getsockname()[1]

    def _migrate(self) -> None:
        """Make Airflow's database, or bring it to this version; not asked again while the version is the same."""
        database, mark, number = self.folder / "airflow.db", self.folder / "migrated", version("apache-airflow")
        if database.exists() and mark.exists() and mark.read_text(encoding="ascii") == number:
            return
        self._say("准备 Airflow 的数据库……")
        assert self._lock is not None  # noqa: S101 - it is ours
        with (
            self.log("migrate").open("wb") as told,
            subprocess.Popen(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT, env=self.environment(),
                cwd=self.folder, umask=0o077, start_new_session=True, pass_fds=(self._lock,),
            ) as process,
        ):  # fmt: skip
            until = time.monotonic() + MIGRATE_SECONDS
            while process.poll() is None and time.monotonic() < until and not self._halted.wait(0.1):
                pass
            if process.returncode is None:
                leash.kill({process.pid})
        self._heed()
        if process.returncode:
            raise Failed("Airflow 的数据库没有准备好", remedy=f"原因在 {self.log('migrate')}")
        with contextlib.closing(sqlite3.connect(database)) as connection:
            # Readers do not wait for the one who writes.
            connection.execute("PRAGMA journal_mode=WAL")
        mark.write_text(number, encoding="ascii")

    def _await_well(self) -> None:
        assert self._processes is not None  # noqa: S101 - called when they were started
        until, tell_at = time.monotonic() + START_SECONDS, time.monotonic() + TELL_SECONDS
        waited = "Airflow 接口"
        with self.client() as airflow:
            while time.monotonic() < until:
                self._processes.wait(0.25)
                self._heed()
                with contextlib.suppress(HubError, requests.RequestException, ValueError):
                    health = airflow.health()
                    if health.well:
                        return
                    waited = "、".join(_unwell(health))
                if time.monotonic() > tell_at:
                    self._say(f"等待{waited}……")
                    tell_at += TELL_SECONDS
        raise Failed(f"{waited}在 {START_SECONDS:.0f} 秒内没有就绪", remedy=f"原因在 {self.folder / 'logs'}")

    def _prune(self) -> None:
        """Remove what runs wrote about themselves long ago."""
        before = time.time() - self._settings.airflow.log_days * DAY
        days = (self.folder / "parsed").glob("[0-9]*")
        for old in (*(self.folder / "runs").glob("dag_id=*/run_id=*"), *days):
            with contextlib.suppress(OSError):
                if old.stat().st_mtime < before:
                    shutil.rmtree(old)
        self._pruned = time.monotonic()

    def _keys(self) -> dict[str, str]:
        """Airflow's keys: made once, kept for the owner alone."""
        made = {
            "core.fernet_key": lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api.secret_key": lambda: secrets.token_hex(64),
            "api_auth.jwt_secret": lambda: secrets.token_hex(64),
        }
        found = {}
        for name, make in made.items():
            self._private(f"{name}.key", make)
            found[name] = (self.folder / f"{name}.key").read_text(encoding="ascii")
        return found

    def _private(self, name: str, make: Any) -> bool:
        """Make a file that only its owner may read, unless it is there; whole or not at all."""
        path = self.folder / name
        if path.exists():
            return False
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.folder / f".{name}.{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            os.link(new, path)
        except FileExistsError:
            return False  # somebody was faster, and it is theirs that counts
        finally:
            new.unlink(missing_ok=True)
        return True


def _begun(airflow: Airflow, exchange: str, conf: Mapping[str, Any], until: float) -> DagRun:
    """Start a run, once, however often it takes to be heard."""
    run = f"manual__{uuid4().hex}"
    while True:
        try:
            return airflow.trigger(exchange, conf=conf, run=run)
        except Busy:
            with contextlib.suppress(Unknown):
                return airflow.run(exchange, run)  # it was heard before
        except Failed as error:
            if not error.retry or time.monotonic() > until:
                raise
        time.sleep(0.5)


def _unwell(health: Any) -> list[str]:
    names = {"scheduler": "scheduler", "dag_processor": "dag-processor", "triggerer": "triggerer"}
    return [TITLES[part] for name, part in names.items() if getattr(health, name) != "healthy"] or ["Airflow 数据库"]


def _of_another_airflow(name: str) -> bool:
    if name == "PYTHONDONTWRITEBYTECODE":
        return True  # without bytecode it takes three times as long to start
    return name.startswith("AIRFLOW_") and not name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))


def _began(pid: str) -> str:
    """When a process began, as the kernel counts; by it and the number a process is told from all others."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, ValueError):
        return ""
