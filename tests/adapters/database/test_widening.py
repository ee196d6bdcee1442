"""A table that is there is made to hold further and longer items, where that loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from adapters.base import Binding, Selection
from adapters.database import DatabaseEndpoint
from adapters.errors import AdapterError
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import Deliverer, Hands, counts
from tests.adapters.database.test_script import by_hand

ITEMS = [
    Item(name="id", label="编号", type="C", length=20, mandatory=True),
    Item(name="name", label="姓名", type="C", length=50),
    Item(name="note", label="备注", type="C", length=300),
    Item(name="amount", label="金额", type="N", length=10, scale=2),
]
LONGER = [
    Item(name="id", label="编号", type="C", length=30, mandatory=True),
    Item(name="name", label="姓名", type="C", length=80),
    Item(name="note", label="备注", type="M"),
    Item(name="amount", label="金额", type="N", length=14, scale=4),
    Item(name="extra", label="另 100%", type="C", length=9),
]


def bound(items: list[Item], **changes: Any) -> Binding:
    columns = {item.name: item.name for item in items}
    return replace(
        Binding(object="person", columns=columns, key=("id",), fixed={"provider": "a"}, options={"journal": True}),
        **changes,
    )


@pytest.fixture
def library(endpoint: DatabaseEndpoint) -> DatabaseEndpoint:
    """A table as the first version of a resource has it."""
    assert endpoint.install(bound(ITEMS), arrow_schema(ITEMS)) == []
    return endpoint


def indexes(hands: Hands) -> list[Any]:
    inspector = sa.inspect(hands.engine)
    found = [(each["name"], each["column_names"], bool(each["unique"])) for each in inspector.get_indexes("person")]
    return [sorted(found, key=str), inspector.get_pk_constraint("person")["constrained_columns"]]


def row(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "name": name, "note": None, "amount": None, "_operation": 0, **more}


def test_longer_and_further_items(library: DatabaseEndpoint, hands: Hands) -> None:
    first = Deliverer(library, bound(ITEMS), arrow_schema(ITEMS))
    assert counts(first(row(1, "张𠮷"), row(2, "李"), key="one")) == (2, 0, 0, 0, 0)
    before = indexes(hands)
    schema, wider = arrow_schema(LONGER), bound(LONGER)
    assert len(library.check(wider, schema, sink=True)) >= 3
    assert library.install(wider, schema) == []
    assert library.check(wider, schema, sink=True) == []
    assert indexes(hands) == before
    structure = {column.name: column for column in library.structure("person").columns}
    assert (structure["id"].length, structure["name"].length) == (30, 80)
    assert not structure["id"].nullable
    assert structure["extra"].nullable
    if library._place.dialect.comments:
        assert [structure[name].label for name in ("name", "extra")] == ["姓名", "另 100%"]
    assert hands.rows("SELECT id, name, shutong_serial FROM person ORDER BY id") == [("1", "张𠮷", 1), ("2", "李", 1)]
    more = Deliverer(library, wider, schema)
    long = row(1, "长" * 80, note="注" * 5000, extra="x", id="9" * 30)
    assert counts(more(long, row(2, "李", extra=None), key="two", overwrite=True, previous="one")) == (1, 0, 1, 0, 0)
    assert hands.rows("SELECT name, note FROM person WHERE id = :id", id="9" * 30) == [("长" * 80, "注" * 5000)]
    # Who still delivers by the first version goes on.
    assert counts(first(row(3, "王"), key="three", previous="two")) == (1, 0, 0, 0, 0)


def test_a_second_time_changes_nothing(library: DatabaseEndpoint, hands: Hands) -> None:
    schema = arrow_schema(LONGER)
    library.install(bound(LONGER), schema)
    before = library.structure("person")
    assert library.install(bound(LONGER), schema) == []
    assert "ALTER" not in library.prepare(bound(LONGER), schema)
    # An earlier version again: what is wider stays so.
    assert library.install(bound(ITEMS), arrow_schema(ITEMS)) == []
    assert library.structure("person") == before


def test_what_cannot_be_made_to_fit_is_told_whole_and_changes_nothing(library: DatabaseEndpoint, hands: Hands) -> None:
    other = [
        ITEMS[0],
        LONGER[1],
        Item(name="note", label="备注", type="C", length=400),
        Item(name="amount", label="金额", type="G"),
        LONGER[4],
    ]
    short = [Item(name="id", label="编号", type="G"), *other[1:]]
    assert len(library.install(bound(short), arrow_schema(short))) == 2
    before = library.structure("person")
    stuck = library.install(bound(other), arrow_schema(other))
    said = "；".join(stuck)
    assert ["note" in said, "amount" in said, "name" in said] == [False, True, False]
    assert library.structure("person") == before
    text = library.prepare(bound(other), arrow_schema(other))
    assert text.count("-- 请人工处理") == len(stuck)


@contextmanager
def dying(after: int) -> Iterator[list[str]]:
    """The process dies, as far as the database can tell, after so many definitions were carried out."""
    done: list[str] = []

    def executed(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("CREATE", "ALTER", "DROP", "INSERT", "COMMENT")):
            if len(done) == after:
                connection.connection.driver_connection.close()  # type: ignore[union-attr]
                raise KeyboardInterrupt
            done.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", executed)
    try:
        yield done
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", executed)


def test_death_between_any_two_statements(library: DatabaseEndpoint, hands: Hands) -> None:
    deliver = Deliverer(library, bound(ITEMS), arrow_schema(ITEMS))
    deliver(row(1, "张𠮷"), row(2, "李"), key="one")
    schema, wider = arrow_schema(LONGER), bound(LONGER)
    deaths = 0
    for deaths in range(60):
        with dying(deaths) as done, suppress(KeyboardInterrupt, AdapterError, sa.exc.SQLAlchemyError):
            library.install(wider, schema)
        if len(done) < deaths:
            break  # it came to its end before it had to die
        assert hands.rows("SELECT id, name FROM person ORDER BY id") == [("1", "张𠮷"), ("2", "李")]
        # Sharing from it goes on with what is there.
        with library.source(bound(ITEMS, capture="journal")) as source:
            assert sum(each.num_rows for each in source.batches(Selection())) == 2
    assert 2 < deaths < 59
    assert library.check(wider, schema, sink=True) == []
    assert [name for name in hands.tables() if "anew" in name] == []
    assert indexes(hands)[1] == ["provider", "id"]


def test_two_at_once_make_it_fit_both(library: DatabaseEndpoint) -> None:
    """Of two who publish at one moment, the second sees what the first did, and narrows nothing."""
    shorter = [LONGER[0], Item(name="name", label="姓名", type="C", length=60)]
    ready = threading.Barrier(2)
    stuck: list[list[str]] = []

    def publish(items: list[Item]) -> None:
        ready.wait()
        stuck.append(library.install(bound(items), arrow_schema(items)))

    threads = [threading.Thread(target=publish, args=(items,)) for items in (LONGER, shorter)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stuck == [[], []]
    assert library.check(bound(LONGER), arrow_schema(LONGER), sink=True) == []


def test_a_departments_table_gets_the_statements_printed(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run(
        "CREATE TABLE person (id VARCHAR(30) PRIMARY KEY, name VARCHAR(8) DEFAULT 'a''b:c%' NOT NULL, "
        "note VARCHAR(300) DEFAULT '', mine INTEGER DEFAULT 5, CONSTRAINT one_of_us UNIQUE (mine))",
        "CREATE INDEX by_name ON person (name)",
        "INSERT INTO person (id, mine) VALUES ('1', 7)",
    )
    items = [*LONGER[:2], ITEMS[2], ITEMS[3]]
    binding, schema = bound(items, fixed={}, options={}), arrow_schema(items)
    text = endpoint.prepare(binding, schema)
    assert hands.rows("SELECT id, name, mine FROM person") == [("1", "a'b:c%", 7)]
    assert "amount" in text
    before = indexes(hands)
    by_hand(hands, text)
    assert endpoint.check(binding, schema, sink=True) == []
    assert indexes(hands) == before
    structure = {column.name: column for column in endpoint.structure("person").columns}
    assert (structure["name"].length, structure["name"].nullable, structure["name"].filled) == (80, False, True)
    hands.run("INSERT INTO person (id) VALUES ('2')")
    assert hands.rows("SELECT id, name, note, mine FROM person ORDER BY id") == [
        ("1", "a'b:c%", "", 7),
        ("2", "a'b:c%", "", 5),
    ]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW of_people AS SELECT name FROM person",
        "CREATE TABLE child (id VARCHAR(30) REFERENCES person (id))",
        "CREATE TRIGGER t AFTER INSERT ON person BEGIN SELECT 1; END",
    ],
)
def test_a_table_others_depend_on_is_not_made_anew(endpoint: DatabaseEndpoint, hands: Hands, made: str) -> None:
    if endpoint._place.dialect.types_itself:
        return  # altered in place there
    hands.run("CREATE TABLE person (id VARCHAR(30) PRIMARY KEY, name VARCHAR(8))", made)
    items = LONGER[:2]
    binding, schema = bound(items, fixed={}, options={}), arrow_schema(items)
    assert "请人工处理：表 person 不能重建" in endpoint.prepare(binding, schema)
    assert "DROP TABLE" not in endpoint.prepare(binding, schema)


def test_a_texts_collation_stays(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    if endpoint._place.dialect.types_itself:
        word = 'COLLATE "C"' if hands.product == "postgresql" else "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
        hands.run(f"CREATE TABLE person (id VARCHAR(30) PRIMARY KEY, name VARCHAR(8) {word})")
        before = {column.name: column for column in endpoint.structure("person").columns}["name"]
        items = LONGER[:2]
        by_hand(hands, endpoint.prepare(bound(items, fixed={}, options={}), arrow_schema(items)))
        after = {column.name: column for column in endpoint.structure("person").columns}["name"]
        assert (after.length, after.charset, after.collation) == (80, before.charset, before.collation)
