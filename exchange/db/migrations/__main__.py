"""Writes the next revision: what the tables of the program have and the migrations do not make yet.

For developers: ``python -m exchange.db.migrations NUMBER MESSAGE``, then raise ``HEAD``, format and read
what was written.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sqlalchemy import create_engine

from exchange.db.migrations.history import write_revision

with tempfile.TemporaryDirectory() as scratch, create_engine(f"sqlite:///{Path(scratch) / 'hub.db'}").begin() as opened:
    write_revision(opened, sys.argv[1], sys.argv[2])
