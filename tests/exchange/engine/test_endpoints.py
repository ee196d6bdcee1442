"""Endpoints as the integrator meets them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from adapters import Probe
from catalog import Resource
from exchange.engine.endpoints import Endpoints
from exchange.errors import Invalid
from exchange.hub import Hub
from exchange.library import library_end, library_schema, offer_end
from exchange.plan import End
from tests.exchange.engine.town import COLUMNS, SYNC, Town, person, resource


@pytest.fixture
def hub(town: Town) -> Iterator[Hub]:
    with town.hub() as hub:
        yield hub


@pytest.fixture
def session(hub: Hub) -> Iterator[Session]:
    with hub.database.reading() as session:
        yield session


@pytest.fixture
def endpoints(hub: Hub) -> Endpoints:
    return hub.endpoints


def test_an_endpoint_is_tried_out(town: Town, endpoints: Endpoints, session: Session) -> None:
    assert all(probe.passed for probe in endpoints.test(session, "police"))
    with town.away("police"):
        failed = [probe for probe in endpoints.test(session, "police") if not probe.passed]
    assert failed
    assert failed[0].remedy


def test_an_offer_is_tried_out_with_its_endpoint(town: Town, endpoints: Endpoints, session: Session) -> None:
    def probe(**options: str) -> Probe:
        given = {"columns": {name: name for name in COLUMNS}, "capture": "watermark", "options": options}
        end = End(endpoint="police", object="inf_person", **given)
        good = Resource.model_validate(resource())
        return endpoints.test_offer(session, end, key=good.key, version=good.version_item, items=good.items)

    assert (probe(watermark="update_date").passed, probe(watermark="update_date").remedy) == (True, "")
    bare = probe(watermark="ver")
    assert bare.passed
    assert "没有索引" in bare.remedy
    for wrong in ({"watermark": "nothing"}, {"watermark": "name"}, {}):
        assert not probe(**wrong).passed
        assert probe(**wrong).detail
    with town.away("police"):
        assert not probe(watermark="update_date").passed


def test_what_lies_there_is_found_with_its_columns(endpoints: Endpoints, session: Session) -> None:
    (found,) = endpoints.inspect(session, "police", "inf_person")
    assert found.name == "inf_person"
    columns = {column.name: column for column in found.columns}
    assert set(COLUMNS) <= set(columns)
    assert "id_no" in found.key
    assert (columns["id_no"].type, columns["id_no"].length) == ("C", 18)
    assert (columns["born"].type, columns["ver"].type) == ("D", "I")
    assert [each.capture for each in found.proposals] == ["outbox", "watermark", "watermark", "snapshot", "diff"]


def test_an_offer_that_does_not_fit_is_told_with_every_column(endpoints: Endpoints, session: Session) -> None:
    good = Resource.model_validate(resource())
    check = {"key": good.key, "version": good.version_item, "items": good.items}
    assert endpoints.check_source(session, offer_end(good), **check) == []
    columns = {**{name: name for name in COLUMNS}, "name": "nowhere", "district": "nothing"}
    bad = Resource.model_validate(resource(offer={**resource()["offer"], "columns": columns}))
    found = endpoints.check_source(session, offer_end(bad), **check)
    assert {problem.where for problem in found} == {"端点 police › inf_person"}
    assert all(word in "；".join(map(str, found)) for word in ("nowhere", "nothing"))


def test_a_target_with_a_missing_and_a_narrower_column_is_told_before_anything_moves(
    town: Town, hub: Hub, endpoints: Endpoints, session: Session
) -> None:
    plan = hub.sharing.plan(town.share)
    assert endpoints.check_target(session, plan) == []
    town.execute("tax", "DROP TABLE person")
    town.execute("tax", "CREATE TABLE person (id_no VARCHAR(18) PRIMARY KEY, name VARCHAR(8), born DATE, ver BIGINT)")
    found = "；".join(map(str, endpoints.check_target(session, plan)))
    assert "district" in found
    assert "name" in found
    assert "8" in found
    town.report(person(1))
    town.run(SYNC)
    with pytest.raises(Invalid):
        town.run(town.share)
    assert town.query("tax", "SELECT * FROM person") == []


def test_the_script_for_the_recipients_administrator_makes_what_fits(
    town: Town, hub: Hub, endpoints: Endpoints, session: Session
) -> None:
    plan = hub.sharing.plan(town.share)
    town.execute("tax", "DROP TABLE person")
    assert endpoints.check_target(session, plan)
    script = endpoints.prepare(session, plan.target, plan)
    for statement in filter(str.strip, script.split(";\n")):
        town.execute("tax", statement)
    assert endpoints.check_target(session, plan) == []


def test_the_librarys_table_is_made_once_and_looked_at_again(endpoints: Endpoints, session: Session) -> None:
    kept = Resource.model_validate(resource())
    schema, end = library_schema(kept), library_end(kept)
    for _ in range(2):
        endpoints.install(session, end, key=kept.key, version=kept.version_item, schema=schema)
    assert endpoints.check_sink(session, end, key=kept.key, version=kept.version_item, schema=schema) == []
    wider = [{**item, "length": 80} if item["name"] == "name" else item for item in resource()["items"]]
    changed = Resource.model_validate(resource(items=wider))
    found = endpoints.check_sink(
        session, end, key=kept.key, version=kept.version_item, schema=library_schema(changed)
    )  # fmt: skip
    assert "name" in str(found)


def test_ends_are_data_sets_whatever_became_of_their_secrets(
    town: Town, endpoints: Endpoints, session: Session
) -> None:
    end = End(endpoint="police", object="inf_person", columns={})
    namespace, name = endpoints.dataset(session, end)
    assert namespace.endswith("/police.db")
    assert name == "inf_person"
    with town.away("police"):
        assert endpoints.dataset(session, end) == (namespace, name)
    assert endpoints.dataset(session, end.model_copy(update={"endpoint": "gone"})) == ("shutong://gone", "inf_person")
