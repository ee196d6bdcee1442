"""What a page to look at is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from playwright.sync_api import Page, Response

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
        meanwhile: What has to run while the page is asked for.
        then: What who looks does on the page before it is looked at; what the next page answers is not asked about.
    """

    name: str
    login: str
    path: str
    status: int = 200
    made: Callable[[Town], Mapping[str, str]] | None = None
    meanwhile: Callable[[Town], AbstractContextManager[object]] = lambda _town: nullcontext()
    then: Callable[[Page], None] | None = None

    def address(self, town: Town) -> str:
        """Its path in a town."""
        return self.path.format(**(self.made(town) if self.made else {}))

    @contextmanager
    def opened(self, page: Page, town: Town) -> Iterator[Response]:
        """Go there, and do what is done there."""
        with self.meanwhile(town):
            answer = page.goto(self.address(town), wait_until="load")
            assert answer is not None
            if self.then is not None:
                self.then(page)
                page.wait_for_load_state()
            yield answer
