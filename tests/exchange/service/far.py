"""A department's own SOAP service that reads and takes people, and can be killed at every moment of a call.

It is a door over the department's own database: rows of the front-end table are read from it in the order in which they
were reported, rows pushed to it are put into the table of people, each message in one transaction with its answer. What
it reads is offered once more as an older stack would, by spyne.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from adapters import DELETE, OPERATION, PUT
from adapters.errors import Refused
from adapters.webservice.credentials import Head, Trust
from adapters.webservice.desk import Caller, Desk, Direction, Offer, Page, Password, Pushed, ReceiptAnswer, Shown
from adapters.webservice.door import Call, Door
from adapters.webservice.server import rows_service
from exchange.service import serve
from schemas import Item, arrow_schema
from tests.exchange.engine.town import COLUMNS, ITEMS
from tests.exchange.engine.worker import Passages

RESOURCE = "person"
OFFERS: Mapping[Direction, Offer] = {
    direction: Offer(
        resource=RESOURCE,
        version=1,
        name="人口",
        direction=direction,
        items=tuple(Item.model_validate(item) for item in ITEMS),
        key=("id_no",),
    )
    for direction in ("read", "write")
}
USER, PASSWORD = "hub", "p-secret"
_TYPES = {"born": sa.Date(), "ver": sa.BigInteger(), "update_date": sa.DateTime()}


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(each, _TYPES.get(each, sa.String())) for each in columns))


_MARKED = _table("inf_person", *COLUMNS, "update_date", "sync_sign")
_PEOPLE = _table("person", *COLUMNS)
GONE = "D"
"""State of a row of the front-end table that was taken back."""
MESSAGES = sa.Table(
    "far_message",
    sa.MetaData(),
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("content", sa.Text),
    sa.Column("answer", sa.Text),
)
"""What was pushed, with the answer to it; made by whoever builds the town."""


class Department(Desk):
    """The service's rows and messages.

    Args:
        provider: Database with the front-end table.
        recipient: Database with the table of people.
        passages: Told when a message is committed.
    """

    def __init__(self, provider: str, recipient: str, passages: Passages) -> None:
        self._provider, self._recipient = sa.create_engine(provider), sa.create_engine(recipient)
        self._passages = passages

    def identify(self, shown: Shown, peer: str) -> Caller:
        if shown != Password(USER, PASSWORD):
            raise Refused("用户或口令不正确")
        return Caller(USER, USER)

    def offers(self, caller: Caller) -> Sequence[Offer]:
        return list(OFFERS.values())

    def offer(self, caller: Caller, resource: str, direction: Direction) -> Offer:
        if resource != RESOURCE:
            raise Refused("没有这个资源")
        return OFFERS[direction]

    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        return OFFERS[direction] if (resource, version) == (RESOURCE, 1) else None

    def page(self, cursor: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Rows behind a cursor, and the cursor behind them."""
        at, _, key = (cursor or "0001-01-01|").partition("|")
        columns, since = _MARKED.c, datetime.fromisoformat(at)
        later = sa.or_(columns.update_date > since, sa.and_(columns.update_date == since, columns.id_no > key))
        query = sa.select(_MARKED).where(later).order_by(columns.update_date, columns.id_no).limit(limit)
        with self._provider.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        following = f"{rows[-1]['update_date']}|{rows[-1]['id_no']}" if rows else None
        for row in rows:
            row[OPERATION] = DELETE if row.pop("sync_sign") == GONE else PUT
            del row["update_date"]
        return rows, following

    def query(self, caller: Caller, resource: str, cursor: str | None, limit: int) -> Page:
        rows, following = self.page(cursor, limit)
        schema = arrow_schema(OFFERS["read"].items).append(pa.field(OPERATION, pa.int8()))
        return Page(iter([pa.RecordBatch.from_pylist(rows, schema)] if rows else []), lambda: following, "D-1")

    def push(self, caller: Caller, resource: str, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        rows = [row for batch in batches for row in batch.to_pylist()]
        content = json.dumps(rows, ensure_ascii=False)
        with self._recipient.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            known = connection.execute(sa.select(MESSAGES).where(MESSAGES.c.id == message)).one_or_none()
            if known is not None:
                if known.content != content:
                    raise Refused("消息编号已用于内容不同的消息")
                return replace(Pushed(**{**json.loads(known.answer), "refused": ()}), repeated=True)
            for row in rows:
                connection.execute(sa.delete(_PEOPLE).where(_PEOPLE.c.id_no == row["id_no"]))
                if row[OPERATION] != DELETE:
                    typed = {"born": date.fromisoformat(row["born"]), "ver": int(row["ver"])}
                    connection.execute(sa.insert(_PEOPLE), {name: row[name] for name in COLUMNS[:3]} | typed)
            answer = Pushed(message=message, state="delivered", rows=len(rows), accepted=len(rows))
            note = {"id": message, "content": content, "answer": json.dumps(asdict(answer))}
            connection.execute(sa.insert(MESSAGES), note)
            connection.commit()
            self._passages.by()
        return answer

    def status(self, caller: Caller, message: str) -> Pushed:
        raise Refused("不提供")

    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        raise Refused("不提供")

    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        raise Refused("不提供")


class _Application:
    """The door, and beside it the older stack, as a WSGI application: a call is here; half of its answer is sent."""

    def __init__(self, department: Department, address: str, passages: Passages) -> None:
        self._door = Door(department, address, trust=Trust(passwords=True))
        self._old = rows_service(
            "People", "urn:People", COLUMNS, lambda cursor, limit: _texts(department.page(cursor, limit)),
            address=f"{address}/old",
        )  # fmt: skip
        self._passages = passages

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self._passages.begin()
        asked = environ["REQUEST_METHOD"] == "POST"
        if asked:
            self._passages.by()
        if environ["PATH_INFO"] == "/old":
            content = b"".join(self._old(environ, start_response))
        else:
            content = self._answer(environ, start_response)
        half = len(content) // 2
        yield content[:half]
        if asked:
            # What was written is to be on its way before anybody dies.
            time.sleep(0.002)
            self._passages.by()
        yield content[half:]

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> bytes:
        named = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        named["content-type"] = environ.get("CONTENT_TYPE", "")
        head = Head(
            environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), list(named.items()), "::1"
        )
        answer = self._door.admit(head)
        if isinstance(answer, Call):
            answer = self._door.answer(answer, iter([environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]))
        content = b"".join(answer.body.chunks())
        start_response(f"{answer.status} -", [*answer.headers, ("Content-Length", str(len(content)))])
        return content


def _texts(page: tuple[list[dict[str, Any]], str | None]) -> tuple[list[dict[str, str | None]], str | None]:
    rows, following = page
    return [{name: str(row[name]) for name in COLUMNS} for row in rows], following


def stay(order: dict[str, Any]) -> None:
    """Be the service until somebody ends it, or it dies at its point."""
    passages = Passages(order["point"])
    port = order["port"]
    department = Department(order["provider"], order["recipient"], passages)
    with serve(_Application(department, f"http://127.0.0.1:{port}", passages), port=port):
        while True:
            time.sleep(3600)
