"""What other movers need for the same table: Sling, and dlt with ConnectorX, each from its own package.

They move the projection and look at nothing: no grant, no filter, no mask, no checks, no evidence. They are
installed into an environment of their own, by version and digest, the first time they are asked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.bench.county import GRANTED, connect
from tests.bench.report import Result, compared, told
from tests.support.servers import PostgreSQLServer

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).with_name("peers.lock")
ENVIRONMENT = ROOT / ".venv-peers"

_DLT = """
import os, dlt
from dlt.sources.sql_database import sql_table
names = os.environ["COLUMNS_WANTED"].split(",")
table = sql_table(credentials=os.environ["SOURCE"], table="people", backend="connectorx", included_columns=names,
                  reflection_level="full", backend_kwargs={"return_type": "arrow"})
target = dlt.destinations.postgres(credentials=os.environ["TARGET"])
name, work = os.environ["DATASET"], os.environ["WORK"]
pipeline = dlt.pipeline("bench", destination=target, dataset_name=name, pipelines_dir=work)
pipeline.run(table, write_disposition="replace", loader_file_format="csv")
"""


def installed() -> Path:
    """The folder of the peers' programs, made where it is missing or its lock has changed."""
    mark = ENVIRONMENT / "lock"
    if not mark.exists() or mark.read_text() != LOCK.read_text():
        told("the peers are installed, once")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(LOCK)]
        subprocess.run(pip, check=True)
        mark.write_text(LOCK.read_text())
    return ENVIRONMENT


def _plain(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def sling(source: str, target: str, name: str, folder: Path) -> float:
    """Seconds of a full refresh by Sling."""
    program = next(installed().glob("lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
    program.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "SLING_DISABLE_TELEMETRY": "TRUE",
        "BENCH_SOURCE": f"{_plain(source)}?sslmode=disable", "BENCH_TARGET": f"{_plain(target)}?sslmode=disable",
    }  # fmt: skip
    command = [
        str(program), "run", "--select", ",".join(GRANTED),
        "--src-conn", "BENCH_SOURCE", "--src-stream", "public.people",
        "--tgt-conn", "BENCH_TARGET", "--tgt-object", f"public.{name}", "--mode", "full-refresh",
    ]  # fmt: skip
    return _timed(command, environment)


def dlt(source: str, target: str, name: str, folder: Path) -> float:
    """Seconds of a replacement by dlt, read by ConnectorX."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "RUNTIME__DLTHUB_TELEMETRY": "false",
        "SOURCE": _plain(source).replace("postgresql:", "postgresql+psycopg2:", 1),
        "TARGET": _plain(target), "DATASET": name, "WORK": str(folder / "dlt"),
        "COLUMNS_WANTED": ",".join(GRANTED),
    }  # fmt: skip
    return _timed([str(installed() / "bin" / "python"), "-c", _DLT], environment)


def _timed(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


PEERS: dict[str, Callable[[str, str, str, Path], float]] = {"Sling": sling, "dlt with ConnectorX": dlt}


def moved(source: str, target: str, folder: Path, *, rows: int) -> dict[str, float]:
    """Seconds of each peer, once, its rows counted."""
    seconds = {}
    for number, (name, run) in enumerate(PEERS.items()):
        table = f"peer{number}"
        seconds[name] = run(source, target, table, folder)
        with connect(target) as connection:
            place = f"{table}.people" if run is dlt else table
            found = connection.execute(f"SELECT count(*) FROM {place}").fetchone()
            assert found == (rows,), f"{name} moved {found} of {rows} rows"
            connection.execute(f"DROP SCHEMA {table} CASCADE" if run is dlt else f"DROP TABLE {table}")
        told(f"{name}: {seconds[name]:.1f} s")
    return seconds


def race(server: PostgreSQLServer, folder: Path, *, rows: int, rounds: int = 3) -> list[Result]:
    """The peers beside the pipe and beside the hub, in turn."""
    from contextlib import closing

    from tests.bench import database

    with database.opened(server, folder) as county, closing(database.warmed(county)) as hub:
        told(f"peers: {rows:,} rows are made")
        county.fill(1, rows)
        line = database.Race(county, rows)
        pipe: list[float] = []
        times: dict[str, list[float]] = {"shutong, first delivery": []}
        for _ in range(rounds):
            pipe.append(line.pipe())
            times["shutong, first delivery"].append(line.append(hub))
            for name, seconds in moved(county.source, county.target, folder, rows=rows).items():
                times.setdefault(name, []).append(seconds)
        return [
            compared(f"{name} {rows:,} × 12", seconds, database.PIPE, pipe, rows=rows, peak_mb=None)
            for name, seconds in times.items()
        ]
