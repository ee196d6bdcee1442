from __future__ import annotations

import datetime as dt
import io
import resource
import struct
import zipfile

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from catalog import read_sheet, workbook
from catalog.workbook import Unreadable, first_page

SHEET = "xl/worksheets/sheet1.xml"


def made(*rows: list[object]) -> bytes:
    """A workbook as a spreadsheet program saves it."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"default_date_format": "yyyy-mm-dd"}) as book:
        page = book.add_worksheet("登记表")
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
        book.add_worksheet("别的").write(0, 0, "不读")
    return out.getvalue()


def with_part(content: bytes, name: str, text: bytes) -> bytes:
    """The workbook with one part put in place of what it had."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for part in old.namelist():
            if part != name:
                new.writestr(part, old.read(part))
        new.writestr(name, text)
    return out.getvalue()


def page(*cells: str, rows: str = "") -> bytes:
    inside = rows or f"<row r='1'>{''.join(cells)}</row>"
    text = f"<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'><sheetData>{inside}"
    return f"{text}</sheetData></worksheet>".encode()


def test_a_workbook_reads_like_the_form_in_writing() -> None:
    content = made(
        ["信息资源名称", "人口"], ["是否向社会开放", False], ["发布", dt.date(2026, 1, 31)], [],
        ["长度", 18, 2.5], ["=1+1"],
    )  # fmt: skip
    rows = [[cell for cell in row if cell] for row in first_page(content)]
    assert rows == [
        ["信息资源名称", "人口"], ["是否向社会开放", "否"], ["发布", "2026-01-31"], [], ["长度", "18", "2.5"], ["0"],
    ]  # fmt: skip


def test_a_form_may_be_a_workbook() -> None:
    form = read_sheet(made(["信息资源名称", "人口基本信息"], ["更薪周期", "每日"], [], ["信息项名称"], ["姓名"]))
    assert form.given == {"name": "人口基本信息", "items": ["姓名"]}
    assert [problem.where for problem in form.problems] == ["登记表 › 第 2 行"]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("<c r='XFD1048576'><v>1</v></c>", "行"),
        ("<c r='XFD1'><v>1</v></c>", "列"),
        ("<c r='&#65;1048576'><v>1</v></c>", "行"),
        ('<x:c xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main" r = "A999999"/>', "行"),
        ("<c r='A１'/>", "格"),
        ("<c r='ZZZZZZ1'/>", "格"),
        ("<c/>" * 200_001, "格"),
    ],
)  # fmt: skip
def test_a_cell_far_away_takes_no_room(cell: str, told: str) -> None:
    before = peak()
    with pytest.raises(Unreadable, match=told):
        first_page(with_part(made(["甲"]), SHEET, page(cell)))
    assert peak() - before < 300_000_000


def test_a_row_far_away_takes_no_room() -> None:
    with pytest.raises(Unreadable, match="行"):
        first_page(with_part(made(["甲"]), SHEET, page(rows="<row r='1'><c/></row><row r='1048576'><c/></row>")))


def test_a_page_that_says_it_is_vast_and_is_not_is_read() -> None:
    vast = page("<c r='A1' t='inlineStr'><is><t>甲</t></is></c>").replace(
        b"<sheetData>", b"<dimension ref='A1:XFD1048576'/><sheetData>"
    )
    assert first_page(with_part(made(["甲"]), SHEET, vast)) == [["甲"]]


def test_what_inflates_without_end_is_not_inflated() -> None:
    bomb = with_part(made(["甲"]), "xl/sharedStrings.xml", b" " * 600_000_000)
    assert len(bomb) < workbook.LARGEST
    before = peak()
    with pytest.raises(Unreadable, match="展开后过大"):
        first_page(bomb)
    assert peak() - before < 100_000_000


def test_a_bomb_that_says_it_is_small_is_found_out() -> None:
    name = b"xl/sharedStrings.xml"
    bomb = bytearray(with_part(made(["甲"]), name.decode(), b" " * 60_000_000))
    with zipfile.ZipFile(io.BytesIO(bytes(bomb))) as archive:
        told = struct.pack("<I", archive.getinfo(name.decode()).file_size)
    at = -1
    while (at := bomb.find(told, at + 1)) >= 0:
        bomb[at : at + 4] = struct.pack("<I", 1000)
    with pytest.raises(Unreadable):
        first_page(bytes(bomb))


def test_too_many_parts_and_parts_of_one_name_are_refused() -> None:
    crowded = io.BytesIO(made(["甲"]))
    with zipfile.ZipFile(crowded, "a") as archive:
        for number in range(workbook.PARTS):
            archive.writestr(f"xl/media/{number}.png", b"")
    with pytest.raises(Unreadable, match="部件"):
        first_page(crowded.getvalue())
    twice = io.BytesIO(made(["甲"]))
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(SHEET, page())
    with pytest.raises(Unreadable, match="部件"):
        first_page(twice.getvalue())


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]><worksheet>&b;</worksheet>',
        b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><worksheet/>',
        "<worksheet/>".encode("utf-16"),
        b"<worksheet>",
        b"",
    ],
)  # fmt: skip
def test_xml_that_is_more_than_plain_is_refused(text: bytes) -> None:
    with pytest.raises(Unreadable):
        first_page(with_part(made(["甲"]), SHEET, text))


def test_an_archive_that_is_no_workbook_is_refused() -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("../../etc/passwd.xml", b"<a/>")
    with pytest.raises(Unreadable, match="不是 XLSX"):
        first_page(other.getvalue())
    with pytest.raises(Unreadable, match="MB"):
        first_page(workbook.MAGIC + b"\0" * workbook.LARGEST)


@given(st.integers(0, 5000), st.integers(0, 255))
def test_a_damaged_workbook_is_answered(at: int, byte: int) -> None:
    content = bytearray(made(["信息资源名称", "人口"]))
    content[at % len(content)] = byte
    form = read_sheet(bytes(content))
    assert form.given or form.problems


@pytest.mark.parametrize("text", ["=1+1", "+86", "-x", "@SUM(A1)", '=HYPERLINK("http://x")', "http://x", "007", "1e5"])
def test_a_page_that_is_written_holds_texts_and_nothing_else(text: str) -> None:
    content = workbook.page([[text, ""], [], ["b"]])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "<f" not in sheet
    assert "hyperlink" not in sheet
    assert first_page(content) == [[text], [""], ["b"]]
