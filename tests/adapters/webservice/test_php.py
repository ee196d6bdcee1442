"""A foreign stack: PHP's own SOAP server, read and pushed to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import OPERATION, PUT, Binding, Claim, Endpoint, Manifest, RefusedRow, Selection
from adapters.registry import open_endpoint
from exchange.engine.spool import HubSpool
from exchange.secrets import Keyring, create_keys
from exchange.settings import Settings
from tests.exchange.settings.test_model import HUB
from tests.support.packages import PHP, PHP_SOAP

HERE = Path(__file__).parent


@contextmanager
def _php(folder: Path, style: str) -> Iterator[str]:
    PHP_SOAP.path()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    contract = folder / "contract.wsdl"
    contract.write_text((HERE / f"{style}.wsdl").read_text().replace("ADDRESS", address))
    environment = {**os.environ, "STYLE": style, "CONTRACT": str(contract), "STATE": str(folder / "state.json")}
    command = [str(PHP.path()), "-S", f"127.0.0.1:{port}", str(HERE / "service.php")]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield f"{address}?wsdl"
        finally:
            server.terminate()


@pytest.fixture
def literal(tmp_path: Path) -> Iterator[Endpoint]:
    with _php(tmp_path, "literal") as url:
        yield open_endpoint("webservice", {"url": url})


@pytest.fixture
def encoded(tmp_path: Path) -> Iterator[Endpoint]:
    with _php(tmp_path, "encoded") as url:
        yield open_endpoint("webservice", {"url": url})


def _read(endpoint: Endpoint, columns: dict[str, str], operation: str = "getRecords", **options: Any) -> list[Any]:
    binding = Binding(object=operation, columns=columns, key=("number",), options=options)
    assert endpoint.check(binding, pa.schema([]), sink=False) == []
    with endpoint.source(binding) as source:
        return [[row[name] for name in columns] for batch in source.batches(Selection()) for row in batch.to_pylist()]


PAGED = {"paging": "page", "page": "page", "limit": "size", "rows": 3}
EXPECTED = [[str(n), None if n == 3 else f"张三 <&> 𠮷 {n}"] for n in range(1, 8)]


def test_document_literal_is_read_by_page_number(literal: Endpoint) -> None:
    columns = {"number": "no", "holder": "owner"}
    assert _read(literal, columns, row="result/record", total="total", **PAGED) == EXPECTED
    assert _read(literal, columns, row="record", **PAGED) == EXPECTED
    assert _read(literal, columns, row="record", end="short", **PAGED) == EXPECTED


def test_single_rows_are_asked_for_by_their_key(literal: Endpoint) -> None:
    lookup = {"operation": "getRecord", "key": {"number": "head/no"}, "row": "record"}
    options = {"row": "result/record", "total": "total", "lookup": lookup, **PAGED}
    binding = Binding(
        object="getRecords", columns={"number": "no", "holder": "owner"}, key=("number",), options=options
    )
    assert literal.check(binding, pa.schema([]), sink=False) == []
    with literal.source(binding) as source:
        for number in (2, 3, 9):
            found = source.lookup(pa.record_batch({"number": pa.array([number], pa.int64())}))
            expected = EXPECTED[number - 1 : number]
            assert [[row["number"], row["holder"]] for row in found.to_pylist()] == expected


def test_its_contract_is_told(literal: Endpoint) -> None:
    one, get, push = literal.inspect()
    assert one.name == "getRecord"
    assert (get.name, get.label, [column.name for column in get.columns]) == (
        "getRecords", "record", ["no", "owner", "amount"],
    )  # fmt: skip
    assert get.proposals[0].options == {"row": "record", "paging": "page", "page": "page", "limit": "size"}
    assert push.proposals == ()


def test_rpc_encoded_is_read(encoded: Endpoint) -> None:
    assert _read(encoded, {"number": "no", "holder": "owner"}, row="item", **PAGED) == EXPECTED


def test_a_document_in_a_string_is_read(encoded: Endpoint) -> None:
    found = _read(encoded, {"number": "@id", "holder": "owner"}, "getXml", row="list/rec", document="return", **PAGED)
    assert found == [[number, holder or ""] for number, holder in EXPECTED]


def _pushing(endpoint: Endpoint, folder: Path) -> tuple[Binding, Claim, pa.Schema]:
    settings = Settings(home=folder / "home", hub_department=HUB)
    create_keys(settings)
    endpoint.spool = HubSpool(settings.home, Keyring(settings), "php")
    binding = Binding(
        object="pushRecords",
        columns={"number": "no", "holder": "owner", "amount": "amount"},
        key=("number",),
        options={"message": "messageId", "accepted": "accepted", "duplicate": "duplicate", "refused": "bad", "rows": 2},
    )
    schema = pa.schema(
        [("number", pa.int64()), ("holder", pa.string()), ("amount", pa.decimal128(38, 10)), (OPERATION, pa.int8())]
    )
    return binding, Claim(key="k" * 80, exchange="e", epoch=1), schema


def test_rows_are_pushed_and_the_refused_ones_read_back(literal: Endpoint, tmp_path: Path) -> None:
    binding, claim, schema = _pushing(literal, tmp_path)
    assert literal.check(binding, schema, sink=True) == []
    rows = [
        {"number": 1, "holder": "李四 <&> ]]> \r\n", "amount": Decimal("0.0000000001"), OPERATION: PUT},
        {"number": 2, "holder": "nobody", "amount": None, OPERATION: PUT},
        {"number": 3, "holder": None, "amount": Decimal("12"), OPERATION: PUT},
        {"number": 4, "holder": "a\x01b", "amount": None, OPERATION: PUT},
        {"number": None, "holder": "x", "amount": None, OPERATION: PUT},
    ]
    with literal.sink(binding) as sink:
        delivery = sink.begin(claim, schema)
        delivery.stage(pa.RecordBatch.from_pylist(rows, schema=schema))
        manifest = Manifest(claim=claim, digest="d", rows=5)
        answer = delivery.commit(manifest)
        assert sink.resume(claim, schema).commit(replace(manifest)) == answer
    assert answer.written == 2
    assert answer.refused == (
        RefusedRow(1, "target", "对方拒收：no such owner: …"),
        RefusedRow(3, "characters", "信息项 holder 有 XML 不能携带的字符"),
        RefusedRow(4, "null", "信息项 number 为空，而目标服务要求有值"),
    )
    kept = json.loads((tmp_path / "state.json").read_text())
    assert kept["rows"] == [
        {"no": 1, "owner": "李四 <&> ]]> \r\n", "amount": "0.0000000001"},
        {"no": 3, "owner": None, "amount": "12.0000000000"},
    ]
    assert len(kept["ids"]) == 2
