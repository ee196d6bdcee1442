"""A town's site as a process of its own, and people who visit it with a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from tests.exchange.engine.town import Town
from tests.exchange.site.people import People, people_of
from tests.support.browser import HEIGHT, WIDTH

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, "-c", "from exchange.cli import main; main()")


@contextmanager
def served(home: Path, **environment: str) -> Iterator[str]:
    """``shutong serve console`` on a free port, while it is used: its address."""
    words = [*PROGRAM, "serve", "console", "--port", "0", "--home", str(home)]
    with subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removeprefix("控制台：")
        finally:
            process.terminate()
            process.wait(30)


@dataclass
class Visit:
    """A site that is visited.

    Attributes:
        town: What is behind it.
        people: Who lives there.
        address: Where the site is.
        browser: The browser.
    """

    town: Town
    people: People
    address: str
    browser: Browser
    _contexts: dict[tuple[str, bool], BrowserContext] = field(default_factory=dict)

    def page(self, login: str, *, script: bool = True) -> Page:
        """An empty page of somebody's browser, signed in; a stranger's without a login."""
        if (login, script) not in self._contexts:
            self._contexts[login, script] = self.context(script=script)
            if login:
                secret = self.people.fresh(login).client.cookies["shutong"]
                self._contexts[login, script].add_cookies([{"name": "shutong", "value": secret, "url": self.address}])
        return self._contexts[login, script].new_page()

    def context(self, *, script: bool = True) -> BrowserContext:
        """A browser of nobody's, with nothing in it."""
        return self.browser.new_context(
            base_url=self.address,
            viewport={"width": WIDTH, "height": HEIGHT},
            java_script_enabled=script,
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
        )


@contextmanager
def visit(town: Town, browser: Browser) -> Iterator[Visit]:
    """Serve a town's site and have its people visit it."""
    with people_of(town) as people, served(town.home, SHUTONG_WEB__CALLS_PER_MINUTE="60000") as address:
        found = Visit(town, people, address, browser)
        try:
            yield found
        finally:
            for context in found._contexts.values():
                context.close()
