"""What the integrator lives in: endpoints, exchanges, quarantine, structures, messages, files, credentials."""

from __future__ import annotations

from tests.exchange.engine.town import HUB, SYNC
from tests.exchange.site.rules.api_calls import granted, ran
from tests.exchange.site.rules.base import EVERYBODY, Rule, only

CONFIGURES = only("integrator")
"""The integrators of a party, or of the hub; the town has the hub's alone."""
OVERSEE = only("integrator", "auditor", "security", "sysadmin", "secadmin", "auditadmin")
"""Who sees what is between others."""
ADDRESS = OVERSEE | only("police", "chief")
"""Who sees where the police's endpoint is."""
PARTIES = OVERSEE | only("police", "chief", "centre")
"""Who sees the police's exchange with the hub."""
RUN = only("integrator", "sysadmin")

NEW = {"name": "box", "department": HUB, "kind": "mailbox", "zone": "Asia/Shanghai", "mark": ""}
CHANGED = {"department": HUB, "kind": "mailbox", "zone": "Asia/Shanghai", "mark": "0"}
EXCHANGE = f"/exchanges/{SYNC}"

RULES = {
    ("GET", "/endpoints"): Rule(EVERYBODY),
    ("POST", "/endpoints"): Rule(CONFIGURES, fields=NEW),
    ("GET", "/endpoints/new"): Rule(EVERYBODY),
    ("GET", "/endpoints/{name}"): Rule(ADDRESS, "/endpoints/police"),
    ("POST", "/endpoints/{name}"): Rule(CONFIGURES, "/endpoints/police", CHANGED),
    ("GET", "/endpoints/{name}/edit"): Rule(ADDRESS, "/endpoints/police/edit"),
    ("POST", "/endpoints/{name}/test"): Rule(CONFIGURES, "/endpoints/police/test"),
    ("GET", "/endpoints/{name}/inspect"): Rule(only("integrator", "police"), "/endpoints/police/inspect"),
    ("POST", "/endpoints/{name}/pause"): Rule(CONFIGURES, "/endpoints/police/pause", {"reason": ""}),
    ("POST", "/endpoints/{name}/resume"): Rule(CONFIGURES, "/endpoints/police/resume", {"reason": ""}),
    ("GET", "/exchanges"): Rule(EVERYBODY),
    ("GET", "/exchanges/{exchange}"): Rule(PARTIES, EXCHANGE),
    ("GET", "/exchanges/{exchange}/plan"): Rule(PARTIES, f"{EXCHANGE}/plan"),
    ("GET", "/exchanges/{exchange}/preview"): Rule(CONFIGURES, f"{EXCHANGE}/preview"),
    ("GET", "/exchanges/{exchange}/script"): Rule(PARTIES, f"{EXCHANGE}/script"),
    ("GET", "/exchanges/{exchange}/settings"): Rule(PARTIES, f"{EXCHANGE}/settings"),
    ("POST", "/exchanges/{exchange}/settings"): Rule(CONFIGURES, f"{EXCHANGE}/settings", {"priority": "high"}),
    ("POST", "/exchanges/{exchange}/pause"): Rule(CONFIGURES, f"{EXCHANGE}/pause", {"reason": ""}),
    ("POST", "/exchanges/{exchange}/resume"): Rule(CONFIGURES, f"{EXCHANGE}/resume", {"reason": ""}),
    ("POST", "/exchanges/{exchange}/reconcile"): Rule(
        only("integrator", "auditor", "auditadmin"), f"{EXCHANGE}/reconcile"
    ),
    # What would run is not there: whether it may be run is asked before.
    ("POST", "/exchanges/{exchange}/run"): Rule(RUN, "/exchanges/sync-none/run"),
    ("POST", "/exchanges/{exchange}/replay"): Rule(RUN, "/exchanges/sync-none/replay"),
    ("GET", "/exchanges/{exchange}/progress"): Rule(PARTIES, f"{EXCHANGE}/progress"),
    ("GET", "/quarantine"): Rule(EVERYBODY),
    ("GET", "/quarantine/{number}"): Rule(only("police"), "/quarantine/{row}", made=ran),
    ("POST", "/quarantine/{number}/repair"): Rule(only("police"), "/quarantine/{row}/repair", made=ran),
    ("POST", "/quarantine/{number}/drop"): Rule(only("police"), "/quarantine/{row}/drop", made=ran),
    ("GET", "/structures"): Rule(EVERYBODY),
    ("GET", "/structures/{exchange}"): Rule(PARTIES, f"/structures/{SYNC}"),
    ("POST", "/structures/{exchange}/approve"): Rule(CONFIGURES, f"/structures/{SYNC}/approve"),
    ("GET", "/messages"): Rule(EVERYBODY),
    # Everybody tries again what he sees that is dead: here nobody sees any.
    ("POST", "/messages/requeue"): Rule(EVERYBODY),
    ("GET", "/messages/{number}"): Rule(EVERYBODY, "/messages/1"),
    ("POST", "/messages/{number}/requeue"): Rule(RUN, "/messages/1/requeue"),
    ("POST", "/messages/{number}/withdraw"): Rule(RUN, "/messages/1/withdraw", {"reason": "x"}),
    ("GET", "/files"): Rule(EVERYBODY),
    ("GET", "/files/waiting"): Rule(
        only("police", "chief", "integrator", "auditor", "auditadmin"), fields={"name": SYNC}
    ),
    ("GET", "/files/{number}"): Rule(EVERYBODY, "/files/1"),
    ("POST", "/files/{number}/retry"): Rule(
        only("police", "integrator", "sysadmin"), "/files/1/retry", {"exchange": SYNC}
    ),
    ("GET", "/notices"): Rule(EVERYBODY),
    ("GET", "/recalls"): Rule(EVERYBODY),
    ("POST", "/recalls"): Rule(
        only("police", "chief", "security", "secadmin"), None, {"of": "{share}", "reason": "测试"}, made=granted
    ),
    ("GET", "/runs/{name}/answers"): Rule(PARTIES, "/runs/{run}/answers", made=ran),
    ("POST", "/runs/{name}/answers"): Rule(RUN, "/runs/{run}/answers", made=ran),
    ("GET", "/access"): Rule(OVERSEE),
    ("POST", "/access"): Rule(RUN, fields={"department": HUB, "kind": "password"}),
    ("POST", "/access/{credential}/revoke"): Rule(
        only("integrator", "sysadmin", "security", "secadmin"), "/access/C0/revoke", {"reason": "x"}
    ),
}
