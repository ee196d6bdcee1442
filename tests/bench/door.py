"""A department's own service, made by our door over rows that cost nothing to make; run as a process of its own.

``python -m tests.bench.door HOME ROWS`` serves with the settings of a home until it is told to stop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from adapters.base import OPERATION
from adapters.errors import Refused
from adapters.webservice.desk import (
    Caller,
    Desk,
    Direction,
    Offer,
    Page,
    Pushed,
    ReceiptAnswer,
    Shown,
)
from schemas import Item, arrow_schema
from tests.bench.county import AWAY, CODE, HERE, ITEMS, employers

OFFERED = tuple(Item.model_validate(item) for item in ITEMS)
READ = Offer(
    resource=CODE, version=1, name="人口基本信息", direction="read", items=OFFERED, key=("person_id",), lookup=True
)
USER, PASSWORD = "hub", "not-a-secret"
_TILE = 10_000
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@cache
def tile() -> pa.RecordBatch:
    """People as they repeat, but for their numbers; one identity number in a hundred is wrong."""
    codes = employers()
    rows = []
    for number in range(_TILE):
        born = date(1950, 1, 1) + timedelta(days=number)
        body = f"321202{born:%Y%m%d}{number % 1000:03d}"
        check = sum(int(figure) * weight for figure, weight in zip(body, _WEIGHTS, strict=True)) + (number % 100 == 7)
        rows.append({
            "person_id": 0,
            "id_no": body + "10X98765432"[check % 11],
            "employer": codes[number % len(codes)],
            "name": "张王李𠮷欧赵"[number % 6] + chr(19968 + number * 7919 % 3000),
            "gender": str(1 + number % 2),
            "born": born,
            "nation": "01",
            "district": AWAY if number % 100 == 50 else HERE,
            "address": f"江苏省泰州市海陵区青年路{number}号",
            "base": Decimal(number) / 100,
            "updated": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
            "ver": 1,
        })  # fmt: skip
    [batch] = pa.Table.from_pylist(rows, arrow_schema(OFFERED)).combine_chunks().to_batches()
    return batch.append_column(OPERATION, pa.array(np.zeros(_TILE, np.int8)))


def people(first: int, last: int) -> Iterator[pa.RecordBatch]:
    """People of a range of numbers."""
    while first < last:
        start = first % _TILE
        many = min(last - first, _TILE - start)
        part = tile().slice(start, many)
        yield part.set_column(0, part.schema.field(0), pa.array(np.arange(first, first + many)))
        first += many


class BenchDesk(Desk):
    """Gives rows by number, and counts what is pushed.

    Args:
        rows: How many there are.
        written: What may be pushed, if anything.
    """

    def __init__(self, rows: int, written: Sequence[str] = ()) -> None:
        self._rows = rows
        self._pushed: dict[str, Pushed] = {}
        items = tuple(item for item in OFFERED if item.name in written)
        self._offers = [READ]
        if items:
            self._offers.append(
                Offer(resource=CODE, version=1, name="收", direction="write", items=items, key=("person_id",))
            )

    def identify(self, shown: Shown, peer: str) -> Caller:
        return Caller("hub", "hub")

    def offers(self, caller: Caller) -> Sequence[Offer]:
        return self._offers

    def offer(self, caller: Caller, resource: str, direction: Direction) -> Offer:
        return next(offer for offer in self._offers if offer.direction == direction)

    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        return next((offer for offer in self._offers if offer.direction == direction), None)

    def query(self, caller: Caller, resource: str, cursor: str | None, limit: int) -> Page:
        first = int(cursor or 0)
        last = min(first + limit, self._rows)
        return Page(people(first, last), lambda: str(last) if last < self._rows else None, "bench")

    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        number = int(key["person_id"])
        return Page(people(number, number + 1), lambda: None, "bench")

    def push(self, caller: Caller, resource: str, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        rows = sum(batch.num_rows for batch in batches)
        self._pushed[message] = Pushed(message=message, state="delivered", rows=rows, accepted=rows)
        return self._pushed[message]

    def status(self, caller: Caller, message: str) -> Pushed:
        if message not in self._pushed:
            raise Refused("没有这条消息")
        return self._pushed[message]

    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        raise Refused("这里不出回执")


def open_desk(home: Path) -> BenchDesk:
    """The desk with as many rows as the environment says."""
    return BenchDesk(int(os.environ["BENCH_ROWS"]), os.environ.get("BENCH_WRITTEN", "").split(","))


def main() -> None:
    """Serve."""
    from exchange.service.soap import serve_soap
    from exchange.settings import load_settings

    serve_soap(load_settings(Path(sys.argv[1])), announce=lambda address: print(address, flush=True))


if __name__ == "__main__":
    main()
