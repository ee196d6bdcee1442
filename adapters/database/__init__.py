"""Front-end databases (前置库): tables that the hub reads from and delivers to.

What
    One table or view at a time, through SQLAlchemy. SQLite 3.35, PostgreSQL 13 and MariaDB 10.6 or
    later; what is true of one of them only stands in :mod:`adapters.database.dialects`.
Endpoint
    Kind ``database``. Options: ``product``; ``path`` for a file; ``host``, ``port``, ``database``,
    ``user``, ``password``, ``schema``, ``tls``, ``tls_ca`` for a server;
    ``encoding`` for texts in GBK or GB18030 that the product keeps as bytes. Options of a binding:
    ``journal``, ``overlap``, ``text``. A target needs the tables of the ledger (``endpoint prepare
    --sql``), the right to make tables, and a unique index on exactly its key.
Capabilities
    Reads by ``snapshot``, ``outbox``, ``batches`` and ``journal``, each pass in one snapshot of the
    database, in constant memory. Delivers by merge with tombstones; rows, ledger and epoch become visible
    together. Settles: status and error text to the rows as read, refused rows to the error-return table.
    Types are the columns' own; SQLite vouches for none, so there everything but bytes is text.
Failure
    Away, locked, deadlocked, killed: Unavailable; a commit in doubt is resolved by committing again.
    No right, a broken constraint: Refused. No such table or column, no ledger, a column that does not fit, a
    table without transactions: Misconfigured. A value that its column's type cannot be read as: Malformed, unless
    it was found on opening; then the whole column comes as text and the row alone is refused. A row with a value
    that the target's column cannot hold is refused alone, by the rules ``text``, ``length``, ``time``, ``number``
    (told by the declaration) and ``target`` (told by the database); one that breaks a constraint, by ``constraint``.
"""

from __future__ import annotations

from adapters.database.dialects import DatabaseOptions
from adapters.database.endpoint import DatabaseEndpoint

__all__ = ["DatabaseEndpoint", "DatabaseOptions"]
