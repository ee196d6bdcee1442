"""A county whose bureau drops its people as a CSV file in GB 18030, for the tax office's database."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from pathlib import Path

from catalog import EndpointSpec
from exchange.hub import Hub, open_hub
from tests.bench.county import ITEMS, County, connect
from tests.bench.database import psql
from tests.bench.report import Result, compared, told, watched
from tests.support.servers import PostgreSQLServer

COPY = "COPY … FROM csv in UTF-8"
_NAMES = ", ".join(item["name"] for item in ITEMS)


class DroppedCounty(County):
    """The bureau is a directory.

    Args:
        home: Where the hub lives.
        database: The tax office's; the file is made there too.
        drop: The directory.
    """

    object = "people_*.csv"

    def __init__(self, home: Path, database: str, drop: Path) -> None:
        super().__init__(home, database, database)
        self.drop = drop

    def _endpoint(self, name: str, department: str, url: str) -> EndpointSpec:
        if name != "police":
            return super()._endpoint(name, department, url)
        return EndpointSpec(name=name, department=department, kind="files", options={"root": str(self.drop)})

    def report(self, name: str) -> Path:
        """The people as a file in the drop, complete as it appears; beside the drop the same in UTF-8."""
        plain = self.drop.parent / f"{name}.utf8.csv"
        query = f"COPY (SELECT {_NAMES} FROM people ORDER BY person_id) TO STDOUT (FORMAT csv, HEADER)"
        with plain.open("wb") as file:
            subprocess.run([*psql(self.source), "-c", query], stdout=file, check=True)
        part = self.drop / ".part"
        with plain.open(encoding="utf-8", newline="") as given, part.open("w", encoding="gb18030", newline="") as made:
            while text := given.read(1 << 20):
                made.write(text)
        part.rename(self.drop / name)
        return plain


def table(server: PostgreSQLServer, folder: Path, *, rows: int, rounds: int) -> list[Result]:
    """One file into an empty table: checked, masked, receipted; beside the database's own reading of it."""
    home, drop = folder / "home", folder / "drop"
    home.mkdir()
    drop.mkdir()
    county = DroppedCounty(home, server.new_database(), drop)
    try:
        county.build(options={"complete": "age", "age": 0, "encoding": "gb18030"})
        county.fill(1, 1000)
        county.report("people_1.csv")
        with closing(open_hub(home)) as hub:
            _hub(county, hub, "warm", 1000)
            county.empty()
            told(f"a CSV file of {rows:,} people is made")
            county.fill(1, rows)
            plain = county.report("people_2.csv")
            mine, copy = [], []
            with watched() as peak:
                for number in range(rounds):
                    copy.append(_copy(county, f"c{number}", plain))
                    mine.append(_hub(county, hub, f"t{number}", rows))
                    told(f"CSV round {number + 1}: {mine[-1]:.2f} s, {COPY} {copy[-1]:.2f} s")
        name = f"CSV in GB 18030, {rows:,} × {len(ITEMS)}, to PostgreSQL"
        return [compared(name, mine, COPY, copy, rows=rows, peak_mb=peak[0])]
    finally:
        server.drop_database(county.target)


def _hub(county: County, hub: Hub, name: str, rows: int) -> float:
    exchange = county.granted(name)
    begun = time.perf_counter()
    result = county.run(hub, exchange)
    seconds = time.perf_counter() - begun
    assert result.state == "settled", result.reasons
    assert result.counts["written"] == rows - 2 * (rows // 100), result.counts
    _drop(county, name)
    return seconds


def _copy(county: County, name: str, plain: Path) -> float:
    with connect(county.target) as connection:
        connection.execute(f"CREATE TABLE {name} (LIKE people INCLUDING ALL)")
    begun = time.perf_counter()
    command = [*psql(county.target), "-c", f"COPY {name} ({_NAMES}) FROM STDIN (FORMAT csv, HEADER)"]
    with plain.open("rb") as file:
        subprocess.run(command, stdin=file, check=True)
    seconds = time.perf_counter() - begun
    _drop(county, name)
    return seconds


def _drop(county: County, name: str) -> None:
    with connect(county.target) as connection:
        connection.execute(f"DROP TABLE {name}")
        connection.execute("CHECKPOINT")
