from __future__ import annotations

import io
import zipfile

import pytest

from adapters.errors import Malformed
from adapters.files.formats import workbook as module
from adapters.files.formats.archive import Archive
from adapters.files.formats.workbook import PARTS, SheetEntry, Texts, Workbook, chosen, read_workbook
from tests.adapters.files.formats.workbooks import sheet, workbook

EMPTY = sheet("")


def _read(content: bytes) -> Workbook:
    return read_workbook(Archive(io.BytesIO(content), "a.xlsx", PARTS), "a.xlsx")


def test_what_a_workbook_says() -> None:
    found = _read(
        workbook(
            {"名单": EMPTY, "旧": EMPTY},
            states={"旧": "veryHidden"},
            texts="<si><t>甲</t></si><si><r><t>乙</t></r><rPh><t>yi</t></rPh>"
            "<r><t xml:space='preserve'> 丙</t></r></si>"
            "<si><t>a_x000D_b</t></si><si/>",
            styles='<numFmts><numFmt numFmtId="164" formatCode="yyyy&quot;年&quot;"/></numFmts>'
            '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
            '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/></cellXfs>',
            properties='date1904="1"',
        )
    )
    assert [(one.name, one.part, one.visible) for one in found.sheets] == [
        ("名单", "xl/worksheets/sheet1.xml", True),
        ("旧", "xl/worksheets/sheet2.xml", False),
    ]
    assert list(found.texts) == ["甲", "乙 丙", "a\rb", ""]
    assert found.styles == ["number", "date", "date"]
    assert found.from_1904


def test_what_it_does_not_say() -> None:
    found = _read(workbook({"名单": EMPTY}))
    assert (list(found.texts), found.styles, found.from_1904) == ([], [], False)


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/sharedStrings.xml", "xl/styles.xml"]
)
@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        "<a><b></a>",
        "<a>",
        "",
        "<a>" * 300 + "</a>" * 300,
    ],
)
def test_hostile_parts(part: str, document: str) -> None:
    with pytest.raises(Malformed, match=r"a\.xlsx"):
        _read(workbook({"名单": EMPTY}, texts="", styles="", more={part: document}))


def test_texts_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTS", 1000)
    with pytest.raises(Malformed, match=r"a\.xlsx"):
        _read(workbook({"名单": EMPTY}, texts="<si><t>x</t></si>" * 200))


def test_what_lies_outside_is_not_asked_for() -> None:
    relations = (
        '<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="http://127.0.0.1:1/s.xml" '
        'TargetMode="External"/></Relationships>'
    )
    assert _read(workbook({"名单": EMPTY}, more={"xl/_rels/workbook.xml.rels": relations})).sheets == []


def test_no_workbook() -> None:
    with pytest.raises(Malformed, match="不是 XLSX"):
        _read(
            workbook({}, more={"_rels/.rels": "<Relationships/>", "xl/workbook.xml": ""})[:0]
            or _only("word/document.xml")
        )


def _only(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(name, "<x/>")
    return out.getvalue()


LISTED = [
    SheetEntry("甲", "1", visible=True),
    SheetEntry("乙 ", "2", visible=True),
    SheetEntry("丙", "3", visible=False),
]


@pytest.mark.parametrize(
    ("wanted", "filled", "expected"),
    [("乙", "", "2"), ("丙", "", "3"), (None, "1", "1"), (None, "2", "2"), (None, "", "1"), (None, "23", "2")],
)
def test_the_sheet_that_is_read(wanted: str | None, filled: str, expected: str) -> None:
    assert chosen(Workbook(LISTED), wanted, "a.xlsx", lambda one: one.part in filled).part == expected


@pytest.mark.parametrize(
    ("sheets", "wanted", "words"),
    [(LISTED, "丁", "没有工作表“丁”"), (LISTED, None, "不止一个"), (LISTED[2:], None, "看得见"), ([], None, "看得见")],
)
def test_no_sheet_or_too_many(sheets: list[SheetEntry], wanted: str | None, words: str) -> None:
    with pytest.raises(Malformed, match=words) as caught:
        chosen(Workbook(sheets), wanted, "a.xlsx", lambda one: True)
    assert caught.value.remedy


def test_shared_texts_take_no_more_than_they_are() -> None:
    texts = Texts()
    for number in range(100_000):
        texts.append(f"甲{number % 10}")
    assert (len(texts), texts[0], texts[99_999], texts[1:3]) == (100_000, "甲0", "甲9", ["甲1", "甲2"])
    assert texts.size == pytest.approx(100_000 * 12, rel=0.01)
    with pytest.raises(IndexError):
        texts[100_000]


def test_one_shared_text_of_endless_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTS", 10_000)
    with pytest.raises(Malformed, match="文字过多"):
        _read(workbook({"名单": EMPTY}, texts="<si>" + "<r><t>a</t></r>" * 2000 + "</si>"))


def test_thousands_of_sheets_that_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = SheetEntry("甲", "same.xml", visible=True)
    asked: list[str] = []
    chosen(Workbook(sheets=[one] * 500), None, "a.xlsx", lambda sheet: bool(asked.append(sheet.part)))
    assert asked == ["same.xml"]
    monkeypatch.setattr(module, "SHEETS", 2)
    with pytest.raises(Malformed, match="个工作表"):
        _read(workbook({"甲": EMPTY, "乙": EMPTY, "丙": EMPTY}))


def test_a_long_number_of_a_style() -> None:
    styles = f'<cellXfs><xf numFmtId="{"9" * 5000}"/></cellXfs>'
    assert _read(workbook({"名单": EMPTY}, styles=styles)).styles == ["number"]
