"""The housing office's own service (住建局的服务): it takes service items in by a SOAP operation, and keeps them.

The hub is a caller of it like any other: it signs in, sends messages, and may send one again whose answer was lost.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from exchange.service import (
    DELETE,
    OPERATION,
    Caller,
    Desk,
    Direction,
    Offer,
    Page,
    Password,
    Pushed,
    ReceiptAnswer,
    Refused,
    RefusedPush,
    Shown,
)
from schemas import record_class

RESOURCE = "service_item"
"""What the service calls its only resource."""
USER = "hub"
"""The user it knows."""
_FILE = "received.db"
_PASSWORD = "password"  # noqa: S105 - the name of a file
_TABLES = """
CREATE TABLE message (id TEXT PRIMARY KEY, content TEXT NOT NULL, answer TEXT NOT NULL, put INTEGER, gone INTEGER);
CREATE TABLE service_item (id TEXT PRIMARY KEY, {columns});
"""


@dataclass(frozen=True)
class Tally:
    """What messages brought.

    Attributes:
        messages: How many there were.
        put: Rows put in or changed.
        gone: Rows taken out.
    """

    messages: int
    put: int
    gone: int


def establish(folder: Path, department: str, password: str) -> None:
    """Set the service up in a folder: its database, its department and the password of its only user."""
    folder.mkdir(parents=True)
    folder.joinpath("department").write_text(department, encoding="ascii")
    secret = folder / _PASSWORD
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="ascii")
    columns = ", ".join(f'"{item.name}" TEXT' for item in _offer().items)
    with closing(sqlite3.connect(folder / _FILE)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_TABLES.format(columns=columns))


def tally(folder: Path, delivery: str) -> Tally:
    """What the messages of one delivery brought, as the service itself counted it."""
    with closing(sqlite3.connect(folder / _FILE)) as connection:
        found = connection.execute(
            "SELECT count(*), coalesce(sum(put), 0), coalesce(sum(gone), 0) FROM message WHERE substr(id, 1, ?) = ?",
            [len(delivery) + 1, f"{delivery}-"],
        ).fetchone()
    return Tally(*found)


def held(folder: Path) -> int:
    """How many rows the service holds."""
    with closing(sqlite3.connect(folder / _FILE)) as connection:
        count: int = connection.execute("SELECT count(*) FROM service_item").fetchone()[0]
    return count


def open_desk(folder: Path) -> Receiver:
    """Open the service of a folder."""
    return Receiver(folder)


class Receiver(Desk):
    """Takes rows in, one message in one transaction.

    Args:
        folder: As it was set up.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._password = folder.joinpath(_PASSWORD).read_text(encoding="ascii")

    def identify(self, shown: Shown, peer: str) -> Caller:
        """The one user there is."""
        given = shown.password if isinstance(shown, Password) and shown.user == USER else ""
        if not hmac.compare_digest(given.encode(), self._password.encode()):
            raise Refused("用户或口令不正确", remedy="核对用户和口令")
        return Caller(USER, USER)

    def offers(self, caller: Caller) -> Sequence[Offer]:
        """What may be pushed."""
        return [_offer()]

    def offer(self, caller: Caller, resource: str, direction: Direction) -> Offer:
        """What may be pushed."""
        found = self.contract(resource, 1, direction)
        return found if found is not None else _only_pushed()

    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        """The one contract there is."""
        return _offer() if (resource, version, direction) == (RESOURCE, 1, "write") else None

    def push(self, caller: Caller, resource: str, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        """Take a message in; the same one again gets the same answer."""
        rows = [row for batch in batches for row in batch.to_pylist()]
        content = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        with self._transaction() as connection:
            known = connection.execute("SELECT content, answer FROM message WHERE id = ?", [message]).fetchone()
            if known is not None:
                if known[0] != content:
                    raise Refused("消息编号已用于内容不同的消息", remedy="新的内容用新的消息编号")
                return replace(_answer(known[1]), repeated=True)
            refused = [
                RefusedPush(number, "task_guid", "mandatory", "没有主键")
                for number, row in enumerate(rows, 1)
                if not row["task_guid"]
            ]
            taken = [row for row in rows if row["task_guid"]]
            gone = [row["task_guid"] for row in taken if row[OPERATION] == DELETE]
            put = [row for row in taken if row[OPERATION] != DELETE]
            connection.executemany("DELETE FROM service_item WHERE id = ?", [[key] for key in gone])
            names = [item.name for item in _offer().items]
            columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * (len(names) + 1))
            connection.executemany(
                f"INSERT OR REPLACE INTO service_item (id, {columns}) VALUES ({marks})",  # noqa: S608
                [[row["task_guid"], *(row[name] for name in names)] for row in put],
            )
            answer = Pushed(
                message=message, state="delivered", rows=len(rows), accepted=len(taken), refused=tuple(refused)
            )
            connection.execute(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?)",
                [message, content, json.dumps(asdict(answer)), len(put), len(gone)],
            )
        return answer

    def status(self, caller: Caller, message: str) -> Pushed:
        """What became of a message."""
        with closing(sqlite3.connect(self._file)) as connection:
            known = connection.execute("SELECT answer FROM message WHERE id = ?", [message]).fetchone()
        if known is None:
            raise Refused("没有这个消息", remedy="核对消息编号")
        return _answer(known[0])

    def query(self, caller: Caller, resource: str, cursor: str | None, limit: int) -> Page:
        """Nothing is read here."""
        _only_pushed()

    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        """Nothing is read here."""
        _only_pushed()

    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        """It issues none."""
        raise Refused("本服务不出具回执", remedy="推送的结果用 Status 查询")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _only_pushed() -> NoReturn:
    raise Refused("没有可读取的资源", remedy="本服务只接收推送")


def _answer(text: str) -> Pushed:
    said: dict[str, Any] = json.loads(text)
    return Pushed(**{**said, "refused": tuple(RefusedPush(**each) for each in said["refused"])})


def _offer() -> Offer:
    shape = next(each for each in record_class("service_item").tables if each.name == "up_task_general_basic")
    return Offer(
        resource=RESOURCE, version=1, name="政务服务事项", direction="write", items=tuple(shape.items), key=shape.key
    )
