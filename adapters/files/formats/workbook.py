"""What a workbook (工作簿) says beside its sheets: which there are, their texts, formats and first day.

Every part is read by the hardened parser of :mod:`adapters.xml`, from an archive that keeps its limits. Names are told
by their last part alone, since strict and transitional workbooks differ in their namespaces only.
"""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import overload

from adapters.errors import Malformed, Unavailable
from adapters.files.formats.archive import FREE, Archive
from adapters.files.formats.base import bare
from adapters.files.formats.cells import shows, unescaped
from adapters.xml import DEPTH, Stream

PARTS = 10_000
"""Members of a workbook's archive at most."""
TEXTS = 256 << 20
"""Bytes of all shared texts at most; they are held while the sheet is read."""
SHEETS = 1000
"""Sheets of a workbook at most."""

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


class Texts(Sequence[str]):
    """Texts, each after the other, in about as many bytes as they are in a file: a workbook may share millions."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        """A text by its number from 0."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode()

    def __len__(self) -> int:
        """How many."""
        return len(self._ends) - 1

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return len(self._bytes) + 8 * len(self._ends)

    def append(self, text: str) -> None:
        """Add one at the end."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))


@dataclass(frozen=True)
class SheetEntry:
    """A sheet as the workbook lists it."""

    name: str
    part: str
    visible: bool


@dataclass
class Workbook:
    """What is needed of a workbook to read one of its sheets.

    Attributes:
        sheets: In order.
        from_1904: Days are counted from 1904, not from 1900.
        texts: The shared texts.
        styles: What each style of a cell shows, see :func:`~adapters.files.formats.cells.shows`.
    """

    sheets: list[SheetEntry] = field(default_factory=list)
    from_1904: bool = False
    texts: Sequence[str] = ()
    styles: list[str] = field(default_factory=list)


def walk(archive: Archive, part: str, name: str, start: Start, end: End, *, most: int = FREE) -> Stream:
    """Let a part of the archive go by.

    Args:
        archive: The workbook's.
        part: The part.
        name: The file's name, for messages.
        start: Told the last part of each element's name, and its attributes by the last part of theirs.
        end: Told the name again.
        most: Unpacked bytes at most.
    """
    stream = opened(name, start, end)
    for chunk in archive.chunks(part, most=most):
        stream.feed(chunk)
    ended(stream, name)
    return stream


def opened(name: str, start: Start, end: End) -> Stream:
    """A parser that calls back with bare names."""
    stream = Stream(f"文件 {name} 的内容")
    depth = 0

    def begin(tag: str, attributes: list[str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH:
            raise stream.refused(f"嵌套超过 {DEPTH} 层")
        start(
            tag.rpartition("}")[2],
            {key.rpartition("}")[2]: value for key, value in zip(attributes[::2], attributes[1::2], strict=True)},
        )

    def finish(tag: str) -> None:
        nonlocal depth
        depth -= 1
        end(tag.rpartition("}")[2])

    stream.parser.StartElementHandler = begin
    stream.parser.EndElementHandler = finish
    return stream


def ended(stream: Stream, name: str) -> None:
    """The part has ended; what was cut off in a whole archive is not mended by waiting."""
    try:
        stream.close()
    except Unavailable as error:
        raise Malformed(f"文件 {name} 的内容不完整", remedy="由提供方用电子表格软件重新保存后放入") from error


def read_workbook(archive: Archive, name: str) -> Workbook:
    """Everything but the sheets.

    Raises:
        Malformed: It is no workbook.
    """
    found = Workbook()
    main = next(iter(_relations(archive, "", name).get("officeDocument", {}).values()), "xl/workbook.xml")
    if main not in archive.names:
        raise Malformed(f"文件 {name} 不是 XLSX 工作簿", remedy="由提供方用电子表格软件存为 xlsx 后重新放入")
    relations = _relations(archive, main, name)
    parts = {number: part for kind in ("worksheet",) for number, part in relations.get(kind, {}).items()}

    def start(tag: str, about: dict[str, str]) -> None:
        if tag == "sheet" and about.get("id") in parts:
            visible = about.get("state", "visible") == "visible"
            found.sheets.append(SheetEntry(about.get("name", ""), parts[about["id"]], visible))
            if len(found.sheets) > SHEETS:
                raise Malformed(f"文件 {name} 有超过 {SHEETS} 个工作表", remedy="由提供方只留下要交换的工作表")
        elif tag == "workbookPr":
            found.from_1904 = about.get("date1904") in ("1", "true", "on")

    walk(archive, main, name, start, _nothing)
    for part in relations.get("styles", {}).values():
        found.styles = _styles(archive, part, name)
    for part in relations.get("sharedStrings", {}).values():
        found.texts = _texts(archive, part, name)
    return found


def chosen(workbook: Workbook, wanted: str | None, name: str, filled: Callable[[SheetEntry], bool]) -> SheetEntry:
    """The sheet to read: the one wanted, or the only one that can be seen and holds something.

    Raises:
        Malformed: There is no such sheet, or not exactly one.
    """
    if wanted is not None:
        for sheet in workbook.sheets:
            if bare(sheet.name) == bare(wanted):
                return sheet
        raise Malformed(f"文件 {name} 没有工作表“{wanted}”", remedy="由提供方改正工作表名，或改正挂接的 sheet 选项")
    visible = [sheet for sheet in workbook.sheets if sheet.visible]
    if len(visible) > 1:
        # Many may be one and the same part.
        parts = {sheet.part: sheet for sheet in visible}
        full = {part for part, sheet in parts.items() if filled(sheet)}
        visible = [sheet for sheet in visible if sheet.part in full] or visible[:1]
    if len(visible) > 1:
        raise Malformed(f"文件 {name} 有不止一个有内容的工作表", remedy="在挂接的 sheet 选项写明读取哪一个")
    if not visible:
        raise Malformed(f"文件 {name} 没有看得见的工作表", remedy="由提供方取消隐藏，或在挂接的 sheet 选项写明工作表名")
    return visible[0]


def _relations(archive: Archive, part: str, name: str) -> dict[str, dict[str, str]]:
    """The parts that a part leads to, by the last word of their kind and their identifier."""
    folder, base = posixpath.split(part)
    place = posixpath.join(folder, "_rels", f"{base}.rels")
    found: dict[str, dict[str, str]] = {}
    if place not in archive.names:
        return found

    def start(tag: str, about: dict[str, str]) -> None:
        # What lies outside of the archive is never asked for.
        if tag == "Relationship" and about.get("TargetMode") != "External":
            target = about.get("Target", "")
            whole = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            found.setdefault(about.get("Type", "").rpartition("/")[2], {})[about.get("Id", "")] = whole

    walk(archive, place, name, start, _nothing)
    return found


def _styles(archive: Archive, part: str, name: str) -> list[str]:
    codes: dict[int, str] = {}
    formats: list[int] = []
    inside: list[str] = []

    def start(tag: str, about: dict[str, str]) -> None:
        inside.append(tag)
        if tag == "numFmt":
            codes[_whole(about.get("numFmtId"))] = about.get("formatCode", "")
        elif tag == "xf" and "cellXfs" in inside:
            formats.append(_whole(about.get("numFmtId")))

    walk(archive, part, name, start, lambda _: _drop(inside))
    kinds = {number: shows(number, codes.get(number)) for number in set(formats)}
    return [kinds[number] for number in formats]


def _texts(archive: Archive, part: str, name: str) -> Texts:
    """The shared texts; how they are pronounced (拼音) is no part of them."""
    found = Texts()
    pieces: list[str] = []
    spoken = 0
    total = 0
    stream: Stream

    def hold(size: int) -> None:
        nonlocal total
        total += size
        if total > TEXTS or found.size > TEXTS:
            raise Malformed(f"文件 {name} 的文字过多", remedy="由提供方拆成几个文件，或改用 csv")

    def start(tag: str, about: dict[str, str]) -> None:
        nonlocal spoken, total
        if tag == "rPh":
            spoken += 1
        elif tag == "si":
            pieces.clear()
            total = 0
        stream.texts.clear()

    def end(tag: str) -> None:
        nonlocal spoken
        if tag == "rPh":
            spoken -= 1
        elif tag == "t" and not spoken:
            pieces.extend(stream.texts)
            hold(8 + 4 * sum(map(len, stream.texts)))
        elif tag == "si":
            found.append(unescaped("".join(pieces)))
            hold(0)
        stream.texts.clear()

    stream = opened(name, start, end)
    for chunk in archive.chunks(part, most=4 * TEXTS):
        stream.feed(chunk)
    ended(stream, name)
    return found


def _whole(text: str | None) -> int:
    # No number in a workbook has more digits, and each costs time.
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdecimal() else 0


def _drop(inside: list[str]) -> None:
    inside.pop()


def _nothing(tag: str) -> None:
    """An end that matters to nobody."""
