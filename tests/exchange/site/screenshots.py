"""Pictures of every page at 1366×768: ``python -m tests.exchange.site.screenshots DIR``, from the source folder."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

from tests.exchange.engine.town import build
from tests.exchange.site.pages import all_pages
from tests.exchange.site.visited import visit
from tests.support.browser import chromium


def take(into: Path) -> list[Path]:
    """Make a picture of every page, as much of it as a screen shows and as a whole."""
    into.mkdir(parents=True, exist_ok=True)
    taken = []
    with tempfile.TemporaryDirectory(prefix="shutong-screenshots-") as folder:
        urls = {name: f"sqlite:///{Path(folder) / name}.db" for name in ("police", "library", "tax")}
        with (
            closing(build(Path(folder) / "home", urls)) as town,
            chromium() as browser,
            visit(town, browser) as site,
        ):
            for shown in all_pages():
                page = site.page(shown.login)
                taken.append(into / f"{shown.name}.png")
                with shown.opened(page, town):
                    page.screenshot(path=taken[-1], full_page=True)
                page.close()
    return taken


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for path in take(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
