from __future__ import annotations

import random
from typing import Any

import pytest

from adapters.errors import Malformed
from adapters.files.formats import sheet as module
from adapters.files.formats.sheet import Sheet, column_of
from adapters.files.formats.workbook import Workbook
from schemas.unreadable import UNREADABLE, why_unreadable
from tests.adapters.files.formats.workbooks import cell, row, sheet

TOLD = Workbook(texts=["甲", "a&b"], styles=["number", "date", "time"])


def _rows(
    content: str, step: int = 1 << 20, head: int = 1, encoding: str = "utf-8"
) -> list[tuple[int, dict[int, str]]]:
    data = content.encode(encoding)
    return list(Sheet("a.xlsx", "名单", TOLD, head).rows(data[at : at + step] for at in range(0, len(data), step)))


def _cell(content: str) -> str | None:
    """The text of one cell, which must be the same either way."""
    plain = sheet(f'<row r="1">{content}</row><row r="2"></row>')
    slow = plain.replace("<sheetData>", "<sheetData><!-- x -->")
    found = [_rows(plain), _rows(slow)]
    assert found[0] == found[1]
    return found[0][0][1][0] if found[0] else None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('<c r="A1"><v>0.1</v></c>', "0.1"),
        ('<c r="A1" t="n"><v>12</v></c>', "12"),
        ('<c r="A1" s="1"><v>46023</v></c>', "2026-01-01"),
        ('<c r="A1" s="2"><v>0.5</v></c>', "12:00:00"),
        ('<c r="A1" s="99"><v>46023</v></c>', "46023"),
        ('<c r="A1" t="s"><v>1</v></c>', "a&b"),
        ('<c r="A1" t="b"><v>1</v></c>', "true"),
        ('<c r="A1" t="b"><v>0</v></c>', "false"),
        ('<c r="A1" t="str"><v>x &lt;&#65;&#x4E2D;&amp;#66;</v></c>', "x <A中&#66;"),
        ('<c r="A1" t="d"><v>2026-01-01T08:00:00</v></c>', "2026-01-01T08:00:00"),
        ('<c r="A1" t="inlineStr"><is><t/></is></c>', ""),
        ('<c r="A1" t="inlineStr"><is><t></t></is></c>', ""),
        ('<c r="A1" t="inlineStr"><is><t xml:space="preserve"> x </t></is></c>', " x "),
        ('<c r="A1" t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r><rPh><t>c</t></rPh></is></c>', "ab"),
        ('<c r="A1" t="inlineStr"><is><t>=cmd|&apos;/c calc&apos;!A0</t></is></c>', "=cmd|'/c calc'!A0"),
        ('<c r="A1"><f>1+1</f><v>2</v></c>', "2"),
        ('<c r="A1" t="str"><f>"x"</f><v>x</v></c>', "x"),
        ('<c r="A1" t="str"><f>""</f><v></v></c>', None),
        ('<c r="A1" s="1"/>', None),
        ('<c r="A1"><v/></c>', None),
        ('<c r="A1" t="s"/>', None),
        ("<c><v>7</v></c>", "7"),
    ],
)
def test_cells(content: str, expected: str | None) -> None:
    assert _cell(content) == expected


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('<c r="A1" t="e"><v>#DIV/0!</v></c>', "error"),
        ('<c r="A1" t="e"><f>1/0</f><v>#DIV/0!</v></c>', "error"),
        ('<c r="A1" t="strange"><v>1</v></c>', "error"),
        ('<c r="A1"><f>1+1</f></c>', "formula"),
        ('<c r="A1"><f>1+1</f><v></v></c>', "formula"),
        ('<c r="A1"><v>3.2120218850101E+17</v></c>', "digits"),
        ('<c r="A1" s="1"><v>60</v></c>', "day"),
        ('<c r="A1" s="1"><v>-5</v></c>', "day"),
    ],
)
def test_cells_that_have_no_value(content: str, kind: str) -> None:
    assert why_unreadable(_cell(content) or "") == UNREADABLE[kind]


@pytest.mark.parametrize("step", [1, 50, 333, 1 << 20])
def test_rows_by_their_numbers(step: int) -> None:
    content = sheet(
        row(2, "编号", "姓名")
        + '<row r="3" spans="1:2"/>'
        + row(5, "1", "𠮷")
        + '<row r="9"><c r="B9"><v>2</v></c></row>'
        '<row><c><v>3</v></c></row><row r="20"><c r="A20" s="1"/></row>'
    )
    expected = [(2, {0: "编号", 1: "姓名"}), (5, {0: "1", 1: "𠮷"}), (9, {1: "2"}), (10, {0: "3"})]
    assert _rows(content, step) == expected
    assert _rows(content.replace("UTF-8", "UTF-16"), step, encoding="utf-16") == expected
    prefixed = content.replace("<row", "<x:row").replace("</row", "</x:row")
    prefixed = prefixed.replace('xmlns="', 'xmlns:x="http://x" xmlns="')
    assert _rows(prefixed, step) == expected


BROKEN = {
    "rows backwards": '<row r="2"><c r="A2"><v>1</v></c></row><row r="1"><c r="A1"><v>1</v></c></row>',
    "row twice": row(1, "a") + row(1, "b"),
    "row zero": '<row r="0"><c><v>1</v></c></row>',
    "row beyond": '<row r="1048577"><c><v>1</v></c></row>',
    "row of letters": '<row r="x"><c><v>1</v></c></row>',
    "cell of another row": '<row r="1"><c r="A2"><v>1</v></c></row>',
    "cells backwards": '<row r="1"><c r="B1"><v>1</v></c><c r="A1"><v>1</v></c></row>',
    "cell twice": '<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>1</v></c></row>',
    "cell beyond": '<row r="1"><c r="XFE1"><v>1</v></c></row>',
    "cell of nowhere": '<row r="1"><c r="1"><v>1</v></c></row>',
    "text that is not there": '<row r="1"><c r="A1" t="s"><v>2</v></c></row>',
    "text of no number": '<row r="1"><c r="A1" t="s"><v>x</v></c></row>',
    "not closed": '<row r="1"><c r="A1"><v>1</c></row>',
    "entity": '<row r="1"><c r="A1"><v>&x;</v></c></row>',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("slow", [False, True])
def test_broken_sheets(content: str, slow: bool) -> None:
    comment = "<!-- x -->" if slow else ""
    for step in (7, 1 << 20):
        with pytest.raises(Malformed, match=r"a\.xlsx"):
            _rows(sheet(f"{comment}{content}{row(30, 'x')}"), step)


def test_a_dtd() -> None:
    with pytest.raises(Malformed, match="DTD"):
        _rows(sheet("").replace("<worksheet", '<!DOCTYPE x [<!ENTITY a "b">]><worksheet'))


@pytest.mark.parametrize(("reference", "fine"), [("A1:C1", True), ("A1:A2", True), ("A3:B3", False), ("A2:A3", False)])
def test_merged_cells(reference: str, fine: bool) -> None:
    content = sheet(row(2, "a") + row(3, "b"), f'<mergeCells><mergeCell ref="{reference}"/></mergeCells>')
    if fine:
        assert len(_rows(content, head=2)) == 2
        return
    with pytest.raises(Malformed, match="合并") as caught:
        _rows(content, head=2)
    assert reference in caught.value.message
    assert caught.value.remedy


def test_columns_by_letters() -> None:
    assert [column_of(letters) for letters in ("A", "Z", "AA", "XFD")] == [0, 25, 26, 16_383]


def test_both_ways_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    kinds = (
        lambda at: f'<c r="{at}"><v>{chance.random()!r}</v></c>',
        lambda at: f'<c r="{at}" s="1" t="n"><v>{chance.randrange(40_000)}</v></c>',
        lambda at: f'<c r="{at}" t="s"><v>{chance.randrange(2)}</v></c>',
        lambda at: f'<c r="{at}" s="2"/>',
        lambda at: cell(at, "x&amp;y\nz"),
        lambda at: f'<c r="{at}" t="e"><v>#N/A</v></c>',
        lambda at: "",
    )
    rows = "".join(
        f'<row r="{number}" ht="1.5">{"".join(chance.choice(kinds)(f"{letter}{number}") for letter in "ABCDEF")}</row>'
        for number in range(1, 3000)
    )
    taken: list[Any] = []
    monkeypatch.setattr(Sheet, "_take", lambda self, *given, old=Sheet._take: (taken.append(1), old(self, *given))[1])
    fast = _rows(sheet(rows), 50_000)
    assert len(taken) > 2900
    monkeypatch.setattr(module, "_plain_rows", lambda piece: None)
    assert _rows(sheet(rows), 50_000) == fast


@pytest.mark.parametrize("begun", ["<sheetData>", "<sheetData >", '<sheetData xml:space="preserve">'])
def test_wherever_the_pieces_end_no_row_is_lost(begun: str) -> None:
    data = sheet(row(1, "a") + row(2, "b") + row(3, "c")).replace("<sheetData>", begun).encode()
    first = data.index(b"<sheetData")
    for one in range(first - 1, first + len(begun) + 8):
        for two in range(one, len(data), 3):
            pieces = [data[:one], data[one:two], data[two:]]
            assert [number for number, _ in Sheet("a", "s", TOLD, 1).rows(pieces)] == [1, 2, 3]


def test_what_is_commented_out_is_no_row() -> None:
    data = sheet(row(1, "a") + "<!-- " + row(2, "gone") + " -->" + row(3, "c")).encode()
    for cut in range(len(data)):
        assert [number for number, _ in Sheet("a", "s", TOLD, 1).rows([data[:cut], data[cut:]])] == [1, 3]


def test_a_row_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXT", 1 << 16)
    fed: list[int] = []
    sheet_ = Sheet("a", "s", TOLD, 1)
    feed = sheet_._stream.feed
    sheet_._stream.feed = lambda chunk: (fed.append(len(chunk)), feed(chunk))[1]  # type: ignore[func-returns-value, method-assign]
    begun = sheet("").partition("</sheetData>")[0] + '<row r="1">'
    pieces = [begun.encode(), *[b"<c/>" * 1000] * 100, b"</row></sheetData></worksheet>"]
    with pytest.raises(Malformed, match="位置不对"):
        list(sheet_.rows(pieces))
    # What is not a row's end by then goes to the parser, piece by piece.
    assert max(fed) < 1 << 17


def test_a_cell_or_a_row_of_endless_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 1000)
    endless = '<c r="A1" t="inlineStr"><is>' + "<r><t>a</t></r>" * 600 + "</is></c>"
    with pytest.raises(Malformed, match="第 1 行超过"):
        _rows(sheet(f'<row r="1">{endless}</row>'))
    wide = "".join(f'<c r="{letter}1" t="str"><f>1</f><v>{"x" * 300}</v></c>' for letter in "ABCD")
    with pytest.raises(Malformed, match="第 1 行超过"):
        _rows(sheet(f'<row r="1">{wide}</row>'))
    narrow = "".join(f'<row r="{at}"><c t="str"><f>1</f><v>{"x" * 900}</v></c></row>' for at in range(1, 9))
    assert len(_rows(sheet(narrow))) == 8


@pytest.mark.parametrize("slow", [False, True])
def test_numbers_of_thousands_of_digits(slow: bool) -> None:
    head = "<!-- x -->" if slow else ""
    long = "9" * 5000
    with pytest.raises(Malformed, match="没有的文字"):
        _rows(sheet(f'{head}<row r="1"><c r="A1" t="s"><v>{long}</v></c></row>'))
    for given in (long, "1x", ""):
        with pytest.raises(Malformed, match="行号"):
            _rows(sheet(f'{head}<row r="{given}"><c r="A1" t="s"><v>0</v></c></row>'))
    assert _rows(sheet(f'{head}<row r="1"><c r="A1" s="{long}"><v>0</v></c></row>')) == [(1, {0: "0"})]


def test_a_reference_is_read_once() -> None:
    assert _cell('<c r="A1" t="inlineStr"><is><t>&#38;lt;&amp;gt;&#x26;#65;</t></is></c>') == "&lt;&gt;&#65;"
