"""Transactions of the hub, its clock, and the making of its tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from exchange.db.changes import Changes
from exchange.db.migrations import HEAD
from exchange.db.postgresql import Postgresql
from exchange.db.products import Product
from exchange.db.sqlite import Sqlite
from exchange.errors import Busy, Invalid, Misplaced

_PRODUCTS: dict[str, type[Product]] = {product.name: product for product in (Sqlite, Postgresql)}

# Alembic's operations work on a context that is one per process.
_migrating = threading.Lock()


class Companion(Protocol):
    """What is done with whatever a call commits (随行): in the transactions of its use cases, and not beside them."""

    def began(self, session: Session) -> None:
        """A transaction that writes has begun; raising ends it before anything is done."""

    def ending(self, session: Session) -> None:
        """All is done and about to be committed; raising undoes it."""


class HubDatabase:
    """The database of the hub.

    Args:
        url: ``sqlite:////path/hub.db`` or ``postgresql://user@host/name``, see
            :func:`exchange.secrets.with_password`.
        wait: Seconds to wait for a lock before :class:`~exchange.errors.Busy` is raised.

    Attributes:
        changes: Who is told after a commit that changed what.

    Raises:
        Invalid: The hub does not run on that product, or the database would be in memory.
    """

    def __init__(self, url: str | URL, *, wait: float = 15.0) -> None:
        address = make_url(url)
        product = _PRODUCTS.get(address.get_backend_name())
        if product is None:
            raise Invalid(f"平台数据库不支持 {address.get_backend_name()}", remedy="用 sqlite:/// 或 postgresql://")
        if product is Sqlite and address.database in {None, "", ":memory:"}:
            raise Invalid("平台数据库应为文件", remedy="写成 sqlite:////路径/hub.db")
        self._product = product(address, wait)
        self._write, self._read = self._product.engines()
        self._writing = sessionmaker(self._write, expire_on_commit=False)
        self._reading = sessionmaker(self._read, expire_on_commit=False)
        self.changes = Changes(self._writing)
        self._companions: ContextVar[tuple[Companion, ...]] = ContextVar("companions", default=())

    def __repr__(self) -> str:
        return f"HubDatabase({self._product.url.render_as_string(hide_password=True)!r})"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that writes: committed at the end, rolled back by any exception.

        On SQLite it is the only one from its beginning; on PostgreSQL it reads what is committed, and
        locks rows by ``with_for_update``. Keep it short, and never wait for anything else inside.

        Raises:
            Busy: Somebody else holds the database or a row.
            Failed: The database cannot be used.
        """
        with self._translated(), self._writing.begin() as session:
            session.connection()
            companions = self._companions.get()
            for each in companions:
                each.began(session)
            yield session
            for each in companions:
                each.ending(session)
        self.changes.tell(session)

    @contextmanager
    def accompanied(self, companion: Companion | None) -> Iterator[None]:
        """Have something done with what is committed meanwhile by this call, on whatever thread it goes on.

        Args:
            companion: It, with those there are; None: nothing, and those there are not either.
        """
        token = self._companions.set(() if companion is None else (*self._companions.get(), companion))
        try:
            yield
        finally:
            self._companions.reset(token)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the database throughout, and cannot write.

        Raises:
            Busy: Somebody else holds the database.
            Failed: The database cannot be used.
        """
        with self._translated(), self._reading.begin() as session:
            session.connection()
            yield session

    @contextmanager
    def aside(self) -> Iterator[Session]:
        """The same on a connection that is kept for this, so that it can be had within another transaction.

        Whoever holds a row for which all other connections wait would wait for one of them for ever. For one thread
        at a time, and short looks.
        """
        with self._translated(), sessionmaker(self._beside).begin() as session:
            session.connection()
            yield session

    @cached_property
    def _beside(self) -> Engine:
        return self._product.engines()[1]

    def migrate(self) -> None:
        """Bring the tables to what this version of the hub expects; safe to call at every start.

        Raises:
            Misplaced: A newer version has been here.
            Busy: Somebody else holds the database.
            Failed: The database cannot be used.
        """
        with self._translated():
            with self._read.connect() as connection:
                if _revision(connection) == HEAD:
                    return
            # Imported only when there is something to do: every command opens the hub.
            from exchange.db.migrations import history

            with _migrating, self._write.begin() as connection:
                self._product.alone(connection, "migrate")
                found = _revision(connection)
                if found is not None and not history.knows(found):
                    raise Misplaced(
                        "平台数据库由更新版本的数通建立，当前版本不能使用",
                        remedy="升级数通，或恢复升级之前的数据库备份",
                    )
                history.upgrade(connection)

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._write.dispose()
        self._read.dispose()
        if "_beside" in vars(self):
            self._beside.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            translated = self._product.translated(error)
            if translated is None:
                raise
            raise translated from error
        except PoolTimeout as error:
            raise Busy("平台数据库的连接都在使用中", remedy="稍后重试") from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def now(session: Session) -> datetime:
    """This moment by the database's clock, aware, in UTC."""
    return _PRODUCTS[session.get_bind().dialect.name].now(session)


def clock(session: Session) -> float:
    """Seconds since 1970 by the database's clock."""
    return now(session).timestamp()


def alone(session: Session, name: str) -> None:
    """Go on only when no other transaction holds the name; it is held until this one ends.

    Raises:
        Busy: It was not given up in time; raised where the transaction ends.
    """
    _PRODUCTS[session.get_bind().dialect.name].alone(session.connection(), name)
