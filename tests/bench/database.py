"""``shutong bench database``: what the hub adds to moving a table between two PostgreSQL databases.

The limit is a pipe that looks at nothing: two clients, binary COPY out and in, the same projection into a table
with its primary key. Rounds of the hub and of the pipe are made in turn, in one worker that is warm.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from exchange.hub import Hub, open_hub
from tests.bench import peers
from tests.bench.county import GRANTED, County, connect
from tests.bench.report import Result, compared, told, watched
from tests.support.packages import PSQL
from tests.support.servers import PostgreSQLServer

ROUNDS = 3
PIPE = "binary COPY | COPY"
_COLUMNS = ", ".join(GRANTED)


class Race:
    """One source table of a number of rows, and targets beside it.

    Args:
        county: The departments.
        rows: How many people there are.
    """

    def __init__(self, county: County, rows: int) -> None:
        self.county = county
        self.rows = rows
        self._tables = 0

    def table(self) -> str:
        """A name for a target that was not used yet."""
        self._tables += 1
        return f"t{self._tables}"

    def pipe(self) -> float:
        """Seconds of the pipe, into a new table with its primary key."""
        name = self.table()
        with connect(self.county.target) as connection:
            connection.execute(
                f"CREATE TABLE {name} (person_id bigint PRIMARY KEY, id_no varchar(18) NOT NULL, employer varchar(18),"
                " name varchar(60) NOT NULL, gender varchar(1), born date, district varchar(6) NOT NULL,"
                " address varchar(200), base numeric(12, 2), ver bigint NOT NULL)"
            )
        out = f"COPY (SELECT {_COLUMNS} FROM people) TO STDOUT (FORMAT binary)"
        into = f"COPY {name} ({_COLUMNS}) FROM STDIN (FORMAT binary)"
        begun = time.perf_counter()
        with subprocess.Popen([*psql(self.county.source), "-c", out], stdout=subprocess.PIPE) as reading:
            subprocess.run([*psql(self.county.target), "-c", into], stdin=reading.stdout, check=True)
        assert reading.returncode == 0
        seconds = time.perf_counter() - begun
        self.drop(name)
        return seconds

    def drop(self, name: str) -> None:
        """Remove a target, so that the next round finds the disk as this one did."""
        with connect(self.county.target) as connection:
            connection.execute(f"DROP TABLE {name}")
            connection.execute("CHECKPOINT")

    def append(self, hub: Hub) -> float:
        """Seconds of a first delivery into an empty table."""
        name = self.table()
        exchange = self.county.granted(name)
        seconds = self._run(hub, exchange, written=self._expected())
        self.drop(name)
        return seconds

    def merge(self, hub: Hub, exchange: str, name: str) -> float:
        """Seconds of a pass over everything, of which a hundredth is there already in an older version."""
        seconds = self._run(hub, exchange, written=self._expected())
        self.drop(name)
        return seconds

    def _expected(self) -> int:
        """Nobody who lives elsewhere, nobody whose identity number is wrong."""
        return self.rows - 2 * (self.rows // 100)

    def _run(self, hub: Hub, exchange: str, *, written: int) -> float:
        begun = time.perf_counter()
        result = self.county.run(hub, exchange)
        seconds = time.perf_counter() - begun
        assert result.state == "settled", result.reasons
        assert result.counts["written"] == written, result.counts
        assert result.counts["refused"] == self.rows // 100
        return seconds


def psql(url: str) -> list[str]:
    parsed = sa.make_url(url).set(drivername="postgresql")
    return [str(PSQL.path()), "-q", "-X", "-d", parsed.render_as_string(hide_password=False)]


@contextmanager
def opened(server: PostgreSQLServer, folder: Path, **offer: Any) -> Iterator[County]:
    """The two departments, on databases of their own."""
    home = folder / "home"
    home.mkdir()
    county = County(home, server.new_database(), server.new_database())
    county.build(**offer)
    try:
        yield county
    finally:
        server.drop_database(county.source)
        server.drop_database(county.target)


def warmed(county: County) -> Hub:
    """A worker that has run before: everything is imported and connected once."""
    hub = open_hub(county.home)
    county.fill(1, 1000)
    name = "warm"
    county.run(hub, county.granted(name))
    county.empty()
    return hub


def append(server: PostgreSQLServer, folder: Path, *, rows: int, name: str) -> list[Result]:
    """First deliveries beside the pipe; and cold, as a command of its own."""
    with opened(server, folder) as county, closing(warmed(county)) as hub:
        told(f"{name}: {rows:,} rows are made")
        county.fill(1, rows)
        race = Race(county, rows)
        mine, pipe = [], []
        with watched() as peak:
            for number in range(ROUNDS):
                pipe.append(race.pipe())
                mine.append(race.append(hub))
                told(f"{name}, round {number + 1}: {mine[-1]:.2f} s, pipe {pipe[-1]:.2f} s")
        found = [compared(name, mine, PIPE, pipe, rows=rows, peak_mb=peak[0])]
        cold = []
        for _ in range(ROUNDS):
            table = race.table()
            cold.append(_cold(county, county.granted(table)))
            race.drop(table)
        return [*found, compared(f"{name}, cold", cold, PIPE, pipe, rows=rows, peak_mb=None)]


def _cold(county: County, exchange: str) -> float:
    program = "from exchange.cli import main; main()"
    command = [sys.executable, "-c", program, "--as", "integrator", "run", exchange, "--json"]
    begun = time.perf_counter()
    subprocess.run(command, env=_environment(county), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _environment(county: County) -> dict[str, str]:
    return {**os.environ, "SHUTONG_HOME": str(county.home)}


def merge(server: PostgreSQLServer, folder: Path, *, rows: int, name: str) -> list[Result]:
    """Passes that stage and compare: a hundredth of the rows lies at the target in an older version."""
    with opened(server, folder) as county, closing(warmed(county)) as hub:
        race = Race(county, rows)
        county.fill(1, rows // 100)
        targets = [(county.granted(table), table) for table in (race.table() for _ in range(ROUNDS))]
        for exchange, _ in targets:
            county.run(hub, exchange)
        county.empty()
        told(f"{name}: {rows:,} rows are made")
        county.fill(1, rows // 100, version=2)
        county.fill(rows // 100 + 1, rows)
        mine, pipe = [], []
        with watched() as peak:
            for number, (exchange, table) in enumerate(targets):
                pipe.append(race.pipe())
                mine.append(race.merge(hub, exchange, table))
                told(f"{name}, round {number + 1}: {mine[-1]:.2f} s, pipe {pipe[-1]:.2f} s")
        return [compared(name, mine, PIPE, pipe, rows=rows, peak_mb=peak[0])]


def changes(server: PostgreSQLServer, folder: Path, *, rows: int, name: str, many: int = 1000) -> list[Result]:
    """A thousand changes in a large table, read by watermark: what is touched follows the change."""
    options = {"watermark": "updated", "overlap": 0, "recount": many}
    with opened(server, folder, capture="watermark", options=options) as county, closing(open_hub(county.home)) as hub:
        told(f"{name}: {rows:,} rows are made")
        county.fill(1, rows)
        with connect(county.source) as connection:
            connection.execute("CREATE INDEX people_updated ON people (updated)")
            connection.execute("VACUUM ANALYZE people")
        table = "t"
        exchange = county.granted(table)
        county.run(hub, exchange)
        with connect(county.target) as connection:
            connection.execute(f"VACUUM ANALYZE {table}")
        seconds: list[float] = []
        touched: dict[str, list[float]] = {"source": [], "target": []}
        for number in range(ROUNDS):
            with connect(county.source) as connection:
                chosen = f"person_id % {rows // many} = {(11 + number * 100) % (rows // many)}"
                connection.execute(f"UPDATE people SET ver = ver + 1, updated = clock_timestamp() WHERE {chosen}")
            before = _touched(county, table)
            begun = time.perf_counter()
            result = county.run(hub, exchange)
            seconds.append(time.perf_counter() - begun)
            assert result.state == "settled", result.reasons
            assert result.counts["written"] > many // 2, result.counts
            after = _touched(county, table)
            for end, found in touched.items():
                found.append((after[end] - before[end]) / many)
            each = ", ".join(f"{found[-1]:.3f} at the {end}" for end, found in touched.items())
            told(f"{name}, round {number + 1}: {seconds[-1]:.3f} s, rows touched for one changed: {each}")
        return [
            Result(name=name, seconds=round(sorted(seconds)[1], 3), rows_per_second=round(many / sorted(seconds)[1])),
            # Ratios of rows, not of seconds.
            *(
                Result(name=f"{name}: touched at the {end}", seconds=0.0, baseline="rows changed",
                       ratio=round(sorted(found)[1], 2))
                for end, found in touched.items()
            ),
        ]  # fmt: skip


def _touched(county: County, table: str) -> dict[str, int]:
    """Rows read and written in the table of each end, by its database's own counters."""
    touched = {}
    for end, url, name in (("source", county.source, "people"), ("target", county.target, table)):
        with connect(url) as connection:
            connection.execute("SELECT pg_stat_force_next_flush()")
            row = connection.execute(
                "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del"
                " FROM pg_stat_user_tables WHERE relname = %s", (name,),
            ).fetchone()  # fmt: skip
            assert row is not None
            touched[end] = int(row[0])
    return touched


PARTS: dict[str, Callable[[PostgreSQLServer, Path], list[Result]]] = {
    "append": lambda server, folder: append(server, folder, rows=1_000_000, name="append 1,000,000 × 12"),
    "merge": lambda server, folder: merge(server, folder, rows=1_000_000, name="merge 1,000,000 × 12"),
    "changes": lambda server, folder: [
        *changes(server, folder, rows=500_000, name="1,000 changes in 500,000"),
    ],
    "changes-large": lambda server, folder: [
        *changes(server, folder, rows=5_000_000, name="1,000 changes in 5,000,000"),
    ],
    "peers": lambda server, folder: peers.race(server, folder, rows=1_000_000),
    "append-large": lambda server, folder: append(server, folder, rows=10_000_000, name="append 10,000,000 × 12"),
}


def results(only: Sequence[str]) -> list[Result]:
    """Run the parts that are asked for, or all."""
    found = []
    with PostgreSQLServer() as server:
        for name, part in PARTS.items():
            if not only or name in only:
                with tempfile.TemporaryDirectory(prefix="shutong-bench-") as folder:
                    found += part(server, Path(folder))
    return found
