"""What a page to look at is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.exchange.engine.town import Town


@dataclass(frozen=True)
class Shown:
    """A page, and who looks at it.

    Attributes:
        name: Of its picture, unique.
        login: Who looks; empty: a stranger.
        path: Where it is.
        status: Of the answer.
        made: Makes what the page is about; what it returns takes the places in ``path``.
    """

    name: str
    login: str
    path: str
    status: int = 200
    made: Callable[[Town], Mapping[str, str]] | None = None

    def address(self, town: Town) -> str:
        """Its path in a town."""
        return self.path.format(**(self.made(town) if self.made else {}))
