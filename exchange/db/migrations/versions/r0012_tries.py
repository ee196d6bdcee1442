"""When an exchange was tried last"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"


def upgrade() -> None:
    op.add_column("exchange", sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True))
