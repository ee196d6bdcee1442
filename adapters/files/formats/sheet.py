"""One sheet of a workbook (工作表), row by row.

The parser calls back for each element, which is slow, and most sheets are ten columns of nothing but plain cells. So
where a piece of a sheet is whole rows of such cells, the parser only proves it, and the cells are picked out by a
pattern that must account for every tag; any other piece goes the slow way. Both come to the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from adapters.errors import Malformed
from adapters.files.formats.base import COLUMNS
from adapters.files.formats.cells import date_text, number_text, time_text, unescaped
from adapters.files.formats.workbook import Workbook, ended, opened
from adapters.xml import TEXT, Stream
from schemas.unreadable import unreadable

ROWS = 1 << 20
"""Rows of a sheet."""
LONGEST = 64 << 20
"""Characters of one row at most."""

_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_DATA = b"<sheetData>"
_NUMBER = re.compile(rb' r="([^"]*)"')
_WHOLE = re.compile(r"[0-9]{1,9}")
"""A number of a row, a style or a text; a longer one is none, and would cost more than it is worth."""
_ROW = re.compile(rb'<row((?: [a-zA-Z0-9:]+="[^"<>&]*")*)(?:/>|>(.*?)</row>)', re.DOTALL)
_CELL = re.compile(
    rb'<c r="([A-Z]{1,3})([0-9]+)"(?: s="([0-9]{1,6})")?(?: t="([a-zA-Z]+)")?'
    rb'(?:/>|>(?:<v>([^<]*)</v>|(<is>)<t(?: xml:space="preserve")?>([^<]*)</t></is>)?</c>)'
)
_ENTITY = re.compile("&(?:#(x?)([0-9a-fA-F]+)|(lt|gt|quot|apos|amp));")
_SIGNS = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}
_PLACES: dict[bytes, int] = {}
"""Letters of columns that have been met, with their numbers; there are no more than a sheet has."""


class Sheet:
    """The calls of the parser, put together to rows: numbers of columns to texts, and no row without any."""

    def __init__(self, name: str, sheet: str, workbook: Workbook, head: int) -> None:
        self._name = name
        self._sheet = sheet
        self._head = head
        self._workbook = workbook
        self._made: list[tuple[int, dict[int, str]]] = []
        self._number = 0
        self._column = -1
        self._cells: dict[int, str] = {}
        self._size = 0
        self._kind, self._style = "n", 0
        self._value: str | None = None
        self._formula = False
        self._inline: list[str] | None = None
        self._spoken = 0
        self._in_cell = False
        self._inside = False
        self._plain = True
        self._stream: Stream = opened(name, self._start, self._end)

    def rows(self, chunks: Iterable[bytes]) -> Iterator[tuple[int, dict[int, str]]]:
        """The rows with something in them, by their numbers.

        Raises:
            Malformed: below the header cells are merged, or what is read is no sheet.
        """
        rest = b""
        for chunk in chunks:
            rest = self._feed(rest + chunk) if self._plain else self._slowly(chunk)
            yield from self._made
            self._made.clear()
        self._stream.feed(rest)
        ended(self._stream, self._name)
        yield from self._made
        self._made.clear()

    def _feed(self, content: bytes) -> bytes:
        """Take in what can be taken, and answer the rest: the last row, which may not be whole."""
        if not self._inside:
            begun = content.find(_DATA)
            if begun < 0:
                self._slowly(content)
                # Begun in another way: nobody knows in the middle of which row the next piece begins.
                self._plain = not self._inside and self._stream.through
                return b""
            begun += len(_DATA)
            self._stream.feed(content[:begun])
            if not self._inside or not self._stream.as_it_came or not self._stream.through:
                self._plain = False
                return self._slowly(content[begun:])
            content = content[begun:]
        end = content.find(b"</sheetData")
        cut = content.rfind(b"<row") if end < 0 else end
        if cut <= 0 and end < 0:
            self._plain = len(content) < TEXT
            return content if self._plain else self._slowly(content)
        piece = content[:cut]
        if b"<!" in piece or b"<?" in piece:
            # It may end within a comment, where rows are none.
            self._plain = False
            return self._slowly(content)
        if (found := _plain_rows(piece)) is None:
            self._stream.feed(piece)
        else:
            # What is whole and plain is proven to be XML at the speed of C, and its cells are picked out of it.
            self._stream.prove(piece)
            for attributes, cells in found:
                self._take(attributes, cells)
        if end < 0:
            return content[cut:]
        self._plain = False
        return self._slowly(content[cut:])

    def _slowly(self, content: bytes) -> bytes:
        self._stream.feed(content)
        return b""

    def _take(self, attributes: bytes, cells: list[tuple[bytes, ...]]) -> None:
        number = _NUMBER.search(attributes)
        self._begin_row(number[1].decode() if number else None)
        if not cells:
            return
        here = b"%d" % self._number
        row: dict[int, str] = {}
        last = -1
        for letters, given, style, kind, value, inline, text in cells:
            column = _PLACES.get(letters)
            if column is None:
                column = _PLACES[letters] = column_of(letters.decode())
            if given != here or not last < column < COLUMNS:
                raise self._broken("有位置不对的单元格")
            last = column
            if kind == b"inlineStr":
                if inline:
                    row[column] = unescaped(_decoded(text))
            elif value:
                row[column] = self._plain_text(kind, value, style)
        if row:
            self._made.append((self._number, row))

    def _plain_text(self, kind: bytes, value: bytes, style: bytes) -> str:
        if kind == b"s" and len(value) < 10 and value.isdigit():
            place = int(value)
            if place < len(self._workbook.texts):
                return self._workbook.texts[place]
        self._kind, self._style = kind.decode() or "n", int(style or 0)
        self._value, self._formula = _decoded(value), False
        return self._text() or ""

    def _start(self, tag: str, about: dict[str, str]) -> None:
        texts = self._stream.texts
        if tag == "c":
            self._begin_cell(about)
        elif tag == "row":
            self._begin_row(about.get("r"))
        elif self._in_cell:
            if tag == "f":
                self._formula = True
            elif tag == "is":
                self._inline = []
            elif tag == "rPh":
                self._spoken += 1
        elif tag == "sheetData":
            self._inside = True
        elif tag == "mergeCell":
            self._refuse_merged(about.get("ref", ""))
        texts.clear()

    def _end(self, tag: str) -> None:
        texts = self._stream.texts
        if self._in_cell:
            if tag == "v":
                self._value = "".join(texts)
            elif tag == "t" and self._inline is not None and not self._spoken:
                self._inline.extend(texts)
                self._count(sum(map(len, texts)) + 1)
            elif tag == "rPh":
                self._spoken -= 1
            elif tag == "c":
                self._in_cell = False
                text = self._text()
                if text is not None:
                    self._cells[self._column] = text
                    self._count(len(text))
        elif tag == "row" and self._cells:
            self._made.append((self._number, self._cells))
            self._cells = {}
        texts.clear()

    def _begin_row(self, given: str | None) -> None:
        number = self._number + 1 if given is None else int(given) if _WHOLE.fullmatch(given) else 0
        if not self._number < number <= ROWS:
            raise self._broken("的行号次序不对")
        self._number, self._column, self._size = number, -1, 0

    def _count(self, size: int) -> None:
        """A row has no end that could be waited for: what it holds is counted while it is read."""
        self._size += size
        if self._size > LONGEST:
            raise self._broken(f"超过 {LONGEST >> 20} MiB")

    def _begin_cell(self, about: dict[str, str]) -> None:
        column = self._column + 1
        if (reference := about.get("r")) is not None:
            found = _REFERENCE.fullmatch(reference)
            if found is None or int(found[2]) != self._number:
                raise self._broken("有位置不对的单元格")
            column = column_of(found[1])
        if not self._column < column < COLUMNS:
            raise self._broken("有位置不对的单元格")
        self._column = column
        self._kind = about.get("t", "n")
        style = about.get("s", "0")
        self._style = int(style) if _WHOLE.fullmatch(style) else 0
        self._value, self._inline, self._formula, self._in_cell = None, None, False, True

    def _text(self) -> str | None:
        kind, value = self._kind, self._value
        if kind == "inlineStr":
            return None if self._inline is None else unescaped("".join(self._inline))
        if not value:
            # A formula that says "nothing" is a blank; one without a result was never calculated.
            return unreadable("formula") if self._formula and kind != "str" else None
        if kind == "n":
            return self._number_text(value.strip())
        if kind == "s":
            place = value.strip()
            if not _WHOLE.fullmatch(place) or int(place) >= len(self._workbook.texts):
                raise self._broken("引用了没有的文字")
            return self._workbook.texts[int(place)]
        if kind == "str":
            return unescaped(value)
        if kind == "b":
            return "true" if value.strip() == "1" else "false"
        if kind == "d":
            return value.strip()
        return unreadable("error", value)

    def _number_text(self, literal: str) -> str:
        styles = self._workbook.styles
        shown = styles[self._style] if self._style < len(styles) else "number"
        if shown == "number":
            return number_text(literal)
        from_1904 = self._workbook.from_1904
        return (date_text if shown == "date" else time_text)(literal, from_1904=from_1904)

    def _refuse_merged(self, reference: str) -> None:
        """A merged range has its value in one cell, and whose the others are can only be guessed."""
        first, _, last = reference.partition(":")
        found = _REFERENCE.fullmatch(last or first)
        if found is None or int(found[2]) > self._head:
            raise Malformed(
                f"文件 {self._name} 工作表“{self._sheet}”有合并的单元格（{reference[:20]}）",
                remedy="由提供方取消合并并逐行填写后重新放入；表头之上的标题可以合并",
            )

    def _broken(self, what: str) -> Malformed:
        return Malformed(
            f"文件 {self._name} 工作表“{self._sheet}”第 {self._number} 行{what}",
            remedy="由提供方用电子表格软件重新保存后放入",
        )


def column_of(letters: str) -> int:
    """The number of a column, from 0, by its letters."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _plain_rows(piece: bytes) -> list[tuple[bytes, list[tuple[bytes, ...]]]] | None:
    """Attributes and cells of each row; None: there is something in it beside plain rows of plain cells."""
    if b"\r" in piece or b"<f" in piece:
        return None
    found = _ROW.findall(piece)
    tags = piece.count(b"</row>") + len(found) + 2 * (piece.count(b"<v>") + 2 * piece.count(b"<is>"))
    cells = piece.count(b"<c r=")
    closed = piece.count(b"</c>")
    if piece.count(b"<") != tags + cells + closed:
        return None
    rows = [(attributes, _CELL.findall(inner)) for attributes, inner in found]
    return rows if sum(len(row) for _, row in rows) == cells else None


def _decoded(content: bytes) -> str:
    """The text that a piece of proven XML stands for."""
    text = content.decode()
    if "&" not in text:
        return text
    # All in one go: what one reference stands for is not the beginning of another.
    return _ENTITY.sub(lambda found: _SIGNS[found[3]] if found[3] else chr(int(found[2], 16 if found[1] else 10)), text)
