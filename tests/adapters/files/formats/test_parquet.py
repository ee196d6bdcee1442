from __future__ import annotations

import io
import struct
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.errors import Malformed
from adapters.files.formats import parquet as module
from adapters.files.formats.parquet import Parquet, ParquetReading
from adapters.files.formats.thrift import structure
from schemas import arrow_type
from schemas.items import ITEM_TYPES, Item
from schemas.unreadable import UNREADABLE, why_unreadable


def _made(table: pa.Table | dict[str, Any], **how: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), out, **how)
    return out.getvalue()


def _read(content: bytes, columns: list[int] | None = None, **options: Any) -> list[list[str | None]]:
    with closing(Parquet().reader([content], "a.parquet", ParquetReading(**options))) as reader:
        found: list[list[str | None]] = []
        for places, batch in reader.batches(range(len(reader.header)) if columns is None else columns):
            assert places.to_pylist() == list(range(len(found) + 1, len(found) + batch.num_rows + 1))
            found += [list(values) for values in zip(*(each.to_pylist() for each in batch.columns), strict=True)]
        assert reader.records == len(found)
        return found


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array(["a", None, ""], pa.large_string()), ["a", None, ""]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([1, None], pa.int8()), ["1", None]),
        (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
        (pa.array([0.1, 1e300, None]), ["0.1", "1e+300", None]),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([Decimal("0.0000000001")], pa.decimal128(38, 10)), ["0.0000000001"]),
        (pa.array([Decimal(10**50)], pa.decimal256(60, 2)), [f"{10**50}.00"]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([date(2026, 1, 1)]), ["2026-01-01"]),
        (pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "Asia/Shanghai")), ["2026-01-01T00:00:00Z"]),
        (pa.array([0], pa.int64()).cast(pa.timestamp("ms")), ["1970-01-01T00:00:00"]),
        (pa.array([1], pa.int64()).cast(pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([1000], pa.int64()).cast(pa.timestamp("ns", "UTC")), ["1970-01-01T00:00:00.000001Z"]),
        (pa.array([time(8, 30)], pa.time64("us")), ["08:30:00.000000"]),
        (pa.array([b"\x00\xff", b""], pa.large_binary()), ["AP8=", ""]),
        (pa.array([b"ab"], pa.binary(2)), ["YWI="]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_types(array: pa.Array, texts: list[str | None]) -> None:
    assert _read(_made({"a": array})) == [[text] for text in texts]


def test_child_rows_are_canonical_json() -> None:
    rows = pa.array([[{"b": 1.5, "a": "x"}, {"b": None, "a": None}], [], None])
    assert _read(_made({"n": ["1", "2", "3"], "材料": rows}), nested=["材料"]) == [
        ["1", '[{"a":"x","b":"1.5"},{"a":null,"b":null}]'],
        ["2", "[]"],
        ["3", None],
    ]


def test_nested_columns_nobody_announced() -> None:
    content = _made({"n": ["1"], "材料": [[{"a": "x"}]]})
    assert _read(content, [0]) == [["1"]]
    with pytest.raises(Malformed, match="列 材料 是嵌套类型") as caught:
        _read(content)
    assert "nested" in caught.value.remedy


def test_a_duration_is_no_value() -> None:
    with pytest.raises(Malformed, match="列 d 是时长"):
        _read(_made({"d": pa.array([1], pa.duration("s"))}))


@pytest.mark.parametrize("names", [["a", "a"], ["a.b", "a"], ["b", "a"]])
def test_columns_by_their_places(names: list[str]) -> None:
    table = pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], names=names)
    content = _made(table)
    assert _read(content, [1]) == [["2"]]
    assert _read(content, [1, 0]) == [["2", "1"]]
    assert _read(content, [0, 1]) == [["1", "2"]]


def test_batches_of_many_row_groups() -> None:
    content = _made({"a": [str(number) for number in range(20_000)]}, row_group_size=3_000)
    assert [row[0] for row in _read(content)] == [str(number) for number in range(20_000)]


def _with_footer(content: bytes, change: tuple[bytes, bytes]) -> bytes:
    """The same file with another footer, of the same length or not."""
    length = struct.unpack("<I", content[-8:-4])[0]
    body, footer = content[: -8 - length], content[-8 - length : -8]
    assert change[0] in footer
    footer = footer.replace(*change, 1)
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"


GOOD = _made({"a": [str(number) for number in range(1000)]}, compression="none")


def _varint(number: int) -> bytes:
    """A number as the footer writes it."""
    number <<= 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


SAID, LIE = b"\x16" + _varint(1000) + b"\x19", b"\x16" + _varint(1001) + b"\x19"
LYING = {
    "more rows in the file": lambda: _with_footer(
        GOOD, (b"\x16" + _varint(1000) + b"\x19", b"\x16" + _varint(1001) + b"\x19")
    ),
    "more rows everywhere": lambda: GOOD[:-8].replace(_varint(1000), _varint(1001)) + GOOD[-8:],
    "rows beyond measure": lambda: GOOD[:-8].replace(_varint(1000), _varint(2**40)) + GOOD[-8:],
    "length": lambda: GOOD[:-8] + struct.pack("<I", 2**31) + b"PAR1",
    "length of more than the file": lambda: GOOD[:-8] + struct.pack("<I", len(GOOD)) + b"PAR1",
    "length of nothing": lambda: GOOD[:-8] + struct.pack("<I", 0) + b"PAR1",
    "cut at the end": lambda: GOOD[:-1],
    "cut in the middle": lambda: GOOD[:500] + GOOD[-200:],
    "cut at the beginning": lambda: GOOD[4:],
    "pages gone": lambda: GOOD[:4] + b"\0" * (len(GOOD) - 600) + GOOD[-596:],
    "nothing": lambda: b"",
    "marks alone": lambda: b"PAR1PAR1",
    "csv": lambda: b"a,b\n1,2\n" * 10,
    "encrypted": lambda: GOOD[:-4] + b"PARE",
}


@pytest.mark.parametrize("make", LYING.values(), ids=LYING)
def test_a_footer_that_lies(make: Any) -> None:
    with pytest.raises(Malformed, match=r"a\.parquet") as caught:
        _read(make())
    assert caught.value.remedy


def test_the_footer_that_does_not_lie() -> None:
    assert len(_read(GOOD)) == 1000
    assert _with_footer(GOOD, (SAID, SAID)) == GOOD


def test_an_encrypted_file_is_refused_by_name() -> None:
    with pytest.raises(Malformed, match="加密"):
        _read(GOOD[:-4] + b"PARE")


def test_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _made({"a": ["x" * 1000] * 100_000}, use_dictionary=False, compression="zstd")
    assert len(content) < 200_000
    assert len(_read(content)) == 100_000
    monkeypatch.setattr(module, "GROUP", 50 << 20)
    with pytest.raises(Malformed, match="解开后超过 50 MiB"):
        _read(content)
    many = _made({"a": pa.nulls(5_000_000, pa.string())})
    monkeypatch.setattr(module, "ROWS_PER_BYTE", 64)
    with pytest.raises(Malformed, match="远多于文件所能容纳"):
        _read(many)


def test_spoiled_bytes_never_pass_unseen() -> None:
    for place in range(4, len(GOOD) - 8, 37):
        content = bytearray(GOOD)
        content[place] ^= 0x55
        try:
            assert len(_read(bytes(content))) == 1000
        except Malformed as error:
            assert "a.parquet" in error.message


@pytest.mark.parametrize("letter", ITEM_TYPES)
def test_items_keep_their_types(letter: Any) -> None:
    kind = arrow_type(Item(name="a", label="a", type=letter))
    schema = pa.schema([pa.field("a", kind, metadata={"label": "甲"})])
    writer = Parquet().writer(schema, Parquet.writing(), 2)
    batch = pa.record_batch([pa.nulls(2, kind)], schema=schema)
    content = b"".join([writer.header(), writer.rows(batch), *writer.trailer()])
    table = pq.read_table(io.BytesIO(content))
    assert table.schema == pa.schema([("a", kind)])
    assert (table.num_rows, table.schema.metadata, table.schema.field("a").metadata) == (2, None, None)


def test_many_small_batches_are_few_row_groups() -> None:
    writer = Parquet().writer(pa.schema([("a", pa.int64())]), Parquet.writing(), None)
    pieces = [writer.header()]
    pieces += [writer.rows(pa.record_batch({"a": pa.array(range(1000), pa.int64())})) for _ in range(100)]
    content = b"".join([*pieces, *writer.trailer()])
    assert any(pieces[1:])
    about = pq.ParquetFile(io.BytesIO(content)).metadata
    assert (about.num_rows, about.num_row_groups) == (100_000, 2)


@pytest.mark.parametrize("blank", [0, 5000])
def test_one_long_value_for_every_row(blank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 1 << 20)
    rows = pa.array([None] * blank + [0] * 100 + [1] * 2000, pa.int32())
    content = _made(pa.table({"a": pa.DictionaryArray.from_arrays(rows, ["x" * 100_000, "y"])}), compression="zstd")
    assert len(content) < 2000
    with closing(Parquet().reader([content], "a.parquet", ParquetReading())) as reader:
        batches = [batch.column(0) for _, batch in reader.batches([0])]
    assert [sum(map(len, batches)), sum(batch.null_count for batch in batches)] == [len(rows), blank]
    assert max(batch.nbytes for batch in batches) < 2 << 20


def test_bytes_of_a_fixed_width_that_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 1 << 20)
    content = _made({"a": pa.array([b"x" * 100_000] * 100, pa.binary(100_000))}, compression="zstd")
    with closing(Parquet().reader([content], "a.parquet", ParquetReading())) as reader:
        assert [batch.num_rows for _, batch in reader.batches([0])] == [10] * 10


def test_days_of_the_old_kind_of_instants() -> None:
    texts = ["0001-01-01", "9999-12-31", "1899-02-28", "2024-02-29T01:02:03.456789"]
    content = _made({"a": pa.array(texts).cast(pa.timestamp("us"))}, use_deprecated_int96_timestamps=True)
    assert _read(content) == [
        ["0001-01-01T00:00:00"],
        ["9999-12-31T00:00:00"],
        ["1899-02-28T00:00:00"],
        ["2024-02-29T01:02:03.456789"],
    ]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([2**31 - 1], pa.int32()).cast(pa.date32()),
        pa.array([2**62], pa.int64()).cast(pa.timestamp("us")),
        pa.array([-(2**62)], pa.int64()).cast(pa.timestamp("us", "UTC")),
        pa.array([2**40], pa.int64()).cast(pa.timestamp("s", "UTC")),
        pa.array([2**16 * 366 * 86_400_000], pa.int64()).cast(pa.timestamp("ms", "UTC")),
    ],
)
def test_days_that_no_calendar_has_refuse_their_row(array: pa.Array) -> None:
    assert [why_unreadable(text or "") for [text] in _read(_made({"a": array}))] == [UNREADABLE["day"]]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"\xff\xfe"], pa.binary()).view(pa.string()),
        pa.array([[3_000_000]], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
        pa.array([[2**62]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("us"))),
    ],
)
def test_values_that_are_none_are_told(array: pa.Array) -> None:
    with pytest.raises(Malformed, match="的列 a 含有不能表示的值"):
        _read(_made({"a": array}), nested=("a",))


def test_large_numbers_of_child_rows() -> None:
    array = pa.array([[{"n": 2**64 - 1}]], pa.list_(pa.struct([("n", pa.uint64())])))
    assert _read(_made({"a": array}), nested=("a",)) == [[f'[{{"n":"{2**64 - 1}"}}]']]


def test_a_list_of_more_values_than_a_file_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _made({"a": pa.array([[None] * 100_000], pa.list_(pa.int8()))})
    assert len(_read(content, nested=("a",))) == 1
    monkeypatch.setattr(module, "VALUES", 10_000)
    with pytest.raises(Malformed, match="值数远多于"):
        _read(content, nested=("a",))


def test_a_footer_that_would_end_the_process() -> None:
    """Levels counted in a histogram that has one too many: the library aborts when it is asked of the column."""
    content = _made({"a": pa.array(["x", None, "y"])})
    footer = content[-8 - struct.unpack("<I", content[-8:-4])[0] : -8]
    # Field 3 of the statistics of sizes: a list of two numbers, one null and two values.
    histogram = b"\x19\x26\x02\x04"
    assert footer.count(histogram) == 1
    with pytest.raises(Malformed):
        _read(_with_footer(content, (histogram, b"\x19\x36\x02\x04\x04")))


def test_columns_with_keys_of_their_own() -> None:
    content = _made({"a": pa.array(["x"])})
    footer = content[-8 - struct.unpack("<I", content[-8:-4])[0] : -8]
    assert not {8, 9} & set(structure(footer)[4][0][1][0])
    # Wherever a column may have crypto metadata, an empty one.
    spoiled = [footer[:at] + b"\x5c\x00" + footer[at:] for at in range(len(footer))]
    told = set()
    for each in spoiled:
        try:
            _read(content[: -8 - len(footer)] + each + struct.pack("<I", len(each)) + b"PAR1")
        except Malformed as error:
            told.add(error.message)
    assert any("加密" in message for message in told)


def test_a_name_that_is_no_text() -> None:
    content = _made({"abcdefg": [1]}, store_schema=False)
    footer = content[-8 - struct.unpack("<I", content[-8:-4])[0] : -8]
    spoiled = footer.replace(b"abcdefg", b"abc\xff\xfefg")
    assert spoiled != footer
    with pytest.raises(Malformed):
        _read(content[: -8 - len(footer)] + spoiled + content[-8:])
