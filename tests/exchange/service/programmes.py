"""Departments' programmes that read people from the hub and push them, by either contract and either form of rows.

The two of the demonstration are the typed contract with rows in XML; the others are written like them. What a
programme keeps is its own: rows in ``corporation``, what is to be pushed in ``reported``, its messages in ``pushed``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import requests
import zeep

from exchange.demo import caller, pusher
from tests.exchange.engine.town import COLUMNS

PAGE = 3


def fetch(address: str, resource: str, token: str, database: str, contract: str, form: str) -> dict[str, Any]:
    """Fetch everything new, and the receipt for it."""
    if (contract, form) == ("typed", "xml"):
        caller.KEY, caller.ROWS_ON_A_PAGE = "id_no", PAGE
        told = caller.fetch(address, resource, token, Path(database))
        return {"state": "fetched", "delivery": told["delivery"], "receipt": told["receipt"]}
    with (
        _client(address, resource, token, contract, "read") as (client, named),
        closing(sqlite3.connect(database)) as own,
    ):
        own.execute(f"CREATE TABLE IF NOT EXISTS corporation ({', '.join(COLUMNS)}, PRIMARY KEY (id_no))")
        asked = {"limit": PAGE, **named, **({"format": "arrow"} if form == "arrow" else {})}
        page = client.service.Query(**asked)
        while True:
            found = _unpacked(page.payload) if form == "arrow" else _rows(page.rows, contract)
            with own:
                for row in found:
                    own.execute("DELETE FROM corporation WHERE id_no = ?", [row["id_no"]])
                    if row["_operation"] != "delete":
                        marks = ", ".join("?" * len(COLUMNS))
                        own.execute(
                            f"INSERT INTO corporation ({', '.join(COLUMNS)}) VALUES ({marks})",
                            [row[name] for name in COLUMNS],
                        )
            if page.nextCursor is None:
                break
            page = client.service.Query(**asked, cursor=page.nextCursor)
        receipt = client.service.Receipt(id=page.delivery)
    return {"state": "fetched", "delivery": page.delivery, "receipt": receipt.id}


def push(address: str, resource: str, token: str, database: str, contract: str, form: str) -> dict[str, Any]:
    """Push the message that has no answer yet, else everything that was reported since the last one."""
    if (contract, form) == ("typed", "xml"):
        return pusher.push(address, resource, token, Path(database))
    with (
        _client(address, resource, token, contract, "write") as (client, named),
        closing(sqlite3.connect(database)) as own,
    ):
        own.row_factory = sqlite3.Row
        first, last = pusher._message(own)
        if last < first:
            return {"state": "nothing"}
        between = "SELECT * FROM reported WHERE number BETWEEN ? AND ? ORDER BY number"
        found = own.execute(between, [first, last]).fetchall()
        texts = [{name: row[name] for name in COLUMNS} for row in found]
        sent: dict[str, Any] = {"payload": _packed(texts)}
        if form == "xml" and contract == "typed":
            sent = {"rows": {"row": texts}}
        elif form == "xml":
            sent = {"rows": {"row": [{"item": [{"name": k, "_value_1": v} for k, v in row.items()]} for row in texts]}}
        answer = client.service.Push(messageId=f"licences-{first}-{last}", **named, **sent)
        with own:
            own.execute("UPDATE pushed SET answered = 1 WHERE first = ?", [first])
    refused = answer.refusals.refusal if answer.refusals is not None else []
    return {
        "state": answer.state, "rows": answer.total, "accepted": answer.accepted,
        "refused": [[int(one.row), one.reason] for one in refused], "receipt": answer.receipt,
    }  # fmt: skip


@contextmanager
def _client(
    address: str, resource: str, token: str, contract: str, direction: str
) -> Iterator[tuple[zeep.Client, dict[str, str]]]:
    """A client by one of the contracts, and how the resource is named to it."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        transport = zeep.Transport(session=session, operation_timeout=60)
        every = zeep.Client(f"{address}/soap/exchange?wsdl", transport=transport)
        if contract == "generic":
            yield every, {"resource": resource}
            return
        offers = {(one.code, one.direction): one.wsdl for one in every.service.Describe()}
        yield zeep.Client(offers[resource, direction], transport=transport), {}


def _rows(rows: Any, contract: str) -> list[dict[str, str | None]]:
    found = rows.row if rows is not None else []
    if contract == "typed":
        return [{name: _text(row[name]) for name in (*COLUMNS, "_operation")} for row in found]
    told = []
    for row in found:
        values = {item.name: item._value_1 if item.nil in (False, "false") else None for item in row["item"]}
        told.append({**dict.fromkeys(COLUMNS), **values, "_operation": row["_operation"]})
    return told


def _unpacked(payload: bytes | None) -> list[dict[str, str | None]]:
    if payload is None:
        return []
    rows = pa.ipc.open_stream(payload).read_all().to_pylist()
    words = {0: "put", 1: "delete"}
    return [{**{k: _text(v) for k, v in row.items()}, "_operation": words[row["_operation"]]} for row in rows]


def _packed(rows: Sequence[dict[str, str | None]]) -> bytes:
    table = pa.Table.from_pylist(list(rows), pa.schema([(name, pa.string()) for name in COLUMNS]))
    table = table.append_column("_operation", pa.array([0] * len(rows), pa.int8()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
