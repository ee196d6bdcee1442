"""A log on each of the hub's databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from catalog.tables import Base as CatalogBase
from exchange.audit import AuditLog, events
from exchange.db import HubDatabase
from exchange.db.tables import Base
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
        session.execute(text("TRUNCATE event, context RESTART IDENTITY"))
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


@pytest.fixture
def registered(database: HubDatabase) -> None:
    """A resource of persons, and an exchange of it by files that no run was made of."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    person = {"resource": "321/1", "version": 1, "name": "人口", "record_class": "natural_person", "share_type": 2}
    rows: dict[str, dict[str, Any]] = {
        "department": {"code": HUB, "name": "局", "short_name": "", "division": "1", "body": {}, "changed_at": moment},
        "resource": {
            "code": "321/1", "class_code": "321", "sequence": 1, "provider": HUB, "latest": 1, "created_at": moment,
        },
        "resource_version": {
            **person, "state": "draft", "update_cycle": "daily", "body": {}, "created_at": moment, "changed_at": moment,
        },
        "grant": {
            "id": "G1", "kind": "sharing", "resource": "321/1", "resource_version": 1, "department": HUB,
            "state": "active", "version": 1, "body": {"way": "file"}, "valid_from": moment, "issued_at": moment,
        },
        "exchange": {
            "id": "E", "kind": "sharing", "grant": "G1", "resource": "321/1", "table": "t", "provider": HUB,
            "recipient": HUB, "source": {}, "target": {}, "settings": {}, "state": "active", "created_at": moment,
        },
    }  # fmt: skip
    tables = {**CatalogBase.metadata.tables, **Base.metadata.tables}
    with database.transaction() as session:
        for name, row in rows.items():
            key = next(iter(tables[name].primary_key.columns))
            if session.execute(select(key).where(key == row[key.name])).first() is None:
                session.execute(insert(tables[name]), row)
