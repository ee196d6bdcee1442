"""The insurance office's own programme (医保局的程序): it calls the hub, as a programmer of the office wrote it.

Nothing of the hub is in it but what the service description says. Rows are kept in the office's own database; a page is
kept before the next is asked for, and asking on from the last one tells the hub that all have arrived.

    python caller.py ADDRESS RESOURCE TOKEN_FILE DATABASE
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

ROWS_ON_A_PAGE = 100
SECONDS = 60
KEY = "certificate_sno"


def fetch(address: str, resource: str, token: str, database: Path) -> dict[str, Any]:
    """Fetch everything new, page after page, and the receipt for it.

    Args:
        address: Of the hub.
        resource: Code of the resource.
        token: What the office signs in with.
        database: The office's own; made if it is not there.

    Returns:
        Delivery, pages, rows put and gone, and the receipt with its counts.
    """
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    with closing(session), closing(sqlite3.connect(database)) as connection:
        transport = zeep.Transport(session=session, operation_timeout=SECONDS)
        every = zeep.Client(f"{address}/soap/exchange?wsdl", transport=transport).service.Describe()
        wsdl = {one.code: one.wsdl for one in every if one.direction == "read"}.get(resource)
        if wsdl is None:
            raise LookupError(f"{resource} is not among what the hub offers us")
        client = zeep.Client(wsdl, transport=transport)
        names = [name for name, _ in client.get_type("ns0:Row").elements]
        columns = ", ".join(f'"{name}"' for name in names)
        connection.execute(f'CREATE TABLE IF NOT EXISTS corporation ({columns}, PRIMARY KEY ("{KEY}"))')
        insert = f"INSERT OR REPLACE INTO corporation VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        pages = put = gone = 0
        page = client.service.Query(limit=ROWS_ON_A_PAGE)
        while True:
            rows = page.rows.row if page.rows is not None else []
            deleted = [row for row in rows if row["_operation"] == "delete"]
            stay = [row for row in rows if row["_operation"] != "delete"]
            with connection:
                connection.executemany(f'DELETE FROM corporation WHERE "{KEY}" = ?', [[row[KEY]] for row in deleted])  # noqa: S608
                connection.executemany(insert, [[_text(row[name]) for name in names] for row in stay])
            put, gone, pages = put + len(stay), gone + len(deleted), pages + bool(rows)
            if page.nextCursor is None:
                break
            page = client.service.Query(cursor=page.nextCursor, limit=ROWS_ON_A_PAGE)
        receipt = client.service.Receipt(id=page.delivery)
    counts = {count.name: int(count.value) for count in receipt.counts.count}
    return {
        "delivery": page.delivery,
        "pages": pages,
        "put": put,
        "gone": gone,
        "receipt": receipt.id,
        "counts": counts,
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


if __name__ == "__main__":
    try:
        told = fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(encoding="ascii"), Path(sys.argv[4]))
    except (requests.RequestException, zeep.exceptions.Error, LookupError) as error:
        sys.exit(f"{type(error).__name__}: {error}"[:500])
    sys.stdout.write(json.dumps(told))
