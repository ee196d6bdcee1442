"""A desk that keeps everything in memory: the reference for tests of the door.

It knows callers by every kind of credential, grants by (department, resource, direction), rows as Arrow tables
with a number for a cursor, and takes pushes whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION, PUT
from adapters.errors import Malformed, Refused, Unavailable
from adapters.webservice.desk import (
    Caller,
    Certificate,
    Desk,
    Digest,
    Direction,
    Gateway,
    Offer,
    Page,
    Password,
    Pushed,
    ReceiptAnswer,
    RefusedPush,
    Shown,
    Token,
)
from schemas import Item, arrow_schema

ITEMS = (
    Item(name="id", label="编号", type="I"),
    Item(name="name", label="姓名", type="C", length=40),
    Item(name="born", label="出生日期", type="D"),
    Item(name="changed", label="更新时间", type="T"),
    Item(name="amount", label="金额", type="N", length=12, scale=2),
    Item(name="active", label="有效", type="L"),
    Item(name="photo", label="照片", type="G"),
    Item(name="备注", label="备注", type="M"),
)
PEOPLE = Offer(
    resource="101001001/0001", version=1, name="人口 <基本>", direction="read", items=ITEMS, key=("id",), lookup=True
)
SENT = Offer(
    resource="101001001/0002",
    version=1,
    name="上报",
    direction="write",
    items=(*ITEMS[:4], Item(name="备注", label="备注", type="M")),
    key=("id",),
)
BROKEN = Offer(resource="101001001/0003", version=1, name="坏", direction="read", items=ITEMS[:2], key=("id",))

TOKEN, USER, PASSWORD, SECRET, SUBJECT = "t-secret", "bureau", "p-secret 𠮷", "testsecret", "CN=bureau"
STRANGER = "t-stranger"


def rows(count: int, *, deleted: Sequence[int] = ()) -> pa.Table:
    """People by number."""
    moment = datetime(2026, 1, 1, 1, 1, 1, tzinfo=UTC)
    made = [
        {
            "id": n,
            "name": None if n in deleted else f"张三 <&> {n} 𠮷",
            "born": None if n in deleted else moment.date(),
            "changed": None if n in deleted else moment.replace(microsecond=n % 2 * 1000),
            "amount": None,
            "active": n % 2 == 0,
            "photo": b"\x00\xff" if n % 3 == 0 else None,
            "备注": "" if n % 2 else " 前后 \r\n\t",
        }
        for n in range(1, count + 1)
    ]
    table = pa.Table.from_pylist(made, arrow_schema(ITEMS))
    return table.append_column(
        OPERATION, pa.array([DELETE if row["id"] in deleted else PUT for row in made], pa.int8())
    )


@dataclass
class MemoryDesk(Desk):
    """See the module."""

    tables: dict[str, pa.Table] = field(default_factory=lambda: {PEOPLE.resource: rows(5, deleted=(4,))})
    published: list[Offer] = field(default_factory=lambda: [PEOPLE, SENT, BROKEN])
    pushed: dict[tuple[str, str], tuple[str, pa.Table, Pushed]] = field(default_factory=dict)
    shown: list[tuple[Shown, str]] = field(default_factory=list)
    seen: set[object] = field(default_factory=set)
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def identify(self, shown: Shown, peer: str) -> Caller:
        self.shown.append((shown, peer))
        match shown:
            case Token(text=text) if text == STRANGER:
                return Caller("stranger", "D2")
            case Token(text=text):
                good = text == TOKEN
            case Password(user=user, password=password):
                good = (user, password) == (USER, PASSWORD)
            case Digest():
                wanted = hashlib.sha1(shown.nonce + shown.created.encode() + PASSWORD.encode()).digest()
                age = abs((datetime.now(UTC) - datetime.fromisoformat(shown.created)).total_seconds())
                good = shown.user == USER and hmac.compare_digest(wanted, shown.digest) and age < 300
                good = good and self._once(shown)
            case Gateway():
                message = (shown.service + shown.requester + shown.time).encode()
                wanted = base64.b64encode(hmac.new(SECRET.encode(), message, hashlib.sha256).digest())
                good = hmac.compare_digest(wanted, shown.sign.encode()) and self._once(shown)
            case Certificate(subject=subject):
                good = subject == SUBJECT
        if not good:
            raise Refused("凭据不正确", remedy="核对凭据")
        return Caller(USER, "D1")

    def _once(self, shown: object) -> bool:
        with self.lock:
            fresh = shown not in self.seen
            self.seen.add(shown)
            return fresh

    def offers(self, caller: Caller) -> Sequence[Offer]:
        return [offer for offer in self.published if caller.department == "D1"]

    def offer(self, caller: Caller, resource: str, direction: Direction) -> Offer:
        for offer in self.offers(caller):
            if (offer.resource, offer.direction) == (resource, direction):
                return offer
        raise Refused("没有可用的这个资源", remedy="用 Describe 查看")

    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        wanted = (resource, version, direction)
        return next((o for o in self.published if (o.resource, o.version, o.direction) == wanted), None)

    def query(self, caller: Caller, resource: str, cursor: str | None, limit: int) -> Page:
        if resource == BROKEN.resource:
            return Page(self._breaking(), lambda: None, "D-x")
        if cursor == "later":
            raise Unavailable("流量已用完", remedy="7 秒后再试")
        if cursor is not None and not cursor.isdecimal():
            raise Malformed("游标不能读取")
        table = self.tables[resource]
        start = int(cursor or 0)
        end = start + limit
        page = table.slice(start, limit)
        return Page(self._batches(page), lambda: str(end) if end < table.num_rows else None, f"D-{start}")

    def _batches(self, table: pa.Table) -> Iterator[pa.RecordBatch]:
        try:
            yield from table.to_batches(max_chunksize=65536)
        finally:
            self.closed += 1

    def _breaking(self) -> Iterator[pa.RecordBatch]:
        yield rows(1).to_batches()[0]
        raise RuntimeError("11010119900307")

    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        table = self.tables[resource]
        found = table.filter(pc.equal(table["id"].cast(pa.string()), key["id"]))
        return Page(self._batches(found), lambda: None, "D-look")

    def push(self, caller: Caller, resource: str, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        known = self.pushed.get((caller.department, message))
        if known is not None:
            return replace(known[2], repeated=True)
        offer = self.offer(caller, resource, "write")
        names = [*(item.name for item in offer.items), OPERATION]
        taken = [batch for batch in batches if batch.schema.names == names]
        schema = pa.schema([(name, pa.string()) for name in names[:-1]] + [(OPERATION, pa.int8())])
        table = pa.Table.from_batches(taken, schema)
        bad = [n for n, value in enumerate(table["id"].to_pylist(), 1) if value is None or not value.isdecimal()]
        refused = tuple(RefusedPush(n, "id", "type", "不是整数 <&>") for n in bad)
        made = Pushed(
            message=message,
            state="delivered",
            rows=table.num_rows,
            accepted=table.num_rows - len(bad),
            refused=refused,
            receipt=f"R-{message}",
        )
        with self.lock:
            self.pushed[caller.department, message] = (resource, table, made)
        return made

    def status(self, caller: Caller, message: str) -> Pushed:
        known = self.pushed.get((caller.department, message))
        if known is None:
            raise Refused("没有这条消息", remedy="核对 messageId")
        return known[2]

    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        if caller.department != "D1":
            raise Refused("没有这张回执")
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return ReceiptAnswer(
            id=name, resource=PEOPLE.resource, issued_at=moment, counts={"written": 4}, content="c", digest="d"
        )


class SlowDesk(MemoryDesk):
    """Needs a second for a lookup."""

    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        time.sleep(1)
        return super().lookup(caller, resource, key)


def open_desk(home: Path) -> MemoryDesk:
    """A desk with the rows a file in the home asks for."""
    asked = home / "rows"
    desk = MemoryDesk()
    if asked.exists():
        desk.tables[PEOPLE.resource] = rows(int(asked.read_text()))
    return desk
