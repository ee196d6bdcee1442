"""The first rows of an exchange, as they would be delivered."""

from __future__ import annotations

from tests.exchange.site.pages.base import Shown
from tests.exchange.site.rules.api_calls import ran

PAGES = (
    Shown("exchange-preview", "integrator", "/exchanges/sync-101001001-0001/preview", made=ran),
    Shown("exchange-preview-of-share", "integrator", "/exchanges/{share}/preview", made=ran),
)
