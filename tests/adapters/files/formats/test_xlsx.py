from __future__ import annotations

import io
import re
import resource
import tempfile
import time
import tracemalloc
import zipfile
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import python_calamine
import xlsxwriter

from adapters.errors import Malformed, Unavailable, Unsupported
from adapters.files.formats import xlsx as module
from adapters.files.formats.xlsx import Xlsx, XlsxReading, XlsxWriting
from schemas.unreadable import UNREADABLE, why_unreadable
from tests.adapters.files.formats.workbooks import row, sheet, workbook
from tests.support.rooms import no_file_longer_than


def _read(content: bytes, **options: Any) -> tuple[tuple[str, ...], list[tuple[int, list[str | None]]]]:
    with closing(Xlsx().reader([content], "a.xlsx", XlsxReading(**options))) as reader:
        rows = [
            (place, list(values.values()))
            for places, batch in reader.batches(range(len(reader.header)))
            for place, values in zip(places.to_pylist(), batch.to_pylist(), strict=True)
        ]
        assert reader.records == len(rows)
        return reader.header, rows


def _written(batch: pa.RecordBatch, **options: Any) -> bytes:
    form = Xlsx()
    form.check(batch)
    with closing(form.writer(batch.schema, XlsxWriting(**options), batch.num_rows)) as writer:
        return b"".join([writer.header(), writer.rows(batch), *writer.trailer()])


def _by_a_program(*, to: str = "1900") -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"date_1904": to == "1904"}) as book:
        page = book.add_worksheet("名单")
        page.write_row(0, 0, ["编号", "金额", "日期", "时刻", "有效", "公式", "出错", "身份证号"])
        page.write_string(1, 0, "0001")
        page.write_number(1, 1, 0.1)
        page.write_datetime(1, 2, date(2026, 1, 1), book.add_format({"num_format": 'yyyy"年"m"月"d"日"'}))
        page.write_datetime(
            1,
            3,
            datetime(2026, 1, 1, 8, 30),  # noqa: DTZ001 - a sheet knows no zone
            book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
        )
        page.write_boolean(1, 4, True)
        page.write_formula(1, 5, "=1+1", None, 2)
        page.write_formula(1, 6, "=1/0", None, "#DIV/0!")
        page.write_number(1, 7, 321202188501010010)
    return out.getvalue()


@pytest.mark.parametrize("to", ["1900", "1904"])
def test_what_programs_write(to: str) -> None:
    header, [(place, found)] = _read(_by_a_program(to=to))
    assert header[:3] == ("编号", "金额", "日期")
    assert place == 2
    assert found[:6] == ["0001", "0.1", "2026-01-01", "2026-01-01T08:30:00", "true", "2"]
    assert [why_unreadable(text or "") for text in found[6:]] == [UNREADABLE["error"], UNREADABLE["digits"]]


def test_a_header_further_down() -> None:
    content = workbook({"名单": sheet(row(1, "二〇二六年名单") + row(3, "编号", "证照\n编号 ") + row(4, "1", "2"))})
    assert _read(content, head=3) == (("编号", "证照\n编号 "), [(4, ["1", "2"])])
    with pytest.raises(Malformed, match="工作表“名单”第 2 行是空的"):
        _read(content, head=2)


def test_hidden_sheets_are_read_only_if_they_are_named() -> None:
    both = {"旧": sheet(row(1, "a") + row(2, "旧")), "新": sheet(row(1, "a") + row(2, "新"))}
    content = workbook(both, states={"旧": "hidden"})
    assert _read(content)[1] == [(2, ["新"])]
    assert _read(content, sheet="旧")[1] == [(2, ["旧"])]
    with pytest.raises(Malformed, match="不止一个"):
        _read(workbook(both))
    assert _read(workbook(both | {"旧": sheet('<row r="1"><c r="A1" s="1"/></row>')}))[1] == [(2, ["新"])]


def test_cells_beside_the_table() -> None:
    blank = row(1, "a", "b") + row(2, "1", "2", " ")
    assert _read(workbook({"名单": sheet(blank)}))[1] == [(2, ["1", "2"])]
    with pytest.raises(Malformed, match="工作表“名单”第 2 行在表头的 2 列之外"):
        _read(workbook({"名单": sheet(row(1, "a", "b") + row(2, "1", "2", "3"))}))


def test_a_header_with_an_error() -> None:
    content = workbook({"名单": sheet('<row r="1"><c r="A1" t="e"><v>#REF!</v></c></row>')})
    with pytest.raises(Malformed, match="表头"):
        _read(content)


def test_no_header() -> None:
    with pytest.raises(Malformed, match="没有表头"):
        _read(workbook({"名单": sheet("")}))


def test_an_old_workbook_or_one_with_a_password() -> None:
    with pytest.raises(Malformed, match="密码") as caught:
        _read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1000)
    assert "xlsx" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", _by_a_program()[:-100]])
def test_what_is_no_workbook(content: bytes) -> None:
    with pytest.raises(Malformed, match=r"a\.xlsx"):
        _read(content)


@pytest.mark.long_with('<row r="{}"/>')
@pytest.mark.parametrize("blank", ['<row r="{}"/>', '<row r="{}" s="1" customFormat="1"><c r="A{}" s="1"/></row>'])
def test_a_million_empty_rows(blank: str) -> None:
    rows = "".join(blank.replace("{}", str(number)) for number in range(3, 1_000_003))
    content = workbook({"名单": sheet(row(1, "编号") + row(2, "1") + rows + row(1_000_004, "2"))})
    begun = time.process_time()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _read(content)[1] == [(2, ["1"]), (1_000_004, ["2"])]
    # The file itself is spooled; what is held beside it does not grow with its rows.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 60 << 10
    assert time.process_time() - begun < 60


def test_a_cell_in_the_last_corner_costs_nothing() -> None:
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="第 1048576 行在表头的 1 列之外"):
            _read(workbook({"名单": sheet(row(1, "编号") + far)}))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_is_written_is_text_and_nothing_runs() -> None:
    texts = ["=cmd|'/c calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "http://x", "00123", "321202188501010010", "1E5", ""]
    content = _written(pa.record_batch({"=值": texts}))
    assert _read(content) == (("=值",), [(at, [text]) for at, text in enumerate(texts, 2)])
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        page = parts.read("xl/worksheets/sheet1.xml").decode()
        styles = parts.read("xl/styles.xml").decode()
        assert not [name for name in parts.namelist() if "hyperlink" in name.casefold() or "externalLink" in name]
    assert "<f" not in page
    assert set(re.findall(r' t="(\w+)"', page)) == {"inlineStr"}
    assert 'quotePrefix="1"' in styles
    assert 'numFmtId="49"' in styles


@pytest.mark.parametrize(
    "text",
    [
        "<r><t>x</t></r>",
        "<r>",
        "_x0041_",
        "_x005F_",
        "a\rb\r\nc",
        "\x01\x1f",
        " x ",
        "\ufffe",
        "]]>",
        "&lt;",
        "𠮷" * 16_383,
    ],
)
def test_odd_texts(text: str) -> None:
    assert _read(_written(pa.record_batch({"a": [text, "x"]})))[1] == [(2, [text]), (3, ["x"])]


def test_nulls_are_no_cells() -> None:
    batch = pa.record_batch({"a": pa.array(["1", "2", "3"]), "b": pa.array([None, "", "x"], pa.string())})
    assert _read(_written(batch))[1] == [(2, ["1", None]), (3, ["2", ""]), (4, ["3", "x"])]


def test_typed_values_are_written_as_text() -> None:
    batch = pa.record_batch(
        {
            "n": pa.array([Decimal("0.10")], pa.decimal128(38, 2)),
            "t": pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            "l": pa.array([True]),
            "g": pa.array([b"\0"]),
        }
    )
    assert _read(_written(batch, sheet="数据"))[1] == [(2, ["0.10", "2026-01-01T00:00:00Z", "true", "AA=="])]


def test_what_a_cell_cannot_take() -> None:
    for text in ("x" * 32_768, "𠮷" * 16_384):
        with pytest.raises(Unsupported, match="32767") as caught:
            _written(pa.record_batch({"值": [text]}))
        assert "值" in caught.value.message


def test_what_a_sheet_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 3)
    assert len(_read(_written(pa.record_batch({"a": ["1", "2"]})))[1]) == 2
    with pytest.raises(Unsupported, match="2 行"):
        _written(pa.record_batch({"a": ["1", "2", "3"]}))


def test_a_file_that_was_given_up() -> None:
    writer = Xlsx().writer(pa.schema([("a", pa.string())]), XlsxWriting(), 1)
    writer.rows(pa.record_batch({"a": ["1"]}))
    writer.close()
    writer.close()


def test_rows_for_which_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    batch = pa.record_batch({"a": ["x" * 30_000] * 50})
    writer = Xlsx().writer(batch.schema, XlsxWriting(), None)
    with no_file_longer_than(1 << 20), closing(writer), pytest.raises(Unavailable, match="临时目录"):
        writer.rows(batch)
    assert list(tmp_path.iterdir()) == []


def test_another_reader_sees_the_same() -> None:
    batch = pa.record_batch({"编号": ["00123", "=1+1", "<r>x</r>"], "姓名": ["𠮷", "a&b\n", "-1"]})
    content = _written(batch, sheet="名单")
    page = python_calamine.load_workbook(io.BytesIO(content)).get_sheet_by_name("名单")
    assert page.to_python() == [batch.schema.names, *(list(row.values()) for row in batch.to_pylist())]


def test_one_long_text_in_every_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD", 1 << 20)
    cells = [
        f'<row r="{at}"><c r="A{at}" t="s"><v>0</v></c><c r="B{at}" t="s"><v>0</v></c></row>' for at in range(2, 202)
    ]
    content = workbook({"名单": sheet(row(1, "甲", "乙") + "".join(cells))}, texts=f"<si><t>{'x' * 100_000}</t></si>")
    with closing(Xlsx().reader([content], "a.xlsx", XlsxReading())) as reader:
        sizes = [batch.num_rows for _, batch in reader.batches([0, 1])]
    assert (sum(sizes), max(sizes)) == (200, 5)
    monkeypatch.setattr(module, "LONGEST", 150_000)
    with pytest.raises(Malformed, match="第 2 行超过"):
        _read(content)


def test_halves_of_characters() -> None:
    _, rows = _read(workbook({"名单": sheet(row(1, "甲") + row(2, "_xD83D__xDE00_") + row(3, "_xD83D_"))}))
    assert rows[0] == (2, ["😀"])
    assert why_unreadable(rows[1][1][0] or "") == UNREADABLE["text"]
