"""The town on files with boxes, copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exchange.engine.conftest import built_town, workers
from tests.exchange.engine.town import Town, clone
from tests.exchange.service.callers import Callers, furnished

__all__ = ["built_town", "workers"]


@pytest.fixture(scope="session")
def built_callers(built_town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with closing(clone(built_town, tmp_path_factory.mktemp("callers"))) as town:
        yield furnished(town)


@pytest.fixture
def callers(built_callers: Callers, tmp_path: Path) -> Iterator[Callers]:
    """A town with boxes in which nothing has moved yet."""
    with closing(clone(built_callers.town, tmp_path)) as town:
        yield Callers(town, built_callers.grant)
