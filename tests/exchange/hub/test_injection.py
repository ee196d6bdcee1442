"""SQL in every field of every registration stays text or is refused; no table is ever touched by it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.authorisation import parse_application
from exchange.errors import HubError
from tests.exchange.engine.town import (
    CODE,
    HUB,
    POLICE,
    SYNC,
    TAX,
    Town,
    application,
    endpoint_options,
    grant,
    person,
    prepare,
    publish,
    resource,
)

SQL = (
    "'; DROP TABLE department; --",
    '"; DROP TABLE person; --',
    "`; DROP TABLE inf_person; --",
    "x' OR '1'='1",
    "Robert'); DELETE FROM event; --",
    "%s %(id)s :id {0} $1 \\'; --",
)


def tables(town: Town) -> dict[str, Any]:
    """Every table of every database with its columns, and how many rows the unmoving ones have."""
    found: dict[str, Any] = {}
    hub = sa.create_engine(f"sqlite:///{town.home / 'hub.db'}", poolclass=sa.NullPool)
    for place, database in {**town.databases, "hub": hub}.items():
        inspector = sa.inspect(database)
        for name in inspector.get_table_names():
            found[f"{place}.{name}"] = [column["name"] for column in inspector.get_columns(name)]
    with hub.connect() as connection:
        found["events"] = connection.scalar(sa.text("SELECT count(*) FROM event"))
        found["departments"] = connection.scalar(sa.text("SELECT count(*) FROM department"))
    hub.dispose()
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in plain values a text stands, names of mappings included."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield (*path, ("name", name))
            yield from places(part, (*path, name))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from places(part, (*path, number))
    elif isinstance(value, str):
        yield path


def with_text(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """Plain values with another text in one place."""
    if not path:
        return text
    step, *rest = path
    if isinstance(step, tuple):
        return {text if name == step[1] else name: part for name, part in value.items()}
    if isinstance(value, Mapping):
        return {name: with_text(part, tuple(rest), text) if name == step else part for name, part in value.items()}
    return [with_text(part, tuple(rest), text) if number == step else part for number, part in enumerate(value)]


def written(town: Town) -> dict[str, dict[str, Any]]:
    """One of each that can be registered, with every field that takes a text."""
    return {
        "departments": {
            "code": TAX, "name": "税务局", "short_name": "税务", "division": "321200",
            "contacts": [{"name": "某科", "phone": "0523-1", "email": "a@b.c", "duty": "对接"}],
        },
        "endpoints": {
            "name": "tax", "department": TAX, "kind": "database", "zone": "Asia/Shanghai",
            "options": endpoint_options(town.urls["tax"], town.home),
        },
        "resources": resource(
            code="101001001/0005", name="新资源", provider_unit="户政科", share_ways_note="说明", open_condition="无",
            related=[CODE],
        ),
        "applications": {"id": "A-1", **application(masks={**application()["masks"], "name": {"mask": "name"}})},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["departments", "endpoints", "resources", "applications"])
def test_in_every_field_of_a_description(town: Town, tmp_path: Path, kind: str) -> None:
    given = written(town)[kind]
    file = tmp_path / "described.yaml"
    before = tables(town)
    refused = taken = 0
    with town.hub() as hub:
        for number, path in enumerate(places(given)):
            text = SQL[number % len(SQL)]
            file.write_text(json.dumps({kind: [with_text(given, path, text)]}, ensure_ascii=False))
            try:
                hub.configuration.plan([file], by=town.actor("integrator"))
                taken += 1
            except HubError as error:
                refused += 1
                assert error.message
        after = tables(town)
    assert {name: columns for name, columns in after.items() if name != "events"} == {
        name: columns for name, columns in before.items() if name != "events"
    }
    assert after["events"] >= before["events"]
    assert refused
    assert taken or kind in ("applications", "endpoints")
    assert town.faults() == []


def test_what_is_taken_is_stored_as_the_text_it_is(town: Town) -> None:
    with town.hub() as hub:
        for number, text in enumerate(SQL):
            given = resource(code=f"101001001/1{number}", name=text, abstract=text, share_condition=text, offer=None)
            hub.registration.register(given, by=town.actor("police"))
            entry = hub.directory.resource(given["code"], by=town.actor("police"))
            assert (entry.resource.name, entry.resource.abstract) == (text, text)
            with hub.database.reading() as session:
                hub.catalog.search(session, text="人口")
        found = hub.audit.search(by=town.actor("auditor"), text=SQL[0])
        assert found.events is not None
    assert town.faults() == []


@pytest.mark.parametrize("text", SQL)
def test_searching_and_asking_by_such_a_name(town: Town, text: str) -> None:
    before = tables(town)
    with town.hub() as hub:
        integrator, auditor = town.actor("integrator"), town.actor("auditor")
        attempts = (
            lambda: hub.oversight.run(text, by=integrator),
            lambda: hub.oversight.trace(text, by=integrator),
            lambda: hub.oversight.quarantine(exchange=text, run=text, by=integrator),
            lambda: hub.sharing.explain(text, by=integrator),
            lambda: hub.sharing.plan(text),
            lambda: hub.sharing.decide(text, approved=True, reasons=[text], by=town.actor("chief")),
            lambda: hub.sharing.change(text, "revoke", reason=text, by=town.actor("chief")),
            lambda: hub.registration.move(text, "submit_registration", opinion=text, by=town.actor("police")),
            lambda: hub.registration.test_endpoint(text, by=integrator),
            lambda: hub.registration.inspect_endpoint("police", text, by=integrator),
            lambda: hub.oversight.search(by=auditor, actor=text, text=text, exchange=text),
        )
        for attempt in attempts:
            try:
                attempt()
            except HubError as error:
                assert error.message
    after = tables(town)
    assert {**after, "events": 0} == {**before, "events": 0}
    assert town.faults() == []


@pytest.mark.long_with("mariadb")
def test_names_of_tables_and_columns_at_a_department_are_names_only(product_town: Town) -> None:
    """A recipient's table may bear any name: whoever runs the script gets a table, and nothing else happens."""
    town = product_town
    town.report(*(person(number) for number in range(6)))
    town.run_both()
    held, made = town.rows("tax"), 0
    for text in SQL[:5]:
        names = {"id_no": "id_no", "name": f"n{text}"[:60], "district": "district", "born": "born", "ver": "ver"}
        target = {"endpoint": "tax", "object": f"t{text}"[:60], "columns": names}
        with town.hub() as hub:
            try:
                town.grant = grant(town, hub, target=target)
                prepare(town, hub)
            except HubError:
                continue
        made += 1
        town.run(town.share)
        table = sa.table(target["object"], sa.column(names["name"]))
        assert len(town.query("tax", sa.select(table))) == len(held)
    assert made
    assert town.rows("tax") == held
    assert len(town.flags()) == 6


def test_offers_and_filters_that_are_sql(town: Town) -> None:
    town.report(*(person(number) for number in range(6)))
    town.run(SYNC)
    with town.hub() as hub:
        for number, text in enumerate(SQL):
            offer = {**resource()["offer"], "object": f"inf_person{text}"}
            with pytest.raises(HubError):
                publish(town, hub, resource(code=f"101001001/2{number}", name=f"资源{number}", offer=offer))
            target = {"endpoint": "tax", "object": f"filtered{number}", "columns": {}}
            town.grant = grant(town, hub, filter={"item": "district", "is": text}, target=target)
            prepare(town, hub)
            result = hub.oversight.run(town.share, by=town.actor("integrator"))
            assert (result.counts["read"], result.counts["filtered"]) == (6, 6)


@pytest.mark.long_with("mariadb")
def test_values_that_are_sql_travel_as_they_are(product_town: Town) -> None:
    town = product_town
    for number, text in enumerate(SQL, start=1):
        town.report(person(number, name=text, district="321202"))
    town.run_both()
    assert town.rows("library") == town.good()
    assert town.rows("tax") == town.granted()
    assert {row["name"][0] for row in town.rows("tax").values()} == {text[0] for text in SQL}


def test_an_application_is_read_before_it_is_looked_at(town: Town) -> None:
    before = tables(town)
    with town.hub() as hub:
        for number, path in enumerate(places(application())):
            given = with_text(application(), path, SQL[number % len(SQL)])
            try:
                hub.sharing.apply(parse_application(given), by=town.actor("tax"))
            except HubError as error:
                assert error.message
    after = tables(town)
    assert {**after, "events": 0} == {**before, "events": 0}
    assert town.rows("tax") == {}
    assert {HUB, POLICE, TAX} == {row[0] for row in sqlite_rows(town, "SELECT code FROM department")}


def sqlite_rows(town: Town, query: str) -> list[Any]:
    """Rows of the hub's database."""
    engine = sa.create_engine(f"sqlite:///{town.home / 'hub.db'}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = list(connection.execute(sa.text(query)))
    engine.dispose()
    return rows
