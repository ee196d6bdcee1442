"""Putting answers on the screen, or into a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from exchange.cli.answers import Answer, Facts, Table, Verbatim, Words, cell, plain, seen
from exchange.cli.messages import _

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 1000
"""Cells to a line where nobody looks at it: in a pipe a row stays on its line."""


def write(answer: Answer, *, as_json: bool) -> None:
    """Write an answer to standard output, what is beside it to standard error.

    Raises:
        BrokenPipeError: Whoever read the output has gone.
    """
    if as_json:
        write_document(answer.document)
        return
    for place, part in enumerate(answer.parts):
        if isinstance(part, Verbatim):
            raw(part.text)
            continue
        console = console_of(sys.stdout)
        with console.capture() as captured:
            if place and isinstance(part, Table | Facts):
                console.print()
            _put(console, part)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    sys.stdout.flush()
    if answer.notes:
        aside([(_("注意：{note}").format(note=note), "yellow") for note in answer.notes])


def write_document(document: Any) -> None:
    """Write one JSON document, in UTF-8 whatever the terminal's encoding is.

    Raises:
        BrokenPipeError: Whoever read the output has gone.
    """
    text = json.dumps(plain(document), ensure_ascii=False, indent=2) + "\n"
    raw(text)


def raw(text: str) -> None:
    """Write text to standard output as it is, in UTF-8."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def aside(lines: Sequence[tuple[str, str]]) -> None:
    """Write lines, each with its tone, to standard error."""
    console = console_of(sys.stderr)
    for text, tone in lines:
        console.print(_styled(text, tone), soft_wrap=not console.is_terminal)


def console_of(stream: TextIO) -> Console:
    """A console that never takes what it is given for its own markup."""
    from rich.console import Console

    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        console.width = WIDE
    return console


def _styled(text: str, tone: str) -> Any:
    from rich.text import Text

    return Text(seen(text), style=tone)


def _put(console: Console, part: Table | Facts | Words) -> None:
    match part:
        case Words():
            console.print(_styled(part.text, part.tone))
        case Table(rows=rows) if not rows:
            console.print(_styled(part.empty, ""))
        case Table():
            _put_table(console, part)
        case Facts():
            _put_facts(console, part)


def _put_table(console: Console, part: Table) -> None:
    from rich import box
    from rich.table import Table as Grid

    grid = Grid(
        title=seen(part.title) or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False
    )
    for name, values in zip(part.columns, zip(*part.rows, strict=True), strict=True):
        number = all(isinstance(value, int | None) and not isinstance(value, bool) for value in values)
        grid.add_column(_styled(name, ""), justify="right" if number else "left", overflow="fold")
    for row in part.rows:
        grid.add_row(*(_styled(cell(value), "") for value in row))
    console.print(grid)


def _put_facts(console: Console, part: Facts) -> None:
    from rich.table import Table as Grid

    if part.title:
        console.print(_styled(part.title, "bold"))
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in part.pairs:
        if value not in (None, "", (), []):
            grid.add_row(_styled(name, "dim"), _styled(cell(value), ""))
    console.print(grid)
