"""The town on files, and its people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.exchange.engine.conftest import built_town, product_town, town, workers
from tests.exchange.engine.town import Town, clone
from tests.exchange.site.people import People, people_of
from tests.exchange.site.visited import Visit, visit
from tests.support.browser import chromium

__all__ = ["built_town", "product_town", "town", "workers"]


@pytest.fixture(scope="module")
def shared_town(built_town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One town for all tests of a module; the one that others are copied from stays without accounts."""
    with closing(clone(built_town, tmp_path_factory.mktemp("site"))) as town:
        yield town


@pytest.fixture
def people(town: Town) -> Iterator[People]:
    with people_of(town) as found:
        yield found


@pytest.fixture(scope="module")
def site(shared_town: Town) -> Iterator[Visit]:
    """The same town, visited with one browser."""
    with chromium() as browser, visit(shared_town, browser) as found:
        yield found
