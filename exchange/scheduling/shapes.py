"""What Airflow is told by its environment (运行设置), in each of the three shapes the hub is deployed in.

=========  ==================  ===================  ==========================================
shape      metadata            executor             started by
=========  ==================  ===================  ==========================================
embedded   SQLite              LocalExecutor        ``shutong up``
server     PostgreSQL          LocalExecutor        systemd, or whatever starts services there
cluster    PostgreSQL          CeleryExecutor       the same; workers on further machines
=========  ==================  ===================  ==========================================

The same code in each: settings only. Names are Airflow's, as ``section.name``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Shape = Literal["server", "cluster"]
"""Shapes that others start: on one server, and on several."""

ADMINISTRATOR = "admin"
"""The one account of the embedded Airflow."""
BUNDLE = "shutong"
"""Name of the bundle of our DAGs."""
CLASS = "exchange.scheduling.bundle.HubBundle"
"""What makes them of the hub's snapshot."""

WORKER_LOST_SECONDS = 40
"""After which a run whose worker is silent is another's."""
TURN_SECONDS = 60
"""How long a process of the embedded one waits to write to the database before it fails."""

COMMON: Mapping[str, str] = {
    "core.load_examples": "False",
    "core.dags_are_paused_at_creation": "False",
    "core.default_timezone": "Asia/Shanghai",
    "api.instance_name": "数通",
    "logging.colored_console_log": "False",
    "logging.uvicorn_logging_level": "WARNING",
    # A shard that has changed is read at once, as its file is new; the others need not be.
    "dag_processor.refresh_interval": "5",
    "dag_processor.bundle_refresh_check_interval": "2",
    "dag_processor.min_file_process_interval": "600",
    "dag_processor.dag_file_processor_timeout": "120",
    "core.dagbag_import_timeout": "60",
    "core.min_serialized_dag_update_interval": "1",
    # A run killed with its worker, or its scheduler, is taken over within a minute …
    "scheduler.task_instance_heartbeat_timeout": str(WORKER_LOST_SECONDS),
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "5",
    "scheduler.orphaned_tasks_check_interval": "20",
    "scheduler.scheduler_health_check_threshold": "20",
    "scheduler.task_queued_timeout": "300",
    # … and one whose interface is away while it starts anew goes on.
    "workers.max_failed_heartbeats": "8",
    "workers.execution_api_retries": "8",
    "workers.execution_api_retry_wait_max": "10",
    # Housekeeping says how long the rest is kept.
    "core.num_dag_runs_to_retain_rendered_fields": "5",
}
"""What holds in every shape."""

SMALL: Mapping[str, str] = {
    "core.executor": "LocalExecutor",
    # Children share what their parent has already read.
    "core.mp_start_method": "fork",
    "api.workers": "1",
    "api.dag_cache_size": "16",
    "dag_processor.parsing_processes": "1",
    "triggerer.capacity": "2000",
}
"""What makes the embedded one small."""


def bundles(snapshot: Path | None = None) -> str:
    """Where DAGs come from, as Airflow reads it.

    Args:
        snapshot: The hub's snapshot, where it does not lie in the home that ``SHUTONG_HOME`` names.
    """
    given = {} if snapshot is None else {"snapshot": str(snapshot)}
    return json.dumps([{"name": BUNDLE, "classpath": CLASS, "kwargs": given}])


def variable(name: str) -> str:
    """The environment variable of one of Airflow's settings."""
    section, _, key = name.partition(".")
    return f"AIRFLOW__{section.upper()}__{key.upper()}"


def embedded(folder: Path, *, host: str, port: int, parallelism: int, snapshot: Path | None = None) -> dict[str, str]:
    """Airflow's settings in the embedded shape, without its keys.

    Args:
        folder: Where Airflow has its files.
        host: Address its interface listens on.
        port: Port of its interface.
        parallelism: Exchanges that run together.
        snapshot: The hub's snapshot.
    """
    reached = f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared
    return {
        **COMMON,
        **SMALL,
        "core.parallelism": str(parallelism),
        # What `airflow dags … --local` looks at: the files that the bundle makes of the snapshot.
        "core.dags_folder": str(folder / "bundles" / BUNDLE / "files"),
        "core.execution_api_server_url": f"{reached}/execution/",
        "core.simple_auth_manager_users": f"{ADMINISTRATOR}:admin",
        "core.simple_auth_manager_passwords_file": str(folder / "passwords.json"),
        # Several processes write to one file: each waits for its turn, longer than the five seconds of the driver.
        "database.sql_alchemy_conn": f"sqlite:///{folder / 'airflow.db'}?timeout={TURN_SECONDS}",
        "api.host": host,
        "api.port": str(port),
        "api.base_url": reached,
        "logging.base_log_folder": str(folder / "runs"),
        "logging.dag_processor_child_process_log_directory": str(folder / "parsed"),
        "dag_processor.dag_bundle_storage_path": str(folder / "bundles"),
        "dag_processor.dag_bundle_config_list": bundles(snapshot),
    }


PLACE = "/etc/shutong"
"""Where the examples have their files."""

SERVER: Mapping[str, str] = {
    "core.executor": "LocalExecutor",
    "core.parallelism": "16",
    "core.execution_api_server_url": "http://127.0.0.1:8080/execution/",
    "api.host": "127.0.0.1",
    "api.port": "8080",
    "api.base_url": "https://airflow.example.gov.cn",
    "dag_processor.parsing_processes": "2",
}
CLUSTER: Mapping[str, str] = {
    "core.executor": "CeleryExecutor",
    "core.parallelism": "64",
    "core.execution_api_server_url": "http://airflow.example.gov.cn:8080/execution/",
    "api.host": "0.0.0.0",  # noqa: S104 - workers on other machines call it
    "api.port": "8080",
    "api.base_url": "http://airflow.example.gov.cn:8080",
    "dag_processor.parsing_processes": "2",
    "celery.worker_concurrency": "8",
    # A broker gives up on what is unacknowledged for half an hour; Airflow itself sees workers that died.
    "celery.task_acks_late": "False",
}
SECRETS: Mapping[str, str] = {
    "database.sql_alchemy_conn": "airflow-database",
    "core.fernet_key": "airflow-fernet-key",
    "api.secret_key": "airflow-api-key",
    "api_auth.jwt_secret": "airflow-jwt-key",
}
"""What only files hold that the service's account alone may read, by their names."""
BROKERED: Mapping[str, str] = {
    "celery.broker_url": "airflow-broker",
    "celery.result_backend": "airflow-results",
}
FOR_WORKERS = ("core.fernet_key", "api.secret_key", "api_auth.jwt_secret", *BROKERED)
"""Secrets that workers on further machines need; Airflow's database is not for them."""

SHARDS = 16
"""Over how many files the exchanges are spread: small enough that one that changes is read again quickly."""
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Airflow's processes, and the words that start each."""


def module(words: Sequence[str]) -> str:
    """What Python runs for these words: whatever forks tasks has imported first what they need."""
    return "exchange.scheduling.preloaded" if words[0] in ("scheduler", "celery") else "airflow"


def files(shape: Shape, *, place: str = PLACE) -> dict[str, str]:
    """What the administrator of one server or of several lays down, by file name.

    Environment files, and units of systemd as examples. Secrets stand in none of them: each says which file it is
    read from.

    Args:
        shape: Which.
        place: Folder of the environment files and the secrets.
    """
    found = {"airflow.env": _environment(shape, place)}
    names = dict(COMPONENTS)
    if shape == "cluster":
        found["worker.env"] = _worker_environment(place)
        # What runs write about themselves stays with the worker, which shows it to the interface.
        names["worker"] = ("celery", "worker")
    for name, words in names.items():
        environment = "worker.env" if name == "worker" else "airflow.env"
        found[f"shutong-{name}.service"] = _unit(name, " ".join(words), f"{place}/{environment}")
    return found


def _environment(shape: Shape, place: str) -> str:
    chosen = {**COMMON, **(SERVER if shape == "server" else CLUSTER)}
    secret = {**SECRETS, **(BROKERED if shape == "cluster" else {})}
    told = [
        f"# 数通：Airflow 的设置（{'一台服务器' if shape == 'server' else '多台服务器'}）。",
        "# 各部件的服务都读这个文件；执行 airflow db migrate 之前也要读它。",
        *_hub(),
        *_lines(chosen),
        f"{variable('dag_processor.dag_bundle_config_list')}='{bundles()}'",
        "",
        *_told_secrets(secret, place),
    ]
    return "\n".join([*told, ""])


def _worker_environment(place: str) -> str:
    chosen = {**COMMON, **CLUSTER}
    kept = {name: value for name, value in chosen.items() if not name.startswith(("api.", "scheduler."))}
    told = [
        "# 数通：工作机的设置。没有 Airflow 数据库的地址：工作机只和接口说话。",
        *_hub(),
        *_lines(kept),
        f"{variable('dag_processor.dag_bundle_config_list')}='{bundles()}'",
        "",
        *_told_secrets({name: {**SECRETS, **BROKERED}[name] for name in FOR_WORKERS}, place),
    ]
    return "\n".join([*told, ""])


def _hub() -> list[str]:
    return [
        "",
        "# 枢纽的主目录：排班快照、设置和密钥都在其中；几台机器时是共享的，或各有一份同样的",
        "SHUTONG_HOME=/var/lib/shutong",
        "AIRFLOW_HOME=/var/lib/shutong-airflow",
        "",
    ]


def _lines(chosen: Mapping[str, str]) -> list[str]:
    return [f"{variable(name)}={value}" for name, value in sorted(chosen.items())]


TOLD = {
    "airflow-database": "postgresql+psycopg2://用户:口令@主机:5432/库名",
    "airflow-fernet-key": "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'",
    "airflow-api-key": "openssl rand -hex 64",
    "airflow-jwt-key": "openssl rand -hex 64",
    "airflow-broker": "amqp://用户:口令@主机:5672/虚拟主机",
    "airflow-results": "db+postgresql+psycopg2://用户:口令@主机:5432/库名",
}


def _told_secrets(secret: Mapping[str, str], place: str) -> list[str]:
    told = ["# 密钥不写在这里：每个都是一个文件，只有服务的账号能读（chmod 600），内容为"]
    told += [f"#   {place}/{file}：{TOLD[file]}" for file in secret.values()]
    told += [f"{variable(name)}_CMD='cat {place}/{file}'" for name, file in secret.items()]
    return told


def _unit(name: str, words: str, environment: str) -> str:
    return f"""\
[Unit]
Description=数通 Airflow {name}
After=network-online.target postgresql.service rabbitmq-server.service
Wants=network-online.target

[Service]
User=shutong
EnvironmentFile={environment}
ExecStart=/opt/shutong/.venv/bin/python -m {module(words.split())} {words}
Restart=on-failure
RestartSec=5
KillSignal=SIGINT
TimeoutStopSec=60
UMask=0077

[Install]
WantedBy=multi-user.target
"""
