"""Who may ask for what: every page and every call, by who signed in. An area of the site has a module of its own here.

A route that stands in none of them fails ``test_rules``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from tests.exchange.site.rules.base import Rule


def all_rules() -> dict[tuple[str, str], Rule]:
    """The rules of all areas, by method and path as the route has it."""
    found: dict[tuple[str, str], Rule] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "base":
            rules: Mapping[tuple[str, str], Rule] = importlib.import_module(f"{__name__}.{module.name}").RULES
            assert not found.keys() & rules.keys()
            found |= rules
    return found
