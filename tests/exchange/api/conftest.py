"""The town on files, its people, and their tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.conftest import built_town, product_town, town, workers
from tests.exchange.engine.town import Town
from tests.exchange.site.people import people_of

__all__ = ["built_town", "product_town", "town", "workers"]


@pytest.fixture
def calls(town: Town) -> Iterator[Programmes]:
    with people_of(town) as people:
        yield Programmes(town, people)
