"""The hub's database, empty, on each of the products it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.db import HubDatabase


@pytest.fixture(params=["sqlite", "postgresql"])
def hub_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'home' / 'hub.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def empty(hub_url: str) -> Iterator[HubDatabase]:
    database = HubDatabase(hub_url, wait=1.0)
    yield database
    database.close()


@pytest.fixture
def database(empty: HubDatabase) -> HubDatabase:
    empty.migrate()
    return empty
