"""What can go wrong with the data files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class SchemaError(Exception):
    """A data file that cannot be used, or a name that no data file has.

    Args:
        problems: Everything found, each with file, place and remedy.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` 您是不是要写 x`` for the known name nearest to one that is not; empty if none is near."""
    by_folded = {word.casefold(): word for word in known}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f"，您是不是要写 {by_folded[near[0]]}" if near else ""
