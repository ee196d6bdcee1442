"""Statements of the hub compiled once in a test session, not once in each of its thousands of hubs.

Each test opens a hub of its own, and a new engine of SQLAlchemy's compiles every statement anew: a fifth of the time of
a test. The hub's tables are the same in all of them, and so is the text of what it asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from exchange.db.sqlite import Sqlite

MANY = 2000
"""More than the hub ever asks. Migrations have tables of their own, which are new each time, and must not stay."""


class Alike(SQLiteDialect_pysqlite):
    """The dialect of one hub's database, which is that of every other's: its text is no different."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike)

    def __hash__(self) -> int:
        return hash(Alike)


@contextmanager
def compiled_once() -> Iterator[LRUCache[Any, Any]]:
    """Hubs on files that are opened meanwhile share what was compiled; that is yielded."""
    compiled: LRUCache[Any, Any] = LRUCache(MANY)
    original = Sqlite._engine

    def engine(self: Sqlite, begin: str, *pragmas: str) -> Engine:
        made = original(self, begin, *pragmas)
        made.dialect.__class__ = Alike
        made.update_execution_options(compiled_cache=compiled)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sqlite, "_engine", engine)
        yield compiled
