"""The frame of the site: signing in and out, one's own account, the front page, machines."""

from __future__ import annotations

from tests.exchange.site.rules.base import EVERYBODY, Rule

RULES = {
    ("GET", "/healthz"): Rule(EVERYBODY, public=True),
    ("GET", "/readyz"): Rule(EVERYBODY, public=True),
    ("GET", "/openapi.json"): Rule(EVERYBODY, public=True),
    ("GET", "/metrics"): Rule(EVERYBODY, public=True),
    ("GET", "/sign-in"): Rule(EVERYBODY, public=True),
    ("POST", "/sign-in"): Rule(frozenset(), fields={"login": "nobody", "password": "wrong"}, logged=False),
    ("GET", "/sign-in/unified"): Rule(EVERYBODY, public=True),
    ("GET", "/sign-in/unified/back"): Rule(EVERYBODY, public=True),
    ("GET", "/"): Rule(EVERYBODY),
    ("GET", "/me"): Rule(EVERYBODY),
    ("POST", "/me/password"): Rule(EVERYBODY, fields={"old": "", "new": "", "again": ""}),
    ("POST", "/sign-out"): Rule(EVERYBODY),
}
