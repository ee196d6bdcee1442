"""What a department does to its table with real statements, and what is told of it."""

from __future__ import annotations

import pytest

from adapters import Difference, Structure, differences
from adapters.database import DatabaseEndpoint
from adapters.errors import Misconfigured
from tests.adapters.database.conftest import Hands

TABLE = (
    "CREATE TABLE person (id VARCHAR(18) NOT NULL PRIMARY KEY, name VARCHAR(64), amount DECIMAL(12, 2), "
    "num INTEGER, note VARCHAR(20) NOT NULL)"
)
COLUMNS = {
    "id": "id VARCHAR(18) NOT NULL PRIMARY KEY",
    "name": "name VARCHAR(64)",
    "amount": "amount DECIMAL(12, 2)",
    "num": "num INTEGER",
    "note": "note VARCHAR(20) NOT NULL",
}

CHANGES: list[tuple[str, dict[str, str], set[tuple[str, str]]]] = [
    # What happens, the new definitions of columns, what is told of them.
    ("text wider", {"name": "name VARCHAR(80)"}, {("widened", "name")}),
    ("text narrower", {"name": "name VARCHAR(30)"}, {("narrowed", "name")}),
    ("text without bound", {"name": "name TEXT"}, {("widened", "name")}),
    ("decimal wider", {"amount": "amount DECIMAL(14, 2)"}, {("widened", "amount")}),
    ("decimal narrower", {"amount": "amount DECIMAL(12, 3)"}, {("narrowed", "amount")}),
    ("type", {"amount": "amount VARCHAR(20)"}, {("type", "amount")}),
    ("not null", {"name": "name VARCHAR(64) NOT NULL"}, {("not null", "name")}),
    ("nullable", {"note": "note VARCHAR(20)"}, {("nullable", "note")}),
    ("default", {"name": "name VARCHAR(64) DEFAULT 'x'"}, {("default", "name")}),
]


def alter(hands: Hands, definitions: dict[str, str]) -> None:
    """Change columns as each product lets its people: with ALTER TABLE, or by a table made anew."""
    if hands.product == "sqlite":
        columns = ", ".join((COLUMNS | definitions).values())
        hands.run(f"CREATE TABLE anew ({columns})", "DROP TABLE person", "ALTER TABLE anew RENAME TO person")
        return
    for name, definition in definitions.items():
        if hands.product == "mariadb":
            hands.run(f"ALTER TABLE person MODIFY COLUMN {definition}")
            continue
        kind = definition.removeprefix(f"{name} ").partition(" NOT NULL")[0].partition(" DEFAULT")[0]
        hands.run(
            f"ALTER TABLE person ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}",
            f"ALTER TABLE person ALTER COLUMN {name} {'SET' if 'NOT NULL' in definition else 'DROP'} NOT NULL",
        )
        if "DEFAULT" in definition:
            hands.run(f"ALTER TABLE person ALTER COLUMN {name} SET DEFAULT {definition.partition('DEFAULT ')[2]}")


def told(endpoint: DatabaseEndpoint, before: Structure) -> tuple[Difference, ...]:
    # As the hub keeps it.
    return differences(Structure.read(before.document()), endpoint.structure("person"))


@pytest.fixture
def before(endpoint: DatabaseEndpoint, hands: Hands) -> Structure:
    hands.run(TABLE)
    return endpoint.structure("person")


def test_a_table_made_again_alike_is_no_difference(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    assert [column.name for column in before.columns] == list(COLUMNS)
    assert (before.lies, before.key) == ("table", ("id",))
    hands.run("DROP TABLE person", TABLE)
    assert told(endpoint, before) == ()


@pytest.mark.parametrize(("definitions", "expected"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES])
def test_each_change_of_a_column(
    endpoint: DatabaseEndpoint,
    hands: Hands,
    before: Structure,
    definitions: dict[str, str],
    expected: set[tuple[str, str]],
) -> None:
    alter(hands, definitions)
    assert {(each.kind, each.column) for each in told(endpoint, before)} == expected


def test_wider_and_narrower_integers(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    if not endpoint._place.dialect.types_itself:
        return  # every integer is as wide there
    alter(hands, {"num": "num BIGINT"})
    assert [each.kind for each in told(endpoint, before)] == ["widened"]
    alter(hands, {"num": "num SMALLINT"})
    assert [each.kind for each in told(endpoint, before)] == ["narrowed"]


def test_added_dropped_and_renamed(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    hands.run("ALTER TABLE person ADD COLUMN phone VARCHAR(11)")
    assert [(each.kind, each.column) for each in told(endpoint, before)] == [("added", "phone")]
    hands.run("ALTER TABLE person DROP COLUMN phone", "ALTER TABLE person RENAME COLUMN name TO full_name")
    (renamed,) = told(endpoint, before)
    assert (renamed.kind, renamed.column, renamed.after) == ("renamed", "name", "full_name")
    assert "位置相同" in renamed.reasons
    hands.run("ALTER TABLE person DROP COLUMN full_name")
    assert [(each.kind, each.column) for each in told(endpoint, before)] == [("dropped", "name")]


def test_the_key(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    if hands.product == "sqlite":
        columns = ", ".join((COLUMNS | {"id": "id VARCHAR(18) NOT NULL"}).values())
        hands.run("DROP TABLE person", f"CREATE TABLE person ({columns}, PRIMARY KEY (id, note))")
    else:
        drop = "DROP PRIMARY KEY" if hands.product == "mariadb" else "DROP CONSTRAINT person_pkey"
        hands.run(f"ALTER TABLE person {drop}, ADD PRIMARY KEY (id, note)")
    assert [(each.kind, each.before, each.after) for each in told(endpoint, before)] == [("key", "id", "id、note")]
    hands.run("CREATE UNIQUE INDEX also ON person (name)")
    assert [each.kind for each in told(endpoint, before)] == ["key"]


def test_a_further_unique_index(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    hands.run("CREATE UNIQUE INDEX also ON person (name)")
    assert [each.kind for each in told(endpoint, before)] == ["unique"]


def test_gone_a_view_in_its_place_and_back(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    hands.run("ALTER TABLE person RENAME TO people")
    assert [each.kind for each in told(endpoint, before)] == ["gone"]
    hands.run("CREATE VIEW person AS SELECT * FROM people")
    assert "lies" in [each.kind for each in told(endpoint, before)]
    hands.run("DROP VIEW person", "ALTER TABLE people RENAME TO person")
    assert told(endpoint, before) == ()


def test_a_materialised_view_is_a_view(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    if hands.product == "postgresql":
        hands.run("CREATE MATERIALIZED VIEW seen AS SELECT * FROM person")
        assert endpoint.structure("seen").lies == "view"


def test_character_sets_and_collations(endpoint: DatabaseEndpoint, hands: Hands, before: Structure) -> None:
    if hands.product == "mariadb":
        hands.run("ALTER TABLE person MODIFY COLUMN name VARCHAR(64) CHARACTER SET latin1")
        assert "characters" in [each.kind for each in told(endpoint, before)]
    if hands.product == "postgresql":
        hands.run('ALTER TABLE person ALTER COLUMN name TYPE VARCHAR(64) COLLATE "C"')
        assert [(each.kind, each.after) for each in told(endpoint, before)] == [("collation", "C")]


def test_texts_and_bytes_whose_width_is_in_their_name(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    if hands.product != "mariadb":
        return
    kinds = []
    hands.run("CREATE TABLE person (id INTEGER PRIMARY KEY, note LONGTEXT, photo LONGBLOB)")
    for text, binary in (("MEDIUMTEXT", "MEDIUMBLOB"), ("TEXT", "BLOB"), ("TINYTEXT", "VARBINARY(9)")):
        before = endpoint.structure("person")
        hands.run(f"ALTER TABLE person MODIFY COLUMN note {text}, MODIFY COLUMN photo {binary}")
        kinds.append({each.kind for each in told(endpoint, before)})
    assert kinds == [{"narrowed"}] * 3


def test_a_name_that_is_the_products_own(endpoint: DatabaseEndpoint, before: Structure) -> None:
    assert differences(before, endpoint.structure("person")) == ()
    assert endpoint.structure("nothing").lies == "absent"
    if endpoint._place.dialect.reserved:
        with pytest.raises(Misconfigured):
            endpoint.structure(f"{endpoint._place.dialect.reserved}master")
