"""Airflow's REST interface (接口客户端), as far as the hub and its tests ask it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests

from exchange.errors import Busy, Denied, Failed, Unknown

SECONDS = 30.0
"""Within which Airflow must answer."""
PAGE = 100
"""Entries that are asked for at once."""
ENDED = frozenset({"success", "failed"})
"""States of runs that have ended."""


@dataclass(frozen=True)
class Health:
    """How Airflow's components are (部件状态): ``healthy``, ``unhealthy``, or None for one that never ran."""

    metadata: str | None
    scheduler: str | None
    triggerer: str | None
    dag_processor: str | None

    @property
    def well(self) -> bool:
        """Whether all are."""
        return {self.metadata, self.scheduler, self.triggerer, self.dag_processor} == {"healthy"}


@dataclass(frozen=True)
class Dag:
    """An exchange as Airflow knows it (排班项)."""

    id: str
    title: str
    paused: bool
    tags: tuple[str, ...]
    has_import_errors: bool


@dataclass(frozen=True)
class DagRun:
    """One run of an exchange in Airflow (排班执行)."""

    dag: str
    id: str
    state: str
    kind: str
    queued_at: str | None
    started_at: str | None
    ended_at: str | None
    conf: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.state in ENDED


@dataclass(frozen=True)
class Task:
    """One task of a run (任务)."""

    id: str
    state: str | None
    attempt: int
    map_index: int
    host: str
    pid: int | None


@dataclass(frozen=True)
class AirflowPool:
    """A pool (端点并发)."""

    name: str
    slots: int
    running: int
    queued: int


class Airflow:
    """Airflow's interface; use as a context manager.

    Args:
        address: Where it is.
        user: An account of it.
        password: That account's password.
    """

    def __init__(self, address: str, user: str, password: str) -> None:
        self.address = address.rstrip("/")
        self._account = {"username": user, "password": password}
        self._session = requests.Session()
        # It is on this machine or the next: nobody is to be asked on the way.
        self._session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    # --- how it is -----------------------------------------------------------------------------

    def health(self) -> Health:
        """How its components are."""
        found = self.call("GET", "monitor/health")
        states = {name: (part or {}).get("status") for name, part in found.items()}
        return Health(
            states.get("metadatabase"), states.get("scheduler"), states.get("triggerer"), states.get("dag_processor")
        )

    def import_errors(self) -> dict[str, str]:
        """What it could not read, by file."""
        return {each["filename"]: each["stack_trace"] for each in self.each("importErrors", "import_errors")}

    # --- exchanges and their runs --------------------------------------------------------------

    def dags(self) -> list[Dag]:
        """Everything it schedules, by id."""
        found = [
            Dag(
                id=each["dag_id"],
                title=each.get("dag_display_name") or each["dag_id"],
                paused=each["is_paused"],
                tags=tuple(sorted(tag["name"] for tag in each["tags"])),
                has_import_errors=each.get("has_import_errors", False),
            )
            for each in self.each("dags", "dags")
        ]
        return sorted(found, key=lambda dag: dag.id)

    def pause(self, dag: str, *, paused: bool = True) -> None:
        """Let an exchange rest, or no longer."""
        self.call("PATCH", f"dags/{_part(dag)}", content={"is_paused": paused})

    def trigger(self, dag: str, *, conf: Mapping[str, Any] | None = None, run: str | None = None) -> DagRun:
        """Start a run.

        Args:
            dag: Which exchange.
            conf: What it is to know.
            run: Its id, by which a repeated call is refused; unset: Airflow makes one.
        """
        content = {"logical_date": None, "conf": dict(conf or {}), **({"dag_run_id": run} if run else {})}
        return _run(self.call("POST", f"dags/{_part(dag)}/dagRuns", content=content))

    def runs(self, dag: str = "~") -> list[DagRun]:
        """Runs of an exchange, or of all, oldest first."""
        return [_run(each) for each in self.each(f"dags/{_part(dag)}/dagRuns", "dag_runs", order_by="id")]

    def run(self, dag: str, run: str) -> DagRun:
        """One run."""
        return _run(self.call("GET", f"dags/{_part(dag)}/dagRuns/{_part(run)}"))

    def await_run(self, dag: str, run: str, seconds: float) -> DagRun:
        """Wait until a run has ended; while Airflow is away, wait for it too.

        Raises:
            Failed: It has not within that time.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                found = self.run(dag, run)
            except Failed:
                if time.monotonic() > until:
                    raise
            else:
                if found.ended:
                    return found
                if time.monotonic() > until:
                    raise Failed(f"{dag} 的执行 {run} 在 {seconds:.0f} 秒内没有结束（{found.state}）", retry=True)
            time.sleep(0.2)

    def clear(self, dag: str, run: str, *, only_failed: bool = False, note: str = "") -> None:
        """Have a run's tasks carried out again."""
        content = {"dag_run_id": run, "dry_run": False, "only_failed": only_failed, "reset_dag_runs": True}
        noted = {"note": note} if note else {}
        self.call("POST", f"dags/{_part(dag)}/clearTaskInstances", content=content | noted)

    def tasks(self, dag: str, run: str) -> list[Task]:
        """Tasks of a run."""
        return [
            Task(
                id=each["task_id"],
                state=each["state"],
                attempt=each["try_number"],
                map_index=each["map_index"],
                host=each.get("hostname") or "",
                pid=each.get("pid"),
            )
            for each in self.each(f"dags/{_part(dag)}/dagRuns/{_part(run)}/taskInstances", "task_instances")
        ]

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        """What a task handed over."""
        path = f"dags/{_part(dag)}/dagRuns/{_part(run)}/taskInstances/{_part(task)}/xcomEntries/{_part(key)}"
        return self.call("GET", path, deserialize="true")["value"]

    # --- assets and pools ----------------------------------------------------------------------

    def assets(self) -> dict[str, int]:
        """Numbers of the assets, by name."""
        return {each["name"]: each["id"] for each in self.each("assets", "assets")}

    def asset_events(self, asset: int | None = None) -> list[dict[str, Any]]:
        """What happened to an asset, or to all, oldest first."""
        chosen = {} if asset is None else {"asset_id": asset}
        return list(self.each("assets/events", "asset_events", order_by="timestamp", **chosen))

    def tell(self, asset: int, *, partition: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
        """Say that something happened to an asset."""
        content = {"asset_id": asset, "extra": dict(extra or {}), **({"partition_key": partition} if partition else {})}
        self.call("POST", "assets/events", content=content)

    def pools(self) -> dict[str, AirflowPool]:
        """The pools, by name."""
        return {
            each["name"]: AirflowPool(
                each["name"], each["slots"], running=each["running_slots"], queued=each["queued_slots"]
            )
            for each in self.each("pools", "pools")
        }

    # --- asking --------------------------------------------------------------------------------

    def each(self, path: str, what: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a list, page after page.

        Args:
            path: Below ``/api/v2``.
            what: Its name in the answer.
            parameters: What is asked for besides.
        """
        offset = 0
        while True:
            page = self.call("GET", path, limit=PAGE, offset=offset, **parameters)
            yield from page[what]
            offset += len(page[what])
            if not page[what] or offset >= page["total_entries"]:
                return

    def call(self, method: str, path: str, *, content: Any = None, **parameters: Any) -> Any:
        """Ask for something.

        Args:
            method: As in HTTP.
            path: Below ``/api/v2``.
            content: What is sent.
            parameters: What is asked for besides.

        Raises:
            Denied: The account is not let in, or may not.
            Unknown: There is nothing of that name.
            Busy: It is there already, or Airflow has too much to do.
            Failed: Airflow is away or answers with a fault of its own; ``retry`` says whether later may help.
        """
        url = f"{self.address}/api/v2/{path}"
        answer = self._ask(method, url, json=content, params=parameters)
        if answer.status_code == requests.codes.unauthorized:
            self._sign_in()
            answer = self._ask(method, url, json=content, params=parameters)
        if not answer.ok:
            raise _refused(method, path, answer)
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        answer = self._ask("POST", f"{self.address}/auth/token", json=self._account)
        if not answer.ok:
            raise Denied(f"Airflow（{self.address}）不接受账号 {self._account['username']}")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _ask(self, method: str, url: str, **content: Any) -> requests.Response:
        try:
            return self._session.request(method, url, timeout=SECONDS, **content)
        except requests.RequestException as error:
            raise Failed(
                f"Airflow（{self.address}）没有应答：{type(error).__name__}",
                remedy="用 shutong up 启动它，或查看它的日志",
                retry=True,
            ) from error


def _part(name: str) -> str:
    return quote(name, safe="~")


def _run(found: Mapping[str, Any]) -> DagRun:
    return DagRun(
        dag=found["dag_id"],
        id=found["dag_run_id"],
        state=found["state"],
        kind=found["run_type"],
        queued_at=found.get("queued_at"),
        started_at=found.get("start_date"),
        ended_at=found.get("end_date"),
        conf=found.get("conf") or {},
    )


def _refused(method: str, path: str, answer: requests.Response) -> Denied | Unknown | Busy | Failed:
    message = f"Airflow 没有办理 {method} {path}：{answer.status_code} {answer.reason}"
    match answer.status_code:
        case 401 | 403:
            return Denied(message)
        case 404:
            return Unknown(message)
        case 409 | 429:
            return Busy(message)
    return Failed(message, remedy="原因在 api-server 的日志", retry=answer.status_code >= requests.codes.server_error)
