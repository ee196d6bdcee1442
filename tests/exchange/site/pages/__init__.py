"""Pages that the browser visits, by who looks; an area of the site has a module here, with a tuple ``PAGES``.

Each is looked at by a real browser (``test_pages``); ``python -m tests.exchange.site.screenshots DIR`` photographs it.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.exchange.site.pages.base import Shown


def all_pages() -> list[Shown]:
    """The pages of all areas."""
    found: list[Shown] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        if module.name != "base":
            found.extend(importlib.import_module(f"{__name__}.{module.name}").PAGES)
    assert len({each.name for each in found}) == len(found)
    return found
