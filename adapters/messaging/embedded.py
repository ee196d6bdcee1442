"""The embedded transport (内置消息服务): one file of its own in the hub's home, several processes at once, no server.

Everything committed lasts through a loss of power. A message in hand is invisible to others for a while, which its
holder extends as long as it lives: of a killed holder it comes again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.errors import Malformed, Unavailable
from adapters.messaging.base import PREVIOUS, WORDS, DeadLetter, Message, Subscription, Taken, Transport

_TABLES = """
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bound (topic TEXT, queue TEXT, PRIMARY KEY (topic, queue)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, raw BLOB NOT NULL,
    visible REAL NOT NULL, before INTEGER NOT NULL, holder TEXT
);
CREATE INDEX IF NOT EXISTS message_queue ON message (queue, visible);
CREATE TABLE IF NOT EXISTS dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, queue TEXT NOT NULL, raw BLOB NOT NULL,
    reason TEXT NOT NULL, at REAL NOT NULL
);
"""
_WAIT = 15.0
_PAUSE = 0.02
_KEPT = 10_000
"""Dead letters that are kept; the oldest go first."""


class EmbeddedTransport(Transport):
    """Messages in a file.

    Args:
        path: The file; made if it is not there.
        visible: Seconds for which a message in hand is nobody else's.
        deliveries: After how many deaths of its takers a message is a dead letter.
    """

    name = "embedded"

    def __init__(self, path: Path, *, visible: float = 60.0, deliveries: int = 5) -> None:
        self._path = path
        self._visible = visible
        self._deliveries = deliveries
        self._file = _File(path)

    def declare(
        self, queues: Mapping[str, Collection[str]], loosed: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Insert what is not there."""
        bound = [(topic, queue) for queue, topics in queues.items() for topic in topics]
        gone = [(topic, queue) for queue, topics in (loosed or {}).items() for topic in topics]
        with self._file.reading() as rows:
            known = {name for (name,) in rows("SELECT name FROM queue")}
            ties = set(rows("SELECT topic, queue FROM bound"))
        # Declared again and again: nothing is written where nothing is new.
        if queues.keys() <= known and ties.issuperset(bound) and ties.isdisjoint(gone):
            return
        with self._file.transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO queue VALUES (?)", [(queue,) for queue in queues])
            connection.executemany("INSERT OR IGNORE INTO bound VALUES (?, ?)", bound)
            connection.executemany("DELETE FROM bound WHERE topic = ? AND queue = ?", gone)

    def publish(self, message: Message, *, queue: str | None = None) -> bool:
        """Insert it once for each queue."""
        where = "SELECT name FROM queue WHERE name = ?" if queue else "SELECT queue FROM bound WHERE topic = ?"
        with self._file.transaction() as connection:
            queues = connection.execute(where, (queue or message.topic,)).fetchall()
            values = [(name, message.encoded()) for (name,) in queues]
            insert = "INSERT INTO message (queue, raw, visible, before) VALUES (?, ?, 0, 0)"
            connection.executemany(insert, values)
        return bool(values)

    def subscribe(self, *, prefetch: int = 1) -> Subscription:
        """Begin to claim."""
        return _EmbeddedSubscription(self._path, self._visible, self._deliveries, prefetch)

    def depths(self, queues: Collection[str]) -> dict[str, int | None]:
        """Count what is visible."""
        with self._file.reading() as rows:
            known = {name for (name,) in rows("SELECT name FROM queue")}
            counted = dict(rows("SELECT queue, count(*) FROM message WHERE visible <= ? GROUP BY queue", time.time()))
        return {queue: counted.get(queue, 0) if queue in known else None for queue in queues}

    def bury(self, message: Message, queue: str, reason: str) -> None:
        """Insert a dead letter."""
        with self._file.transaction() as connection:
            _bury(connection, message.id, queue, message.encoded(), reason)

    def dead_letters(self, limit: int = 1000) -> list[DeadLetter]:
        """Read them."""
        with self._file.reading() as rows:
            found = list(rows("SELECT id, queue, raw, reason, at FROM dead ORDER BY number LIMIT ?", limit))
        letters = []
        for name, queue, raw, reason, at in found:
            try:
                message = Message.decoded(raw)
            except Malformed:
                message = Message(topic="", id=name)
            words = WORDS.get(reason, reason)
            letters.append(DeadLetter(message, queue, words, datetime.fromtimestamp(at, UTC)))
        return letters

    def forget(self, letters: Collection[str]) -> int:
        """Delete them."""
        with self._file.transaction() as connection:
            done = connection.executemany("DELETE FROM dead WHERE id = ?", [(name,) for name in letters])
            return max(done.rowcount, 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _EmbeddedSubscription(Subscription):
    def __init__(self, path: Path, visible: float, deliveries: int, prefetch: int) -> None:
        self._file = _File(path)
        self._visible = visible
        self._deliveries = deliveries
        self._prefetch = prefetch
        self._holder = f"{os.getpid()}/{os.urandom(6).hex()}"
        self._queues: tuple[str, ...] = ()
        self._last = ""
        self._held: dict[int, str] = {}
        self._lock = threading.Lock()
        self._said: list[tuple[Taken, str | None]] = []
        """What became of messages: a reason to bury them, "" to give them back, None: they are done with."""
        self._extended = time.monotonic()

    def watch(self, queues: Collection[str]) -> None:
        """Take from these."""
        self._queues = tuple(sorted(queues))

    def take(self, seconds: float) -> Taken | None:
        """Claim the oldest of a queue, queue after queue in turn."""
        end = time.monotonic() + seconds
        seen = None
        while True:
            self._say()
            self._extend()
            # Cheap: it changes whenever somebody else has written.
            version = self._file.version()
            if version != seen or time.monotonic() >= end:
                seen = version
                if (taken := self._claim()) is not None:
                    return taken
            left = end - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(_PAUSE, left))

    def acknowledge(self, taken: Taken) -> None:
        """Delete it."""
        self._tell(taken, None)

    def release(self, taken: Taken) -> None:
        """Make it visible."""
        self._tell(taken, "")

    def bury(self, taken: Taken, reason: str) -> None:
        """Move it."""
        self._tell(taken, reason or "没有写明原因")

    def close(self) -> None:
        """Give back what is in hand."""
        with suppress(Unavailable):
            self._say()
            with self._file.transaction() as connection:
                # Whoever closes has not died over them.
                connection.execute("UPDATE message SET visible = 0, holder = NULL WHERE holder = ?", (self._holder,))
        self._file.close()

    def _tell(self, taken: Taken, what: str | None) -> None:
        with self._lock:
            self._said.append((taken, what))

    def _say(self) -> None:
        with self._lock:
            said, self._said = self._said, []
        if not said:
            return
        try:
            with self._file.transaction() as connection:
                for taken, what in said:
                    mine = (taken.tag, self._holder)
                    if what == "":
                        connection.execute(
                            "UPDATE message SET visible = 0, holder = NULL WHERE number = ? AND holder = ?", mine
                        )
                        continue
                    found = "SELECT raw FROM message WHERE number = ? AND holder = ?"
                    if what is not None and (row := connection.execute(found, mine).fetchone()):
                        _bury(connection, taken.message.id, taken.queue, row[0], what)
                    connection.execute("DELETE FROM message WHERE number = ? AND holder = ?", mine)
        except Unavailable:
            with self._lock:
                self._said = said + self._said
            raise
        for taken, _what in said:
            self._held.pop(taken.tag, None)

    def _extend(self) -> None:
        if not self._held or time.monotonic() - self._extended < self._visible / 3:
            return
        self._extended = time.monotonic()
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE message SET visible = ? WHERE holder = ?", (time.time() + self._visible, self._holder)
            )

    def _claim(self) -> Taken | None:
        """The oldest visible message of the next queue that is not full."""
        many = Counter(self._held.values())
        open_to = [queue for queue in self._queues if many[queue] < self._prefetch]
        # In turn, so that a full queue does not keep the others waiting.
        later = [queue for queue in open_to if queue > self._last]
        turn = [*later, *(queue for queue in open_to if queue <= self._last)]
        if not turn:
            return None
        marks = ",".join("?" * len(turn))
        waiting = f"SELECT DISTINCT queue FROM message WHERE queue IN ({marks}) AND visible <= ?"  # noqa: S608
        with self._file.reading() as rows:
            ready = {queue for (queue,) in rows(waiting, *turn, time.time())}
        for queue in turn:
            if queue in ready and (taken := self._claimed(queue)) is not None:
                self._last = queue
                return taken
        return None

    def _claimed(self, queue: str) -> Taken | None:
        moment = time.time()
        oldest = (
            "SELECT number, raw, before, holder FROM message WHERE queue = ? AND visible <= ? ORDER BY number LIMIT 1"
        )
        with self._file.transaction() as connection:
            while (row := connection.execute(oldest, (queue, moment)).fetchone()) is not None:
                number, raw, before, holder = row
                before += holder is not None  # it has been taken, and its taker is gone
                reason = PREVIOUS if before >= self._deliveries else ""
                try:
                    message = Message.decoded(raw)
                except Malformed as error:
                    message, reason = Message(topic=""), error.message
                if reason:
                    _bury(connection, message.id, queue, raw, reason)
                    connection.execute("DELETE FROM message WHERE number = ?", (number,))
                    continue
                claim = "UPDATE message SET visible = ?, before = ?, holder = ? WHERE number = ?"
                connection.execute(claim, (moment + self._visible, before, self._holder, number))
                self._held[number] = queue
                return Taken(message, queue, before, number)
        return None


def _bury(connection: sqlite3.Connection, name: str, queue: str, raw: bytes, reason: str) -> None:
    values = (name, queue, raw, reason, time.time())
    connection.execute("INSERT INTO dead (id, queue, raw, reason, at) VALUES (?, ?, ?, ?, ?)", values)
    connection.execute("DELETE FROM dead WHERE number <= (SELECT max(number) FROM dead) - ?", (_KEPT,))


class _File:
    """The file, on the connection of one thread; opened again when it was replaced or could not be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def version(self) -> int:
        """Changes with every commit of anybody else, and with the file."""
        with self._translated():
            number = int(self._open().execute("PRAGMA data_version").fetchone()[0])
            return hash((number, self._identity))

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A way to ask."""
        with self._translated():
            connection = self._open()
            yield lambda query, *values: connection.execute(query, values)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The only transaction from its beginning."""
        with self._translated():
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        try:
            found = self._path.stat()
            identity = (found.st_dev, found.st_ino)
        except OSError:
            identity = None
        if self._connection is not None and identity == self._identity and identity is not None:
            return self._connection
        self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # Used by one thread at a time, which need not be the one that opened it.
        connection = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)
            found = self._path.stat()
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, (found.st_dev, found.st_ino)
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.close()
            why = getattr(error, "sqlite_errorname", "") or getattr(error, "strerror", "") or type(error).__name__
            remedy = "检查该文件、权限和磁盘空间；损坏时可以移走，欠下的消息会由平台重新发布"
            raise Unavailable(f"内置消息服务的文件 {self._path} 不能使用：{why}", remedy=remedy) from error
