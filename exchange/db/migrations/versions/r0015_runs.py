"""Runs that are looked through from the last begun on"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    op.create_index("run_started", "run", ["started_at", "id"], unique=False)
