"""How far somebody's hand reaches: own department, the hub's department, and never into the hub itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import Department, EndpointSpec
from exchange.errors import Denied, Invalid
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.town import POLICE, SYNC, TAX, Town, person, resource, wrong


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
