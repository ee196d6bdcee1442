"""A first delivery: its transaction is its stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from adapters.base import DELETE, Claim, Delivery
from adapters.database import DatabaseEndpoint
from adapters.errors import StageLost
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, batch, options_of, person
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


def first(endpoint: DatabaseEndpoint, claim: Claim = CLAIM, schema: pa.Schema = SCHEMA) -> Delivery | None:
    with endpoint.sink(PERSON) as sink:
        return sink.first(claim, schema)


def opened(endpoint: DatabaseEndpoint) -> Delivery:
    delivery = first(endpoint)
    assert delivery is not None
    return delivery


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
    assert first(endpoint) is not None


@pytest.mark.parametrize(
    "rows",
    [
        [person("1", operation=DELETE)],
        [person("1"), person("1", 2)],
        [person("1", name="甲" * 51)],
        [person("1", name="a\0b")],
    ],
    ids=["deletion", "twice", "long", "nul"],
)
def test_what_is_no_plain_insertion_begins_again(endpoint: DatabaseEndpoint, hands: Hands, rows: list[object]) -> None:
    delivery = opened(endpoint)
    with pytest.raises(StageLost):
        delivery.stage(batch(rows))  # type: ignore[arg-type]
    with pytest.raises(StageLost):
        delivery.stage(batch([person("5")]))
    assert hands.persons() == []
    staged = Deliverer(endpoint)(*rows, key="key")  # type: ignore[arg-type]
    assert staged.key == "key"


def test_a_table_that_is_not_empty_wants_a_stage(endpoint: DatabaseEndpoint) -> None:
    deliver = Deliverer(endpoint)
    deliver(person("1"), key="a")
    assert first(endpoint) is None
    deliver(person("1", 2, operation=DELETE), key="b", previous="a")
    assert first(endpoint) is None, "a tombstone is left"


def test_a_table_with_columns_of_others_wants_a_stage(endpoint: DatabaseEndpoint) -> None:
    with endpoint.sink(replace(PERSON, fixed={"area": "3212"})) as sink:
        assert sink.first(CLAIM, SCHEMA) is None


def test_a_row_that_somebody_else_brought_is_noticed(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    delivery = opened(endpoint)
    delivery.stage(batch([person("1")]))
    hands.run("INSERT INTO person (id, version) VALUES ('x', 1)")
    with pytest.raises(StageLost):
        delivery.commit(Deliverer.manifest(CLAIM, 1))
    assert hands.persons("id") == [("x",)]
    hands.run("DELETE FROM person")
    with pytest.raises(StageLost):
        delivery.commit(Deliverer.manifest(CLAIM, 1))


def test_the_key_is_claimed_from_the_start(endpoint: DatabaseEndpoint) -> None:
    Deliverer(endpoint)(key="key")
    assert first(endpoint) is None, "it was committed already"


def test_other_products_stage() -> None:
    with DatabaseEndpoint({"product": "sqlite", "path": "/nowhere.db"}).sink(PERSON) as sink:
        assert sink.first(CLAIM, SCHEMA) is None
