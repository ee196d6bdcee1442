"""The administrator's pages: the log, runs, verification, figures, accounts."""

from __future__ import annotations

from collections.abc import Mapping

from tests.exchange.engine.town import HUB, SYNC, Town, person
from tests.exchange.site.rules.base import EVERYBODY, Rule, only

AUDITORS = only("auditor", "auditadmin")


def a_run(town: Town) -> Mapping[str, str]:
    """A run of the synchronisation, whose parties are the police and the hub."""
    if not town.runs(SYNC):
        town.report(person(1))
        town.run(SYNC)
    return {"run": town.runs(SYNC)[0].id}


ADMINISTRATORS = only("integrator", "auditor", "security", "sysadmin", "secadmin", "auditadmin")
SYSTEM = only("integrator", "sysadmin")
SECURITY = only("security", "secadmin")
REASON = {"reason": "测试"}


# The hub itself is the recipient of what is collected.
PARTIES = EVERYBODY - {"tax"}

RULES = {
    ("GET", "/dashboard"): Rule(EVERYBODY),
    ("GET", "/dashboard/volume.svg"): Rule(EVERYBODY),
    ("GET", "/dashboard/rates.svg"): Rule(EVERYBODY),
    ("GET", "/dashboard/freshness.svg"): Rule(EVERYBODY),
    ("GET", "/dashboard/export"): Rule(EVERYBODY, fields={"format": "csv"}),
    ("GET", "/log"): Rule(AUDITORS),
    ("GET", "/log/export"): Rule(AUDITORS, fields={"format": "csv"}),
    ("GET", "/log/verification"): Rule(AUDITORS),
    ("POST", "/log/verification"): Rule(AUDITORS),
    ("POST", "/log/acknowledgement"): Rule(AUDITORS, fields={"reason": "测试"}),
    ("GET", "/runs"): Rule(EVERYBODY),
    ("GET", "/runs/{name}"): Rule(PARTIES, path="/runs/{run}", made=a_run),
    ("POST", "/runs/{name}/resend"): Rule(only("integrator", "sysadmin"), path="/runs/{run}/resend", made=a_run),
    ("GET", "/runs/{name}/ledger"): Rule(
        only("integrator", "sysadmin", "auditor", "auditadmin"), path="/runs/{run}/ledger", made=a_run
    ),
    ("GET", "/accounts"): Rule(ADMINISTRATORS),
    ("POST", "/accounts"): Rule(SYSTEM, fields={"login": "x", "name": "某人", "department": HUB}),
    ("GET", "/accounts/{login}"): Rule(ADMINISTRATORS | only("tax"), path="/accounts/tax"),
    ("POST", "/accounts/{login}/disable"): Rule(SYSTEM, path="/accounts/tax/disable", fields={"reason": ""}),
    ("POST", "/accounts/{login}/enable"): Rule(SYSTEM, path="/accounts/tax/enable", fields=REASON),
    ("POST", "/accounts/{login}/unlock"): Rule(SYSTEM, path="/accounts/tax/unlock"),
    ("POST", "/accounts/{login}/unlink"): Rule(SYSTEM, path="/accounts/tax/unlink", fields=REASON),
    ("POST", "/accounts/{login}/reset"): Rule(SYSTEM, path="/accounts/nobody/reset"),
    ("POST", "/accounts/{login}/roles"): Rule(SECURITY, path="/accounts/tax/roles", fields={"roles": "clerk"}),
    ("POST", "/accounts/{login}/sign-out"): Rule(SECURITY, path="/accounts/centre/sign-out", fields={"reason": ""}),
    ("GET", "/settings"): Rule(SYSTEM | AUDITORS),
    ("POST", "/settings/{name}"): Rule(SYSTEM, path="/settings/nothing", fields=REASON),
    ("POST", "/settings/{name}/reset"): Rule(SYSTEM, path="/settings/nothing/reset", fields=REASON),
    ("GET", "/sign-ins"): Rule(AUDITORS | SECURITY),
    ("GET", "/tokens"): Rule(EVERYBODY),
    ("POST", "/tokens"): Rule(EVERYBODY, fields={"purpose": "", "days": "1"}),
    ("POST", "/tokens/{token}/revoke"): Rule(SYSTEM | SECURITY, path="/tokens/T0/revoke", fields=REASON),
}
