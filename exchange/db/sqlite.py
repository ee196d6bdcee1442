"""The hub on SQLite: one file, many processes, one writer at a time."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange.db.products import Product
from exchange.errors import Busy, HubError, Unavailable

_WRITE = "BEGIN IMMEDIATE"
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNUSABLE = {
    sqlite3.SQLITE_PERM: "没有权限",
    sqlite3.SQLITE_READONLY: "只读",
    sqlite3.SQLITE_IOERR: "磁盘读写出错",
    sqlite3.SQLITE_CORRUPT: "文件已损坏",
    sqlite3.SQLITE_FULL: "磁盘已满",
    sqlite3.SQLITE_CANTOPEN: "打不开",
    sqlite3.SQLITE_NOTADB: "不是 SQLite 数据库",
}
_PASSING = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
_PAUSE = 0.02
_TURN = 0.0005
"""Seconds between two tries to become the writer, or twice as many. SQLite itself waits longer each time, up to a tenth
of a second, while others who have just come go first: under steady writing some would wait for ever."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sqlite(Product):
    """SQLite in WAL, with writers that take their lock at the start."""

    name = "sqlite"

    def engines(self) -> tuple[Engine, Engine]:
        """Writers begin immediate and last through a loss of power; readers see the state at their first read."""
        return self._engine(_WRITE), self._engine("BEGIN", "PRAGMA query_only = ON")

    def _engine(self, begin: str, *pragmas: str) -> Engine:
        engine = create_engine(self.url, connect_args={"timeout": self.wait}, **self.engine_options)

        def connecting(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> None:
            self._make_file()

        def connected(connection: sqlite3.Connection, _record: Any) -> None:
            connection.isolation_level = None
            # Bytes that are no text, which only other hands can have put there, must not stop the reading of the log.
            connection.text_factory = partial(str, encoding="utf-8", errors="backslashreplace")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                self._patiently(connection, "PRAGMA journal_mode = WAL")
            for pragma in pragmas:
                connection.execute(pragma)

        def beginning(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection
            if begin == _WRITE:
                self._take_turn(driver)
            else:
                self._patiently(driver, begin)

        event.listen(engine, "do_connect", connecting)
        event.listen(engine, "connect", connected)
        event.listen(engine, "begin", beginning)
        return engine

    def _make_file(self) -> None:
        path = Path(self.url.database or "")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files beside it the same permissions. A file that is there is left alone: closing it
        # would drop the locks of this process's other connections, and another process, believing itself the
        # last, would remove the log they are writing to.
        if not path.exists():
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _take_turn(self, connection: sqlite3.Connection) -> None:
        """Become the writer, with as good a chance as anybody else who waits."""
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._patiently(connection, _WRITE, _TURN)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self.wait * 1000)}")

    def _patiently(self, connection: sqlite3.Connection, statement: str, pause: float = _PAUSE) -> None:
        """Execute, waiting for locks: the driver does not wait in every case in which SQLite says busy."""
        end = time.monotonic() + self.wait
        while True:
            try:
                connection.execute(statement)
            except sqlite3.Error as error:
                failure = self._failure(error)
                if failure is None:
                    raise
                if not isinstance(failure, Busy) or time.monotonic() >= end:
                    raise failure from error
                time.sleep(pause * random.uniform(1, 2))  # noqa: S311 - nobody is to guess anything by it
            else:
                return

    def translated(self, error: DBAPIError) -> HubError | None:
        """Locked, or a file that cannot be used."""
        return self._failure(error.orig)

    def _failure(self, error: BaseException | None) -> HubError | None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _LOCKED:
            return Busy(f"平台数据库被占用，等待 {self.wait:g} 秒未得", remedy="稍后重试；长期如此请改用 PostgreSQL")
        if code in _UNUSABLE:
            return Unavailable(
                f"平台数据库 {self.url.database}：{_UNUSABLE[code]}",
                remedy="检查文件、权限和磁盘空间；文件损坏时从备份恢复",
                retry=code in _PASSING,
            )
        return None

    @staticmethod
    def now(session: Session) -> datetime:
        """The clock of the machine, to the millisecond, as SQLite reads it."""
        # SQLite has no clock of its own: asked for the time, it would say just this.
        return _EPOCH + timedelta(milliseconds=time.time_ns() // 1_000_000)

    @staticmethod
    def alone(connection: Connection, name: str) -> None:
        """Nothing to do: a transaction that writes is alone from its beginning."""
