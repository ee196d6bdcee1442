"""The departments' own machines (前置机), as their own systems would use them: tables, a folder, a service.

Nothing here goes through the hub: this is the world outside it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from exchange.demo.generation import START, Row
from schemas import Profile


class FrontTable:
    """A table of a front-end database (SQLite), kept by its department.

    Args:
        file: The database.
        name: The table.
        columns: Item name to column name.
        key: Items that identify a row.
        profile: Family it belongs to.
    """

    def __init__(self, file: Path, name: str, columns: Mapping[str, str], key: Sequence[str], profile: Profile) -> None:
        self._file = file
        self._name = name
        self._columns = dict(columns)
        self._key = tuple(key)
        self._profile = profile
        self._batch = 0
        own = list(dict.fromkeys([*self._columns.values(), *self._state_columns()]))
        keyed = ", ".join(_quoted(self._columns[item]) for item in key)
        # A table of operations is only added to; the others hold each row once.
        constraint = "" if profile.capture == "batches" else f", PRIMARY KEY ({keyed})"
        self._run(
            f"CREATE TABLE {_quoted(name)} ({', '.join(f'{_quoted(column)} TEXT' for column in own)}{constraint})"
        )
        if profile.error_table:
            errors = profile.error_table.format(table=name, stem=name.removeprefix(profile.strip))
            every = ", ".join(f"{_quoted(column)} TEXT" for column in [*own, profile.error_column])
            self._run(f"CREATE TABLE {_quoted(errors)} ({every})")

    def report(self, rows: Iterable[Row]) -> None:
        """Report rows: new, or again with a higher version."""
        self._write(rows, deletion=False)

    def delete(self, rows: Iterable[Row]) -> None:
        """Report rows as deleted, the way this family does; where it has no mark for that, they are just gone."""
        self._write(rows, deletion=True)

    def _write(self, rows: Iterable[Row], *, deletion: bool) -> None:
        profile = self._profile
        self._batch += 1
        with closing(sqlite3.connect(self._file)) as connection, connection:
            for row in rows:
                values = {self._columns[item]: value for item, value in row.items() if item in self._columns}
                values |= self._states(row, deletion=deletion)
                if profile.capture == "outbox":
                    same = " AND ".join(f"{_quoted(self._columns[item])} IS ?" for item in self._key)
                    gone = [row[item] for item in self._key]
                    connection.execute(f"DELETE FROM {_quoted(self._name)} WHERE {same}", gone)  # noqa: S608
                if deletion and profile.delete is None:
                    continue
                names = ", ".join(map(_quoted, values))
                marks = ", ".join("?" * len(values))
                connection.execute(
                    f"INSERT INTO {_quoted(self._name)} ({names}) VALUES ({marks})",  # noqa: S608
                    list(values.values()),
                )

    def _states(self, row: Row, *, deletion: bool) -> Row:
        profile = self._profile
        values: Row = dict(profile.constants)
        if profile.state is not None:
            values[profile.state.column] = profile.state.fresh
        if profile.delete is not None:
            values[profile.delete.column] = profile.delete.values[0] if deletion else profile.delete.inserted
        if profile.written_at:
            values[profile.written_at] = row["update_time"]
        if profile.batch and profile.time:
            values[profile.batch] = f"B{self._batch:06d}"
            values[profile.time] = (START + timedelta(days=15 * (self._batch - 1))).isoformat(sep=" ")
        return values

    def _state_columns(self) -> list[str]:
        profile = self._profile
        named = [
            profile.state and profile.state.column,
            profile.delete and profile.delete.column,
            profile.version,
            profile.read_at,
            profile.error_text,
            profile.written_at,
            profile.batch,
            profile.time,
            *profile.constants,
        ]
        return [column for column in named if column]

    def _run(self, statement: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute(statement)


class Drop:
    """A folder a department puts its files into, with a manifest beside each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)

    def put(
        self, name: str, rows: Sequence[Row], columns: Sequence[str], documents: Mapping[str, bytes] | None = None
    ) -> None:
        """Put documents, a CSV file (GB18030, as many a department's system writes) that names them, its manifest."""
        for each, document in (documents or {}).items():
            place = self._folder / each
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(document)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([row.get(column) for column in columns] for row in rows)
        content = text.getvalue().encode("gb18030")
        self._folder.joinpath(name).write_bytes(content)
        manifest = {"rows": len(rows), "sha256": hashlib.sha256(content).hexdigest()}
        self._folder.joinpath(f"{name}.manifest.json").write_text(json.dumps(manifest))


class Service:
    """What a department's SOAP service reads (服务的数据): rows in the order they were reported, page after page.

    Args:
        file: The department's own database.
        items: What a row has; set when the database is made.
    """

    def __init__(self, file: Path, items: Sequence[str] = ()) -> None:
        self._file = file
        with closing(sqlite3.connect(file)) as connection, connection:
            if items:
                # The process that serves looks on while rows are reported.
                connection.execute("PRAGMA journal_mode = WAL")
                columns = ", ".join(f"{_quoted(item)} TEXT" for item in items)
                connection.execute(f"CREATE TABLE reported (number INTEGER PRIMARY KEY, {columns})")
            found = connection.execute("SELECT name FROM pragma_table_info('reported')")
            self.items = [name for (name,) in found if name != "number"]

    def report(self, rows: Iterable[Row]) -> None:
        """Report rows: new, or again."""
        names, marks = ", ".join(map(_quoted, self.items)), ", ".join("?" * len(self.items))
        texts = [[None if row.get(item) is None else str(row[item]) for item in self.items] for row in rows]
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.executemany(f"INSERT INTO reported ({names}) VALUES ({marks})", texts)  # noqa: S608

    def read(self, cursor: str | None, limit: int) -> tuple[list[dict[str, str | None]], str | None]:
        """Rows from a cursor on, and the next cursor."""
        with closing(sqlite3.connect(self._file)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                "SELECT * FROM reported WHERE number > ? ORDER BY number LIMIT ?", [int(cursor or 0), limit]
            ).fetchall()
        return [{item: row[item] for item in self.items} for row in found], str(found[-1]["number"]) if found else None


def run_script(file: Path, script: str) -> None:
    """What a recipient's administrator does with the script of ``endpoint prepare --sql``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(script)


def take(file: Path, table: str, profile: Profile) -> int:
    """What a recipient's own system does with its table: read what is new, and mark it as read.

    Args:
        file: The recipient's database.
        table: The table the hub delivers into.
        profile: The family it belongs to, one with a state column.

    Returns:
        How many rows were new.
    """
    state = profile.state
    if state is None:
        raise ValueError(f"前置库表族 {profile.name} 没有同步标志")
    column = _quoted(state.column)
    unread = " OR ".join(f"{column} IS ?" for _ in state.new)
    with closing(sqlite3.connect(file)) as connection, connection:
        marked = connection.execute(
            f"UPDATE {_quoted(table)} SET {column} = ? WHERE {unread}",  # noqa: S608
            [state.done, *state.new],
        )
        return marked.rowcount


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
