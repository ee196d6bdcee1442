"""What events are found by, what runs came to day by day, and directories that are looked through quickly"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"

_FOUND_BY = ("type", "outcome", "actor", "department", "resource", "exchange", "way", "record_class")


def upgrade() -> None:
    op.create_table(
        "context",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=48), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=18), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("exchange", sa.String(length=80), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("record_class", sa.String(length=64), nullable=False),
        sa.Column("newest", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    for name in _FOUND_BY:
        op.create_index(f"context_{name}", "context", [name, "newest"], unique=False)
    op.create_index("context_newest", "context", ["newest"], unique=False)
    op.add_column("event", sa.Column("context", sa.BigInteger(), nullable=True))
    op.create_index("event_context", "event", ["context", "at", "id"], unique=False)
    op.create_index("event_at", "event", ["at", "id"], unique=False)
    for name in ("at", "actor", "department", "resource", "exchange"):
        op.drop_index(op.f(f"ix_event_{name}"), table_name="event")
    op.create_table(
        "tally",
        sa.Column("exchange", sa.String(length=80), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("runs", "delivered", "stopped", "failed")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("read", "refused", "written", "milliseconds", "slowest")
        ),
        sa.ForeignKeyConstraint(
            ["exchange"],
            ["exchange.id"],
        ),
        sa.PrimaryKeyConstraint("exchange", "day", "way"),
    )
    op.create_index("tally_day", "tally", ["day"], unique=False)
    op.create_index("run_exchange_started", "run", ["exchange", "started_at"], unique=False)
    op.drop_index(op.f("ix_run_exchange"), table_name="run")
    op.create_index("resource_term_weight", "resource_term", ["term", "weight", "resource"], unique=False)
