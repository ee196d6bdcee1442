"""A resource on its way to publication: two approvals by different people, and what publication brings with it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from catalog import Department, Resource
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.hub import Hub
from schemas import record_class
from tests.exchange.engine.town import (
    CODE,
    POLICE,
    SYNC,
    Town,
    application,
    grant,
    person,
    publish,
    resource,
    wrong,
)

OTHER = "101001001/0002"
STEPS = (
    ("submit_registration", "police"), ("agree_registration", "chief"),
    ("submit_publication", "police"), ("agree_publication", "centre"),
)  # fmt: skip


def registered(town: Town, hub: Hub, steps: int, **changes: Any) -> None:
    """Another resource, so far on its way."""
    written = resource(**{"code": OTHER, "name": "另一资源", **changes})
    hub.registration.register(Resource.model_validate(written), by=town.actor("police"))
    for action, who in STEPS[:steps]:
        hub.registration.move(OTHER, action, by=town.actor(who))


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_every_step_is_somebody_elses_work(town: Town, number: int) -> None:
    action, right = STEPS[number]
    with town.hub() as hub:
        registered(town, hub, number)
        before = hub.directory.resource(OTHER, by=town.actor("centre"))
        for who in ("integrator", "auditor", "police", "chief", "centre", "tax"):
            if who != right:
                with pytest.raises(Denied) as denied:
                    hub.registration.move(OTHER, action, by=town.actor(who))
                assert denied.value.reasons
        assert hub.directory.resource(OTHER, by=town.actor("centre")) == before
        hub.registration.move(OTHER, action, by=town.actor(right))
        refused = hub.audit.search(by=town.actor("auditor"), type="AccessDenied", resource=OTHER).events
        assert len(refused) == 5


def test_a_step_nobody_knows_and_one_too_early(town: Town) -> None:
    with town.hub() as hub:
        registered(town, hub, 0)
        with pytest.raises(Unknown) as unknown:
            hub.registration.move(OTHER, "publish", by=town.actor("police"))
        assert "submit_publication" in unknown.value.remedy
        with pytest.raises(Misplaced):
            hub.registration.move(OTHER, "agree_publication", by=town.actor("centre"))


def test_a_clerk_registers_for_his_own_department_only(town: Town) -> None:
    with town.hub() as hub:
        with pytest.raises(Denied):
            hub.registration.register(resource(code=OTHER, name="别家的"), by=town.actor("tax"))
        with pytest.raises(Unknown):
            hub.directory.resource(OTHER, by=town.actor("centre"))


def test_publication_brings_grant_library_table_and_synchronisation(town: Town) -> None:
    with town.hub() as hub:
        registered(town, hub, 3)
        assert town.all(sa.select(ExchangeRow.id).where(ExchangeRow.resource == OTHER)) == []
        hub.registration.move(OTHER, "agree_publication", by=town.actor("centre"))
    (row,) = town.all(sa.select(ExchangeRow).where(ExchangeRow.resource == OTHER))
    (granted,) = town.all(sa.select(GrantRow).where(GrantRow.resource == OTHER))
    assert (row.id, row.kind, row.grant, row.provider) == (
        "sync-101001001-0002", "synchronisation", granted.id, POLICE,
    )  # fmt: skip
    assert granted.kind == "collection"
    assert "r_101001001_0002" in sa.inspect(town.databases["library"]).get_table_names()


def test_an_offer_that_does_not_fit_is_not_published(town: Town) -> None:
    columns = {**resource()["offer"]["columns"], "name": "nowhere"}
    with town.hub() as hub:
        registered(town, hub, 3, offer={**resource()["offer"], "columns": columns})
        with pytest.raises(Invalid) as refused:
            hub.registration.move(OTHER, "agree_publication", by=town.actor("centre"))
        assert "nowhere" in str(refused.value.problems)
        assert hub.directory.resource(OTHER, by=town.actor("centre")).state == "publishing"
    assert town.all(sa.select(ExchangeRow.id).where(ExchangeRow.resource == OTHER)) == []
    assert town.all(sa.select(GrantRow.id).where(GrantRow.resource == OTHER)) == []


def test_a_source_that_is_away_at_publication_changes_nothing(town: Town) -> None:
    with town.hub() as hub:
        registered(town, hub, 3)
        with town.away("police"), pytest.raises(Exception, match="police") as told:
            hub.registration.move(OTHER, "agree_publication", by=town.actor("centre"))
        assert not isinstance(told.value, AssertionError)
        hub.registration.move(OTHER, "agree_publication", by=town.actor("centre"))


def test_a_resource_without_an_offer_is_published_and_moves_nothing(town: Town) -> None:
    with town.hub() as hub:
        registered(town, hub, 4, offer=None)
        assert hub.directory.resource(OTHER, by=town.actor("tax")).in_force
    assert town.all(sa.select(ExchangeRow.id).where(ExchangeRow.resource == OTHER)) == []


def test_what_is_not_shared_at_all_is_not_collected(town: Town) -> None:
    with town.hub() as hub:
        registered(town, hub, 4, share_type=3, legal_basis="《某某法》第九条", share_condition="")
    assert town.all(sa.select(GrantRow.id).where(GrantRow.resource == OTHER)) == []
    assert town.all(sa.select(ExchangeRow.id).where(ExchangeRow.resource == OTHER)) == []


def test_two_resources_of_one_provider_do_not_share_a_table_of_the_library(town: Town) -> None:
    table = record_class("natural_person").tables[0]
    items = [item for item in table.items if item.mandatory or item.name in (*table.key, table.version)]
    columns = ", ".join(f"{item.name} VARCHAR({item.length or 40})" for item in items)
    state = "sync_sign VARCHAR(1), sync_date TIMESTAMP, update_date TIMESTAMP, sync_error_desc VARCHAR(1000)"
    for name in ("one", "two"):
        town.execute("police", f"CREATE TABLE {name} ({columns}, {state})")

    def of_class(name: str, code: str) -> dict[str, Any]:
        offer = {"endpoint": "police", "object": name, "columns": {}, "profile": "jiangsu"}
        return resource(
            name=name, code=code, record_class="natural_person", table=table.name, key=list(table.key),
            items=[item.model_dump(mode="json") for item in items], version_item=table.version, offer=offer,
        )  # fmt: skip

    with town.hub() as hub:
        publish(town, hub, of_class("one", OTHER))
        with pytest.raises(Invalid) as refused:
            publish(town, hub, of_class("two", "101001001/0003"))
    assert [OTHER in problem.message for problem in refused.value.problems] == [True]
    assert table.name in sa.inspect(town.databases["library"]).get_table_names()


def test_nothing_moves_any_more_under_a_resource_taken_down(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run_both()
    with town.hub() as hub:
        with pytest.raises(Invalid, match="意见"):
            hub.registration.move(CODE, "withdraw", by=town.actor("centre"))
        assert hub.registration.move(CODE, "withdraw", opinion="停止提供", by=town.actor("centre")) == "withdrawn"
    assert set(town.all(sa.select(GrantRow.state).where(GrantRow.resource == CODE))) == {"revoked"}
    for exchange in (SYNC, town.share):
        with pytest.raises(Denied):
            town.run(exchange)
    with town.hub() as hub:
        assert hub.oversight.due() == []
        hub.registration.move(CODE, "submit_publication", by=town.actor("police"))
        hub.registration.move(CODE, "agree_publication", by=town.actor("centre"))
    town.report(person(1, version=2))
    again = town.run(SYNC)
    assert again.plan.full
    assert town.rows("library") == town.good()
    with pytest.raises(Denied):
        town.run(town.share)


def test_a_new_version_with_longer_and_further_items_widens_the_librarys_table(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run_both()
    before = town.rows("library")
    longer = [{**item, "length": 80} if item["name"] == "name" else item for item in resource()["items"]]
    longer.append({"name": "phone", "label": "电话", "type": "C", "length": 20})
    town.execute("police", "ALTER TABLE inf_person ADD COLUMN phone VARCHAR(20)")
    offer = {**resource()["offer"], "columns": {**resource()["offer"]["columns"], "phone": "phone"}}
    with town.hub() as hub:
        publish(town, hub, resource(items=longer, offer=offer))
        assert hub.directory.resource(CODE, by=town.actor("police")).version_in_force == 2
    assert town.rows("library") == before
    town.report(person(0, version=2, name="长" * 80))
    town.execute("police", "UPDATE inf_person SET phone = '0523'")
    collected, shared = town.run_both()
    assert (collected.plan.resource_version, collected.plan.full) == (2, True)
    assert town.rows("library") == town.good()
    assert set(town.query("library", "SELECT phone FROM r_101001001_0001")) == {("0523",)}
    # The grant is of the first version, by which such a name is too long: that row is refused, the others stay.
    assert (shared.plan.resource_version, shared.counts["refused"]) == (1, 1)
    noted = next(each for each in town.status() if each.id == town.share).noted
    assert any("name 加宽" in text and "更长的行会被拒收" in text for text in noted)


def test_a_new_version_that_the_librarys_table_cannot_be_made_to_fit_is_not_published(town: Town) -> None:
    town.run(SYNC)
    items = [
        {**item, **{"name": {"length": 80}, "born": {"type": "G"}, "district": {"type": "G"}}.get(item["name"], {})}
        for item in resource()["items"]
    ]
    items = [{k: v for k, v in item.items() if k != "length" or item["type"] == "C"} for item in items]
    before = sa.inspect(town.databases["library"]).get_columns("r_101001001_0001")
    with town.hub() as hub:
        with pytest.raises(Invalid) as refused:
            publish(town, hub, resource(items=items))
        said = str(refused.value.problems)
        assert ["born" in said, "district" in said, "name" in said] == [True, True, False]
        assert hub.directory.resource(CODE, by=town.actor("police")).version_in_force == 1
    after = sa.inspect(town.databases["library"]).get_columns("r_101001001_0001")
    assert str(after) == str(before)
    town.report(person(1))
    assert town.run(SYNC).counts["written"] == 1


def test_departments_and_endpoints_are_the_integrators_and_every_wrong_option_is_told(town: Town) -> None:
    with town.hub() as hub:
        with pytest.raises(Denied):
            hub.registration.put_department(
                Department(code=POLICE, name="公安局", division="321200"), by=town.actor("police")
            )
        spec = hub.directory.endpoint("police", by=town.actor("integrator"))
        wrong = spec.model_copy(update={"options": {"product": "sqlite", "prot": 1, "password": "hunter2"}})
        with pytest.raises(Invalid) as refused:
            hub.registration.put_endpoint(wrong, by=town.actor("integrator"))
        said = str(refused.value.problems)
        assert "prot" in said
        assert "password" in said
        assert "hunter2" not in said
        assert hub.directory.endpoint("police", by=town.actor("integrator")) == spec


def test_what_its_provider_serves_is_collected_nowhere(town: Town) -> None:
    """A grant is then carried out on the provider's own table; only the provider sees what was refused."""
    offer = {**resource()["offer"], "capture": "snapshot", "profile": None, "served": "provider"}
    with town.hub() as hub:
        registered(town, hub, len(STEPS), offer=offer)
        assert hub.directory.resource(OTHER, by=town.actor("centre")).state == "published"
        exchanges = hub.oversight.status()
        assert [each for each in exchanges if each.resource == OTHER] == []
        name = grant(town, hub, resource=OTHER, target={**application()["target"], "object": "direct"})
        script = hub.sharing.prepare(f"share-{name}")
        with town.databases["tax"].begin() as connection:
            for statement in filter(str.strip, script.split(";\n")):
                connection.exec_driver_sql(statement.strip().rstrip(";"))
    town.report(*(person(number) for number in range(9)), wrong(50))
    result = town.run(f"share-{name}")
    assert (result.plan.source.endpoint, result.plan.source.object) == ("police", "inf_person")
    assert result.counts["refused"] == 1
    delivered = {row[0] for row in town.query("tax", "SELECT id_no FROM direct")}
    assert delivered == town.granted().keys()
    assert len(town.quarantined(f"share-{name}")) == 1
    with town.hub() as hub:
        assert hub.oversight.quarantine(by=town.actor("tax"), exchange=f"share-{name}") == []


def test_a_table_with_states_is_not_served_by_its_provider(town: Town) -> None:
    with town.hub() as hub, pytest.raises(Invalid) as caught:
        registered(town, hub, len(STEPS), offer={**resource()["offer"], "served": "provider"})
    assert any("共享来源" in problem.where for problem in caught.value.problems)
