"""The registration form as a spreadsheet (目录登记表): a line per metadata element, then a line per item.

Written as CSV in UTF-8 with a mark, so that spreadsheet programs show it right, or as a workbook (XLSX); read as
either, as they save it, CSV in GB18030 too.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from catalog import vocabulary, workbook
from catalog.errors import Problem, Rejected
from catalog.model import Offer, Resource
from catalog.reading import CHECKS, ITEM_TITLES, Form, near, title
from schemas import GRADES, ITEM_TYPES, Item, RecordTable

LARGEST = workbook.LARGEST
_TITLE = "政务信息资源目录登记表"
_KEY, _VERSION, _COLUMN = "业务主键", "版本项", "来源字段"
_OFFER = ("endpoint", "object", "capture", "profile", "served", "options")
_SEVERAL = frozenset({"classes", "formats", "share_ways", "related"})
_LINES: dict[str, tuple[str, str]] = {
    "name": ("必填", ""),
    "code": ("必填", "类、项、目、细目/顺序号，例如 101001001/0001"),
    "classes": ("", "可有多个，用分号隔开；不填则按代码"),
    "provider": ("", "部门全称或简称"),
    "provider_unit": ("", ""),
    "provider_code": ("必填", "统一社会信用代码"),
    "abstract": ("必填", ""),
    "formats": ("必填", f"分类/类型，可有多个，用分号隔开。分类：{'、'.join(vocabulary.FORMATS)}"),
    "share_type": ("必填", "、".join(vocabulary.SHARE_TYPES.values())),
    "share_condition": ("", "无条件共享写“无条件”或“使用要求：…”；有条件共享写明条件和范围"),
    "legal_basis": ("", "不予共享的法律、行政法规或国务院决定及条款"),
    "share_ways": ("", f"可有多个，用分号隔开：{'、'.join(vocabulary.SHARE_WAYS.values())}"),
    "share_ways_note": ("", "用邮件、拷盘、介质交换的，说明原因"),
    "open_to_public": ("", "是或否"),
    "open_condition": ("", "向社会开放的必填"),
    "update_cycle": ("必填", "、".join(vocabulary.UPDATE_CYCLES.values())),
    "related": ("", "可有多个，用分号隔开"),
    "record_class": ("", "例如 natural_person"),
    "table": ("", "数据类别中的数据表；写明的，信息项可不填"),
}
_TERMS: dict[str, Mapping[Any, str]] = {
    "share_type": vocabulary.SHARE_TYPES,
    "share_ways": vocabulary.SHARE_WAYS,
    "update_cycle": vocabulary.UPDATE_CYCLES,
}
_TITLES = {field: term for field, term in ITEM_TITLES.items() if field != "rows"}
"""A sheet has one line for each item: child rows are described in a YAML file."""
_COLUMNS = tuple(_TITLES.values())
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"^'[=+\-@\t\r]")


def write_sheet(
    resource: Resource | None = None, table: RecordTable | None = None, *, format: Literal["csv", "xlsx"] = "csv"
) -> bytes:
    """The form: empty, with the items of a class's table, or as a resource fills it.

    Args:
        resource: Fills it.
        table: Its items are written where there is no resource.
        format: CSV, or a workbook, in which every cell is a text.

    Raises:
        Rejected: An item has child rows, for which a form has no place.
    """
    items = resource.items if resource else table.items if table else ()
    if nested := [Problem(item.label, "有子表行") for item in items if item.rows]:
        raise Rejected("登记表写不下子表行", nested, remedy="改用 YAML 文件登记")
    lines: list[list[str]] = [[_TITLE]]
    for field, (obligation, hint) in _LINES.items():
        value = _written(field, getattr(resource, field)) if resource else ""
        lines.append([title(Resource, field), value, obligation, hint])
    for field in _OFFER:
        offered = getattr(resource.offer, field) if resource and resource.offer else None
        cell = json.dumps(offered, ensure_ascii=False) if offered and field == "options" else offered or ""
        lines.append([title(Offer, field), cell])
    lines += [[], [*_COLUMNS, _KEY, _VERSION, _COLUMN]]
    key, version, columns = (
        (resource.key, resource.version_item, resource.offer.columns if resource.offer else {})
        if resource
        else (table.key, table.version, {})
        if table
        else ((), None, {})
    )
    for item in items:
        marks = ["是" if item.name in key else "", "是" if item.name == version else "", columns.get(item.name, "")]
        lines.append([*_cells(item), *marks])
    return workbook.page(lines) if format == "xlsx" else _as_csv(lines)


def _as_csv(lines: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(map(_safe, lines))
    return text.getvalue().encode("utf-8-sig")


def read_sheet(content: bytes) -> Form:
    """Read a form as a clerk has filled it in.

    What the form holds is registered like anything else (:meth:`catalog.directory.Catalog.register`);
    what could not be read in it is told with the rest.
    """
    try:
        lines = workbook.first_page(content) if content.startswith(workbook.MAGIC) else _lines(content)
    except workbook.Unreadable as error:
        return Form({}, (error.problem,))
    rows = [(number, [_plain(cell) for cell in row]) for number, row in enumerate(lines, 1)]
    return _Reading().read([(number, row) for number, row in rows if any(row)])


def _lines(content: bytes) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(_decoded(content), newline="")))
    except csv.Error as error:
        raise _unreadable() from error


def _unreadable() -> workbook.Unreadable:
    return workbook.Unreadable("不是 CSV 文件或 XLSX 工作簿", "在表格软件中另存为 CSV（UTF-8）或 XLSX")


class _Reading:
    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.offer: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.fields = {_folded(title(Resource, field)): field for field in _LINES}
        self.places = {_folded(title(Offer, field)): field for field in _OFFER}

    def read(self, rows: list[tuple[int, list[str]]]) -> Form:
        start = next((at for at, (_, row) in enumerate(rows) if _folded(row[0]) == _COLUMNS[0]), len(rows))
        for number, row in rows[:start]:
            self._line(number, row)
        if not self.given and start == len(rows):
            return Form({}, (Problem("登记表", "没有可认的内容", "请用空白登记表填写"),))
        if start < len(rows):
            self._items(rows[start], rows[start + 1 :])
        if self.offer:
            self.given["offer"] = self.offer
        return Form(self.given, tuple(self.problems))

    def _line(self, number: int, row: list[str]) -> None:
        name = _folded(row[0])
        value = row[1] if len(row) > 1 else ""
        if name in ("", _TITLE):
            return
        field, into = (self.fields[name], self.given) if name in self.fields else (self.places.get(name), self.offer)
        if field is None:
            self._problem(number, f"不认识的项“{row[0][:32]}”", near(name, (*self.fields, *self.places)))
        elif field in into:
            self._problem(number, f"“{row[0]}”写了两次", "只留一行")
        elif field == "options":
            self._options(number, value)
        elif value:
            into[field] = (
                [part.strip() for part in re.split(r"[;；\n]", value) if part.strip()] if field in _SEVERAL else value
            )

    def _options(self, number: int, value: str) -> None:
        try:
            options = json.loads(value or "{}")
        except (ValueError, RecursionError):
            options = None
        if not isinstance(options, dict):
            self._problem(number, "选项不是 JSON 对象", '例如 {"after": "leave"}；没有的不填')
        elif options:
            self.offer["options"] = options

    def _items(self, header: tuple[int, list[str]], rows: list[tuple[int, list[str]]]) -> None:
        number, titles = header[0], [_folded(cell) for cell in header[1]]
        fields = {_folded(term): field for field, term in _TITLES.items()}
        known = (*fields, _KEY, _VERSION, _COLUMN)
        for name in dict.fromkeys(titles):
            if name and name not in known:
                self._problem(number, f"不认识的列“{name[:32]}”", near(name, known))
            if name and titles.count(name) > 1:
                self._problem(number, f"列“{name[:32]}”有 {titles.count(name)} 个", "只留一列")
        items: list[Any] = []
        key: list[str] = []
        versions: list[str] = []
        columns: dict[str, str] = {}
        for number, row in rows:
            cells = {name: cell for name, cell in zip(titles, row, strict=False) if name and cell}
            item = {field: cells[name] for name, field in fields.items() if name in cells}
            called = item.get("name") or item.get("label")
            if called is None:
                self._problem(number, "缺少信息项名称", "补上，或删去这一行")
                continue
            items.append(called if item.keys() <= {"label"} else item)
            for mark, marked in ((_KEY, key), (_VERSION, versions)):
                if cells.get(mark, "否") == "是":
                    marked.append(called)
                elif cells.get(mark, "否") != "否":
                    self._problem(number, f"“{mark}”应为是或否", "")
            if _COLUMN in cells:
                columns[called] = cells[_COLUMN]
        if len(versions) > 1:
            self._problem(header[0], f"版本项有 {len(versions)} 个", "只留一个")
        self.given |= {"items": items} if items else {}
        self.given |= {"key": key} if key else {}
        self.given |= {"version_item": versions[0]} if versions else {}
        if columns:
            self.offer["columns"] = columns

    def _problem(self, number: int, message: str, remedy: str) -> None:
        self.problems.append(Problem(f"登记表 › 第 {number} 行", message, remedy))


def _decoded(content: bytes) -> str:
    if len(content) > LARGEST:
        raise workbook.Unreadable(f"超过 {LARGEST // 1_000_000} MB", "只留登记表本身")
    if content.startswith((b"\xd0\xcf\x11\xe0", b"\xff\xfe", b"\xfe\xff")):
        raise _unreadable()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise workbook.Unreadable("编码既不是 UTF-8 也不是 GB18030", "在表格软件中另存为 CSV（UTF-8）")


def _plain(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if _QUOTED_FORMULA.match(cell) else cell


def _safe(cells: Iterable[str]) -> list[str]:
    """Cells no spreadsheet program takes for a formula."""
    return [f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells]


def _folded(cell: str) -> str:
    return "".join(cell.split()).rstrip("*＊")


def _written(field: str, value: Any) -> str:
    labels = _TERMS.get(field, {})
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, tuple):
        return "；".join(labels.get(part, part) for part in value)
    return labels.get(value, value or "")


def _cells(item: Item) -> list[str]:
    values = {
        "label": item.label,
        "name": item.name,
        "type": ITEM_TYPES[item.type],
        "length": item.length,
        "scale": item.scale,
        "mandatory": "是" if item.mandatory else "否",
        "code_list": item.code_list,
        "reference": item.reference,
        "check": CHECKS[item.check] if item.check else None,
        "grade": GRADES[item.grade],
        "share_type": vocabulary.SHARE_TYPES[item.share_type] if item.share_type else None,
        "document": "是" if item.document else None,
    }
    return ["" if values[field] is None else str(values[field]) for field in _TITLES]
