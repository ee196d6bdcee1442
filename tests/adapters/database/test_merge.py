from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import DELETE, OPERATION, PUT, Binding, Claim
from adapters.database import DatabaseEndpoint
from adapters.errors import StageLost
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, batch, counts, person

SMALL = arrow_schema(
    [
        Item(name="id", label="编号", type="C", length=20, mandatory=True),
        Item(name="name", label="姓名", type="C", length=50),
        Item(name="version", label="版本", type="I"),
    ]
)
VERSIONED = Binding(object="person", columns={name: name for name in SMALL.names}, key=("id",), version="version")
UNVERSIONED = replace(VERSIONED, version=None)


@dataclass
class Model:
    """What a target holds, and what each decision does to it."""

    versioned: bool
    rows: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    graves: dict[str, Any] = field(default_factory=dict)

    def deliver(self, staged: list[dict[str, Any]], *, overwrite: bool) -> tuple[int, int, int, int, int]:
        fates = []
        for _, rows in itertools.groupby(
            sorted(enumerate(staged), key=lambda pair: pair[1]["id"]), lambda p: p[1]["id"]
        ):
            ordered = sorted(rows, key=lambda pair: (self.rank(pair[1]), pair[0]))
            winner = ordered.pop()[1]
            fates += [self.beaten(row, winner, overwrite) for _, row in ordered]
            fates.append(self.put(winner, overwrite) if winner[OPERATION] == PUT else self.delete(winner))
        many = {fate: fates.count(fate) for fate in ("written", "deleted", "unchanged", "superseded", "refused")}
        return (many["written"] + many["deleted"], *list(many.values())[1:])

    def rank(self, row: dict[str, Any]) -> float:
        if not self.versioned or row["version"] is None:
            return float("-inf")
        return float(row["version"])

    def beaten(self, row: dict[str, Any], winner: dict[str, Any], overwrite: bool) -> str:
        if not self.versioned or self.rank(row) < self.rank(winner) or row[OPERATION] != winner[OPERATION]:
            return "superseded"
        if row[OPERATION] == DELETE or row["name"] == winner["name"]:
            return "unchanged"
        return "superseded" if overwrite else "refused"

    def put(self, row: dict[str, Any], overwrite: bool) -> str:
        key, content = row["id"], (row["name"], row["version"])
        there = self.rows.get(key)
        if there is None and key in self.graves and self.versioned:
            grave = self.rank({"version": self.graves[key]})
            if self.rank(row) < grave or (self.rank(row) == grave and not overwrite):
                return "superseded"
        if there is not None:
            here = self.rank({"version": there[1]})
            if self.versioned and self.rank(row) < here:
                return "superseded"
            if there == content:
                return "unchanged"
            if self.versioned and self.rank(row) == here and not overwrite:
                return "refused"
        self.rows[key] = content
        self.graves.pop(key, None)
        return "written"

    def delete(self, row: dict[str, Any]) -> str:
        key, version = row["id"], row["version"] if self.versioned else None
        there = self.rows.get(key)
        if there is not None and self.versioned and self.rank({"version": there[1]}) > self.rank(row):
            return "superseded"
        self.graves[key] = max(version, self.graves.get(key), key=lambda each: -1 if each is None else each)
        if there is None:
            return "unchanged"
        del self.rows[key]
        return "deleted"


ROWS = st.builds(
    lambda key, name, version, operation: {
        "id": key,
        "name": name if operation == PUT else None,
        "version": version,
        OPERATION: operation,
    },
    st.sampled_from(["a", "A", "甲", "𠮷"]),
    st.sampled_from([None, "", "x", "X", "x "]),
    st.sampled_from([None, 1, 2, 10]),
    st.sampled_from([PUT, PUT, PUT, DELETE]),
)
DELIVERIES = st.lists(st.tuples(st.lists(ROWS, max_size=6), st.booleans()), min_size=1, max_size=3)


@pytest.mark.long_with("mariadb")
@pytest.mark.parametrize("binding", [VERSIONED, UNVERSIONED], ids=["versioned", "unversioned"])
def test_the_merge_agrees_with_its_model(endpoint: DatabaseEndpoint, hands: Hands, binding: Binding) -> None:
    """Texts that collations take for one another are different keys and different contents."""
    endpoint.install(binding, SMALL)
    keys = itertools.count()
    sink = endpoint.sink(binding)

    @settings(
        max_examples=25 if hands.product == "sqlite" else 8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(DELIVERIES)
    def agrees(deliveries: list[tuple[list[dict[str, Any]], bool]]) -> None:
        hands.run("DELETE FROM person", "DELETE FROM shutong_tombstone")
        model = Model(versioned=binding.version is not None)
        for staged, overwrite in deliveries:
            claim = Claim(key=f"k{next(keys)}", exchange="exchange", epoch=1)
            delivery = sink.begin(claim, SMALL)
            delivery.stage(batch(staged, SMALL))
            answer = delivery.commit(Deliverer.manifest(claim, len(staged), overwrite=overwrite))
            delivery.abort()
            assert counts(answer) == model.deliver(staged, overwrite=overwrite)
            found = {key: (name, version) for key, name, version in hands.persons()}
            assert found == model.rows
            graves = hands.rows("SELECT key_text, version FROM shutong_tombstone")
            assert dict(graves) == {
                f'["{key}"]': None if version is None else str(version) for key, version in model.graves.items()
            }

    agrees()


def test_a_late_lower_version_is_superseded(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", 10, name="new"), key="first")
    assert counts(deliver(person("1", 9, name="old"), key="second")) == (0, 0, 0, 1, 0)
    assert hands.persons("name") == [("new",)]


def test_a_repeat_is_unchanged_and_other_content_of_the_same_version_a_conflict(
    deliver: Deliverer, hands: Hands
) -> None:
    deliver(person("1"), person("2"), key="first")
    answer = deliver(person("1"), person("2", photo=b"other"), key="second")
    assert counts(answer) == (0, 0, 1, 0, 1)
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "conflict")]
    assert "张" not in answer.refused[0].reason
    assert counts(deliver(person("2", photo=b"other"), key="third", overwrite=True)) == (1, 0, 0, 0, 0)
    assert hands.rows("SELECT delivery_key, rule FROM shutong_refusal") == [("second", "conflict")]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "張𠮷"},
        {"name": None},
        {"name": "张𠮷 "},
        {"amount": None},
        {"born": date(1960, 3, 1)},
        {"valid": False},
        {"photo": b""},
        {"score": 0.2},
    ],
    ids=str,
)
def test_every_item_is_content(deliver: Deliverer, change: dict[str, Any]) -> None:
    deliver(person("1"), key="first")
    assert counts(deliver(person("1", **change), key="second")) == (0, 0, 0, 0, 1)


def test_a_deletion_leaves_a_tombstone(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", 1), key="first")
    gone = person("1", 3, operation=DELETE)
    assert counts(deliver(gone, key="second")) == (1, 1, 0, 0, 0)
    assert counts(deliver(gone, key="third")) == (0, 0, 1, 0, 0)
    assert counts(deliver(person("1", 2), person("1", 3), key="fourth")) == (0, 0, 0, 2, 0)
    assert counts(deliver(person("1", 4), key="fifth")) == (1, 0, 0, 0, 0)
    assert hands.rows("SELECT * FROM shutong_tombstone") == []
    assert counts(deliver(person("1", 3, operation=DELETE), key="sixth")) == (0, 0, 0, 1, 0)
    assert hands.persons("version") == [(4,)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rows_that_a_trigger_moves_are_written_all_the_same(deliver: Deliverer, hands: Hands) -> None:
    deliver(*(person(str(number)) for number in range(10)), key="first")
    hands.run(
        "ALTER TABLE person ADD touched integer",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE person SET touched = 1; RETURN NULL; END $$",
        "CREATE TRIGGER touching AFTER DELETE ON person FOR EACH ROW EXECUTE FUNCTION touch()",
    )
    changed = [person(str(number), 2, name="new") for number in range(1, 10)]
    assert counts(deliver(person("0", 2, operation=DELETE), *changed, key="second")) == (10, 1, 0, 0, 0)
    assert hands.persons("name", "version", "touched") == [("new", 2, 1)] * 9


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("parts", ["partitions", "children"])
def test_rows_of_other_parts_of_a_table_are_left_alone(deliver: Deliverer, hands: Hands, parts: str) -> None:
    """Each part of a table has a first row on its first page."""
    if parts == "partitions":
        hands.run(
            "ALTER TABLE person RENAME TO old",
            "CREATE TABLE person (LIKE old INCLUDING ALL) PARTITION BY RANGE (id)",
            "CREATE TABLE person_low PARTITION OF person FOR VALUES FROM ('0') TO ('5')",
            "CREATE TABLE person_high PARTITION OF person FOR VALUES FROM ('5') TO ('9')",
        )
    else:
        hands.run("CREATE TABLE person_high (LIKE person INCLUDING ALL) INHERITS (person)")
    deliver(*(person(str(number), name="old") for number in range(4)), key="first")
    hands.run("INSERT INTO person_high (id, name, version) VALUES ('5', 'other', 1), ('6', 'other', 1)")
    changed = [person(str(number), 2, name="new") for number in range(2)]
    assert counts(deliver(*changed, key="second")) == (2, 0, 0, 0, 0)
    assert hands.persons("name", "version") == [("new", 2)] * 2 + [("old", 1)] * 2 + [("other", 1)] * 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_constraint_that_waits_for_the_commit_refuses_the_row_too(deliver: Deliverer, hands: Hands) -> None:
    hands.run("ALTER TABLE person ADD CONSTRAINT one_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    answer = deliver(person("1", name="a"), person("2", name="b"), person("3", name="a"), key="first")
    assert [(row.row, row.rule) for row in answer.refused] == [(2, "constraint")]
    assert "one_name" in answer.refused[0].reason
    assert counts(answer) == (2, 0, 0, 0, 1)
    assert hands.persons("id", "name") == [("1", "a"), ("2", "b")]
    # What they allow only together they still do.
    swapped = [person("1", 2, name="b"), person("2", 2, name="c"), person("3", 2, name="a")]
    assert counts(deliver(*swapped, key="second")) == (3, 0, 0, 0, 0)
    assert hands.persons("id", "name") == [("1", "b"), ("2", "c"), ("3", "a")]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_trigger_that_waits_for_the_commit_refuses_the_row_too(deliver: Deliverer, hands: Hands) -> None:
    hands.run(
        "CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON person DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.name = 'x') EXECUTE FUNCTION object()",
    )
    answer = deliver(person("1"), person("2", name="x"), person("3"))
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "constraint")]
    assert hands.persons("id") == [("1",), ("3",)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_first_delivery_asks_waiting_constraints_before_it_commits(deliver: Deliverer, hands: Hands) -> None:
    hands.run("ALTER TABLE person ADD CONSTRAINT one_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    claim = Claim(key="first", exchange="exchange", epoch=1)
    with deliver.endpoint.sink(deliver.binding) as sink:
        delivery = sink.direct(claim, SCHEMA)
        assert delivery is not None
        delivery.stage(batch([person("1", name="a"), person("2", name="a")]))
        with pytest.raises(StageLost, match="one_name"):
            delivery.commit(Deliverer.manifest(claim, 2))
        assert sink.settled("first") is None
    assert hands.persons() == []


def test_a_deletion_that_other_tables_forbid_is_refused_alone(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1"), person("2"), person("3"), key="first")
    hands.run(
        "CREATE TABLE child (id VARCHAR(20) NOT NULL, FOREIGN KEY (id) REFERENCES person (id))"
        if hands.product != "mariadb"
        else "CREATE TABLE child AS SELECT id FROM person WHERE id = 'x'",
        *(["ALTER TABLE child ADD FOREIGN KEY (id) REFERENCES person (id)"] if hands.product == "mariadb" else []),
        "INSERT INTO child VALUES ('2')",
    )
    gone = [person(str(number), 2, operation=DELETE) for number in (1, 2)]
    answer = deliver(*gone, person("3", 2), key="second", previous="first")
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "constraint")]
    assert counts(answer) == (2, 1, 0, 0, 1)
    assert hands.persons("id") == [("2",), ("3",)]
    # It is not counted as deleted: once nothing forbids it, it is.
    hands.run("DELETE FROM child")
    assert counts(deliver(gone[1], key="third", previous="second")) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("operation", ["UPDATE", "DELETE"])
def test_a_change_that_a_trigger_swallows_is_refused(deliver: Deliverer, hands: Hands, operation: str) -> None:
    deliver(person("1"), person("2"), key="first")
    hands.run(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        f"CREATE TRIGGER keeping BEFORE {operation} ON person FOR EACH ROW WHEN (OLD.id = '2') EXECUTE FUNCTION keep()",
    )
    deleted = operation == "DELETE"
    rows = [person(key, 2, operation=DELETE) if deleted else person(key, 2, name="new") for key in ("1", "2")]
    answer = deliver(*rows, key="second", previous="first")
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "constraint")]
    assert counts(answer) == (1, int(deleted), 0, 0, 1)
    assert hands.persons("id", "version")[-1] == ("2", 1)


VANISHING = {
    "postgresql": (
        "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER vanishing BEFORE INSERT ON person FOR EACH ROW WHEN (NEW.id = '2') EXECUTE FUNCTION vanish()",
    ),
    "sqlite": ("CREATE TRIGGER vanishing BEFORE INSERT ON person WHEN NEW.id = '2' BEGIN SELECT RAISE(IGNORE); END",),
}


@pytest.mark.parametrize("database_url", ["postgresql", "sqlite"], indirect=True)
def test_a_row_that_a_trigger_lets_vanish_is_not_delivered(deliver: Deliverer, hands: Hands) -> None:
    with hands.engine.begin() as connection:
        for statement in VANISHING[hands.product]:
            connection.exec_driver_sql(statement)
    answer = deliver(*(person(str(number)) for number in range(1, 4)), key="first")
    assert counts(answer) == (2, 0, 0, 0, 1)
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "constraint")]
    assert hands.persons("id") == [("1",), ("3",)]


REJECTING = {
    "postgresql": (
        "CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'bad'; END $$",
        "CREATE TRIGGER rejects BEFORE INSERT ON person FOR EACH ROW WHEN (NEW.name = 'bad') EXECUTE FUNCTION reject()",
    ),
    "mariadb": (
        """CREATE TRIGGER rejects BEFORE INSERT ON person FOR EACH ROW
        IF NEW.name = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'bad'; END IF""",
    ),
    "sqlite": (
        "CREATE TRIGGER rejects BEFORE INSERT ON person WHEN NEW.name = 'bad' BEGIN SELECT RAISE(ABORT, 'bad'); END",
    ),
}


def test_a_row_that_a_trigger_rejects_is_refused(deliver: Deliverer, hands: Hands) -> None:
    hands.run(*REJECTING[hands.product])
    answer = deliver(person("1"), person("2", name="bad"), person("3"), key="first")
    assert counts(answer) == (2, 0, 0, 0, 1)
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "constraint")]
    assert "bad" not in answer.refused[0].reason
    assert hands.persons("id") == [("1",), ("3",)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rows_that_a_trigger_puts_into_parts_are_delivered(deliver: Deliverer, hands: Hands) -> None:
    """As tables were partitioned once."""
    hands.run(
        "CREATE TABLE part (LIKE person INCLUDING ALL) INHERITS (person)",
        "CREATE FUNCTION place() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO part VALUES (NEW.*); RETURN NULL; END $$",
        "CREATE TRIGGER sorting BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION place()",
    )
    assert counts(deliver(person("1"), person("2"), key="first")) == (2, 0, 0, 0, 0)
    assert counts(deliver(person("1", 2), person("3"), key="second")) == (2, 0, 0, 0, 0)
    assert hands.persons("id", "version") == [("1", 2), ("2", 1), ("3", 1)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_row_is_written_twice_for_another_that_a_trigger_moved(deliver: Deliverer, hands: Hands) -> None:
    """The recipient's own history has one line for each row."""
    deliver(*(person(str(number)) for number in range(5)), key="first")
    hands.run(
        "ALTER TABLE person ADD touched integer",
        "CREATE TABLE history (id text, version bigint)",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE person SET touched = 1 WHERE id = '1'; RETURN NULL; END $$",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO history VALUES (NEW.id, NEW.version); RETURN NULL; END $$",
        "CREATE TRIGGER touching AFTER DELETE ON person FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE TRIGGER noting AFTER UPDATE OF version ON person FOR EACH ROW EXECUTE FUNCTION note()",
    )
    changed = [person(str(number), 2) for number in range(1, 5)]
    assert counts(deliver(person("0", 2, operation=DELETE), *changed, key="second")) == (5, 1, 0, 0, 0)
    assert hands.rows("SELECT id, version FROM history ORDER BY id") == [(str(number), 2) for number in range(1, 5)]


def test_two_exchanges_of_one_table_do_not_lose_each_other(deliver: Deliverer, hands: Hands) -> None:
    other = replace(deliver, exchange="other")
    deliver(person("1", 2, operation=DELETE), key="first")
    assert counts(other(person("1", 1), key="second")) == (0, 0, 0, 1, 0)
    assert hands.rows("SELECT value FROM shutong_serial WHERE object = 'person'") == [(2,)]


VERSIONS = [
    (Item(name="version", label="版本", type="N", length=20), [9, 10, 100]),
    (Item(name="version", label="版本", type="N", length=12, scale=2), ["-1.50", "9.99", "10.00"]),
    (Item(name="version", label="版本", type="C", length=20), ["1", "10", "9"]),
    (Item(name="version", label="版本", type="D"), ["1999-12-31", "2000-01-01", "2024-02-29"]),
    (
        Item(name="version", label="版本", type="T"),
        ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:01Z"],
    ),
    (Item(name="version", label="版本", type="I"), [-(10**12), 9, 10**15]),
]


@pytest.mark.long_with("mariadb")
@pytest.mark.parametrize(("item", "values"), VERSIONS, ids=[item.type + str(item.scale or "") for item, _ in VERSIONS])
def test_versions_of_every_type_have_their_order(endpoint: DatabaseEndpoint, item: Item, values: list[Any]) -> None:
    schema = arrow_schema([Item(name="id", label="编号", type="C", length=20, mandatory=True), item])
    binding = Binding(object="person", columns={"id": "id", "version": "version"}, key=("id",), version="version")
    endpoint.install(binding, schema)
    kind = schema.field("version").type
    low, middle, high = pa.array(list(map(str, values))).cast(kind).to_pylist()
    deliver = Deliverer(endpoint, binding, schema)

    def put(version: Any, operation: int = PUT) -> dict[str, Any]:
        return {"id": "1", "version": version, OPERATION: operation}

    assert counts(deliver(put(low), put(high), put(middle), key="1")) == (1, 0, 0, 2, 0)
    assert counts(deliver(put(middle), key="2")) == (0, 0, 0, 1, 0)
    assert counts(deliver(put(high), key="3")) == (0, 0, 1, 0, 0)
    assert counts(deliver(put(middle, DELETE), key="4")) == (0, 0, 0, 1, 0)
    assert counts(deliver(put(high, DELETE), key="5")) == (1, 1, 0, 0, 0)
    assert counts(deliver(put(middle), put(high), key="6")) == (0, 0, 0, 2, 0)
    assert counts(deliver(put(high), key="7", overwrite=True)) == (1, 0, 0, 0, 0)


def test_keys_of_several_items_and_types(endpoint: DatabaseEndpoint) -> None:
    items = [
        Item(name="area", label="区划", type="C", length=12),
        Item(name="number", label="序号", type="I"),
        Item(name="day", label="日期", type="D"),
        Item(name="name", label="名称", type="C", length=20),
    ]
    schema = arrow_schema(items)
    columns = {item.name: item.name for item in items}
    binding = Binding(object="person", columns=columns, key=("area", "number", "day"))
    endpoint.install(binding, schema)
    deliver = Deliverer(endpoint, binding, schema)

    def row(area: str, number: int, name: str | None, operation: int = PUT) -> dict[str, Any]:
        return {"area": area, "number": number, "day": date(2024, 1, 1), "name": name, OPERATION: operation}

    rows = [row('3"2', 1, "a"), row("3\\2", 1, "b"), row("3\n2", 1, "c"), row("32", 11, "d"), row("321", 1, "e")]
    assert counts(deliver(*rows, key="1")) == (5, 0, 0, 0, 0)
    assert counts(deliver(*rows, row("321", 1, "f"), key="2")) == (1, 0, 4, 1, 0)
    assert counts(deliver(*(each | {"name": None, OPERATION: DELETE} for each in rows), key="3")) == (5, 5, 0, 0, 0)
    assert counts(deliver(*rows, key="4")) == (5, 0, 0, 0, 0)


def test_a_key_that_the_collation_takes_for_another_is_refused(deliver: Deliverer, hands: Hands) -> None:
    """Two keys that the target's own index cannot tell apart: nothing is written over."""
    column = {
        "sqlite": "id VARCHAR(20) COLLATE NOCASE",
        "mariadb": "id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "postgresql": "id VARCHAR(20) COLLATE blind",
    }[hands.product]
    if hands.product == "postgresql":
        hands.run("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    rest = ", ".join(
        {
            "sqlite": ["amount TEXT", "born TEXT", "seen TEXT", "valid INTEGER", "photo BLOB", "score REAL"],
            "mariadb": [
                "amount DECIMAL(12,2)", "born DATE", "seen DATETIME(6)", "valid BOOLEAN", "photo BLOB", "score DOUBLE",
            ],
            "postgresql": [
                "amount NUMERIC(12,2)", "born DATE", "seen TIMESTAMP", "valid BOOLEAN", "photo BYTEA",
                "score DOUBLE PRECISION",
            ],
        }[hands.product]
    )  # fmt: skip
    hands.run(
        "DROP TABLE person", f"CREATE TABLE person ({column} PRIMARY KEY, name VARCHAR(50), {rest}, version BIGINT)"
    )
    assert counts(deliver(person("a"), key="1")) == (1, 0, 0, 0, 0)
    assert counts(deliver(person("a"), key="2")) == (0, 0, 1, 0, 0)
    assert counts(deliver(person("A", 2), person("b"), key="3")) == (1, 0, 0, 0, 1)
    hands.run("DELETE FROM person WHERE id = 'b'")
    assert counts(deliver(person("A", 2, operation=DELETE), key="4")) == (0, 0, 1, 0, 0)
    assert hands.persons("id", "version") == [("a", 1)]
    assert counts(deliver(person("a", 2), key="5")) == (1, 0, 0, 0, 0)
    assert counts(deliver(person("a", 3, operation=DELETE), key="6")) == (1, 1, 0, 0, 0)


def test_the_journal_column_says_when_a_row_was_written(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    binding = replace(PERSON, options={"journal": True})
    endpoint.install(binding, SCHEMA)
    deliver = Deliverer(endpoint, binding)
    deliver(person("1"), person("2"), key="first")
    deliver(person("1"), person("2", 2), person("3"), key="second")
    assert hands.persons("id", "shutong_serial") == [("1", 1), ("2", 2), ("3", 2)]
