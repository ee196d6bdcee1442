"""Demands, notifications, recalls, answers of recipients, settings."""

from __future__ import annotations

from tests.exchange.site.pages.base import Shown
from tests.exchange.site.rules.api_calls import ran

PAGES = (
    Shown("recalls", "police", "/recalls"),
    Shown("answers", "integrator", "/runs/{run}/answers", made=ran),
    Shown("settings", "sysadmin", "/settings"),
    Shown("demands", "tax", "/demands"),
    Shown("notices", "police", "/notices", made=ran),
)
