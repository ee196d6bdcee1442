"""Putting answers on the screen, or into a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from exchange.cli.answers import Answer, Facts, Table, Verbatim, Words, cell, plain, seen
from exchange.cli.groups import cells
from exchange.cli.messages import _

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

WIDE = 1000
"""Cells to a line where nobody looks at it: in a pipe a row stays on its line."""
LONG = 40
SHORT = 19
"""Cells of what is never folded: in the first column a name to be copied, elsewhere numbers, states, moments."""
FOLDED = 12
"""Cells a column needs at least to be folded readably."""


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

    columns = list(zip(part.columns, zip(*part.rows, strict=True), strict=True))
    # What is copied and what is short stays in one piece; the rest makes room.
    widths = [
        max(cells(line) for value in (name, *values) for line in cell(value).split("\n")) for name, values in columns
    ]
    whole = [width <= (LONG if place == 0 else SHORT) for place, width in enumerate(widths)]
    if (
        sum(width if kept else FOLDED for width, kept in zip(widths, whole, strict=True)) + 2 * len(columns)
        > console.width
    ):
        _put_records(console, part)
        return
    grid = Grid(title=seen(part.title) or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    grid.show_edge = grid.pad_edge = False
    grid.padding = (0, 1, 0, 0)
    for (name, values), kept in zip(columns, whole, strict=True):
        number = all(isinstance(value, int | None) and not isinstance(value, bool) for value in values)
        justify: JustifyMethod = "right" if number else "left"
        grid.add_column(_styled(name, ""), justify=justify, overflow="fold", no_wrap=kept)
    for row in part.rows:
        grid.add_row(*(_styled(cell(value), "") for value in row))
    console.print(grid)


def _put_records(console: Console, part: Table) -> None:
    """A table too wide for the terminal, one row after the other."""
    if part.title:
        console.print(_styled(part.title, "bold"))
    for place, row in enumerate(part.rows):
        if place:
            console.print()
        _put_facts(console, Facts(list(zip(part.columns, row, strict=True))))


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
