"""The county in its stages: each is set up once, and copied for whoever changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.cli.county import County, exchanged, founded, granted, published
from tests.exchange.engine.conftest import built_town, town

__all__ = ["built_town", "town"]


@pytest.fixture(scope="session")
def first_county(tmp_path_factory: pytest.TempPathFactory) -> County:
    """Departments and endpoints; not to be changed."""
    return founded(tmp_path_factory.mktemp("founded"))


@pytest.fixture(scope="session")
def county(tmp_path_factory: pytest.TempPathFactory) -> County:
    """Everything, and rows have moved; not to be changed."""
    return exchanged(granted(published(founded(tmp_path_factory.mktemp("county")))))


@pytest.fixture
def founded_county(first_county: County, tmp_path: Path) -> County:
    """Departments and endpoints, to be changed."""
    return first_county.copied(tmp_path)


@pytest.fixture
def changing_county(county: County, tmp_path: Path) -> County:
    """Everything, to be changed; its departments' databases are shared."""
    return county.copied(tmp_path)
