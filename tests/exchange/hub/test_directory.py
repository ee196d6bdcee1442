from __future__ import annotations

from collections.abc import Iterator

import pytest

from exchange.errors import Denied, Unknown
from exchange.hub import Hub, open_hub
from exchange.hub.drafts import checked
from exchange.identity import Actor, current_actor
from tests.exchange.cli.county import CODE, HUB, POLICE, RESOURCE, TAX, County, exchanged, founded, granted, published

EVERYBODY = ("integrator", "auditor", "centre", "police", "chief", "tax")
"""Of the centre: integrator, auditor, centre; of the provider: police, chief; of the recipient: tax."""


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> County:
    """Version 1 is published and used, version 2 a draft."""
    county = exchanged(granted(published(founded(tmp_path_factory.mktemp("county")))))
    changed = county.file("people.yaml", {**RESOURCE, "name": "人口信息"})
    county.ask("resource", "register", changed, by="police")
    return county


@pytest.fixture
def hub(county: County) -> Iterator[Hub]:
    hub = open_hub(county.home)
    yield hub
    hub.close()


def actor(hub: Hub, name: str) -> Actor:
    return current_actor(hub.settings, name)


def seen_by(hub: Hub, ask: str, *about: str) -> set[str]:
    """Who is answered; a refusal must say why, and must be in the log."""
    answered = set()
    for name in EVERYBODY:
        by = actor(hub, name)
        refusals = len(hub.audit.search(by=by, type="AccessDenied", actor=by.name).events)
        try:
            getattr(hub.directory, ask)(*about, by=by)
        except Denied as error:
            assert error.reasons
            assert len(hub.audit.search(by=by, type="AccessDenied", actor=by.name).events) == refusals + 1
        else:
            answered.add(name)
    return answered


def test_the_address_of_an_endpoint(hub: Hub) -> None:
    assert seen_by(hub, "endpoint", "police") == {"integrator", "auditor", "police", "chief"}
    assert seen_by(hub, "endpoint", "library") == {"integrator", "auditor", "centre"}
    shown = {spec.name: spec for spec in hub.directory.endpoints(by=actor(hub, "tax"))}
    assert {name for name, spec in shown.items() if spec.options} == {"tax"}
    assert [spec.name for spec in hub.directory.endpoints(by=actor(hub, "tax"), department="公安")] == ["police"]


def test_a_draft(hub: Hub) -> None:
    versions = {name: hub.directory.resource(CODE, by=actor(hub, name)).version for name in EVERYBODY}
    assert versions == {"integrator": 2, "auditor": 2, "centre": 2, "police": 2, "chief": 2, "tax": 1}
    listed = {name: hub.directory.resources(by=actor(hub, name))[0].version for name in EVERYBODY}
    assert listed == versions
    assert [entry.version for entry in hub.directory.resources(by=actor(hub, "police"), published=True)] == [1]
    with pytest.raises(Unknown, match="第 2 版没有发布"):
        hub.directory.resource(CODE, 2, by=actor(hub, "tax"))
    assert seen_by(hub, "history", CODE) == {"integrator", "auditor", "centre", "police", "chief"}


def test_a_resource_that_was_never_published(hub: Hub) -> None:
    by = actor(hub, "police")
    draft = checked(hub, {**RESOURCE, "code": "101001001/0009", "name": "另一项"})
    hub.registration.register(draft, by=by)
    assert hub.directory.resource(draft.code, by=by).state == "draft"
    with pytest.raises(Unknown, match=f"资源 {draft.code}没有发布"):
        hub.directory.resource(draft.code, by=actor(hub, "tax"))
    assert draft.code not in {entry.code for entry in hub.directory.resources(by=actor(hub, "tax"))}
    assert draft.code in {entry.code for entry in hub.directory.responsibility("公安", by=by).resources}
    for_others = hub.directory.responsibility("公安", by=actor(hub, "tax"))
    assert draft.code not in {entry.code for entry in for_others.resources}


def test_versions_compared(hub: Hub) -> None:
    before, after, changes = hub.directory.difference(CODE, by=actor(hub, "police"))
    assert (before.version, after.version, [change.path for change in changes]) == (1, 2, ["name"])
    before, after, changes = hub.directory.difference(CODE, by=actor(hub, "tax"))
    assert (before.version, after.version, changes) == (1, 1, ())


def test_applications_and_grants(hub: Hub) -> None:
    parties = {"integrator", "auditor", "police", "chief", "tax"}
    (application,) = hub.directory.applications(by=actor(hub, "tax"))
    (grant,) = hub.directory.grants(by=actor(hub, "tax"))
    assert (application.grant, application.state, application.provider) == (grant.id, "granted", POLICE)
    assert (grant.application, grant.kind, grant.department) == (application.id, "sharing", TAX)
    assert application.decisions[0].decider == "公安审核"
    # Not what the draft calls it.
    assert (application.resource_name, grant.resource_name) == ("人口基本信息", "人口基本信息")
    assert seen_by(hub, "application", application.id) == parties
    assert seen_by(hub, "grant", grant.id) == parties
    for name in (grant.id, application.id, f"share-{grant.id}"):
        assert seen_by(hub, "explain", name) == parties
    (collection,) = hub.directory.grants(by=actor(hub, "centre"))
    assert (collection.kind, collection.department) == ("collection", HUB)
    assert hub.directory.applications(by=actor(hub, "centre")) == []


def test_exchanges_and_the_description(hub: Hub) -> None:
    seen = {name: {each.kind for each in hub.directory.exchanges(by=actor(hub, name))} for name in EVERYBODY}
    both = {"synchronisation", "sharing"}
    assert seen == {
        "integrator": both, "auditor": both, "police": both, "chief": both,
        "centre": {"synchronisation"}, "tax": {"sharing"},
    }  # fmt: skip
    assert seen_by(hub, "description") == {"integrator", "auditor"}


def test_lists_narrowed(hub: Hub) -> None:
    by = actor(hub, "auditor")
    assert len(hub.directory.grants(by=by)) == 2
    assert len(hub.directory.grants(by=by, kind="sharing")) == 1
    assert hub.directory.grants(by=by, state="revoked") == []
    assert hub.directory.grants(by=by, resource="1/1") == []
    assert hub.directory.applications(by=by, state="pending") == []
    assert hub.directory.applications(by=by, resource="1/1") == []
    assert CODE in {entry.code for entry in hub.directory.resources(by=by, provider="公安", state="draft")}
    assert hub.directory.resources(by=by, provider="税务") == []
    assert hub.directory.resources(by=by, record_class="licence") == []
    assert [hit.entry.code for hit in hub.directory.search("人口", provider="公安").hits] == [CODE]
    assert hub.directory.demands(department="税务") == ()


@pytest.mark.parametrize(
    ("ask", "about"),
    [
        ("endpoint", "none"),
        ("resource", "999999999/0001"),
        ("resource", "x' OR '1'='1"),
        ("history", "999999999/0001"),
        ("application", "A-none"),
        ("application", "'; DROP TABLE application; --"),
        ("grant", "G-none"),
        ("explain", "none"),
    ],
)
def test_what_does_not_exist(hub: Hub, ask: str, about: str) -> None:
    with pytest.raises(Unknown):
        getattr(hub.directory, ask)(about, by=actor(hub, "auditor"))


def test_departments(hub: Hub) -> None:
    assert [each.code for each in hub.directory.departments()] == [HUB, POLICE, TAX]
    assert list(hub.directory.department_names()) == [HUB, POLICE, TAX]
    assert hub.directory.department("公安").code == POLICE
    with pytest.raises(Unknown):
        hub.directory.department("没有")
