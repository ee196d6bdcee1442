from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db import HubDatabase
from exchange.db.sqlite import Sqlite
from exchange.db.tables import NoticeRow, RunRow
from tests.support.compiled import compiled_once


@pytest.fixture
def homes(tmp_path: Path) -> list[Path]:
    """Two hubs' databases, made before anybody looks."""
    made = [tmp_path / "one.db", tmp_path / "other.db"]
    for path in made:
        with closing(HubDatabase(f"sqlite:///{path}")) as database:
            database.migrate()
    return made


def asked(path: Path, table: type = RunRow) -> int:
    with closing(HubDatabase(f"sqlite:///{path}")) as database, database.reading() as session:
        return len(session.scalars(sa.select(table)).all())


def test_what_one_hub_asked_no_other_compiles(homes: list[Path]) -> None:
    with compiled_once() as compiled:
        assert asked(homes[0]) == 0
        before = set(compiled)
        assert before
        assert asked(homes[1]) == 0
        assert set(compiled) == before
        assert asked(homes[1], NoticeRow) == 0
        assert set(compiled) > before


def test_afterwards_it_is_as_it_was(homes: list[Path]) -> None:
    engine = Sqlite._engine
    with compiled_once() as compiled:
        pass
    assert Sqlite._engine is engine
    assert asked(homes[0]) == 0
    assert len(compiled) == 0
