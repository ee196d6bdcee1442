"""How a run is getting on, on the terminal of whoever waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from exchange.words import step_words

Observe = Callable[[str, dict[str, Any]], None]


@contextmanager
def shown(exchange: str) -> Iterator[Observe | None]:
    """Show the steps of a run while it goes on; None where no person watches.

    Args:
        exchange: Id of the exchange.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from exchange.cli.pages import console_of

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console_of(sys.stderr), transient=True) as progress:
        task = progress.add_task(exchange)

        def observe(step: str, figures: dict[str, Any]) -> None:
            progress.update(task, description=description(exchange, step, figures))

        yield observe


def description(exchange: str, step: str, figures: dict[str, Any]) -> str:
    """A step with its figures, in words.

    Args:
        exchange: Id of the exchange.
        step: Name of the step as the engine tells it.
        figures: What it tells of it.
    """
    return f"{exchange}  {step_words(step, figures)}"
