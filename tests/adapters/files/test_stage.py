from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from adapters.errors import Unbalanced
from adapters.files.stage import frame, frames

BATCH = pa.record_batch(
    {
        "a": pa.array(["甲", None, ""], pa.string()),
        "b": pa.array([Decimal("0.10"), None, Decimal(1)], pa.decimal128(38, 2)),
        "c": pa.array([date(2026, 1, 1), None, None], pa.date32()),
    }
)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_batches_come_back_as_they_were(step: int) -> None:
    content = frame(BATCH) + frame(BATCH.slice(1, 1)) + frame(BATCH.slice(0, 0))
    found = list(frames(content[start : start + step] for start in range(0, len(content), step)))
    assert found == [BATCH, BATCH.slice(1, 1), BATCH.slice(0, 0)]
    assert list(frames([])) == []


@pytest.mark.parametrize("content", [b"x", frame(BATCH)[:-1], frame(BATCH) + b"\1", b"\3" + b"\0" * 7 + b"abc"])
def test_what_is_not_whole_is_no_stage(content: bytes) -> None:
    with pytest.raises(Unbalanced):
        list(frames([content]))


def test_offsets_that_lead_out_of_a_batch_are_not_followed() -> None:
    """The stage of a delivery lies in the recipient's directory."""
    batch = pa.record_batch({"a": pa.array(["甲甲甲甲", "乙乙"], pa.string())})
    content = frame(batch)
    offsets = struct.pack("<iii", 0, 12, 18)
    assert content.count(offsets) == 1
    for wrong in (struct.pack("<iii", 0, 12, 1 << 30), struct.pack("<iii", 0, -5, 18), struct.pack("<iii", 1, 13, 18)):
        with pytest.raises(Unbalanced):
            list(frames([content.replace(offsets, wrong)]))
    with pytest.raises(Unbalanced):
        list(frames([content.replace("甲".encode(), b"\xff\xff\xff", 1)]))


def test_a_length_that_no_batch_has() -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        yield struct.pack("<Q", 1 << 40)
        for _ in range(100):
            read += 1
            yield bytes(1 << 20)

    with pytest.raises(Unbalanced):
        list(frames(chunks()))
    assert read == 0
