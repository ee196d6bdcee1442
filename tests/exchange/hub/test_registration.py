"""How far somebody's hand reaches: own department, the hub's department, and never into the hub itself."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import Department, EndpointSpec, Resource
from exchange.errors import Denied, Invalid, Misplaced, Overtaken, Unknown
from exchange.hub.registration import mark_of
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.town import CODE, POLICE, SYNC, TAX, Town, person, resource, wrong


@pytest.fixture
def stranger(town: Town) -> Actor:
    """An integrator who works for the tax office, not for the hub."""
    return replace(town.actor("integrator"), name="税务集成", department=TAX, roles=frozenset({Role.INTEGRATOR}))


def test_an_integrator_configures_his_own_department_alone(town: Town, stranger: Actor, tmp_path: Path) -> None:
    mine = {"product": "sqlite", "path": str(tmp_path / "mine.db")}
    with town.hub() as hub:
        before = hub.directory.endpoint("police", by=town.actor("integrator"))
        for attempt in (
            lambda: hub.registration.put_endpoint(before.model_copy(update={"options": mine}), by=stranger),
            lambda: hub.registration.put_department(
                Department(code=POLICE, name="别的名字", division="321200"), by=stranger
            ),
            lambda: hub.registration.test_endpoint("police", by=stranger),
            lambda: hub.registration.inspect_endpoint("police", by=stranger),
            lambda: hub.oversight.run(SYNC, by=stranger),
        ):
            with pytest.raises(Denied):
                attempt()
        assert hub.directory.endpoint("police", by=town.actor("integrator")) == before
        own = EndpointSpec(name="tax-two", department=TAX, kind="database", options=mine)
        hub.registration.put_endpoint(own, by=stranger)
        assert hub.audit.search(by=town.actor("auditor"), type="AccessDenied", actor=stranger.name).events


def test_a_description_reaches_no_further(town: Town, stranger: Actor, tmp_path: Path) -> None:
    file = tmp_path / "theirs.yaml"
    file.write_text(json.dumps({"resources": [resource(name="改了名")]}, ensure_ascii=False))
    with town.hub() as hub:
        with pytest.raises(Invalid) as refused:
            hub.configuration.apply([file], by=stranger)
        assert "只能描述本部门的内容" in refused.value.problems[0].message
        assert hub.configuration.plan([file], by=town.actor("integrator"))[0].action == "change"
        with pytest.raises(Denied):
            hub.directory.description(by=stranger)


def test_a_clerk_looks_at_his_own_departments_endpoints(town: Town) -> None:
    with town.hub() as hub:
        assert hub.registration.inspect_endpoint("police", by=town.actor("police"))
        for name in ("police", "library"):
            with pytest.raises(Denied):
                hub.registration.inspect_endpoint(name, by=town.actor("tax"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("files", {"root": "keys"}),
        ("files", {"root": "payload"}),
        ("files", {"root": "."}),
        ("database", {"product": "sqlite", "path": "hub.db"}),
        ("database", {"product": "sqlite", "path": "library.db"}),
        ("database", {"product": "sqlite", "path": "keys/../hub.db"}),
    ],
)
def test_no_endpoint_leads_into_the_hub_itself(town: Town, kind: str, options: dict[str, str], tmp_path: Path) -> None:
    link = tmp_path / "link"
    field = "root" if kind == "files" else "path"
    link.symlink_to(town.home / options[field])
    for value in (str(town.home / options[field]), str(link)):
        spec = EndpointSpec(name="inside", department=TAX, kind=kind, options={**options, field: value})
        with town.hub() as hub, pytest.raises(Invalid) as refused:
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
        assert "平台自己的文件" in str([str(problem) for problem in refused.value.problems])


def test_only_parties_and_the_hub_see_quarantine(town: Town, stranger: Actor) -> None:
    town.report(*(person(number) for number in range(40)), wrong(41))
    town.run(SYNC)
    with town.hub() as hub:
        assert hub.oversight.quarantine(by=stranger) == []
        assert hub.oversight.quarantine(by=town.actor("integrator"))
        assert hub.oversight.quarantine(by=town.actor("police"))


def test_a_form_is_opened_for_who_may_register_and_what_may_be_changed(town: Town) -> None:
    with town.hub() as hub:
        police, tax, chief = (town.actor(name) for name in ("police", "tax", "chief"))
        hub.registration.begin(by=police)
        with pytest.raises(Denied):
            hub.registration.begin(by=chief)
        entry = hub.registration.change(CODE, by=police)
        assert entry.mark == hub.directory.resource(CODE, by=police).mark
        for by in (tax, chief):
            with pytest.raises(Denied):
                hub.registration.change(CODE, by=by)
        draft = Resource.model_validate(resource(code="101001001/0002", offer=None))
        hub.registration.register(draft, by=police)
        with pytest.raises(Unknown):
            hub.registration.change(draft.code, by=tax)
        hub.registration.move(draft.code, "submit_registration", by=police)
        with pytest.raises(Misplaced, match="不能修改"):
            hub.registration.change(draft.code, by=police)
        assert hub.registration.change(draft.code, by=police, held=True).state == "registering"


def test_of_many_who_began_from_one_version_one_is_first_and_nothing_is_lost(town: Town) -> None:
    police = town.actor("police")
    with town.hub() as hub:
        begun = hub.directory.resource(CODE, by=police).mark

        def register(number: int) -> str | None:
            given = Resource.model_validate(resource(abstract=f"第 {number} 人写的"))
            try:
                return hub.registration.register(given, by=police, begun=begun).entry.resource.abstract
            except Overtaken:
                return None

        with ThreadPoolExecutor(8) as pool:
            found = [each for each in pool.map(register, range(8)) if each is not None]
        assert found == [hub.directory.resource(CODE, by=police).resource.abstract]
        assert hub.directory.resource(CODE, by=police).version == 2


def test_a_reviewer_agrees_to_what_he_has_seen_alone(town: Town) -> None:
    police, chief = town.actor("police"), town.actor("chief")
    with town.hub() as hub:
        hub.registration.register(Resource.model_validate(resource(abstract="先写的")), by=police)
        hub.registration.move(CODE, "submit_registration", by=police)
        seen = hub.directory.resource(CODE, by=chief).mark
        hub.registration.move(CODE, "recall", by=police)
        hub.registration.register(Resource.model_validate(resource(abstract="换过的")), by=police)
        hub.registration.move(CODE, "submit_registration", by=police)
        with pytest.raises(Overtaken, match="他人办理"):
            hub.registration.move(CODE, "agree_registration", by=chief, begun=seen)
        assert hub.directory.resource(CODE, by=chief).state == "registering"
        now = hub.directory.resource(CODE, by=chief).mark
        assert hub.registration.move(CODE, "agree_registration", by=chief, begun=now) == "registered"


def test_of_two_who_change_an_endpoint_the_second_is_told(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        seen = hub.directory.endpoint("police", by=by)
        first, second = (seen.model_copy(update={"zone": zone}) for zone in ("UTC", "Asia/Tokyo"))
        hub.registration.put_endpoint(first, by=by, instead_of=mark_of(seen))
        for mark in (mark_of(seen), ""):
            with pytest.raises(Misplaced):
                hub.registration.put_endpoint(second, by=by, instead_of=mark)
        fresh = seen.model_copy(update={"name": "fresh"})
        with pytest.raises(Misplaced):
            hub.registration.put_endpoint(fresh, by=by, instead_of=mark_of(seen))
        hub.registration.put_endpoint(fresh, by=by, instead_of="")
        assert hub.directory.endpoint("police", by=by).zone == "UTC"
