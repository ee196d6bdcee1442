"""The hub's database (平台数据库): SQLite by default, PostgreSQL for more than one machine.

It holds the tables of the directory and those of the exchange under one history of migrations.
"""

from __future__ import annotations

from exchange.db.database import HubDatabase, alone, clock, now

__all__ = ["HubDatabase", "alone", "clock", "now"]
