"""The clerk's pages: the directory, registration, reviews, applications and grants."""

from __future__ import annotations

from collections.abc import Mapping

from tests.exchange.engine.town import CODE, Town, application
from tests.exchange.site.rules.base import EVERYBODY, Rule, only

PLACE = CODE.replace("/", "%2F")
CLERKS = only("police", "tax")
PARTIES = only("police", "chief", "tax", "integrator", "auditor", "security", "sysadmin", "secadmin", "auditadmin")
"""Provider, recipient, and those who see what concerns others."""

DRAFTS = only("police", "chief", "centre", "integrator", "auditor", "security", "sysadmin", "secadmin", "auditadmin")


def granted(town: Town) -> Mapping[str, str]:
    """The grant of the town, and its application."""
    with town.hub() as hub:
        found = hub.directory.grant(town.grant, by=town.actor("auditor"))
    return {"grant": found.id, "application": found.application or ""}


def pending(town: Town) -> Mapping[str, str]:
    """An application nobody has answered."""
    from exchange.authorisation import Application

    with town.hub() as hub:
        name = hub.sharing.apply(Application.model_validate(application(scene="另一项业务")), by=town.actor("tax"))
    return {"application": name}


RULES = {
    ("GET", "/directory"): Rule(EVERYBODY),
    ("GET", "/directory/{code}"): Rule(EVERYBODY, path=f"/directory/{PLACE}"),
    ("GET", "/directory/{code}/apply"): Rule(CLERKS, path=f"/directory/{PLACE}/apply"),
    ("POST", "/directory/{code}/apply"): Rule(CLERKS, path=f"/directory/{PLACE}/apply"),
    ("GET", "/demands"): Rule(EVERYBODY),
    ("GET", "/resources"): Rule(EVERYBODY),
    ("GET", "/resources/new"): Rule(CLERKS),
    ("GET", "/resources/new/form"): Rule(CLERKS),
    ("POST", "/resources/new/form"): Rule(CLERKS),
    ("POST", "/resources/new/sheet"): Rule(CLERKS),
    ("GET", "/resources/new/sheet.csv"): Rule(EVERYBODY),
    ("GET", "/resources/new/table"): Rule(CLERKS),
    ("GET", "/resources/{code}"): Rule(EVERYBODY, path=f"/resources/{PLACE}"),
    ("GET", "/resources/{code}/edit"): Rule(only("police"), path=f"/resources/{PLACE}/edit"),
    ("POST", "/resources/{code}/edit"): Rule(only("police"), path=f"/resources/{PLACE}/edit"),
    ("GET", "/resources/{code}/sheet.csv"): Rule(EVERYBODY, path=f"/resources/{PLACE}/sheet.csv"),
    ("GET", "/resources/{code}/history"): Rule(DRAFTS, path=f"/resources/{PLACE}/history"),
    ("GET", "/resources/{code}/difference"): Rule(EVERYBODY, path=f"/resources/{PLACE}/difference"),
    # Nobody takes the town's resource down here: without a reason it is an error of his who may.
    ("POST", "/resources/{code}/move"): Rule(
        only("centre"), path=f"/resources/{PLACE}/move", fields={"action": "withdraw"}
    ),
    ("GET", "/applications"): Rule(EVERYBODY),
    ("GET", "/applications/{name}"): Rule(PARTIES, path="/applications/{application}", made=granted),
    ("POST", "/applications/{name}/decide"): Rule(
        only("chief"), path="/applications/{application}/decide", fields={"answer": "refuse"}, made=pending
    ),
    ("POST", "/applications/{name}/withdraw"): Rule(
        only("tax"), path="/applications/{application}/withdraw", made=pending
    ),
    ("GET", "/grants"): Rule(EVERYBODY),
    ("GET", "/grants/{name}"): Rule(PARTIES, path="/grants/{grant}", made=granted),
    ("POST", "/grants/{name}/change"): Rule(
        only("chief", "security", "secadmin"), path="/grants/{grant}/change", fields={"action": "suspend"}, made=granted
    ),
}
