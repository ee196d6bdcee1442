"""Looking into the city's databases and folders without asking the hub: plain SQL, files, others' check digits."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import Any

from stdnum.cn import uscc
from stdnum.iso7064 import mod_11_2, mod_11_10, mod_37_36

from exchange.demo.city import City

Rows = dict[str, dict[str, Any]]

GRANTED_DISTRICTS = {"321202", "321203"}


def query(file: Path, statement: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of a database that is only looked at."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement, values)]


def one(file: Path, statement: str, *values: Any) -> Any:
    """The one value there is."""
    (row,) = query(file, statement, *values)
    (value,) = row.values()
    return value


def table(home: Path, place: str, name: str, key: str) -> Rows:
    """A table by its key, of the hub, the library or a department's front-end database."""
    file = home / f"{place}.db" if place in ("hub", "library") else home / "fronts" / f"{place}.db"
    found = query(file, f'SELECT * FROM "{name}"')
    rows = {row[key]: row for row in found}
    assert len(rows) == len(found), f"{name}: a row twice"
    return rows


def csv_files(folder: Path, encoding: str) -> list[list[dict[str, str]]]:
    """The CSV files of a folder, in the order of their names."""
    return [
        list(csv.DictReader(io.StringIO(file.read_bytes().decode(encoding), newline="")))
        for file in sorted(folder.glob("licence_*.csv"))
        if not file.name.endswith(".refused.csv")
    ]


def latest(rows: Iterable[dict[str, Any]], key: str) -> Rows:
    """The row reported last, of each key."""
    return {row[key]: row for row in rows}


def pick(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Some values of a row, as text where they are numbers."""
    return {name: str(row[name]) if isinstance(row[name], int) else row[name] for name in names}


def right_person(row: dict[str, Any]) -> bool:
    """Whether a reported person breaks no rule of the population register."""
    number = row["identity_number"]
    try:
        date.fromisoformat(row["birth_date"])
    except ValueError:
        return False
    return mod_11_2.is_valid(number) and len(number) == 18 and bool(row["name"]) and row["sex"] in ("0", "1", "2", "9")


def right_company(code: str) -> bool:
    """Whether a unified social credit code is right."""
    return bool(uscc.is_valid(code))


def right_project(code: str) -> bool:
    """Whether a project code is right."""
    return bool(mod_11_10.is_valid(code.replace("-", "")))


def right_licence(identifier: str) -> bool:
    """Whether the identifier of an electronic licence is right."""
    parts = identifier.split(".")
    return parts[:5] == ["1", "2", "156", "3005", "2"] and bool(mod_37_36.is_valid("".join(parts[5:])))


def masked(name: str) -> str:
    """A name of which only the first character may be seen."""
    return name[0] + "*" * (len(name) - 1)


def supplementary(text: str) -> bool:
    """Whether there is a character beyond the basic plane in it."""
    return any(ord(letter) > 0xFFFF for letter in text)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def group(leader: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == leader:
            found.append(int(place.parent.name))
    return found


def services(home: Path) -> list[int]:
    """The processes of services that write what they have to say into a home, whatever they call themselves."""
    found = []
    for place in Path("/proc").glob("[0-9]*/fd/2"):
        with suppress(OSError):
            if place.readlink().is_relative_to(home):
                found.append(int(place.parts[2]))
    return [pid for pid in found if alive(pid)]


def family(city: City) -> list[int]:
    """The services of a city, and what they have started."""
    return [pid for process in city.processes for pid in group(process.pid)]
