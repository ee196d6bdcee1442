"""Files people hand in: registrations and applications, as YAML or as the clerk's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exchange.cli.messages import _
from exchange.errors import Invalid, Problem

SHEETS = frozenset({".csv", ".xlsx", ".xls", ".et"})
"""What spreadsheet programs write; all but the first two are told to save as one of these."""


def content(path: Path) -> bytes:
    """What lies in a file.

    Raises:
        Invalid: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        what = _("没有这个文件") if isinstance(error, FileNotFoundError) else _("不能读取")
        problem = Problem(str(path), what, _("核对文件名和访问权限"))
        raise Invalid(_("不能读取文件 {path}").format(path=path), [problem]) from error


def described(path: Path, kind: str) -> list[Mapping[str, Any]]:
    """What a YAML file describes: one thing, or those it lists under its kind.

    Args:
        path: The file.
        kind: ``resources`` or ``applications``.

    Raises:
        Invalid: It is no such YAML; everything wrong is listed.
    """
    from schemas import SchemaError
    from schemas.plain_yaml import read_plain_yaml

    try:
        document = read_plain_yaml(content(path), name=path.name)
    except SchemaError as error:
        told = (text.partition(": ") for text in error.problems)
        problems = [Problem(where, message) for where, _colon, message in told]
        raise Invalid(_("文件 {path} 有误").format(path=path), problems) from error
    found = document.data
    if isinstance(found, dict) and kind in found and isinstance(found[kind], list):
        others = [name for name in found if name != kind]
        if others:
            remedy = _("其他内容用 shutong apply 应用")
            raise Invalid(
                _("文件 {path} 有误").format(path=path),
                [Problem(document.where((name,)), _("这里只办理 {kind}").format(kind=kind), remedy) for name in others],
            )
        found = found[kind]
    wanted = found if isinstance(found, list) else [found]
    wrong = [number for number, each in enumerate(wanted, 1) if not isinstance(each, dict)]
    if wrong or not wanted:
        remedy = _("写成“名称: 值”的对照；参照 shutong export 的输出")
        places = [_("{name} 第 {number} 项").format(name=path.name, number=number) for number in wrong] or [path.name]
        raise Invalid(
            _("文件 {path} 有误").format(path=path), [Problem(place, _("没有可读的内容"), remedy) for place in places]
        )
    return wanted


def registrations(path: Path) -> list[Any]:
    """The registrations a file holds, YAML or the clerk's form, as the directory checks them."""
    from catalog import read_sheet

    if path.suffix.lower() in SHEETS:
        return [read_sheet(content(path))]
    return list(described(path, "resources"))
