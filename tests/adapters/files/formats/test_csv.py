from __future__ import annotations

import csv
import io
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import Malformed
from adapters.files.formats import csv as format_
from adapters.files.formats.base import text_of
from adapters.files.formats.csv import Csv, CsvReader, CsvReading, CsvWriting, Layout, encode, harmless, header


def _read(content: bytes, layout: Layout | None = None, step: int = 1 << 20) -> list[tuple[int, list[str | None]]]:
    """Line and texts of every record."""
    pieces = (content[start : start + step] for start in range(0, len(content), step))
    reader = CsvReader(pieces, "a.csv", layout or Layout())
    found = []
    for lines, batch in reader.batches(range(len(reader.header))):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        found += list(zip(lines.to_pylist(), (list(row) for row in rows), strict=True))
    assert reader.records == len(found)
    return found


def test_a_null_is_not_an_empty_text() -> None:
    assert _read(b'a,b,c\n,"",x\n') == [(2, [None, "", "x"])]


def test_a_null_by_its_word_unless_it_is_quoted() -> None:
    assert _read(b'a,b,c\nNULL,"NULL",\n', Layout(null="NULL")) == [(2, [None, "NULL", ""])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_every_record_has_its_line(end: str, last: bool, step: int) -> None:
    text = end.join(["a,b", "1,x", f'2,"y{end}y"', "", "3,z", "", ""]) + ("4,w" if last else "")
    records = _read(text.encode(), step=step)
    assert [line for line, _ in records] == [2, 3, 6] + [8] * last
    assert records[1][1] == ["2", f"y{end}y"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "姓名,地址\n𠮷䶮,🙂\n"),
        ("utf-8-sig", "姓名,地址\n𠮷䶮,🙂\n"),
        ("gb18030", "姓名,地址\n𠮷䶮,🙂\n"),
        ("gbk", "姓名,地址\n张三,乂\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_encodings(encoding: Any, text: str, step: int) -> None:
    content = text.encode(encoding)
    reader = CsvReader([content], "a.csv", Layout(encoding))
    assert reader.header == ("姓名", "地址")
    assert _read(content, Layout(encoding), step)[0][1] == text.splitlines()[1].split(",")


def test_a_mark_of_byte_order_nobody_announced() -> None:
    assert CsvReader(["\ufeffa,b\n".encode()], "a.csv", Layout()).header == ("a", "b")
    assert CsvReader(["\ufeffa,b\n".encode("gb18030")], "a.csv", Layout("gb18030")).header == ("a", "b")


def test_a_delimiter_that_is_half_a_character_elsewhere() -> None:
    # In GBK the second byte of 渱 is that of the stroke.
    content = "a|b\n渱|x\n".encode("gbk")
    assert content.count(b"|") > 2
    assert _read(content, Layout("gbk", "|")) == [(2, ["渱", "x"])]


def test_header_with_line_breaks_and_quotes() -> None:
    reader = CsvReader([b'"a\nb ","c""d",e \r\n1,2,3\n'], "a.csv", Layout())
    assert reader.header == ("a\nb ", 'c"d', "e ")
    assert [lines.to_pylist() for lines, _ in reader.batches([0])] == [[3]]


def test_only_the_columns_wanted() -> None:
    reader = CsvReader([b"a,b,c\n1,2,3\n"], "a.csv", Layout())
    [(_, batch)] = reader.batches([0, 2])
    assert batch.to_pylist() == [{"0": "1", "2": "3"}]


def test_a_header_and_nothing_else() -> None:
    assert _read(b"a,b\n") == []
    assert _read(b"a,b") == []


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_header(content: bytes) -> None:
    with pytest.raises(Malformed, match=r"a\.csv"):
        _read(content)


BROKEN = {
    "too few": (b"a,b\n1,2\n3\n", 3),
    "too many": (b"a,b\n1,2\n\n1,2,3\n", 4),
    "quote inside": (b'a,b\n1,x"y\n', 2),
    "text after quote": (b'a,b\n1,"x"y\n', 2),
    "text before quote": (b'a,b\n"1\n1",2\n1, "x"\n', 4),
    "quote not closed": (b'a,b\n1,2\n1,"x\n2,y\n', 3),
    "quote closed late": (b'a,b\n1,"x\n2,"y"\n', 3),
    "header not closed": (b'a,"b\n1,2\n', 1),
    "not this encoding": (b"a,b\n1,2\n1,\xff\xfe\n", 3),
    "cut in a character": ("a,b\n1,姓".encode()[:-1], 2),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("step", [1, 5, 1 << 20])
def test_broken_files_are_told_by_name_and_line(case: tuple[bytes, int], step: int) -> None:
    content, line = case
    with pytest.raises(Malformed, match=rf"文件 a\.csv 第 {line} 行"):
        _read(content, step=step)


def test_the_message_has_no_value() -> None:
    with pytest.raises(Malformed) as caught:
        _read(b"a,b\n11010119900307,x,y\n")
    error: BaseException | None = caught.value
    while error:
        assert "11010119900307" not in str(error)
        error = error.__cause__ or error.__context__


def test_cells_of_a_mebibyte() -> None:
    cell = "甲" * (1 << 20)
    assert _read(f'a,b\n1,"{cell}"\n2,{cell}\n'.encode()) == [(2, ["1", cell]), (3, ["2", cell])]


def test_a_record_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_, "LONGEST", 3 << 20)

    def endless() -> Iterator[bytes]:
        yield b'a,b\n1,"'
        while True:
            yield b"x" * (1 << 20)

    with pytest.raises(Malformed, match="第 2 行"):
        for _ in CsvReader(endless(), "a.csv", Layout()).batches([0]):
            pass


def test_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_, "PIECE", 1 << 10)
    content = "a,b\n" + "".join(f'{n},"x\n{n}"\n' for n in range(2000))
    records = _read(content.encode(), step=1 << 9)
    assert [line for line, _ in records] == [2 + 2 * n for n in range(2000)]
    assert records[-1] == (4000, ["1999", "x\n1999"])


CELLS = st.one_of(
    st.none(), st.text(st.sampled_from(['"', ",", "\n", "\r", " ", "a", "甲", "𠮷", "=", "\0"]), max_size=6)
)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8)


@settings(max_examples=300, deadline=None)
@given(
    ROWS, st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]), st.sampled_from([",", ";", "\t", "|"]), st.integers(1, 7)
)
def test_what_is_written_is_read_again(rows: list[Any], encoding: Any, delimiter: str, step: int) -> None:
    layout = Layout(encoding, delimiter)
    batch = pa.record_batch([pa.array([row[n] for row in rows], pa.string()) for n in range(3)], names=["x", "y", "z"])
    content = header(["x", "y", "z"], layout) + encode(batch, layout)
    # A row of nulls is three delimiters' worth of nothing, and still a row.
    assert [texts for _, texts in _read(content, layout, step)] == [list(row) for row in rows]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('",\n\ra'), max_size=12), st.integers(1, 5))
def test_it_agrees_with_a_strict_reader(text: str, step: int) -> None:
    content = "h\n" + text
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), strict=True))
        expected = [row[0] for row in rows[1:] if row] if all(len(row) <= 1 for row in rows) else None
    except csv.Error:
        expected = None
    try:
        found = [texts[0] or "" for _, texts in _read(content.encode(), step=step)]
    except Malformed:
        found = None
    # The strict reader lets a quote stand inside a field that did not begin with one; we do not.
    if found is not None or '"' not in text:
        assert found == expected


def test_texts_of_values() -> None:
    instants = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        None,
    ]
    decimals = [Decimal("0.0000000001"), Decimal("-1234567890123456789012345678.9000000001"), Decimal(0), None]
    cases: list[tuple[Any, Any, list[str | None]]] = [
        (
            instants,
            pa.timestamp("us", "UTC"),
            ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z", None],
        ),
        ([date(1, 1, 1), date(9999, 12, 31), None], pa.date32(), ["0001-01-01", "9999-12-31", None]),
        (
            decimals,
            pa.decimal128(38, 10),
            ["0.0000000001", "-1234567890123456789012345678.9000000001", "0.0000000000", None],
        ),
        ([10**38 - 1], pa.decimal128(38, 0), ["9" * 38]),
        ([True, False, None], pa.bool_(), ["true", "false", None]),
        ([b"\x00\xff", b"", None], pa.binary(), ["AP8=", "", None]),
        ([-(2**63), None], pa.int64(), [str(-(2**63)), None]),
        ([0.1, 1e300, None], pa.float64(), ["0.1", "1e+300", None]),
    ]
    for values, kind, expected in cases:
        assert text_of(pa.array(values, kind)).to_pylist() == expected


def test_memory_does_not_grow_with_the_file() -> None:
    line = ('"甲乙丙丁","x""y",' + "1" * 200 + "\n").encode()
    chunk = line * ((1 << 20) // len(line))

    def file() -> Iterator[bytes]:
        yield b"a,b,c\n"
        for _ in range(40):
            yield chunk

    tracemalloc.start()
    try:
        reader = CsvReader(file(), "a.csv", Layout())
        rows = sum(batch.num_rows for _, batch in reader.batches([0, 1, 2]))
        peak = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes()
    finally:
        tracemalloc.stop()
    assert rows == 40 * chunk.count(b"\n")
    # Scanning costs some arrays of a piece's length; the file has forty pieces.
    assert peak < 30 << 20


def _written(batch: pa.RecordBatch, **options: Any) -> bytes:
    writer = Csv().writer(batch.schema, CsvWriting(**options), None)
    return b"".join([writer.header(), writer.rows(batch), *writer.trailer()])


RUNS = [
    "=1+1",
    "=cmd|'/c calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "　=1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
]
RESTS = ["1", "a=1", "", "'=1", "甲", "00123", "a@b.c", "=".join("ab")]


def test_for_people_nothing_runs() -> None:
    assert harmless(pa.array([*RUNS, *RESTS, None])).to_pylist() == [f"'{text}" for text in RUNS] + [*RESTS, None]
    batch = pa.record_batch({"=a": pa.array(["=1", "x"]), "n": pa.array([-1, None], pa.int64())})
    assert _written(batch, for_people=True).decode() == '"\'=a","n"\n"\'=1","-1"\n"x",\n'


def test_for_programs_every_text_is_as_it_was() -> None:
    content = _written(pa.record_batch({"a": RUNS}))
    assert [texts for _, texts in _read(content)] == [[text] for text in RUNS]


def test_as_one_of_the_formats() -> None:
    batch = pa.record_batch({"编号": ["1"], "姓名": ["𠮷"]})
    content = _written(batch, encoding="gb18030", delimiter=";")
    reader = Csv().reader([content], "a.csv", CsvReading(encoding="gb18030", delimiter=";"))
    assert reader.header == ("编号", "姓名")
    assert reader.place(2) == "第 2 行"
    [(places, found)] = reader.batches([1])
    assert (places.to_pylist(), found.to_pylist()) == ([2], [{"1": "𠮷"}])
    reader.close()


def test_a_long_name_of_a_column() -> None:
    long = "x" * 200_000
    for text in (long, f'"{long}"'):
        assert CsvReader([f"a,{text}\n1,2\n".encode()], "a.csv", Layout()).header == ("a", long)


def test_names_of_columns_are_no_nulls() -> None:
    reader = CsvReader([b'\n\na,,"","N""A",NA\r1,2,3,4,5'], "a.csv", Layout(null="NA"))
    assert reader.header == ("a", "", "", 'N"A', "NA")
    assert [row for _, batch in reader.batches([4]) for row in batch.to_pylist()] == [{"4": "5"}]


def test_a_million_columns() -> None:
    begun = time.process_time()
    with pytest.raises(Malformed, match=r"第 1 行的表头有 1000001 列，至多 16384 列"):
        CsvReader([b"," * 1_000_000 + b"\n" + b"," * 1_000_000 + b"\n"], "a.csv", Layout())
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("before", ["\u00a0", "\u200b", "\x0b", "\0", "\ufeff\u2003", "\x1f ", "\u202e"])
def test_what_nobody_sees_before_a_formula(before: str) -> None:
    assert harmless(pa.array([f"{before}=1"])).to_pylist() == [f"'{before}=1"]


def test_bytes_may_look_like_a_formula() -> None:
    batch = pa.record_batch({"a": pa.array([b"\xf8\x00\x01", b"a"], pa.binary())})
    assert _written(batch, for_people=True).decode() == '"a"\n"\'+AAB"\n"YQ=="\n'
    assert _written(batch).decode() == '"a"\n"+AAB"\n"YQ=="\n'
