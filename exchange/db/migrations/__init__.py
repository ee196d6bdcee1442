"""History of the hub's tables, those of the directory and those of the exchange alike."""

from __future__ import annotations

from catalog.tables import Base as CatalogBase
from exchange.db.tables import Base as ExchangeBase

METADATA = (CatalogBase.metadata, ExchangeBase.metadata)
"""All tables of the hub as the program sees them."""

HEAD = "0017"
"""The newest revision."""
