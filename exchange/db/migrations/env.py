"""Runs the migrations on the connection it is given, inside that connection's transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from catalog.tables import Instant
from exchange.db.migrations import METADATA


def rendered(kind: str, value: Any, _autogenerate: Any) -> str | Literal[False]:
    """A revision says what stands in the database, not what the program makes of it later."""
    if kind == "type" and isinstance(value, Instant):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_item=rendered,
)
with context.begin_transaction():
    context.run_migrations()
