from __future__ import annotations

import base64
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import OPERATION
from adapters.webservice import payload
from adapters.webservice.faults import Fault
from adapters.webservice.payload import read, write
from adapters.webservice.spool import Spool
from tests.adapters.webservice.memory_desk import ITEMS, rows


def spooled(content: bytes, in_memory: int = 1 << 20) -> Spool:
    spool = Spool(in_memory)
    spool.write(content)
    return spool


def stream(table: pa.Table, compression: str | None = "zstd", **named: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as out:
        out.write_table(table, **named)
    return bytes(sink.getvalue().to_pybytes())


def taken(content: bytes, most: int = 10**6) -> list[dict[str, Any]]:
    with spooled(content) as spool:
        return [row for batch in read(spool, ITEMS, most) for row in batch.to_pylist()]


def written(table: pa.Table) -> bytes:
    with Spool() as out:
        assert write(table.to_batches(max_chunksize=999), ITEMS, out) == table.num_rows
        return base64.b64decode(b"".join(out.chunks()))


def test_what_goes_out_comes_in_as_texts() -> None:
    table = rows(10_000, deleted=(7,))
    content = written(table)
    again = pa.ipc.open_stream(content).read_all()
    assert again.to_pylist() == table.to_pylist()
    for in_memory in (1 << 30, 10):
        with spooled(content, in_memory) as spool:
            batches = list(read(spool, ITEMS, 10_000))
        assert all(batch.num_rows <= payload.ROWS for batch in batches)
        found = pa.Table.from_batches(batches)
        assert found["id"].to_pylist() == [str(n) for n in range(1, 10_001)]
        assert found["photo"][2].as_py() == "AP8="
        assert found["active"][0].as_py() == "false"
        assert sum(found[OPERATION].to_pylist()) == 1


def test_rows_without_an_operation_are_put() -> None:
    content = written(rows(2).drop_columns(OPERATION))
    assert pa.ipc.open_stream(content).read_all()[OPERATION].to_pylist() == [0, 0]
    assert [row[OPERATION] for row in taken(stream(pa.table({"id": [1]})))] == [0]


BAD: dict[str, bytes] = {
    "nothing": b"",
    "no stream": b"hello, this is no stream of Arrow",
    "cut": stream(rows(1000))[:-400],
    "unknown item": stream(pa.table({"id": [1], "x": [1]})),
    "item twice": stream(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])),
    "nested": stream(pa.table({"id": [[1]]})),
    "dictionary": stream(pa.table({"id": pa.array(["a"]).dictionary_encode()})),
    "operation": stream(pa.table({"id": [1], OPERATION: pa.array([2], pa.int8())})),
    "operation, null": stream(pa.table({"id": [1], OPERATION: pa.array([None], pa.int8())})),
    "text that is none": stream(
        pa.table(
            {
                "name": pa.Array.from_buffers(
                    pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
                )
            }
        )
    ),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_no_payload(content: bytes) -> None:
    with pytest.raises(Fault) as caught:
        taken(content)
    assert caught.value.code == "Client.Malformed"


def test_too_many_rows() -> None:
    with pytest.raises(Fault) as caught:
        taken(stream(rows(100)), most=99)
    assert caught.value.code == "Client.TooLarge"


def test_a_bomb_is_seen_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "UNPACKED", 1 << 20)
    content = stream(pa.table({"name": ["\0" * (8 << 20)]}))
    assert len(content) < 4096
    before = pa.total_allocated_bytes()
    with pytest.raises(Fault) as caught:
        taken(content)
    assert caught.value.code == "Client.TooLarge"
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_many_batches_are_no_way_around() -> None:
    """Each is within the limit, and a request of some kilobytes would be gigabytes on the disk."""
    half = pa.table({"name": ["x" * (1 << 20)] * 60})
    content = stream(pa.concat_tables([half] * 9), max_chunksize=60)
    assert len(content) < 1 << 20
    with spooled(content) as spool, pytest.raises(Fault, match="展开后过大") as caught:
        for _ in read(spool, ITEMS, 10**6):
            pass
    assert caught.value.code == "Client.TooLarge"


def test_a_value_has_the_limit_that_it_has_in_a_row() -> None:
    content = stream(pa.table({"name": ["x" * 1000, "y"]}))
    with spooled(content) as spool:
        assert [batch.num_rows for batch in read(spool, ITEMS, 10, longest=1000)] == [2]
    with spooled(content) as spool, pytest.raises(Fault, match="999 字节") as caught:
        list(read(spool, ITEMS, 10, longest=999))
    assert caught.value.code == "Client.TooLarge"


def test_a_claim_that_is_a_lie() -> None:
    content = stream(pa.table({"name": ["x" * 100_000]}))
    size = struct.pack("<q", 100_000)
    for lie in (1 << 60, -2, 10, 200_000):
        with pytest.raises(Fault):
            taken(struct.pack("<q", lie).join(content.rsplit(size, 1)))


def test_a_time_zone_that_is_no_text() -> None:
    content = stream(pa.table({"changed": pa.array([0], pa.timestamp("us", "Asia/Shanghai"))}))
    with pytest.raises(Fault, match="不能读取") as caught:
        taken(content.replace(b"Asia/Shanghai", b"\x80sia/Shanghai"))
    assert caught.value.code == "Client.Malformed"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_broken_bytes_are_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(stream(rows(5).drop_columns("photo"), data.draw(st.sampled_from([None, "zstd"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = taken(bytes(content))
    except Fault as fault:
        assert fault.code in ("Client.Malformed", "Client.TooLarge")
    else:
        assert all(set(row) == {*(item.name for item in ITEMS), OPERATION} for row in found)
