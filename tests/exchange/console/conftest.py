"""The town, its people, and what happens to them."""

from __future__ import annotations

from tests.adapters.webservice.conftest import place
from tests.exchange.site.conftest import built_town, people, product_town, town, workers

__all__ = ["built_town", "people", "place", "product_town", "town", "workers"]
