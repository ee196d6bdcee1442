"""Files of every format say the same, run nothing and are bounded."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import etree

from exchange.audit.exporting import FORMATS, MEDIA_TYPES, MOST_IN_SHEET, harmless, write
from exchange.errors import Invalid

SCHEMA = pa.schema([("名称", pa.string()), ("行数", pa.int64()), ("日期", pa.date32()), ("内容", pa.string())])
ROWS = [
    {"名称": '=HYPERLINK("http://x")', "行数": -5, "日期": date(2026, 1, 31), "内容": {"甲": 1}},
    {"名称": None, "行数": None, "日期": None, "内容": "@SUM(A1)"},
    {"名称": "a\x01b\n_x0041_", "行数": 2**53, "日期": date(2026, 2, 1), "内容": "-1"},
]


def written(format, rows=ROWS, **options):
    out = io.BytesIO()
    assert write(out, format, SCHEMA, iter(rows), **options) == len(rows)
    assert not out.closed
    out.seek(0)
    return out


def cells(out):
    """Type and text of each cell of a workbook, by its place; no formula and no link among them."""
    with zipfile.ZipFile(out) as book:
        assert not [name for name in book.namelist() if "hyperlink" in name or name.endswith("sheet1.xml.rels")]
        sheet = etree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    assert sheet.findall(".//{*}f") == sheet.findall(".//{*}hyperlink") == []
    return {cell.get("r"): (cell.get("t"), "".join(cell.itertext())) for cell in sheet.iterfind(".//{*}c")}


def test_cells_of_a_csv_are_no_formulas():
    found = list(csv.reader(io.StringIO(written("csv").getvalue().decode("utf-8-sig"), newline="")))
    assert found[0] == SCHEMA.names
    assert found[1] == ['\'=HYPERLINK("http://x")', "-5", "2026-01-31", '{"甲": 1}']
    assert found[2] == ["", "", "", "'@SUM(A1)"]
    assert found[3][3] == "'-1"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_every_sign_of_a_formula_is_known(sign):
    assert harmless(f"{sign}1") == f"'{sign}1"
    assert harmless(f"1{sign}") == f"1{sign}"


def test_cells_of_a_sheet_are_texts_or_numbers():
    found = cells(written("xlsx"))
    assert [found[place][1] for place in ("A1", "B1", "C1", "D1")] == SCHEMA.names
    text = "inlineStr"
    assert found["A2"] == (text, '=HYPERLINK("http://x")')
    assert found["B2"] == (None, "-5")
    assert (found["C2"], found["D2"]) == ((text, "2026-01-31"), (text, '{"甲": 1}'))
    assert {"A3", "B3", "C3"}.isdisjoint(found)
    assert (found["D3"], found["D4"]) == ((text, "@SUM(A1)"), (text, "-1"))


def test_a_table_keeps_its_types():
    found = pq.read_table(written("parquet"))
    assert found.schema.names == SCHEMA.names
    assert found.schema.field("日期").type == pa.date32()
    assert found.to_pylist()[0]["行数"] == -5
    assert found.to_pylist()[2]["日期"] == date(2026, 2, 1)


def test_lines_are_documents():
    found = [json.loads(line) for line in written("jsonl").getvalue().decode().splitlines()]
    assert found[0]["内容"] == {"甲": 1}
    assert found[1]["名称"] is None


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_nothing_is_a_file_too_and_too_much_is_none(format):
    assert written(format, []).getvalue() or format == "jsonl"
    written(format, most=3)
    with pytest.raises(Invalid, match="超过 2 行"):
        write(io.BytesIO(), format, SCHEMA, iter(ROWS), most=2)
    assert format in MEDIA_TYPES


def test_a_sheet_ends_where_sheets_end(monkeypatch):
    assert MOST_IN_SHEET == 2**20 - 1
    monkeypatch.setattr("exchange.audit.exporting.MOST_IN_SHEET", 2)
    with pytest.raises(Invalid, match="超过 2 行"):
        write(io.BytesIO(), "xlsx", SCHEMA, iter(ROWS))
    with pytest.raises(Invalid, match="只能导出为"):
        write(io.BytesIO(), "xls", SCHEMA, iter(ROWS))


def test_what_a_cell_cannot_hold_is_cut_and_says_so():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [{"名称": "长" * 40_000, "行数": 1, "日期": None, "内容": at}]
    found = cells(written("xlsx", rows))
    assert found["A2"] == ("inlineStr", "长" * 32_766 + "…")
    assert found["D2"][1] == "2026-01-01T00:00:00.000000Z"
