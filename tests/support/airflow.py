"""A private Airflow for the tests: loopback only, its own home and metadata, each component a process of its own.

It has the settings of the embedded one, and is quicker to look. As there, what ends by itself is begun again, but
not for ever; what a test kills stays dead until the test begins it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import requests

from exchange.scheduling import leash
from exchange.scheduling.shapes import COMPONENTS, embedded, module, variable
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 180.0
"""Seconds that Airflow may take until all of it answers for the first time."""
HEARTS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
"""Components that say when they were last alive, with their names there."""
ENDED = ("success", "failed")
DEATHS = 5
"""How often components may end by themselves: a database in one file is sometimes too busy for them."""
T = TypeVar("T")


class AirflowServer:
    """A private Airflow; use as a context manager.

    Attributes:
        folder: Its home, with the components' logs.
        hub: Home of the hub whose exchanges it runs.
        port: Of its interface.
        settings: Environment variables besides; read when a component starts.
    """

    def __init__(self, hub: Path, settings: Mapping[str, str] | None = None) -> None:
        self.hub = hub
        self.folder = Path(tempfile.mkdtemp(prefix="shutong-airflow-"))
        self.port = free_port()
        self.settings = dict(settings or {})
        self._password = secrets.token_urlsafe(16)
        self._keys = {name: secrets.token_urlsafe(48) for name in ("jwt", "api")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._begun: dict[str, datetime] = {}
        self._deaths: list[str] = []
        self._sweeper: subprocess.Popen[bytes] | None = None
        self._session = requests.Session()

    # --- processes -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where its interface is."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a component, or a command of Airflow's, is started with."""
        given = {
            **embedded(self.folder, host="127.0.0.1", port=self.port, parallelism=2),
            "core.dags_folder": str(self.folder / "dags"),
            "api.secret_key": self._keys["api"],
            "api_auth.jwt_secret": self._keys["jwt"],
            # Nobody waits a minute in a test for what is looked after once a minute.
            "dag_processor.refresh_interval": "2",
            "dag_processor.bundle_refresh_check_interval": "1",
            "dag_processor.stale_dag_threshold": "10",
            "scheduler.parsing_cleanup_interval": "5",
            "scheduler.scheduler_heartbeat_sec": "2",
            "scheduler.scheduler_idle_sleep_time": "0.5",
            "scheduler.task_instance_heartbeat_timeout": "20",
            "scheduler.task_instance_heartbeat_timeout_detection_interval": "3",
            "scheduler.orphaned_tasks_check_interval": "10",
            "scheduler.scheduler_health_check_threshold": "15",
            "openlineage.disabled": "True",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SHUTONG"))}
        return (
            kept
            | {
                "AIRFLOW_HOME": str(self.folder),
                "SHUTONG_HOME": str(self.hub),
                "PYTHONPATH": str(ROOT),
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONWARNINGS": "ignore",
                "NO_PROXY": "127.0.0.1,localhost",
            }
            | {variable(name): value for name, value in given.items()}
            | self.settings
        )

    def start(self) -> None:
        """Make its metadata and start every component; returns when all of it is well.

        Raises:
            RuntimeError: It did not come up; carries the end of a log.
        """
        # Outlives a killed test session by seconds, to leave nothing in the temporary folder.
        self._sweeper = subprocess.Popen(
            ["sh", "-c", 'cat; sleep 5; rm -rf -- "$1"', "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            (self.folder / "dags").mkdir(exist_ok=True)
            (self.folder / "passwords.json").write_text(json.dumps({"admin": self._password}))
            self.command("db", "migrate")
            # The first task asks the interface; with nobody there it would fail.
            self.begin("api-server")
            self.wait_well("api-server")
            for name in HEARTS:
                self.begin(name)
            self.wait_well(*COMPONENTS)
        except BaseException:
            self.stop()
            raise

    def begin(self, name: str) -> None:
        """Start a component, without waiting for it."""
        self._begun[name] = datetime.now(UTC)
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", module(COMPONENTS[name]), *COMPONENTS[name]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env=self.environment(), start_new_session=True,
            )  # fmt: skip

    def end(self, name: str, how: signal.Signals = signal.SIGINT, patience: float = 5.0) -> None:
        """End a component with its process group, and kill what is left of it."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        # The leader may be gone and its children not.
        leash.kill({process.pid})
        process.wait()

    def kill(self, name: str) -> None:
        """Kill a component and everything that it started in its group."""
        self.end(name, signal.SIGKILL)

    def restart(self, name: str) -> None:
        """End a component if it runs, start it and wait until it is well."""
        self.end(name)
        self.begin(name)
        self.wait_well(name)

    def wait_well(self, *names: str) -> None:
        """Wait until components answer for themselves."""

        def well() -> bool:
            for name in names:
                process = self._processes[name]
                if process.poll() is not None:
                    message = f"{name} ended with {process.returncode}:\n{self.log_tail(name)}"
                    raise RuntimeError(message)
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=10).json()
            beats = {
                name: health[heart][f"latest_{heart}_heartbeat"] for name, heart in HEARTS.items() if name in names
            }
            # What was killed looks well for a while, by the last that it said.
            return all(beat and datetime.fromisoformat(beat) > self._begun[name] for name, beat in beats.items())

        self.until(well, "Airflow to be well", PATIENCE)

    def _revive(self) -> None:
        """Begin again what ended though nobody told it to."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                self._deaths.append(f"{name} ended with {process.returncode}:\n{self.log_tail(name)}")
                if len(self._deaths) > DEATHS:
                    raise AssertionError("\n\n".join(self._deaths))
                leash.kill({process.pid})
                self.begin(name)

    def pid(self, name: str) -> int:
        """Process id of a component, which is that of its group."""
        return self._processes[name].pid

    def stop(self, keep_logs_in: Path | None = None) -> None:
        """End every component and remove its home.

        Args:
            keep_logs_in: A folder to copy the components' logs into first.
        """
        # All are asked before any is waited for.
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for name in list(self._processes):
            self.end(name)
        if keep_logs_in is not None:
            keep_logs_in.mkdir(parents=True, exist_ok=True)
            for log in self.folder.glob("*.log"):
                shutil.copyfile(log, keep_logs_in / f"airflow-{log.name}")
        if self._sweeper is not None:
            self._sweeper.kill()
            self._sweeper.communicate()
            self._sweeper = None
        self._session.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words: str) -> str:
        """Run a command of Airflow's and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *words],
            env=self.environment(), cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            message = f"airflow {' '.join(words)} failed (status {done.returncode}):\n{done.stderr[-4000:]}"
            raise RuntimeError(message)
        return done.stdout

    def log(self, name: str) -> Path:
        """What a component writes about itself."""
        return self.folder / f"{name}.log"

    def log_tail(self, name: str, lines: int = 40) -> str:
        """Last lines of a component's log."""
        path = self.log(name)
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # --- its interface -------------------------------------------------------------------------

    def call(self, method: str, path: str, *, content: Any = None, **parameters: Any) -> Any:
        """Ask its interface; ``path`` below ``/api/v2``.

        Raises:
            requests.HTTPError: It refused; carries its answer.
        """
        for _attempt in range(2):
            answer = self._session.request(
                method, f"{self.url}/api/v2/{path}", json=content, params=parameters, timeout=30
            )
            if answer.status_code != 401:
                break
            account = {"username": "admin", "password": self._password}
            token = requests.post(f"{self.url}/auth/token", json=account, timeout=30)
            token.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        if not answer.ok:
            message = f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
            raise requests.HTTPError(message, response=answer)
        return answer.json() if answer.content else None

    def get(self, path: str, **parameters: Any) -> Any:
        """Ask its interface for something."""
        return self.call("GET", path, **parameters)

    def all(self, path: str, what: str, **parameters: Any) -> list[dict[str, Any]]:
        """Everything of a list, page after page; ``what`` is its name in the answer."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=100, offset=len(found), **parameters)
            found += page[what]
            if not page[what] or len(found) >= page["total_entries"]:
                return found

    def dags(self) -> list[str]:
        """Ids of its DAGs that are not stale, sorted."""
        return sorted(each["dag_id"] for each in self.all("dags", "dags"))

    def import_errors(self) -> list[dict[str, Any]]:
        """What it could not read."""
        return self.all("importErrors", "import_errors")

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Runs of a DAG, oldest first."""
        return self.all(f"dags/{quote(dag, safe='')}/dagRuns", "dag_runs", order_by="id")

    def trigger(self, dag: str, **conf: Any) -> str:
        """Start a run by hand and return its id; where its database is busy, as SQLite may be, once more."""
        for left in (2, 1, 0):
            try:
                run = self.call("POST", f"dags/{dag}/dagRuns", content={"logical_date": None, "conf": conf})
            except requests.HTTPError as error:
                if not left or "Database error" not in str(error):
                    raise
                time.sleep(1)
            else:
                break
        return str(run["dag_run_id"])

    def wait_run(self, dag: str, run: str, patience: float = 90.0) -> dict[str, Any]:
        """Wait until a run has ended, and return it."""

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(f"dags/{dag}/dagRuns/{quote(run, safe='')}")
            return found if found["state"] in ENDED else None

        return self.until(ended, f"run {run} of {dag} to end", patience)

    def wait_idle(self, *dags: str, patience: float = 90.0) -> None:
        """Wait until DAGs have no run that has not ended."""
        self.until(
            lambda: all(run["state"] in ENDED for dag in dags for run in self.runs(dag)),
            f"{', '.join(dags)} to have nothing to do",
            patience,
        )

    def task(self, dag: str, run: str, task: str = "exchange") -> dict[str, Any]:
        """A task of a run."""
        found: dict[str, Any] = self.get(f"dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}")
        return found

    def xcom(self, dag: str, run: str, task: str = "exchange", key: str = "return_value") -> Any:
        """What a task handed over."""
        path = f"dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}/xcomEntries/{key}"
        return self.get(path, deserialize="true")["value"]

    def task_log(self, dag: str, run: str, task: str = "exchange", attempt: int = 1) -> str:
        """What a try of a task wrote about itself, as it lies in its file."""
        folder = self.folder / "runs" / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task}"
        path = folder / f"attempt={attempt}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @contextlib.contextmanager
    def paused(self, dag: str) -> Iterator[None]:
        """A DAG that rests for a while."""
        self.call("PATCH", f"dags/{dag}", content={"is_paused": True})
        try:
            yield
        finally:
            self.call("PATCH", f"dags/{dag}", content={"is_paused": False})

    def until(self, look: Callable[[], T | None], what: str, patience: float = 60.0) -> T:
        """Look again and again until there is something to see, and return it.

        Raises:
            AssertionError: It did not come; says what was waited for.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                found = look()
            except (requests.ConnectionError, requests.Timeout, requests.HTTPError) as error:
                if isinstance(error, requests.HTTPError) and error.response.status_code < 404:
                    raise
                found = None
            if found:
                return found
            self._revive()
            if time.monotonic() > deadline:
                message = "\n\n".join([f"waited {patience:.0f} s in vain for {what}", *self._deaths])
                raise AssertionError(message)
            time.sleep(0.2)
