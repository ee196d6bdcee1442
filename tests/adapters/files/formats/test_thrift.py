from __future__ import annotations

import io
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.formats.thrift import DEPTH, structure


def test_a_footer_as_the_library_reads_it() -> None:
    out = io.BytesIO()
    table = pa.table({"a": [str(number) for number in range(1000)], "l": [[number] for number in range(1000)]})
    pq.write_table(table, out, row_group_size=300)
    content = out.getvalue()
    length = int.from_bytes(content[-8:-4], "little")
    found = structure(content[-8 - length : -8])
    about = pq.ParquetFile(out).metadata
    assert (found[3], [group[3] for group in found[4]]) == (1000, [300, 300, 300, 100])
    for number, group in enumerate(found[4]):
        for place, chunk in enumerate(group[1]):
            column = about.row_group(number).column(place)
            told = (b".".join(chunk[3][3]).decode(), chunk[3][5], chunk[3][6], chunk[3][7], chunk[3][9])
            assert told == (
                column.path_in_schema,
                column.num_values,
                column.total_uncompressed_size,
                column.total_compressed_size,
                column.data_page_offset,
            )
            assert chunk[3].get(11) == column.dictionary_page_offset


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\0", {}),
        (b"\x11\x12\0", {1: True, 2: False}),
        (b"\x15\x03\x16\x04\0", {1: -2, 2: 2}),
        (b"\x03\x08\x07\0", {4: 7}),
        (b"\x18\x02ab\0", {1: b"ab"}),
        (b"\x17" + b"\1" * 8 + b"\0", {1: b"\1" * 8}),
        (b"\x19\x25\x02\x04\0", {1: [1, 2]}),
        (b"\x1b\x01\x55\x02\x04\0", {1: [(1, 2)]}),
        (b"\x1b\x00\0", {1: []}),
        (b"\x1c\x15\x02\0\0", {1: {1: 1}}),
    ],
)
def test_every_kind(content: bytes, found: dict[int, object]) -> None:
    assert structure(content) == found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x15",
        b"\x1d\0",
        b"\x18\x7fab\0",
        b"\x19\xf5" + b"\xff" * 8 + b"\x7f\0",
        b"\x15" + b"\xff" * 20,
        b"\x1c" * (DEPTH + 2),
        b"\x19\x19" * 100,
    ],
)
def test_what_is_none(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|too deep|no such type|no number"):
        structure(content)


def test_no_bytes_do_worse_than_an_error() -> None:
    for _ in range(3000):
        try:
            structure(os.urandom(200))
        except ValueError:
            continue
