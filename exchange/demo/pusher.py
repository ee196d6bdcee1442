"""The housing office's own programme (住建局的程序): it pushes its licences to the hub, as its programmer wrote it.

Nothing of the hub is in it but what the service description says. What has an answer is marked in the office's own
database; a message whose answer was lost goes again under the same id with the same rows, and is one delivery.

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
    """Push every row that was reported since the last message.

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
        connection.execute("CREATE TABLE IF NOT EXISTS pushed (number INTEGER PRIMARY KEY, message TEXT NOT NULL)")
        mark = connection.execute("SELECT coalesce(max(number), 0) FROM pushed").fetchone()[0]
        rows = connection.execute("SELECT * FROM reported WHERE number > ? ORDER BY number", [mark]).fetchall()
        if not rows:
            return {"state": "nothing", "rows": 0, "accepted": 0, "refused": [], "receipt": None}
        transport = zeep.Transport(session=session, operation_timeout=SECONDS)
        every = zeep.Client(f"{address}/soap/exchange?wsdl", transport=transport).service.Describe()
        wsdl = {one.code: one.wsdl for one in every if one.direction == "write"}.get(resource)
        if wsdl is None:
            raise LookupError(f"{resource} is not among what the hub takes from us")
        client = zeep.Client(wsdl, transport=transport)
        names = [name for name, _ in client.get_type("ns0:Row").elements]
        sent = [{name: row[name] for name in names if row[name] is not None} for row in rows]
        last = rows[-1]["number"]
        message = f"licences-{mark + 1}-{last}"
        answer = client.service.Push(messageId=message, rows={"row": sent})
        with connection:
            connection.execute("INSERT INTO pushed VALUES (?, ?)", [last, message])
    refused = answer.refusals.refusal if answer.refusals is not None else []
    return {
        "state": answer.state,
        "rows": answer.total,
        "accepted": answer.accepted,
        "refused": [[int(one.row), one.reason] for one in refused],
        "receipt": answer.receipt,
    }


if __name__ == "__main__":
    try:
        told = push(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(encoding="ascii"), Path(sys.argv[4]))
    except (requests.RequestException, zeep.exceptions.Error, LookupError) as error:
        sys.exit(f"{type(error).__name__}: {error}"[:500])
    sys.stdout.write(json.dumps(told))
