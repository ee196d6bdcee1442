"""The REST interface: every call, by who shows his token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchange.authorisation import Application
from exchange.db.tables import GrantRow, PauseRow
from exchange.web.paths import quoted
from tests.exchange.engine.town import CODE, POLICE, SYNC, TAX, Town, application, person, wrong
from tests.exchange.site.rules.base import EVERYBODY, Rule, only

V1 = "/api/v1"
RESOURCE = quoted(CODE)
SHEET = f"信息资源代码,101001001/0009\n信息资源提供方代码,{POLICE}\n信息项名称,英文名称\n甲,a\n".encode()
WHY: dict[str, Any] = {"reason": "测试"}

OVERSEERS = only("integrator", "auditor", "security", "sysadmin", "secadmin", "auditadmin")
PROVIDER = only("police", "chief")
PARTIES = PROVIDER | only("tax")
INTEGRATORS = only("integrator")
SYSTEM = only("integrator", "sysadmin")
SECURITY = only("security", "secadmin")
AUDIT = only("auditor", "auditadmin")
HUB = OVERSEERS | only("centre")


def granted(town: Town) -> Mapping[str, str]:
    """The grant of the town, its application and its exchange."""
    with town.hub() as hub, hub.database.reading() as session:
        row = session.get_one(GrantRow, town.grant)
        return {"grant": row.id, "application": row.application or "", "share": town.share}


def applied(town: Town) -> Mapping[str, str]:
    """An application that waits for its answer."""
    asked = Application.model_validate(application(scene="另一项业务"))
    with town.hub() as hub:
        found = hub.directory.applications(by=town.actor("tax"), state="pending")
        name = found[0].id if found else hub.sharing.apply(asked, by=town.actor("tax"))
    return {"application": name}


def paused(town: Town) -> Mapping[str, str]:
    """The same, while the exchange rests: whoever may run it is told that."""
    with town.hub() as hub:
        with hub.database.reading() as session:
            rests = session.get(PauseRow, ("exchange", town.share)) is not None
        if not rests:
            hub.pausing.pause("exchange", town.share, reason="测试", by=town.actor("integrator"))
    return granted(town)


def ran(town: Town) -> Mapping[str, str]:
    """A run that collected, and refused a row."""
    if not town.runs(SYNC):
        town.report(wrong(1), *map(person, range(2, 6)))
        town.run(SYNC)
    run = town.runs(SYNC)[0].id
    return {**granted(town), "run": run, "row": str(town.quarantined(SYNC)[0].id)}


def rule(allowed: frozenset[str], path: str | None = None, made: Any = None, /, **fields: Any) -> Rule:
    """A rule of a call."""
    return Rule(allowed, path=None if path is None else V1 + path, fields=fields, made=made)


RULES: dict[tuple[str, str], Rule] = {
    (method, V1 + path): told
    for (method, path), told in {
        # Departments and endpoints.
        ("GET", "/departments"): rule(EVERYBODY),
        ("GET", "/departments/{code}"): rule(EVERYBODY, f"/departments/{POLICE}"),
        ("PUT", "/departments/{code}"): rule(SYSTEM, f"/departments/{POLICE}", name="公安局", division="321200"),
        ("GET", "/departments/{code}/responsibility"): rule(EVERYBODY, f"/departments/{POLICE}/responsibility"),
        ("GET", "/endpoints"): rule(EVERYBODY),
        ("GET", "/endpoints/{name}"): rule(PROVIDER | OVERSEERS, "/endpoints/police"),
        ("PUT", "/endpoints/{name}"): rule(INTEGRATORS, "/endpoints/police", department=POLICE, kind="database"),
        ("POST", "/endpoints/{name}/tests"): rule(INTEGRATORS, "/endpoints/police/tests"),
        ("GET", "/endpoints/{name}/objects"): rule(INTEGRATORS | only("police"), "/endpoints/police/objects"),
        ("GET", "/endpoints/{name}/objects/{object}"): rule(
            INTEGRATORS | only("police"), "/endpoints/police/objects/inf_person"
        ),
        ("GET", "/endpoints/{name}/objects/{object}/draft"): rule(
            INTEGRATORS | only("police"), "/endpoints/police/objects/inf_person/draft", under="101001001"
        ),
        ("POST", "/endpoints/{name}/pause"): rule(INTEGRATORS, "/endpoints/tax/pause", **WHY),
        ("POST", "/endpoints/{name}/resume"): rule(INTEGRATORS, "/endpoints/police/resume", **WHY),
        # Resources.
        ("GET", "/directory"): rule(EVERYBODY),
        ("GET", "/directory/facets"): rule(EVERYBODY),
        ("GET", "/demands"): rule(EVERYBODY),
        ("GET", "/resources"): rule(EVERYBODY),
        ("POST", "/resources"): rule(only("police"), code="101001001/0009", name="试", provider_code=POLICE),
        ("POST", "/resources/checks"): rule(EVERYBODY, code="101001001/0009"),
        ("GET", "/resources/codes/next"): rule(EVERYBODY, under="101001001"),
        ("GET", "/resources/sheets/blank"): rule(EVERYBODY),
        ("POST", "/resources/sheets"): Rule(only("police"), content=SHEET),
        ("POST", "/resources/sheets/checks"): Rule(EVERYBODY, content=SHEET),
        ("GET", "/resources/{code}/sheet"): rule(EVERYBODY, f"/resources/{RESOURCE}/sheet", format="xlsx"),
        ("GET", "/resources/{code}"): rule(EVERYBODY, f"/resources/{RESOURCE}"),
        ("PUT", "/resources/{code}"): rule(only("police"), f"/resources/{RESOURCE}", name="试", provider_code=POLICE),
        ("GET", "/resources/{code}/history"): rule(PROVIDER | HUB, f"/resources/{RESOURCE}/history"),
        ("GET", "/resources/{code}/difference"): rule(EVERYBODY, f"/resources/{RESOURCE}/difference"),
        ("POST", "/resources/{code}/moves"): rule(only("police"), f"/resources/{RESOURCE}/moves", action="submit"),
        # Applications and grants.
        ("GET", "/applications"): rule(EVERYBODY),
        ("POST", "/applications"): rule(only("tax"), resource=CODE, department=TAX),
        ("POST", "/applications/checks"): rule(only("tax"), "/applications/checks", **application()),
        ("GET", "/applications/{name}"): rule(PARTIES | OVERSEERS, "/applications/{application}", granted),
        ("POST", "/applications/{name}/decision"): rule(
            only("chief"), "/applications/{application}/decision", applied, approved=False
        ),
        ("POST", "/applications/{name}/withdrawal"): rule(
            only("tax"), "/applications/{application}/withdrawal", granted, reason=""
        ),
        ("GET", "/grants"): rule(EVERYBODY),
        ("GET", "/grants/{name}"): rule(PARTIES | OVERSEERS, "/grants/{grant}", granted),
        ("GET", "/grants/{name}/explanation"): rule(PARTIES | OVERSEERS, "/grants/{grant}/explanation", granted),
        ("POST", "/grants/{name}/changes"): rule(
            SECURITY | only("chief"), "/grants/{grant}/changes", granted, action="resume", **WHY
        ),
        # Exchanges.
        ("GET", "/exchanges"): rule(EVERYBODY),
        ("GET", "/exchanges/{name}"): rule(PARTIES | OVERSEERS, "/exchanges/{share}", granted),
        ("GET", "/exchanges/{name}/plan"): rule(PARTIES | OVERSEERS, "/exchanges/{share}/plan", granted),
        ("GET", "/exchanges/{name}/preview"): rule(INTEGRATORS, "/exchanges/{share}/preview", granted),
        ("GET", "/exchanges/{name}/fit"): rule(PARTIES | OVERSEERS, "/exchanges/{share}/fit", granted),
        ("GET", "/exchanges/{name}/script"): rule(PARTIES | OVERSEERS, "/exchanges/{share}/script", granted),
        ("GET", "/exchanges/{name}/settings"): rule(PARTIES | OVERSEERS, "/exchanges/{share}/settings", granted),
        ("PUT", "/exchanges/{name}/settings"): rule(INTEGRATORS, "/exchanges/{share}/settings", granted, priority=2),
        ("POST", "/exchanges/{name}/runs"): rule(SYSTEM, "/exchanges/{share}/runs", paused),
        ("POST", "/exchanges/{name}/replays"): rule(SYSTEM | only("police"), "/exchanges/{share}/replays", paused),
        ("POST", "/exchanges/{name}/reconciliations"): rule(
            INTEGRATORS | AUDIT, "/exchanges/nowhere/reconciliations", limit=5
        ),
        ("POST", "/exchanges/{name}/pause"): rule(INTEGRATORS, "/exchanges/{share}/pause", granted, **WHY),
        ("POST", "/exchanges/{name}/resume"): rule(INTEGRATORS, "/exchanges/{share}/resume", paused, **WHY),
        ("GET", "/exchanges/{name}/structures"): rule(PARTIES | OVERSEERS, "/exchanges/{share}/structures", granted),
        ("POST", "/exchanges/{name}/structures/approval"): rule(
            INTEGRATORS, "/exchanges/{share}/structures/approval", granted, **WHY
        ),
        # Runs.
        ("GET", "/runs"): rule(EVERYBODY),
        ("GET", "/runs/{name}"): rule(PROVIDER | HUB, "/runs/{run}", ran),
        ("GET", "/runs/{name}/receipt"): rule(PROVIDER | HUB, "/runs/{run}/receipt", ran),
        ("GET", "/runs/{name}/ledger"): rule(SYSTEM | AUDIT, "/runs/{run}/ledger", ran),
        ("GET", "/runs/{name}/answers"): rule(PROVIDER | HUB, "/runs/{run}/answers", ran),
        ("POST", "/runs/{name}/resends"): rule(SYSTEM, "/runs/{run}/resends", ran),
        ("POST", "/runs/{name}/answers"): rule(SYSTEM, "/runs/{run}/answers", ran),
        ("GET", "/notices"): rule(EVERYBODY),
        ("GET", "/works/{name}"): rule(EVERYBODY, "/works/nothing"),
        # Refused rows.
        ("GET", "/quarantine"): rule(EVERYBODY),
        ("GET", "/exchanges/{name}/quarantine"): rule(EVERYBODY, f"/exchanges/{SYNC}/quarantine"),
        ("GET", "/quarantine/{number}"): rule(only("police"), "/quarantine/{row}", ran),
        ("POST", "/quarantine/{number}/repair"): rule(
            only("police"), "/quarantine/{row}/repair", ran, changes={"nothing": "1"}
        ),
        ("POST", "/quarantine/{number}/drop"): rule(only("police"), "/quarantine/{row}/drop", ran, **WHY),
        # Files, recalls, messages.
        ("GET", "/files"): rule(EVERYBODY),
        ("GET", "/files/{name}"): rule(EVERYBODY, "/files/nothing"),
        ("GET", "/exchanges/{name}/files"): rule(PROVIDER | AUDIT | INTEGRATORS, "/exchanges/{share}/files", granted),
        ("POST", "/exchanges/{name}/files"): rule(
            SYSTEM | only("police"), "/exchanges/{share}/files", granted, file="nothing"
        ),
        ("GET", "/recalls"): rule(EVERYBODY),
        ("POST", "/recalls"): rule(PROVIDER | SECURITY, None, granted, of="{share}", **WHY),
        ("GET", "/messages"): rule(EVERYBODY),
        ("GET", "/messages/status"): rule(EVERYBODY),
        ("POST", "/messages/requeue"): rule(EVERYBODY),
        ("GET", "/messages/{number}"): rule(EVERYBODY, "/messages/1"),
        ("POST", "/messages/{number}/requeue"): rule(SYSTEM, "/messages/1/requeue"),
        ("POST", "/messages/{number}/withdrawal"): rule(SYSTEM, "/messages/1/withdrawal", **WHY),
        # Figures and the log.
        ("GET", "/figures"): rule(EVERYBODY),
        ("GET", "/figures/export"): rule(EVERYBODY, format="csv"),
        ("GET", "/log"): rule(AUDIT),
        ("GET", "/log/export"): rule(AUDIT),
        ("POST", "/log/verifications"): rule(AUDIT),
        ("POST", "/log/acknowledgements"): rule(AUDIT, **WHY),
        ("GET", "/freshness"): rule(EVERYBODY),
        ("GET", "/timetable"): rule(SYSTEM | AUDIT),
        # Accounts, tokens, credentials.
        ("GET", "/me"): rule(EVERYBODY),
        ("GET", "/accounts"): rule(OVERSEERS),
        ("POST", "/accounts"): rule(SYSTEM, login="-", name="甲", department=TAX),
        ("GET", "/accounts/{login}"): rule(OVERSEERS | only("police"), "/accounts/police"),
        ("POST", "/accounts/{login}/disabling"): rule(SYSTEM, "/accounts/nobody/disabling", **WHY),
        ("POST", "/accounts/{login}/enabling"): rule(SYSTEM, "/accounts/nobody/enabling", **WHY),
        ("POST", "/accounts/{login}/unlocking"): rule(SYSTEM, "/accounts/nobody/unlocking"),
        ("POST", "/accounts/{login}/unlinking"): rule(SYSTEM, "/accounts/nobody/unlinking", **WHY),
        ("POST", "/accounts/{login}/password"): rule(SYSTEM, "/accounts/nobody/password"),
        ("PUT", "/accounts/{login}/roles"): rule(SECURITY, "/accounts/nobody/roles", roles=["clerk"], **WHY),
        ("POST", "/accounts/{login}/sign-out"): rule(SECURITY, "/accounts/nobody/sign-out", **WHY),
        ("GET", "/settings"): rule(SYSTEM | AUDIT),
        ("PUT", "/settings/{name}"): rule(SYSTEM, "/settings/nothing", value=1, **WHY),
        ("POST", "/settings/{name}/reset"): rule(SYSTEM, "/settings/nothing/reset", **WHY),
        ("GET", "/sessions"): rule(SECURITY | AUDIT),
        ("GET", "/tokens"): rule(EVERYBODY),
        ("POST", "/tokens"): rule(frozenset(), purpose="测试"),
        ("POST", "/tokens/{name}/revocation"): rule(SYSTEM | SECURITY, "/tokens/T00/revocation", **WHY),
        ("GET", "/access"): rule(OVERSEERS),
        ("POST", "/access"): rule(SYSTEM, department=POLICE, kind="token", purpose="测试"),
        ("POST", "/access/{name}/revocation"): rule(SYSTEM | SECURITY, "/access/C00/revocation", **WHY),
    }.items()
}
