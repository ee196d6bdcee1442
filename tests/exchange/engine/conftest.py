"""Towns: one on files, copied for each test, and one on each of the three products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exchange.engine.town import Town, build, clone
from tests.exchange.engine.worker import Workers


@pytest.fixture(scope="session")
def built_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls)) as town:
        yield town


@pytest.fixture
def town(built_town: Town, tmp_path: Path) -> Iterator[Town]:
    """A town on files in which nothing has moved yet."""
    with closing(clone(built_town, tmp_path)) as town:
        yield town


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def product_town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    """A town on each of the three products."""
    if request.param == "sqlite":
        yield request.getfixturevalue("town")
        return
    server = request.getfixturevalue(f"{request.param}_server")
    urls = {name: server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls)) as town:
        yield town


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(tmp_path_factory.mktemp("workers") / "errors.log") as workers:
        yield workers
