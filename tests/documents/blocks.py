"""Documents taken apart: fenced blocks with what stands before them, links, words in code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\S*)$")
_COMMENT = re.compile(r"^<!--\s*(\w+)(?::\s*(\S.*?))?\s*-->$")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_STATUS = re.compile(r"#\s*exit (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: Word after the fence.
        text: What is in it.
        line: Number of its first line.
        mark: Word of the comment just before it (``<!-- file: name -->``), if there is one.
        value: What follows that word.
    """

    language: str
    text: str
    line: int
    mark: str = ""
    value: str = ""


@dataclass(frozen=True)
class Command:
    """A line of a shell block, with the lines it continues on, and the exit status it promises."""

    text: str
    line: int
    status: int


def blocks(document: Path) -> list[Block]:
    """All fenced blocks of a document."""
    found = []
    language, first, inside = None, 0, []
    before = ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if language is None:
            if fence:
                language, first, inside = fence[1], number + 1, []
            elif line.strip():
                before = line
        elif fence:
            comment = _COMMENT.match(before)
            mark, value = (comment[1], comment[2] or "") if comment else ("", "")
            found.append(Block(language, "".join(f"{each}\n" for each in inside), first, mark, value))
            language, before = None, ""
        else:
            inside.append(line)
    assert language is None, f"{document.name}: the block at line {first} has no end"
    return found


def commands(block: Block) -> Iterator[Command]:
    """The commands of a shell block."""
    text, first = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        text, first = (text + line, first) if text else (line, number)
        if line.endswith("\\"):
            text += "\n"
            continue
        if text.strip() and not text.lstrip().startswith("#"):
            promised = _STATUS.search(text)
            yield Command(text, first, int(promised[1]) if promised else 0)
        text = ""


def code(document: Path) -> Iterator[tuple[int, str]]:
    """Everything written as code, with its line: inline, and lines of shell and console blocks."""
    fenced = {}
    for block in blocks(document):
        lines = range(block.line - 1, block.line + block.text.count("\n") + 1)
        fenced.update(dict.fromkeys(lines, ""))
        if block.language in ("sh", "console"):
            yield from ((command.line, command.text.replace("\\\n", " ")) for command in commands(block))
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if number not in fenced:
            yield from ((number, found[1]) for found in _CODE.finditer(line))


def links(document: Path) -> list[str]:
    """The targets of a document's links that lie in the repository."""
    found = _LINK.findall(document.read_text(encoding="utf-8"))
    return [target.partition("#")[0] for target in found if "://" not in target and not target.startswith("#")]
