"""Rows that the target itself cannot take (目标端拒收的行): found when they are staged, told with the commit.

A row whose value the target's column cannot hold is refused, and the run goes on without it. What the column's
declaration tells is known before (:func:`adapters.database.fit.faults`); everything else only the database knows
for sure, so a batch that it does not take is halved until the rows to blame stand alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import sqlalchemy as sa

from adapters.base import RefusedRow
from adapters.database.dialects import Dialect
from adapters.database.errors import diagnosed

ROW, OPERATION_COLUMN, KEY = "row_number", "operation", "key_text"
REFUSED = 9
"""Stands for the operation of a staged row that is refused; its key text is the rule and the reason."""
_REASON_LENGTH = 400
_ALWAYS, _SHARE = 100, 4
"""Of a batch so many rows may be found by halving, or one in so many: more are no rows, but a target that is wrong."""


def load_all_but(
    connection: sa.Connection,
    dialect: Dialect,
    table: sa.TableClause,
    arrays: Mapping[str, pa.Array],
    known_as: Mapping[str, str],
) -> dict[int, tuple[str, str]]:
    """Insert rows, all but those that have a value the table cannot hold.

    Args:
        connection: In a transaction.
        dialect: The product.
        table: Where to.
        arrays: The rows.
        known_as: The table's columns by the names that people know.

    Returns:
        Rule and reason of each row left out, by its place.
    """
    refused: dict[int, tuple[str, str]] = {}
    rows = len(next(iter(arrays.values())))
    pending = [(0, rows)] if rows else []
    while pending:
        start, count = pending.pop()
        part = {name: array.slice(start, count) for name, array in arrays.items()}
        tried = connection.begin_nested()
        try:
            dialect.load(connection, table, part)
        except sa.exc.SQLAlchemyError as error:
            found = diagnosed(error, dialect)
            if not found.of_value or len(refused) >= max(_ALWAYS, rows // _SHARE):
                # A full disk or a deadlock may have ended the whole transaction: there is nothing to go back to.
                raise
            tried.rollback()
            if count == 1:
                named = "，".join(f"{word} {known_as.get(name, name)}" for word, name in found.names)
                refused[start] = ("target", f"目标端：{found.what}{f'（{named}）' if named else ''}")
            else:
                half = count // 2
                pending += [(start + half, count - half), (start, half)]
        else:
            tried.commit()
    return refused


def refused_arrays(rows: Sequence[RefusedRow]) -> dict[str, pa.Array]:
    """Refused rows as they stand in a stage: number, mark, and why."""
    texts = [json.dumps([row.rule, row.reason[:_REASON_LENGTH]], ensure_ascii=False) for row in rows]
    return {
        ROW: pa.array([row.row for row in rows], pa.int64()),
        OPERATION_COLUMN: pa.array([REFUSED] * len(rows), pa.int8()),
        KEY: pa.array(texts, pa.string()),
    }


def refused_row(number: int, text: str) -> RefusedRow:
    """A refused row out of its number and what :func:`refused_arrays` wrote of it."""
    rule, reason = json.loads(text)
    return RefusedRow(number, rule, reason)
