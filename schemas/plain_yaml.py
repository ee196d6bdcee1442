"""YAML reduced to what a data file needs: mappings, lists, text, whole numbers, true, false, null.

Everything else the language offers is refused with its line: tags, anchors and aliases (hence every
way to blow a small file up), a key given twice, a second document. Keys are always text, so that the
code ``01`` stays ``01``; ``yes``, ``no`` and dates are text as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from schemas.errors import SchemaError

Place = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

MOST_CHARACTERS = 1_000_000
DEEPEST = 20
MOST_PROBLEMS = 50

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True)
class Document:
    """A file's content, and the line of each value in it.

    Attributes:
        name: What the file is called in messages.
        data: Its content.
        lines: Line of each place, counted from 1.
    """

    name: str
    data: Any
    lines: Mapping[Place, int]

    def where(self, place: Place) -> str:
        """``file 第 3 行 items › 2 › length``: the place in words, positions counted from 1."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        path = " › ".join(str(part + 1 if isinstance(part, int) else part) for part in place)
        return f"{self.name} 第 {self.lines.get(known, 1)} 行 {path}".rstrip()


def read_plain_yaml(content: bytes, *, name: str) -> Document:
    """Read one file.

    Args:
        content: The file as it lies on disk, in UTF-8.
        name: What to call it in messages.

    Raises:
        SchemaError: it is not UTF-8, too long, not YAML, or uses what is refused here; all faults at once.
    """
    if len(content) > MOST_CHARACTERS:
        raise SchemaError([f"{name}: 文件超过 {MOST_CHARACTERS} 字节，不予读取；请拆成多个文件"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError([f"{name}: 不是 UTF-8 编码（第 {error.start + 1} 字节）；请另存为 UTF-8"]) from error
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or "含有不允许的字符"
        raise SchemaError([*builder.problems, f"{name} 第 {line} 行: YAML 格式错误（{reason}）"]) from error
    if builder.problems:
        raise SchemaError(builder.problems)
    return Document(name, builder.root, builder.lines)


@dataclass
class _Frame:
    """A mapping or list whose end has not come yet."""

    place: Place
    values: dict[str, Any] | list[Any]
    key: str | None = None


@dataclass
class _Builder:
    """Makes values out of parser events, without recursion."""

    name: str
    root: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _open: list[_Frame] = field(default_factory=list)
    _documents: int = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._fault(line, "一个文件只能有一个文档，请去掉多余的 ---")
            case yaml.AliasEvent():
                self._fault(line, f"不接受引用 *{event.anchor}，请把内容写出来")
                self._place(None, line)
            case yaml.ScalarEvent():
                self._plain_only(event, line)
                if self._expects_key():
                    self._key(str(event.value), line)
                else:
                    self._place(_scalar(event), line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._plain_only(event, line)
                self._begin({} if isinstance(event, yaml.MappingStartEvent) else [], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()

    def _fault(self, line: int, message: str) -> None:
        self.problems.append(f"{self.name} 第 {line} 行: {message}")
        if len(self.problems) == MOST_PROBLEMS:
            raise SchemaError([*self.problems, f"{self.name}: 问题太多，以下未列"])

    def _plain_only(self, event: yaml.NodeEvent, line: int) -> None:
        if event.anchor is not None:
            self._fault(line, f"不接受锚点 &{event.anchor}，请去掉")
        if getattr(event, "tag", None) is not None:
            self._fault(line, "不接受 ! 标签，请去掉")

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].values, dict) and self._open[-1].key is None

    def _key(self, key: str, line: int) -> None:
        frame = self._open[-1]
        frame.key = key
        if key in frame.values:
            self._fault(line, f"“{key}”写了两次，请只留一个")

    def _begin(self, values: dict[str, Any] | list[Any], line: int) -> None:
        if self._expects_key():
            self._fault(line, "键只能是文字")
            self._key("", line)
        if len(self._open) == DEEPEST:
            raise SchemaError([*self.problems, f"{self.name} 第 {line} 行: 嵌套超过 {DEEPEST} 层"])
        self._open.append(_Frame(self._place(values, line), values))

    def _place(self, value: Any, line: int) -> Place:
        """Put a value where the document stands now, and say where that is."""
        place: Place = ()
        if not self._open:
            self.root = value
        else:
            frame = self._open[-1]
            if isinstance(frame.values, list):
                place = (*frame.place, len(frame.values))
                frame.values.append(value)
            else:
                if frame.key is None:
                    self._key("", line)
                key = frame.key or ""
                place = (*frame.place, key)
                frame.values[key] = value
                frame.key = None
        self.lines[place] = line
        return place


def _scalar(event: yaml.ScalarEvent) -> str | int | bool | None:
    text = str(event.value)
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text
