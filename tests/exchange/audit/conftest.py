"""A log on each of the hub's databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from exchange.audit import AuditLog, events
from exchange.db import HubDatabase
from exchange.identity import Actor
from exchange.secrets import Keyring, create_keys
from exchange.settings import Role, Settings
from tests.exchange.settings.test_model import HUB

AUDITOR = Actor(name="周审", established="os-user", department=HUB, roles=frozenset({Role.AUDIT}))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "hub.db"
    database = HubDatabase(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def migrated_server(postgresql_server) -> Iterator[str]:
    url = postgresql_server.new_database()
    database = HubDatabase(url)
    database.migrate()
    database.close()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def hub_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the hub's tables and an empty log."""
    if request.param == "sqlite":
        (tmp_path / "database").mkdir()
        return f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_file'), tmp_path / 'database')}"
    url: str = request.getfixturevalue("migrated_server")
    database = HubDatabase(url)
    with database.transaction() as session:
        session.execute(text("DROP TABLE IF EXISTS untouched"))
        session.execute(text("ALTER TABLE IF EXISTS elsewhere RENAME TO event"))
        session.execute(text("TRUNCATE event RESTART IDENTITY"))
    database.close()
    return url


@pytest.fixture
def database(hub_url: str) -> Iterator[HubDatabase]:
    database = HubDatabase(hub_url, wait=1.0)
    yield database
    database.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", hub_department=HUB)
    create_keys(settings)
    return settings


@pytest.fixture
def log(database: HubDatabase, settings: Settings) -> AuditLog:
    return AuditLog(database, Keyring(settings), settings)


def write(log: AuditLog, count: int, *, first: int = 1, **about) -> None:
    """So many events, each in a transaction of its own."""
    for number in range(first, first + count):
        with log._database.transaction() as session:
            log.record(session, events.GrantSuspended(grant=f"G{number}", reason="期限已到 𠮷"), AUDITOR, **about)


@pytest.fixture
def sealed(log: AuditLog) -> AuditLog:
    """Nine sealed events, the heads of 3, 6 and 9 noted in the file."""
    for first in (1, 4, 7):
        write(log, 3, first=first, resource="321200001/0001")
        assert log.seal() == 3
    return log
