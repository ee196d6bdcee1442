"""The database products, one module each; nothing outside this package knows one by name."""

from __future__ import annotations

from adapters.database.dialects.base import Dialect, Rows
from adapters.database.dialects.options import DatabaseOptions, Product

__all__ = ["DatabaseOptions", "Dialect", "Product", "Rows", "dialect"]


def dialect(product: Product) -> Dialect:
    """The dialect of a product; its driver is loaded only now."""
    match product:
        case "sqlite":
            from adapters.database.dialects.sqlite import SQLite

            return SQLite()
        case "postgresql":
            from adapters.database.dialects.postgresql import PostgreSQL

            return PostgreSQL()
        case "mariadb":
            from adapters.database.dialects.mariadb import MariaDB

            return MariaDB()
