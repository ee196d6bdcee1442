"""The hub on PostgreSQL."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.orm import Session

from exchange.db.products import Product
from exchange.errors import Busy, HubError, Invalid, Unavailable

_LOCKED = {"40001", "40P01", "55P03"}
"""Serialisation failure, deadlock, lock not available."""
_AWAY = ("08", "53", "57")
"""Connection, resources, intervention of the operator."""


class Postgresql(Product):
    """PostgreSQL: writers read what is committed and lock rows; readers see one state."""

    name = "postgresql"

    def engines(self) -> tuple[Engine, Engine]:
        """READ COMMITTED for writing, a read-only snapshot for reading."""
        write = create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": max(2, round(self.wait)), "application_name": "shutong"},
            **self.engine_options,
        )

        def connected(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {round(self.wait * 1000)}")
            connection.commit()

        event.listen(write, "connect", connected)
        return write, write.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def translated(self, error: DBAPIError) -> HubError | None:
        """Locked, or a server that is away."""
        state = getattr(error.orig, "sqlstate", None)
        if state in _LOCKED:
            return Busy("平台数据库的记录正被另一事务占用", remedy="稍后重试")
        if error.connection_invalidated or (state or "").startswith(_AWAY) or _unanswered(error):
            address = f"{self.url.host or 'localhost'}:{self.url.port or 5432}/{self.url.database}"
            return Unavailable(f"平台数据库 {address} 连接不上", remedy="检查地址、口令引用和服务器状态", retry=True)
        if isinstance(error, DataError) and state is None:
            # The driver refused it, before the server saw it: NUL, of all characters, is in no text.
            return Invalid("内容中有不能保存的字符", remedy="去掉其中的控制字符")
        return None

    @staticmethod
    def now(session: Session) -> datetime:
        """The server's clock at this moment, not at the beginning of the transaction."""
        moment: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment.astimezone(UTC)

    @staticmethod
    def alone(connection: Connection, name: str) -> None:
        """Take an advisory lock of the transaction."""
        key = int.from_bytes(hashlib.sha256(f"shutong {name}".encode()).digest()[:8], signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _unanswered(error: DBAPIError) -> bool:
    # Without a state the driver did not get as far as an answer.
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) is None
