"""Reads the data files: once, when first asked for, and strictly.

Three folders hold them: ``classes``, ``codelists`` and ``profiles``, one thing a file, the file named
after it. A department adds a class, a code list or a profile by laying a file into such a folder of
its own and naming it in the settings (:func:`use_folders`); what is shipped cannot be replaced, so
that a name means the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.coherence import Library, Origins, faults
from schemas.errors import SchemaError, did_you_mean
from schemas.items import Item
from schemas.model import CodeList, DeleteMark, Profile, RecordClass, RecordTable, StateColumn
from schemas.plain_yaml import Document, read_plain_yaml

CLASSES, CODE_LISTS, PROFILES = "classes", "codelists", "profiles"
_FOLDERS = (CLASSES, CODE_LISTS, PROFILES)
_FIELDS = frozenset(
    name
    for shape in (RecordClass, RecordTable, Item, CodeList, Profile, StateColumn, DeleteMark)
    for name in shape.model_fields
)
_WORDS: Mapping[str, str] = {
    "missing": "缺少此项",
    "string_type": "应为文字，数字请加引号",
    "int_type": "应为整数",
    "bool_type": "应为 true 或 false",
    "tuple_type": "应为列表",
    "dict_type": "应为“键: 值”",
    "mapping_type": "应为“键: 值”",
    "model_type": "应为“键: 值”",
    "none_required": "应为空",
}

_Shape = TypeVar("_Shape", RecordClass, CodeList, Profile)
_extra: tuple[Path, ...] = ()


def use_folders(folders: Iterable[Path]) -> None:
    """Read these folders beside what is shipped, from now on and in the whole process.

    The folders named before are forgotten. Everything is read and checked here; on an error
    nothing changes.

    Args:
        folders: Folders with any of ``classes``, ``codelists``, ``profiles`` in them.

    Raises:
        SchemaError: a folder or file cannot be used; everything wrong with all of them.
    """
    global _extra
    wanted = tuple(Path(folder).resolve() for folder in folders)
    _load.cache_clear()
    _load(wanted)
    _extra = wanted


def record_classes() -> dict[str, RecordClass]:
    """All classes of records (数据类) by name."""
    return dict(_load(_extra).classes)


def record_class(name: str) -> RecordClass:
    """One class of records.

    Raises:
        SchemaError: there is none of that name.
    """
    return _pick(_load(_extra).classes, name, "数据类")


def code_lists() -> dict[str, CodeList]:
    """All code lists (代码表) by name."""
    return dict(_load(_extra).code_lists)


def code_list(name: str) -> CodeList:
    """One code list.

    Raises:
        SchemaError: there is none of that name.
    """
    return _pick(_load(_extra).code_lists, name, "代码表")


def profiles() -> dict[str, Profile]:
    """All families of front-end tables (前置库表族) by name."""
    return dict(_load(_extra).profiles)


def profile(name: str) -> Profile:
    """One family of front-end tables.

    Raises:
        SchemaError: there is none of that name.
    """
    return _pick(_load(_extra).profiles, name, "前置库表族")


def _pick(known: Mapping[str, _Shape], name: str, kind: str) -> _Shape:
    if name not in known:
        hint = did_you_mean(name, known)
        raise SchemaError([f"没有名为“{name}”的{kind}{hint}；现有：{'、'.join(sorted(known))}"])
    return known[name]


class _File(NamedTuple):
    label: str
    path: Traversable


@lru_cache(maxsize=4)
def _load(extra: tuple[Path, ...]) -> Library:
    problems: list[str] = []
    origins: Origins = {}
    roots: list[tuple[str, Traversable]] = [("", files("schemas"))]
    roots += [(f"{folder}/", folder) for folder in extra]
    for label, root in roots[1:]:
        problems += _strangers(label, root)
    library = Library(
        _read(RecordClass, CLASSES, roots, origins, problems),
        _read(CodeList, CODE_LISTS, roots, origins, problems),
        _read(Profile, PROFILES, roots, origins, problems),
    )
    problems = problems or faults(library, origins)
    if problems:
        raise SchemaError(problems)
    return library


def _strangers(label: str, root: Traversable) -> Iterator[str]:
    """What an added folder holds that would silently not be read."""
    if not root.is_dir():
        yield f"{label}: 没有这个文件夹；请检查设置 schema_folders"
        return
    inside = [entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    for name in sorted(set(inside) - set(_FOLDERS)):
        yield f"{label}{name}: 不认识的文件夹{did_you_mean(name, _FOLDERS)}；可用：{'、'.join(_FOLDERS)}"
    if not set(inside) & set(_FOLDERS):
        yield f"{label}: 其中没有 {'、'.join(_FOLDERS)} 任何一个文件夹"


def _read(
    shape: type[_Shape],
    folder: str,
    roots: list[tuple[str, Traversable]],
    origins: Origins,
    problems: list[str],
) -> dict[str, _Shape]:
    """Everything of one kind, from all roots; what is wrong goes to ``problems``."""
    found: dict[str, _Shape] = {}
    for file in (file for label, root in roots for file in _files(f"{label}{folder}", root / folder)):
        stem, dot, kind = file.path.name.partition(".")
        if dot + kind != ".yaml":
            problems.append(f"{file.label}: 文件名应以 .yaml 结尾")
            continue
        try:
            document = read_plain_yaml(file.path.read_bytes(), name=file.label)
            thing = _shaped(shape, document)
        except SchemaError as error:
            problems += error.problems
            continue
        except OSError as error:
            problems.append(f"{file.label}: 读不了（{error.strerror}）；请检查权限")
            continue
        if thing.name != stem:
            problems.append(f"{document.where(('name',))}: 名称“{thing.name}”应与文件名“{stem}”一致")
        elif stem in found:
            problems.append(f"{file.label}: 名称“{stem}”已用于 {origins[folder, stem].name}；请换一个名称")
        else:
            found[stem] = thing
            origins[folder, stem] = document
    return found


def _files(label: str, folder: Traversable) -> Iterator[_File]:
    if folder.is_dir():
        for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not path.name.startswith((".", "__")):
                yield _File(f"{label}/{path.name}", path)


def _shaped(shape: type[_Shape], document: Document) -> _Shape:
    """The document as a value of its shape.

    It goes through JSON because only there strict validation, which turns no text into a number,
    takes a list for a tuple.
    """
    try:
        return shape.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        raise SchemaError([_in_words(document, detail) for detail in error.errors()]) from error


def _in_words(document: Document, detail: ErrorDetails) -> str:
    where, kind, context = document.where(detail["loc"]), detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{where}: 不认识此项{did_you_mean(str(detail['loc'][-1]), _FIELDS)}"
    if kind == "literal_error":
        return f"{where}: 只能是 {str(context['expected']).replace(' or ', ', ')}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    return f"{where}: {_WORDS.get(kind, f'格式不对（{kind}）')}"
