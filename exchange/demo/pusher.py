"""The housing office's own programme (住建局的程序): it pushes its licences to the hub, as its programmer wrote it.

Nothing of the hub is in it but what the service description says. Which rows a message has is written down before it is
sent: one whose answer was lost goes again under the same id with the same rows, and is one delivery.

    python pusher.py ADDRESS RESOURCE TOKEN_FILE DATABASE
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
import zeep

SECONDS = 60


def push(address: str, resource: str, token: str, database: Path) -> dict[str, Any]:
    """Push the message that has no answer yet, else every row that was reported since the last one.

    Args:
        address: Of the hub.
        resource: Code of the resource.
        token: What the office signs in with.
        database: The office's own, with the rows in ``reported``.

    Returns:
        The hub's answer: state, rows, how many were accepted, the refused ones, and the receipt.
    """
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    with closing(session), closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        first, last = _message(connection)
        if last < first:
            return {"state": "nothing", "rows": 0, "accepted": 0, "refused": [], "receipt": None}
        between = "SELECT * FROM reported WHERE number BETWEEN ? AND ? ORDER BY number"
        rows = connection.execute(between, [first, last]).fetchall()
        transport = zeep.Transport(session=session, operation_timeout=SECONDS)
        every = zeep.Client(f"{address}/soap/exchange?wsdl", transport=transport).service.Describe()
        wsdl = {one.code: one.wsdl for one in every if one.direction == "write"}.get(resource)
        if wsdl is None:
            raise LookupError(f"{resource} is not among what the hub takes from us")
        client = zeep.Client(wsdl, transport=transport)
        names = [name for name, _ in client.get_type("ns0:Row").elements]
        sent = [{name: row[name] for name in names if row[name] is not None} for row in rows]
        answer = client.service.Push(messageId=f"licences-{first}-{last}", rows={"row": sent})
        with connection:
            connection.execute("UPDATE pushed SET answered = 1 WHERE first = ?", [first])
    refused = answer.refusals.refusal if answer.refusals is not None else []
    return {
        "state": answer.state,
        "rows": answer.total,
        "accepted": answer.accepted,
        "refused": [[int(one.row), one.reason] for one in refused],
        "receipt": answer.receipt,
    }


def _message(connection: sqlite3.Connection) -> tuple[int, int]:
    """First and last row of the message to send; where there is none, the last is before the first."""
    with connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS pushed (first INTEGER PRIMARY KEY, last INTEGER, answered INTEGER)"
        )
        waiting = connection.execute("SELECT first, last FROM pushed WHERE NOT answered").fetchone()
        if waiting is not None:
            return waiting["first"], waiting["last"]
        first: int = connection.execute("SELECT coalesce(max(last), 0) + 1 FROM pushed").fetchone()[0]
        last: int = connection.execute("SELECT coalesce(max(number), 0) FROM reported").fetchone()[0]
        if last >= first:
            connection.execute("INSERT INTO pushed VALUES (?, ?, 0)", [first, last])
    return first, last


if __name__ == "__main__":
    try:
        told = push(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(encoding="ascii"), Path(sys.argv[4]))
    except (requests.RequestException, zeep.exceptions.Error, LookupError) as error:
        sys.exit(f"{type(error).__name__}: {error}"[:500])
    sys.stdout.write(json.dumps(told))
