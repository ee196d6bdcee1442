"""The registration form as a workbook (XLSX): its first page as rows of text, within bounds where it is read.

What is uploaded is anybody's. A few kilobytes can stand for gigabytes (压缩炸弹), or name a cell at the far corner of a
page that whoever reads it makes room for. So the parts are inflated here first, no further than the bound and against
their checksums, and every cell's place is looked at; what the reader is given is an archive of our own making.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from xml.parsers import expat

import xlsxwriter
from python_calamine import CalamineError, load_workbook

from catalog.errors import Problem

MAGIC = b"PK\x03\x04"
LARGEST = 5_000_000
"""Bytes of the file."""
INFLATED = 40_000_000
"""Bytes of its parts together."""
PARTS = 200
ROWS = 5_000
COLUMNS = 100
CELLS = 200_000
_PLACE = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_KEPT = (".xml", ".rels")
_REMEDY = "用空白登记表填写，或在表格软件中另存为 CSV（UTF-8）"


class Unreadable(Exception):
    """A workbook that is not read; the problem says why."""

    def __init__(self, message: str, remedy: str = _REMEDY) -> None:
        super().__init__(message)
        self.problem = Problem("登记表", message, remedy)


def first_page(content: bytes) -> list[list[str]]:
    """Rows of the first page, as they read.

    Raises:
        Unreadable: It is no workbook, or a larger one than a form can be.
    """
    if len(content) > LARGEST:
        raise Unreadable(f"超过 {LARGEST // 1_000_000} MB", "只留登记表本身")
    safe = _inflated(content)
    try:
        book = load_workbook(io.BytesIO(safe))
        names = book.sheet_names
        rows = book.get_sheet_by_name(names[0]).to_python(skip_empty_area=False, nrows=ROWS) if names else []
    except (CalamineError, ValueError, OSError) as error:
        raise Unreadable("不是可读的 XLSX 工作簿") from error
    return [[_written(cell) for cell in row] for row in rows]


def page(rows: Iterable[Sequence[str]]) -> bytes:
    """A workbook of one page whose cells are texts, whatever a spreadsheet program would make of them."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                if cell:
                    sheet.write_string(number, column, cell)
    return out.getvalue()


def _inflated(content: bytes) -> bytes:
    """The same workbook, its parts inflated, checked and put together anew."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as fresh:
            parts = [part for part in archive.infolist() if part.filename.endswith(_KEPT)]
            if len(archive.infolist()) > PARTS or len({part.filename for part in parts}) < len(parts):
                raise Unreadable("工作簿的部件过多")
            if "xl/workbook.xml" not in {part.filename for part in parts}:
                raise Unreadable("不是 XLSX 工作簿")
            left, place = INFLATED, _Places()
            for part in parts:
                text = _part(archive, part, left)
                left -= len(text)
                place.look(text)
                fresh.writestr(part.filename, text)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        # Of a password or an unknown compression (both RuntimeError) or a broken archive the module tells so.
        raise Unreadable("不是可读的 XLSX 工作簿") from error
    return out.getvalue()


def _part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, left: int) -> bytes:
    if part.file_size > left:
        raise Unreadable("工作簿展开后过大", "只留登记表一页，删去图片和其他内容")
    with archive.open(part) as opened:
        text = opened.read(left + 1)
    if len(text) > left:
        raise Unreadable("工作簿展开后过大", "只留登记表一页，删去图片和其他内容")
    return text


class _Places:
    """Where the cells stand, over all parts of a workbook: which of them is the first page is the reader's to say."""

    def __init__(self) -> None:
        self._cells = 0

    def look(self, text: bytes) -> None:
        """Look through one part.

        Raises:
            Unreadable: A cell is out of bounds, or the part is not plain XML in UTF-8.
        """
        if b"\0" in text:
            raise Unreadable("不是可读的 XLSX 工作簿")  # in UTF-16, where nobody looked
        parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
        parser.StartElementHandler = self._element
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(text, True)  # noqa: FBT003 - it is the whole of it
        except expat.ExpatError as error:
            raise Unreadable("不是可读的 XLSX 工作簿") from error

    def _doctype(self, *_given: object) -> None:
        raise Unreadable("不是可读的 XLSX 工作簿")

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        kind = name.rpartition(" ")[2]
        if kind == "row":
            self._bound(attributes.get("r", "1"), "A")
        elif kind == "c":
            self._cells += 1
            place = _PLACE.fullmatch(attributes["r"]) if "r" in attributes else None
            if place is not None:
                self._bound(place[2], place[1])
            elif "r" in attributes or self._cells > CELLS:
                raise Unreadable(f"超过 {CELLS:,} 格")
        if self._cells > CELLS:
            raise Unreadable(f"超过 {CELLS:,} 格")

    def _bound(self, row: str, column: str) -> None:
        number = 0
        for letter in column.upper():
            number = number * 26 + ord(letter) - ord("A") + 1
        if not (row.isascii() and row.isdecimal() and len(row) <= len(str(ROWS)) and 1 <= int(row) <= ROWS):
            raise Unreadable(f"超过 {ROWS:,} 行", "只留登记表一页；清除表格下方的格式和内容")
        if number > COLUMNS:
            raise Unreadable(f"超过 {COLUMNS} 列", "只留登记表一页；清除表格右侧的格式和内容")


def _written(cell: object) -> str:
    """A cell as the form would have it in writing."""
    match cell:
        case bool():
            return "是" if cell else "否"
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime() if cell.time() == time():
            return cell.date().isoformat()
        case date() | time() | timedelta() | int() | float() | str():
            return str(cell)
        case _:
            return ""
