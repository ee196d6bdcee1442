from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest

from adapters.webservice.arrow import Oversized, Unreadable, claimed, opened


def stream(table: pa.Table, compression: str | None = "zstd") -> bytes:
    content = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(content, table.schema, options=options) as writer:
        writer.write_table(table)
    return content.getvalue()


def taken(content: bytes, **limits: Any) -> list[dict[str, Any]]:
    _, batches = opened(pa.BufferReader(content), **{"largest": 1 << 20, **limits})
    return [row for batch in batches for row in batch.to_pylist()]


def test_what_a_batch_claims() -> None:
    for compression in ("zstd", "lz4", None):
        content = stream(pa.table({"name": ["x" * 100_000, "y"]}), compression)
        messages = list(pa.ipc.MessageReader.open_stream(pa.BufferReader(content)))
        assert 100_001 + 12 <= claimed(messages[1]) <= 100_001 + 12 + 128


def test_each_batch_and_all_together_have_a_limit() -> None:
    table = pa.concat_tables([pa.table({"name": ["x" * 1000]})] * 4)
    content = stream(table)
    assert len(taken(content, largest=1100, together=4400)) == 4
    for limits in ({"largest": 900}, {"largest": 1100, "together": 3000}):
        with pytest.raises(Oversized):
            taken(content, **limits)


def test_messages_in_another_order_are_refused() -> None:
    first, second = list(pa.ipc.MessageReader.open_stream(pa.BufferReader(stream(pa.table({"a": [1]})))))
    for messages in ([], [second], [second, first], [first, first, second]):
        with pytest.raises(Unreadable):
            taken(b"".join(each.serialize().to_pybytes() for each in messages))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [["x"]]}),
        pa.table({"a": pa.array(["x"]).dictionary_encode()}),
        pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]),
    ],
    ids=["lists", "dictionary", "twice"],
)
def test_only_plain_columns_are_taken(table: pa.Table) -> None:
    with pytest.raises(Unreadable):
        taken(stream(table))
