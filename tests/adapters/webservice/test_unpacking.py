from __future__ import annotations

import base64
import io
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from adapters.errors import Malformed
from adapters.webservice import unpacking
from adapters.webservice.unpacking import unpacked


def _packed(*tables: pa.Table, compression: str | None = "zstd") -> str:
    content = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(content, tables[0].schema, options=options) as writer:
        for table in tables:
            writer.write_table(table)
    return base64.b64encode(content.getvalue()).decode()


def _rows(text: str, *columns: str) -> list[list[Any]]:
    return [list(row.values()) for batch in unpacked(text, columns, "应答") for row in batch.to_pylist()]


@pytest.mark.parametrize("compression", ["zstd", "lz4", None])
def test_rows_with_their_types_or_as_texts(compression: str | None) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table({
        "a": ["x", None], "n": [1, 2], "t": [True, False], "d": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
        "at": pa.array([moment, None], pa.timestamp("us", tz="UTC")),
        "bare": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("us")), "small": pa.array([1, 2], pa.int8()),
    })  # fmt: skip
    names = ("n", "gone", "a", "t", "d", "at", "bare", "@small")
    assert _rows(_packed(table, table, compression=compression), *names) == [
        [1, None, "x", "true", Decimal("1.50"), moment, "2026-01-02T03:04:05", "1"],
        [2, None, None, "false", None, None, None, "2"],
    ] * 2  # fmt: skip


def test_nothing_is_no_row() -> None:
    assert _rows("", "a") == []
    assert _rows(_packed(pa.table({"a": pa.array([], pa.string())})), "a") == []


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _packed(pa.table({"a": pa.array([b"\0" * (64 << 20)], pa.large_binary())}))
    assert len(text) < 1 << 20
    monkeypatch.setattr(unpacking, "INFLATED", 32 << 20)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    with pytest.raises(Malformed, match="过大"):
        _rows(text, "a")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - before < 8 << 20


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_a_value_has_the_limit_of_a_text(kind: pa.DataType) -> None:
    with pytest.raises(Malformed, match="文本"):
        _rows(_packed(pa.table({"a": pa.array([b"x" * 10_000_001]).cast(kind)})), "a")


def test_a_buffer_that_claims_without_end_is_refused() -> None:
    content = bytearray(base64.b64decode(_packed(pa.table({"a": ["x" * 1000]}))))
    place = content.rindex((1000).to_bytes(8, "little"))
    content[place : place + 8] = (1 << 60).to_bytes(8, "little")
    with pytest.raises(Malformed):
        _rows(base64.b64encode(content).decode(), "a")


def test_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ROWS", 10)
    with pytest.raises(Malformed, match="过大"):
        _rows(_packed(pa.table({"a": ["x"] * 11})), "a")


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        base64.b64encode(b"no arrow").decode(),
        _packed(pa.table({"a": ["x" * 1000]}))[:200],
        _packed(pa.table({"a": [["x"]]})),
        _packed(pa.table({"a": pa.array(["x"]).dictionary_encode()})),
        _packed(pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"])),
    ],
    ids=["base64", "arrow", "cut", "lists", "dictionary", "twice"],
)
def test_what_is_no_payload(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        _rows(text, "a")
    assert caught.value.remedy


def test_every_byte_may_be_wrong() -> None:
    good = bytearray(base64.b64decode(_packed(pa.table({"a": ["x" * 20, None], "n": [1, 2]}))))
    for place in range(len(good)):
        content = bytearray(good)
        content[place] ^= 0xFF
        try:
            _rows(base64.b64encode(content).decode(), "a", "n")
        except Malformed:
            continue
