from __future__ import annotations

import ast
import re
import string
import struct
from pathlib import Path

import pytest

from exchange.cli import messages
from exchange.cli.messages import catalogue

FOLDER = Path(messages.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
CHINESE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")


def compiled(pairs: dict[str, str]) -> bytes:
    """A message catalogue as msgfmt makes it."""
    entries = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **pairs}.items())
    ids = [key.encode() for key, _value in entries]
    texts = [value.encode() for _key, value in entries]
    start = 28 + 16 * len(entries)
    tables, data = [b"", b""], b""
    for place, column in enumerate((ids, texts)):
        for text in column:
            tables[place] += struct.pack("<2I", len(text), start + len(data))
            data += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    return head + tables[0] + tables[1] + data


def test_messages_stand_for_themselves(tmp_path: Path) -> None:
    assert catalogue(tmp_path).gettext("没有命令 {path} {word}") == "没有命令 {path} {word}"


def test_another_language_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "en" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "shutong.mo").write_bytes(compiled({"错误：{message}": "Error: {message}"}))
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    english = catalogue(tmp_path)
    assert english.gettext("错误：{message}") == "Error: {message}"
    assert english.gettext("还没有翻译") == "还没有翻译"
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert catalogue(tmp_path).gettext("错误：{message}") == "错误：{message}"


def docstrings(tree: ast.Module) -> set[int]:
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def translated(tree: ast.Module) -> set[int]:
    """The texts that go through the catalogue."""
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"
    ]
    assert all(len(call.args) == 1 and isinstance(call.args[0], ast.Constant) for call in calls)
    return {id(call.args[0]) for call in calls}


# What is no message: punctuation looked at, and the tests' own door, which others keep.
NO_MESSAGES = {"_CLOSING"}


def untranslated(source: str) -> list[str]:
    tree = ast.parse(source)
    known = docstrings(tree) | translated(tree)
    for node in ast.walk(tree):
        names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        if NO_MESSAGES & set(names):
            known |= {id(part) for part in ast.walk(node)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
            known |= {id(part) for part in node.args}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and CHINESE.search(node.value)
        and id(node) not in known
    ]


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "testing"], ids=lambda path: path.stem)
def test_every_word_a_user_sees_goes_through_the_catalogue(path: Path) -> None:
    assert untranslated(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("source", ["x = '没有'", "x = f'没有 {y}'", "raise Invalid('没有', remedy=_('有'))"])
def test_a_word_beside_the_catalogue_is_found(source: str) -> None:
    assert untranslated(source) != []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_places_in_messages_have_names(path: Path) -> None:
    """Another language may need them in another order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = translated(tree)
    for node in ast.walk(tree):
        if id(node) in found and isinstance(node, ast.Constant):
            names = [field for _text, field, _spec, _conversion in string.Formatter().parse(node.value)]
            assert "" not in names, node.value
