from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import DELETE, Binding, Claim, RefusedRow, Selection
from adapters.database import DatabaseEndpoint
from adapters.errors import Malformed, Misconfigured, Overtaken, Restored, StageLost, Unavailable, Unbalanced
from schemas import DeleteMark, Item, Profile, StateColumn, arrow_schema
from tests.adapters.database.conftest import (
    NAMES,
    PERSON,
    SCHEMA,
    Deliverer,
    Hands,
    batch,
    counts,
    person,
)

CLAIM = Claim(key="key", exchange="exchange", epoch=1)


def test_rows_arrive_as_they_were_sent(deliver: Deliverer) -> None:
    """Every type, rare characters, quotes, and a null that is not an empty text."""
    sent = [
        person("1"),
        person("2", name='"quoted", 龶\n\\N', seen=datetime(1986, 5, 4, 15, 59, 59, tzinfo=UTC), score=-1e300),
        person("3", name="", amount=None, born=None, seen=None, valid=False, photo=b"", score=None),
        person("4", name=None, valid=None, photo=None),
    ]
    answer = deliver(*sent)
    assert counts(answer) == (4, 0, 0, 0, 0)
    assert answer.place == "person"
    with deliver.endpoint.source(PERSON) as source:
        found = [row for got in source.batches(Selection()) for row in got.to_pylist()]
        text = source.schema().field("amount").type == pa.string()
        zone_less = source.schema().field("seen").type == pa.timestamp("us")
    expected = [{name: row.get(name) for name in NAMES} for row in sent]
    if zone_less:
        expected = [row | {"seen": row["seen"] and local(row["seen"])} for row in expected]
    if text:
        expected = [{name: written(value) for name, value in row.items()} for row in expected]
    assert [{name: row[name] for name in NAMES} for row in found] == expected


def written(value: Any) -> Any:
    """What the product that vouches for no type gives back: local time, digits, numbers for truth values."""
    match value:
        case None | bytes():
            return value
        case bool():
            return str(int(value))
        case float():
            return repr(value)
        case datetime():
            return local(value).isoformat(sep=" ")
        case _:
            return str(value)


def local(moment: datetime) -> datetime:
    """Its local time, in a summer with summer time and in others."""
    return (moment.astimezone(UTC) + timedelta(hours=9 if moment.year == 1986 else 8)).replace(tzinfo=None)


def test_the_same_key_gets_the_same_answer(deliver: Deliverer, hands: Hands) -> None:
    first = deliver(person("1"), person("2"), person("2", name="other"))
    assert first.refused == (RefusedRow(1, "conflict", "与目标端同一版本的内容不同"),)
    assert deliver(person("1"), person("2"), person("2", name="other")) == first
    with deliver.endpoint.sink(PERSON) as sink:
        assert sink.settled("key") == first
        assert sink.settled("another") is None
        assert sink.epoch("exchange") == 1
        assert sink.epoch("another") == 0
    assert len(hands.persons()) == 2
    assert hands.rows("SELECT exchange, epoch, head FROM shutong_ledger") == [("exchange", 1, "7:abc")]


def test_one_key_has_one_manifest(deliver: Deliverer, installed: DatabaseEndpoint) -> None:
    deliver(person("1"))
    with installed.sink(PERSON) as sink:
        delivery = sink.resume(CLAIM, SCHEMA)
        with pytest.raises(Unbalanced):
            delivery.commit(replace(Deliverer.manifest(CLAIM, 1), digest="another"))


def test_a_paused_owner_that_wakes_up_cannot_write(
    deliver: Deliverer, installed: DatabaseEndpoint, hands: Hands
) -> None:
    with installed.sink(PERSON) as sink:
        paused = sink.begin(CLAIM, SCHEMA)
        paused.stage(batch([person("1", name="paused")]))
        deliver(person("1", name="owner"), key="other", epoch=2)
        with pytest.raises(Overtaken) as caught:
            paused.commit(Deliverer.manifest(CLAIM, 1))
        assert sink.settled("key") is None
        assert sink.epoch("exchange") == 2
    assert caught.value.remedy
    assert hands.persons("name") == [("owner",)]


def test_a_later_owner_clears_the_stage_of_an_earlier_one(installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed.sink(PERSON) as sink:
        first = sink.begin(CLAIM, SCHEMA)
        first.stage(batch([person("1")]))
        second = sink.begin(replace(CLAIM, epoch=2), SCHEMA)
        other = sink.begin(replace(CLAIM, key="another"), SCHEMA)
        with pytest.raises(Overtaken):
            first.stage(batch([person("2")]))
        assert len([name for name in hands.tables() if "_stage_" in name]) == 2
        first.abort()
        second.stage(batch([person("3")]))
        second.commit(Deliverer.manifest(replace(CLAIM, epoch=2), 1))
        second.abort()
        second.abort()
        other.abort()
    assert not [name for name in hands.tables() if "_stage_" in name]
    assert hands.persons("id") == [("3",)]


def test_a_takeover_commits_what_was_staged(installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed.sink(PERSON) as sink:
        first = sink.begin(CLAIM, SCHEMA)
        first.stage(batch([person("1")]))
        first.stage(batch([person("2")]))
    with installed.sink(PERSON) as sink:
        resumed = sink.resume(CLAIM, SCHEMA)
        answer = resumed.commit(Deliverer.manifest(replace(CLAIM, epoch=5), 2))
        resumed.abort()
        assert sink.epoch("exchange") == 5
        # The answer was lost and the stage is gone: it is asked for again.
        assert sink.resume(CLAIM, SCHEMA).commit(Deliverer.manifest(replace(CLAIM, epoch=5), 2)) == answer
    assert len(hands.persons()) == 2
    # Even if the target has gone meanwhile.
    hands.run("DROP TABLE person")
    with installed.sink(PERSON) as sink:
        resumed = sink.resume(CLAIM, SCHEMA)
        assert resumed.commit(Deliverer.manifest(replace(CLAIM, epoch=5), 2)) == answer
        resumed.abort()


def test_a_takeover_may_have_the_items_in_another_order(installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed.sink(PERSON) as sink:
        sink.begin(CLAIM, SCHEMA).stage(batch([person("1")]))
        resumed = sink.resume(CLAIM, pa.schema(list(SCHEMA)[::-1]))
        resumed.stage(batch([person("2")]))
        assert counts(resumed.commit(Deliverer.manifest(CLAIM, 2))) == (2, 0, 0, 0, 0)
        resumed.abort()
    assert hands.persons() == [("1", "张𠮷", 1), ("2", "张𠮷", 1)]


def test_a_restored_target_is_noticed(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1"))
    deliver(person("2"), key="second", previous="key")
    hands.run("DELETE FROM shutong_ledger WHERE delivery_key = 'second'")
    with pytest.raises(Restored) as caught:
        deliver(person("3"), key="third", previous="second")
    assert caught.value.remedy
    assert hands.persons("id") == [("1",), ("2",)]


def test_a_stolen_row_is_noticed(installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1"), person("2"), person("3")]))
        stage = next(name for name in hands.tables() if "_stage_" in name)
        column = "`row_number`" if hands.product == "mariadb" else "row_number"
        hands.run(f"DELETE FROM {stage} WHERE {column} = 1")
        with pytest.raises(Unbalanced):
            delivery.commit(Deliverer.manifest(CLAIM, 3))
        assert sink.settled("key") is None
        assert sink.epoch("exchange") == 0
        delivery.abort()
        with pytest.raises(StageLost):
            delivery.commit(Deliverer.manifest(CLAIM, 3))
    assert hands.persons() == []


def test_an_answer_lost_while_staging_leaves_no_row_twice(installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1")]))
        delivery.stage(batch([person("2")]))
        # As if the second answer had never come.
        delivery._staged, delivery._in_doubt = 1, True
        delivery.stage(batch([person("2")]))
        assert counts(delivery.commit(Deliverer.manifest(CLAIM, 2))) == (2, 0, 0, 0, 0)
        delivery.abort()


def test_rivals_commit_once(installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed.sink(PERSON) as sink:
        sink.begin(CLAIM, SCHEMA).stage(batch([person(str(number)) for number in range(300)]))
        rivals = [sink.resume(CLAIM, SCHEMA) for _ in range(4)]
        gate = threading.Barrier(4)

        def commit(number: int) -> Any:
            gate.wait()
            return rivals[number].commit(Deliverer.manifest(CLAIM, 300))

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(commit, range(4)))
        rivals[0].abort()
    assert len(set(answers)) == 1
    assert answers[0].written == 300
    assert hands.rows("SELECT count(*) FROM shutong_ledger") == [(1,)]


def test_a_commit_waits_for_one_in_doubt(deliver: Deliverer, installed: DatabaseEndpoint, hands: Hands) -> None:
    """The rival has written its ledger row, and nobody knows yet whether it will stay."""
    answer = deliver(person("1"), key="key")
    columns = "delivery_key, exchange, epoch, manifest_digest, counts, head, committed_at"
    row = hands.rows(f"SELECT {columns} FROM shutong_ledger")[0]
    hands.run("DELETE FROM shutong_ledger")
    values = dict(zip(columns.split(", "), row, strict=True))
    insert = sa.text(f"INSERT INTO shutong_ledger VALUES (:{columns.replace(', ', ', :')})")
    with installed.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1")]))
        with ThreadPoolExecutor(1) as pool, hands.engine.connect() as rival:
            rival.execute(insert, values)
            waiting = pool.submit(delivery.commit, Deliverer.manifest(CLAIM, 1))
            time.sleep(0.5)
            assert not waiting.done()
            rival.commit()
            assert waiting.result(30) == answer
            hands.run("DELETE FROM shutong_ledger")
            rival.execute(insert, values)
            waiting = pool.submit(delivery.commit, Deliverer.manifest(CLAIM, 1))
            time.sleep(0.3)
            assert not waiting.done()
            rival.rollback()
            assert counts(waiting.result(30)) == (0, 0, 1, 0, 0)
        delivery.abort()


BLOCKED = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE application_name = 'shutong' AND wait_event_type = 'Lock'"
    " AND datname = current_database()",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = database() AND time_ms > 100"
    " AND info LIKE '%FOR UPDATE%' AND id <> connection_id()",
}
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


@contextmanager
def holding(hands: Hands, statement: str) -> Iterator[None]:
    with hands.engine.connect() as connection:
        connection.execute(sa.text(statement)).close()
        yield
        connection.rollback()


def test_a_connection_killed_in_the_commit_changes_nothing(
    deliver: Deliverer, installed: DatabaseEndpoint, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.database.dialects.sqlite.LOCK_SECONDS", 0.3)
    deliver(person("1"), key="before")
    with installed.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1", 2), person("2")]))
        with ThreadPoolExecutor(1) as pool:
            if hands.product == "sqlite":
                again = DatabaseEndpoint(installed._place.options).sink(PERSON).resume(CLAIM, SCHEMA)
                with holding(hands, "UPDATE person SET name = name"), pytest.raises(Unavailable) as caught:
                    pool.submit(again.commit, Deliverer.manifest(CLAIM, 2)).result(30)
            else:
                find, kill = BLOCKED[hands.product], KILL[hands.product]
                with holding(hands, "SELECT id FROM person FOR UPDATE"):
                    waiting = pool.submit(delivery.commit, Deliverer.manifest(CLAIM, 2))
                    deadline = time.monotonic() + 20
                    while not (found := hands.rows(find)) and time.monotonic() < deadline:
                        time.sleep(0.05)
                    hands.run(kill.format(found[0][0]))
                    with pytest.raises(Unavailable) as caught:
                        waiting.result(30)
        assert caught.value.retry
        assert sink.settled("key") is None
        assert hands.persons("id", "version") == [("1", 1)]
        assert counts(delivery.commit(Deliverer.manifest(CLAIM, 2))) == (2, 0, 0, 0, 0)
        delivery.abort()
    assert hands.persons("id", "version") == [("1", 2), ("2", 1)]


def test_without_a_ledger_nothing_is_made_silently(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE person (id VARCHAR(20) PRIMARY KEY)")
    with endpoint.sink(PERSON) as sink:
        for ask in (lambda: sink.begin(CLAIM, SCHEMA), lambda: sink.settled("key"), lambda: sink.epoch("exchange")):
            with pytest.raises(Misconfigured, match="shutong_ledger") as caught:
                ask()
            assert "endpoint prepare --sql" in caught.value.remedy
    assert hands.tables() == {"person"}


def test_a_target_that_does_not_fit_is_refused_before_anything_moves(installed: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("DROP TABLE person", "CREATE TABLE person (id VARCHAR(5), name VARCHAR(50), version INTEGER)")
    with installed.sink(PERSON) as sink, pytest.raises(Misconfigured) as caught:
        sink.begin(CLAIM, SCHEMA)
    assert all(word in caught.value.message for word in ("id", "amount", "born", "唯一索引", "只容 5 个字符"))


def test_a_row_that_breaks_a_constraint_is_refused_and_no_other(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", name="first"), person("5", name="fifth"), key="first")
    hands.run("CREATE UNIQUE INDEX one_name ON person (name)")
    answer = deliver(
        person("2", name="秘密"), person("3", name="秘密"), person("4"), person("5", 2, name="first"), key="second"
    )
    assert counts(answer) == (2, 0, 0, 0, 2)
    assert [(row.row, row.rule) for row in answer.refused] == [(1, "constraint"), (3, "constraint")]
    assert all("name" in row.reason and "秘密" not in row.reason for row in answer.refused)
    assert hands.persons("id", "version") == [("1", 1), ("2", 1), ("4", 1), ("5", 1)]
    with deliver.endpoint.sink(PERSON) as sink:
        assert sink.settled("second") == answer


def test_a_key_may_not_be_missing(deliver: Deliverer) -> None:
    schema = SCHEMA.set(0, SCHEMA.field("id").with_nullable(True))
    with pytest.raises(Malformed, match="业务主键 id 为空"):
        replace(deliver, schema=schema)(person("1"), person("2") | {"id": None})


def test_holds_finds_what_is_there(deliver: Deliverer, installed: DatabaseEndpoint) -> None:
    deliver(person("1"), person("a"), person("gone"))
    deliver(person("gone", 2, operation=DELETE), key="second", previous="key")
    with installed.sink(PERSON) as sink:
        keys = pa.RecordBatch.from_pydict({"id": ["a", "A", "gone", "1", "x' OR '1'='1", "1"]})
        assert sink.holds(keys).to_pylist() == [True, False, False, True, False, True]
        assert sink.holds(keys.slice(0, 0)).to_pylist() == []
        # Longer than the column: it cannot be there.
        assert sink.holds(pa.RecordBatch.from_pydict({"id": ["x" * 99, "1"]})).to_pylist() == [False, True]
    wrong = replace(PERSON, columns={**PERSON.columns, "id": "no_such_column"})
    with installed.sink(wrong) as sink, pytest.raises(Misconfigured, match="no_such_column"):
        sink.holds(keys)


def test_fixed_values_are_part_of_the_key(
    installed: DatabaseEndpoint, endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    """As in the base library, where two providers never overwrite each other."""
    table = replace(PERSON, object="library", options={"journal": True})
    one, other = replace(table, fixed={"provider": "A"}), replace(table, fixed={"provider": "a"})
    for binding in (one, other):
        endpoint.install(binding, SCHEMA)
    assert counts(Deliverer(endpoint, one)(person("1", name="one"))) == (1, 0, 0, 0, 0)
    assert counts(Deliverer(endpoint, other)(person("1", name="other"), key="other")) == (1, 0, 0, 0, 0)
    gone = Deliverer(endpoint, other)(person("1", 2, operation=DELETE), key="third")
    assert counts(gone) == (1, 1, 0, 0, 0)
    assert hands.rows("SELECT provider, name FROM library") == [("A", "one")]
    with endpoint.sink(one) as sink, endpoint.sink(other) as empty:
        keys = pa.RecordBatch.from_pydict({"id": ["1"]})
        assert (sink.holds(keys).to_pylist(), empty.holds(keys).to_pylist()) == ([True], [False])


FAMILY = Profile(
    name="family",
    label="表族",
    source="测试",
    capture="outbox",
    state=StateColumn(column="SIGN STATE", new=(None, "0"), fresh="0", done="1", failed="3"),
    delete=DeleteMark(column="valid_mark", values=("0",), inserted="1", updated="2"),
    written_at="made_at",
    read_at="read_at",
    error_text="error_text",
    constants={"std": "1"},
)


def test_a_family_gets_its_columns_and_foreign_flags_stay(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    binding = replace(PERSON, profile=FAMILY)
    endpoint.install(binding, SCHEMA)
    hands.run("ALTER TABLE person ADD gtsync VARCHAR(2) DEFAULT 'n'")
    deliver = Deliverer(endpoint, binding)
    deliver(person("1"), person("2"))
    quote = "`{}`" if hands.product == "mariadb" else '"{}"'
    state = quote.format("SIGN STATE")
    hands.run(f"UPDATE person SET {state} = '3', gtsync = 'y', error_text = 'read', std = '9' WHERE id = '1'")
    deliver(person("1", 2), person("2"), key="second", previous="key")
    found = hands.rows(f"SELECT id, {state}, gtsync, error_text, std, valid_mark FROM person ORDER BY id")
    assert found == [("1", "0", "y", "read", "1", "2"), ("2", "0", "n", None, "1", "1")]
    made = hands.rows("SELECT made_at FROM person WHERE id = '1'")[0][0]
    made = datetime.fromisoformat(made) if isinstance(made, str) else made
    local = made.replace(tzinfo=None) if made.tzinfo is None else made.astimezone(UTC).replace(tzinfo=None)
    hours = 0 if made.tzinfo else 8
    assert abs(local - timedelta(hours=hours) - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=2)


def test_odd_names_are_names(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """Quotes, percent signs, reserved words, Chinese: in table, columns and constants."""
    columns = {"id": "select", "name": "姓名'; DROP TABLE x --", "version": '版"本`%s'}
    items = [Item(name="id", label="a'b", type="C", length=20), Item(name="name", label='"--', type="C", length=50)]
    schema = arrow_schema([*items, Item(name="version", label=";%", type="I")])
    binding = Binding(
        object='表 "一"`%d\'; --',
        columns=columns,
        key=("id",),
        version="version",
        fixed={"pro'v\"ider": "'; DROP TABLE shutong_ledger; --"},
        options={"journal": True},
    )
    endpoint.install(binding, schema)
    assert endpoint.check(binding, schema, sink=True) == []
    deliver = Deliverer(endpoint, binding, schema, exchange="x'; --")
    small = [{"id": "1' OR 1=1 --", "name": "%s", "version": 1, "_operation": 0}]
    assert counts(deliver(*small, key="k'\"%s")) == (1, 0, 0, 0, 0)
    assert counts(deliver(*small, key="second", previous="k'\"%s")) == (0, 0, 1, 0, 0)
    with endpoint.source(replace(binding, capture="journal")) as source:
        rows = [row for got in source.batches(Selection()) for row in got.to_pylist()]
    assert [(row["id"], row["name"]) for row in rows] == [("1' OR 1=1 --", "%s")]
    gone = [{"id": "1' OR 1=1 --", "name": None, "version": 2, "_operation": DELETE}]
    assert counts(deliver(*gone, key="third", previous="second")) == (1, 1, 0, 0, 0)
    assert "shutong_ledger" in hands.tables()
