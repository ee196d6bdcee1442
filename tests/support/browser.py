"""A real browser: Debian's Chromium, driven by Playwright, and what accessibility it finds wanting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.packages import CHINESE_FONT, CHROMIUM

WIDTH, HEIGHT = 1366, 768
"""The screen of an office."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, and end it.

    Raises:
        FileNotFoundError: It or a font with Chinese characters is missing; says what to install.
    """
    CHINESE_FONT.path()
    # As root it has no sandbox; what it visits is ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM.path()), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def faults(page: Page) -> list[str]:
    """What axe finds serious or critical on a page, each with the place."""
    found: list[dict[str, Any]] = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['impact']}: {each['id']}: {each['help']}: {node['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
