"""The frame of the site."""

from __future__ import annotations

from tests.exchange.site.pages.base import Shown

PAGES = (
    Shown("sign-in", "", "/sign-in"),
    Shown("unified-identity-is-off", "", "/sign-in/unified", status=404),
    Shown("unified-identity-is-off-coming-back", "", "/sign-in/unified/back", status=404),
    Shown("home-clerk", "police", "/"),
    Shown("home-integrator", "integrator", "/"),
    Shown("home-auditor", "auditadmin", "/"),
    Shown("own-account", "sysadmin", "/me"),
    Shown("not-found", "police", "/nowhere", status=404),
)
