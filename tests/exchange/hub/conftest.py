"""The town on files, as the engine's tests have it."""

from __future__ import annotations

from tests.exchange.engine.conftest import built_town, product_town, town, workers

__all__ = ["built_town", "product_town", "town", "workers"]
