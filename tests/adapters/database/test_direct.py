"""A delivery that is written while it is read: its transaction is its stage."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import DELETE, PUT, Claim, Delivery, Refresh
from adapters.database import DatabaseEndpoint
from adapters.database.direct import DirectDelivery
from adapters.errors import StageLost, Unavailable
from tests.adapters.database.conftest import (
    PERSON,
    SCHEMA,
    WITHOUT_VERSION,
    Deliverer,
    Hands,
    batch,
    counts,
    options_of,
    person,
)
from tests.support.servers import Server

CLAIM = Claim(key="key", exchange="exchange", epoch=1)


@pytest.fixture
def database_url(postgresql_server: Server) -> Iterator[str]:
    url = postgresql_server.new_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture
def endpoint(database_url: str) -> DatabaseEndpoint:
    made = DatabaseEndpoint(options_of(database_url))
    made.install(PERSON, SCHEMA)
    return made


def direct(endpoint: DatabaseEndpoint, claim: Claim = CLAIM, schema: pa.Schema = SCHEMA) -> Delivery | None:
    with endpoint.sink(PERSON) as sink:
        return sink.direct(claim, schema)


def opened(endpoint: DatabaseEndpoint) -> Delivery:
    delivery = direct(endpoint)
    assert delivery is not None
    return delivery


def staged(delivery: Delivery) -> int:
    """How many rows wait beside the table."""
    assert isinstance(delivery, DirectDelivery)
    connection, _ = delivery._lasting()
    stage = delivery._stage
    return 0 if stage is None else stage.count(connection)


def test_nobody_sees_a_row_before_the_commit(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1"), person("2")]))
    delivery.stage(batch([person("3")]))
    assert hands.persons() == []
    answer = delivery.commit(Deliverer.manifest(CLAIM, 3))
    assert (answer.written, answer.unchanged, answer.refused) == (3, 0, ())
    assert hands.persons("id") == [("1",), ("2",), ("3",)]
    assert delivery.commit(Deliverer.manifest(CLAIM, 3)) == answer
    with endpoint.sink(PERSON) as sink:
        assert sink.settled("key") == answer
        assert sink.epoch("exchange") == 1
        assert sink.resume(CLAIM, SCHEMA).commit(Deliverer.manifest(CLAIM, 3)) == answer
    assert not [name for name in hands.tables() if "_stage_" in name]


def test_who_leaves_leaves_nothing(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1")]))
    delivery.close()
    with pytest.raises(StageLost):
        delivery.commit(Deliverer.manifest(CLAIM, 1))
    with endpoint.sink(PERSON) as sink, pytest.raises(StageLost):
        sink.resume(CLAIM, SCHEMA).commit(Deliverer.manifest(CLAIM, 1))
    assert hands.persons() == []
    assert direct(endpoint) is not None


@pytest.mark.parametrize(
    ("rows", "told", "left"),
    [
        ([person("1", operation=DELETE)], (0, 0, 1, 0, 0), ["5"]),
        ([person("1"), person("1", 2)], (1, 0, 0, 1, 0), ["1", "5"]),
        ([person("1", name="甲" * 51), person("2")], (1, 0, 0, 0, 1), ["2", "5"]),
        ([person("1", name="a\0b"), person("2")], (1, 0, 0, 0, 1), ["2", "5"]),
    ],
    ids=["deletion", "twice", "long", "nul"],
)
def test_what_is_no_plain_insertion_is_merged(
    endpoint: DatabaseEndpoint, hands: Hands, rows: list[Any], told: tuple[int, ...], left: list[str]
) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch(rows))
    delivery.stage(batch([person("5")]))
    answer = delivery.commit(Deliverer.manifest(CLAIM, len(rows) + 1))
    assert counts(answer) == (told[0] + 1, *told[1:])
    assert [row for (row,) in hands.persons("id")] == left
    assert [refused.row for refused in answer.refused] == [0] * told[4]
    assert not [name for name in hands.tables() if "_stage_" in name]


def test_rows_that_are_there_are_compared_and_the_others_go_straight(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    Deliverer(endpoint)(person("02", 2, name="old"), person("04", 5), person("06", 1), key="before")
    delivery = opened(endpoint)
    delivery.stage(batch([person("01"), person("02", 3, name="new"), person("03"), person("04", 4), person("05")]))
    assert staged(delivery) == 2
    delivery.stage(batch([person(f"{number:02}") for number in range(6, 11)]))
    assert staged(delivery) == 3
    answer = delivery.commit(Deliverer.manifest(CLAIM, 10, previous="before"))
    assert counts(answer) == (8, 0, 1, 1, 0)
    found = dict(hands.persons("id", "name"))
    assert (len(found), found["02"]) == (10, "new")


def test_an_empty_table_is_filled_in_any_order(endpoint: DatabaseEndpoint) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("3"), person("1")]))
    delivery.stage(batch([person("2")]))
    assert staged(delivery) == 0
    assert counts(delivery.commit(Deliverer.manifest(CLAIM, 3, refresh=Refresh(may_fall=0.1)))) == (3, 0, 0, 0, 0)


def test_where_most_rows_are_there_it_is_not_asked_batch_by_batch(endpoint: DatabaseEndpoint) -> None:
    Deliverer(endpoint)(*(person(f"{number:02}") for number in range(30)), key="before")
    delivery = opened(endpoint)
    asked: list[str] = []
    listening = lambda *about: asked.append(about[2])  # noqa: E731
    sa.event.listen(sa.Engine, "before_cursor_execute", listening)
    try:
        for start in range(0, 30, 3):
            delivery.stage(batch([person(f"{number:02}") for number in range(start, start + 3)]))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listening)
    assert sum("BETWEEN" in statement for statement in asked) == 2
    assert counts(delivery.commit(Deliverer.manifest(CLAIM, 30, previous="before"))) == (0, 0, 30, 0, 0)


def test_a_constraint_refuses_its_row_only(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("ALTER TABLE person ADD CONSTRAINT sober CHECK (name <> 'x')")
    delivery = opened(endpoint)
    delivery.stage(batch([person("1"), person("2", name="x"), person("3")]))
    answer = delivery.commit(Deliverer.manifest(CLAIM, 3))
    assert [(refused.row, refused.rule) for refused in answer.refused] == [(1, "constraint")]
    assert hands.persons("id") == [("1",), ("3",)]


def test_a_row_that_a_trigger_swallows_is_refused(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run(
        "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER vanishing BEFORE INSERT ON person FOR EACH ROW WHEN (NEW.id = '2') EXECUTE FUNCTION vanish()",
    )
    delivery = opened(endpoint)
    delivery.stage(batch([person("1"), person("2"), person("3")]))
    answer = delivery.commit(Deliverer.manifest(CLAIM, 3))
    assert counts(answer) == (2, 0, 0, 0, 1)
    assert hands.persons("id") == [("1",), ("3",)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_it_comes_to_the_same_as_staging_everything(
    endpoint: DatabaseEndpoint, hands: Hands, data: st.DataObject
) -> None:
    """Two tables, the same deliveries: one by a stage, one directly; the second finds what the first has left."""
    run = secrets.token_hex(4)
    tables = [replace(PERSON, object=f"{way}_{run}") for way in ("staged", "direct")]
    for binding in tables:
        endpoint.install(binding, SCHEMA)
    rows = st.builds(person, st.sampled_from("123456789"), st.integers(1, 3), name=st.sampled_from("ab"))
    one = st.lists(rows, max_size=9, unique_by=lambda row: row["id"])
    ordered = one.map(lambda found: sorted(found, key=lambda row: row["id"]))
    for number in range(2):
        batches = data.draw(st.lists(st.one_of(one, ordered), max_size=1 + number), label=f"delivery {number}")
        batches = distinct([found for found in batches if found])
        told = []
        for binding in tables:
            claim = Claim(key=f"{number}-{binding.object}", exchange=binding.object, epoch=1)
            with endpoint.sink(binding) as sink:
                delivery = sink.begin(claim, SCHEMA) if binding is tables[0] else sink.direct(claim, SCHEMA)
                assert delivery is not None
                for found in batches:
                    delivery.stage(batch(found))
                told.append(counts(delivery.commit(Deliverer.manifest(claim, sum(map(len, batches))))))
                delivery.abort()
        assert told[0] == told[1]
        names = ("id", "version", "name")
        left = [hands.rows(f"SELECT {', '.join(names)} FROM {binding.object} ORDER BY id") for binding in tables]
        assert left[0] == left[1]


def distinct(batches: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """No key in two batches: which of the two would stand depends on the way."""
    seen: set[str] = set()
    kept = []
    for found in batches:
        fresh = [row for row in found if row["id"] not in seen]
        seen |= {row["id"] for row in fresh}
        kept += [fresh] if fresh else []
    return kept


def test_a_key_that_comes_again_in_a_later_batch_is_merged_into_the_first(
    endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1", name="a"), person("2")]))
    delivery.stage(batch([person("1", 2, name="b")]))
    delivery.stage(batch([person("3")]))
    assert counts(delivery.commit(Deliverer.manifest(CLAIM, 4))) == (4, 0, 0, 0, 0)
    assert hands.persons("id", "name")[0] == ("1", "b")


def test_a_key_that_waits_in_the_stage_is_not_overtaken_by_a_later_row_of_it(
    endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    """Without a version the last row stands, whichever way the rows before it went."""
    with endpoint.sink(WITHOUT_VERSION) as sink:
        delivery = sink.direct(CLAIM, SCHEMA)
        assert delivery is not None
        delivery.stage(batch([person("2", name="first"), person("2", name="second")]))
        delivery.stage(batch([person("2", name="last")]))
        delivery.stage(batch([person("1")]))
        assert counts(delivery.commit(Deliverer.manifest(CLAIM, 4))) == (2, 0, 0, 2, 0)
    assert hands.persons("id", "name")[1] == ("2", "last")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_comes_twice_the_last_stands_on_either_way(
    endpoint: DatabaseEndpoint, hands: Hands, data: st.DataObject
) -> None:
    """Keys come again in any batch, with rising versions or none; deletions too, in the second delivery."""
    run, versioned = secrets.token_hex(4), data.draw(st.booleans(), label="versioned")
    bindings = [
        replace(PERSON if versioned else WITHOUT_VERSION, object=f"{way}_{run}") for way in ("staged", "direct")
    ]
    for binding in bindings:
        endpoint.install(binding, SCHEMA)
    for number in range(2):
        rows = st.tuples(st.sampled_from("12345"), st.sampled_from([PUT, PUT, PUT, DELETE if number else PUT]))
        drawn = data.draw(st.lists(st.lists(rows, min_size=1, max_size=5), max_size=4), label=f"delivery {number}")
        place = itertools.count(number * 100)
        batches = [
            [
                person(key, at if versioned else 1, name=f"n{at}", operation=what)
                for key, what in found
                for at in (next(place),)
            ]
            for found in drawn
        ]
        for binding in bindings:
            claim = Claim(key=f"{number}-{binding.object}", exchange=binding.object, epoch=1)
            with endpoint.sink(binding) as sink:
                delivery = sink.begin(claim, SCHEMA) if binding is bindings[0] else sink.direct(claim, SCHEMA)
                assert delivery is not None
                for found in batches:
                    delivery.stage(batch(found))
                assert delivery.commit(Deliverer.manifest(claim, sum(map(len, batches)))).refused == ()
                delivery.abort()
        left = [hands.rows(f"SELECT id, version, name FROM {each.object} ORDER BY id") for each in bindings]
        assert left[0] == left[1]


def test_a_refresh_of_a_table_with_rows_wants_a_stage(endpoint: DatabaseEndpoint) -> None:
    Deliverer(endpoint)(person("1"), key="before")
    with endpoint.sink(PERSON) as sink:
        assert sink.direct(CLAIM, SCHEMA, empty=True) is None
        delivery = sink.direct(CLAIM, SCHEMA)
        assert delivery is not None
        delivery.close()


def test_a_table_with_tombstones_wants_a_stage(endpoint: DatabaseEndpoint) -> None:
    deliver = Deliverer(endpoint)
    deliver(person("1"), key="a")
    deliver(person("1", 2, operation=DELETE), key="b", previous="a")
    assert direct(endpoint) is None


def test_a_tombstone_that_another_delivery_leaves_meanwhile_is_noticed(
    endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1")]))
    Deliverer(endpoint, exchange="other")(person("1", 2, operation=DELETE), key="other")
    with pytest.raises(StageLost):
        delivery.commit(Deliverer.manifest(CLAIM, 1))
    assert hands.persons() == []


def test_a_table_with_columns_of_others_wants_a_stage(endpoint: DatabaseEndpoint) -> None:
    with endpoint.sink(replace(PERSON, fixed={"area": "3212"})) as sink:
        assert sink.direct(CLAIM, SCHEMA) is None


@pytest.mark.parametrize("way", ["staged", "direct"])
def test_a_key_that_no_deletion_could_name_refuses_its_row(endpoint: DatabaseEndpoint, hands: Hands, way: str) -> None:
    hands.run("ALTER TABLE person ALTER id TYPE text")
    schema = SCHEMA.set(0, pa.field("id", pa.string(), metadata={"length": "2000"}))
    with endpoint.sink(PERSON) as sink:
        delivery = sink.direct(CLAIM, schema) if way == "direct" else sink.begin(CLAIM, schema)
        assert delivery is not None
        delivery.stage(batch([person("1"), person("甲" * 600), person("2" * 500)], schema))
        answer = delivery.commit(Deliverer.manifest(CLAIM, 3))
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "length")]
    assert hands.persons("id") == [("1",), ("2" * 500,)]


def test_a_table_with_a_rule_wants_a_stage(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """Rows that are copied pass rules by."""
    hands.run(
        "CREATE TABLE seen (id text)",
        "CREATE RULE note AS ON INSERT TO person DO ALSO INSERT INTO seen VALUES (NEW.id)",
    )
    assert direct(endpoint) is None
    Deliverer(endpoint)(person("1"), person("2"))
    assert hands.rows("SELECT id FROM seen ORDER BY id") == [("1",), ("2",)]


def test_a_table_with_row_security_wants_a_stage(endpoint: DatabaseEndpoint, hands: Hands, database_url: str) -> None:
    """Rows cannot be copied into it by whoever is not its owner."""
    whose, url = f"whose_{secrets.token_hex(4)}", sa.make_url(database_url)
    hands.run(
        "ALTER TABLE person ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY everything ON person USING (true)",
        f"CREATE ROLE {whose} LOGIN PASSWORD 'secret'",
        f"GRANT ALL ON SCHEMA public TO {whose}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {whose}",
    )
    try:
        theirs = url.set(username=whose, password="secret").render_as_string(hide_password=False)
        other = DatabaseEndpoint(options_of(theirs))
        opened(endpoint).close()
        assert direct(other) is None
        assert counts(Deliverer(other)(person("1"))) == (1, 0, 0, 0, 0)
    finally:
        hands.run(f"DROP OWNED BY {whose}", f"DROP ROLE {whose}")
    assert hands.persons("id") == [("1",)]


def test_a_row_that_somebody_else_brings_meanwhile_is_compared_with(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1")]))
    hands.run("INSERT INTO person (id, version) VALUES ('2', 9)")
    delivery.stage(batch([person("2"), person("3")]))
    assert counts(delivery.commit(Deliverer.manifest(CLAIM, 3))) == (2, 0, 0, 1, 0)
    assert hands.persons("id", "version") == [("1", 1), ("2", 9), ("3", 1)]


def test_who_waits_for_a_row_of_ours_and_holds_what_we_want_is_let_go_first(
    endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    """One of the two is taken back by the server: if it is this one, all is read again, with a stage."""
    delivery = opened(endpoint)
    delivery.stage(batch([person("1", 5)]))
    with ThreadPoolExecutor(1) as threads:
        rival = threads.submit(Deliverer(endpoint, exchange="other"), person("1", 2), key="other")
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
        while not hands.rows(waiting):
            assert not rival.done()
            time.sleep(0.02)
        try:
            assert counts(delivery.commit(Deliverer.manifest(CLAIM, 1))) == (1, 0, 0, 0, 0)
        except StageLost:
            assert counts(rival.result()) == (1, 0, 0, 0, 0)
            assert counts(Deliverer(endpoint)(person("1", 5))) == (1, 0, 0, 0, 0)
        else:
            with pytest.raises(Unavailable):
                rival.result()
    assert hands.persons("id", "version") == [("1", 5)]


def test_who_keeps_a_row_locked_too_long_is_waited_for_at_the_commit_only(
    endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    delivery = opened(endpoint)
    connection, _ = delivery._lasting()  # type: ignore[attr-defined]
    connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
    with hands.engine.begin() as theirs:
        theirs.execute(sa.text("INSERT INTO person (id, version) VALUES ('2', 1)"))
        with pytest.raises(StageLost):
            delivery.stage(batch([person("1"), person("2")]))
    assert hands.persons("id") == [("2",)]


@pytest.mark.parametrize("way", ["direct", "begin", "resume"])
def test_a_later_owner_does_not_wait_for_one_that_lies_stopped(
    endpoint: DatabaseEndpoint, hands: Hands, way: str
) -> None:
    first = opened(endpoint)
    first.stage(batch([person("1")]))
    later = replace(CLAIM, epoch=2, key="key" if way != "begin" else "another")
    with endpoint.sink(PERSON) as sink:
        if way == "resume":
            with pytest.raises(StageLost):
                sink.resume(CLAIM, SCHEMA).commit(Deliverer.manifest(later, 1))
        second = sink.direct(later, SCHEMA) if way == "direct" else sink.begin(later, SCHEMA)
        assert second is not None
        second.stage(batch([person("1", 2)]))
        assert counts(second.commit(Deliverer.manifest(later, 1))) == (1, 0, 0, 0, 0)
    with pytest.raises((StageLost, Unavailable)):
        first.commit(Deliverer.manifest(CLAIM, 1))
    assert hands.persons("id", "version") == [("1", 2)]


def test_an_earlier_owner_ends_nobody(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    later = direct(endpoint, replace(CLAIM, epoch=2, key="later"))
    assert later is not None
    theirs = Claim(key="theirs", exchange="theirs", epoch=1)
    other = direct(endpoint, theirs)
    assert other is not None
    with endpoint.sink(PERSON) as sink:
        sink.begin(CLAIM, SCHEMA).abort()
    for delivery, claim in ((later, replace(CLAIM, epoch=2, key="later")), (other, theirs)):
        delivery.stage(batch([person(claim.key)]))
        assert counts(delivery.commit(Deliverer.manifest(claim, 1))) == (1, 0, 0, 0, 0)


def test_a_refresh_wants_its_rows_only(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1")]))
    hands.run("INSERT INTO person (id, version) VALUES ('x', 1)")
    with pytest.raises(StageLost):
        delivery.commit(Deliverer.manifest(CLAIM, 1, refresh=Refresh(may_fall=0.1)))
    assert hands.persons("id") == [("x",)]


def test_the_key_is_claimed_from_the_start(endpoint: DatabaseEndpoint) -> None:
    Deliverer(endpoint)(key="key")
    assert direct(endpoint) is None, "it was committed already"


def test_other_products_stage() -> None:
    with DatabaseEndpoint({"product": "sqlite", "path": "/nowhere.db"}).sink(PERSON) as sink:
        assert sink.direct(CLAIM, SCHEMA) is None
