"""States of refused rows, their corrections and replays"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    with op.batch_alter_table("quarantine") as table:
        table.add_column(sa.Column("state", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("repair", sa.String(length=128), nullable=True))
        table.add_column(sa.Column("replay", sa.String(length=40), nullable=True))
    rows = sa.table("quarantine", *map(sa.column, ("rule", "run", "state", "file")))
    runs = sa.table("run", sa.column("id"), sa.column("state"))
    stopped = sa.select(runs.c.id).where(runs.c.state == "stopped")
    state = sa.case((rows.c.rule == "reference", "kept"), (rows.c.run.in_(stopped), "stopped"), else_="open")
    # Contents kept until now have another form; their rows are read again from the source or not at all.
    op.execute(sa.update(rows).values(state=state, file=None))
    with op.batch_alter_table("quarantine") as table:
        table.alter_column("state", existing_type=sa.String(length=16), nullable=False)
    op.create_index(op.f("ix_quarantine_replay"), "quarantine", ["replay"], unique=False)
    op.create_index("quarantine_exchange_key", "quarantine", ["exchange", "key_hash"], unique=False)
