"""A full refresh: the table then holds what was delivered and nothing else, on every product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import DELETE, OPERATION, Acknowledgement, Claim, Refresh, Refreshing
from adapters.database import DatabaseEndpoint
from adapters.errors import Diminished, Misconfigured, Unavailable
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, batch, counts, person
from tests.support.servers import Server


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def server_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('refresh') / 'front.db'}"
        return
    server: Server = request.getfixturevalue(f"{request.param}_server")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """One database for all tests, which each of them leaves empty."""
    yield server_url
    engine = sa.create_engine(server_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW IF EXISTS person_view")
        for name in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"DROP TABLE {name}")
    engine.dispose()


ANY = Refresh(may_fall=1.0)
TENTH = Refresh(may_fall=0.1)


def refresh(
    endpoint: DatabaseEndpoint,
    *rows: dict[str, Any],
    key: str = "key",
    bounds: Refresh = ANY,
    binding: Any = PERSON,
    previous: str | None = None,
) -> Acknowledgement:
    claim = Claim(key=key, exchange="exchange", epoch=1)
    with endpoint.sink(binding) as sink:
        delivery = sink.begin(claim, SCHEMA)
        delivery.stage(batch(list(rows)))
        try:
            return delivery.commit(Deliverer.manifest(claim, len(rows), refresh=bounds, previous=previous))
        finally:
            delivery.abort()


def persons(*numbers: int, version: int = 1, **other: Any) -> list[dict[str, Any]]:
    return [person(f"{number:03}", version, **other) for number in numbers]


def ids(hands: Hands) -> list[str]:
    return [row[0] for row in hands.persons("id")]


def swaps(hands: Hands) -> bool:
    return hands.product == "postgresql"


def test_the_table_holds_what_was_delivered_and_nothing_else(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(*range(10)), key="a")
    new = [*persons(*range(3)), *persons(3, 4, version=2, name="改"), *persons(20, 21, 22)]
    answer = refresh(deliver.endpoint, *new, key="b")
    assert counts(answer) == (10, 5, 3, 0, 0)
    assert answer.gone == 5
    assert answer.written + answer.unchanged + answer.superseded + len(answer.refused) == len(new) + answer.gone
    assert answer.refreshing is not None
    assert answer.refreshing.how == ("swap" if swaps(hands) else "reload")
    expected = sorted((row["id"], row["name"], row["version"]) for row in new)
    assert hands.persons() == expected
    with deliver.endpoint.sink(PERSON) as sink:
        assert sink.settled("b") == answer
    assert not [name for name in hands.tables() if "_stage_" in name or "_swap_" in name]


def test_the_same_key_again_changes_nothing(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(*range(4)), key="a")
    answer = refresh(deliver.endpoint, *persons(2, 3, 4), key="b")
    hands.run("INSERT INTO person (id, version) VALUES ('x', 1)")
    assert refresh(deliver.endpoint, *persons(2, 3, 4), key="b") == answer
    assert ids(hands) == ["002", "003", "004", "x"]


def test_the_source_is_right_whatever_the_version(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(1, 2, 3, version=5), key="a")
    answer = refresh(
        deliver.endpoint, *persons(1, version=3), *persons(2, version=5, name="同版本"), *persons(3, version=5), key="b"
    )
    assert counts(answer) == (2, 0, 1, 0, 0)
    assert hands.persons() == [("001", "张𠮷", 3), ("002", "同版本", 5), ("003", "张𠮷", 5)]


def test_rows_of_one_key_are_one_row(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(1), key="a")
    answer = refresh(deliver.endpoint, *persons(7, version=2), *persons(7, version=1), *persons(8), key="b")
    assert counts(answer) == (3, 1, 0, 1, 0)
    assert hands.persons("id", "version") == [("007", 2), ("008", 1)]


def test_nothing_changed_nothing_done(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(*range(5)), key="a")
    answer = refresh(deliver.endpoint, *persons(*range(5)), key="b", bounds=TENTH)
    assert counts(answer) == (0, 0, 5, 0, 0)
    assert answer.refreshing == Refreshing("reload", ("内容没有变化",))


def test_few_changes_are_made_where_the_rows_are(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(*range(40)), key="a")
    answer = refresh(deliver.endpoint, *persons(*range(39)), *persons(50), key="b")
    assert counts(answer) == (2, 1, 39, 0, 0)
    assert answer.refreshing is not None
    assert answer.refreshing == Refreshing("reload", ("有变化的行不足一成",))
    assert ids(hands)[-1] == "050"


@pytest.mark.parametrize("left", [17, 1, 0])
def test_too_great_a_fall_changes_nothing(deliver: Deliverer, hands: Hands, left: int) -> None:
    deliver(*persons(*range(20)), key="a")
    with pytest.raises(Diminished) as refused:
        refresh(deliver.endpoint, *persons(*range(left)), key="b", bounds=TENTH, previous="a")
    assert (refused.value.held, refused.value.left) == (20, left)
    assert "20" in refused.value.message
    assert len(hands.persons()) == 20
    with deliver.endpoint.sink(PERSON) as sink:
        assert sink.settled("b") is None
    accepted = Refresh(may_fall=0.1, accepted=left)
    answer = refresh(deliver.endpoint, *persons(*range(left)), key="c", bounds=accepted, previous="a")
    assert answer.gone == 20 - left
    assert len(hands.persons()) == left


def test_what_was_accepted_is_the_least(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(*range(20)), key="a")
    with pytest.raises(Diminished):
        refresh(deliver.endpoint, *persons(*range(4)), key="b", bounds=Refresh(may_fall=0.1, accepted=5))
    assert len(hands.persons()) == 20


def test_a_share_never_empties_a_table(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(1), key="a")
    with pytest.raises(Diminished, match="一行不剩"):
        refresh(deliver.endpoint, key="b", bounds=ANY)
    assert ids(hands) == ["001"]
    assert refresh(deliver.endpoint, key="c", bounds=Refresh(may_fall=0.0, accepted=0)).gone == 1
    assert refresh(deliver.endpoint, key="d", bounds=TENTH).gone == 0


def test_a_fall_to_the_very_share_is_none(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(*range(20)), key="a")
    assert refresh(deliver.endpoint, *persons(*range(18)), key="b", bounds=TENTH).gone == 2


def test_rows_that_break_a_constraint_are_refused_and_gone(deliver: Deliverer, hands: Hands) -> None:
    if hands.product == "sqlite":
        hands.run("CREATE UNIQUE INDEX person_name ON person (name)")
    else:
        hands.run("ALTER TABLE person ADD CONSTRAINT person_name CHECK (name <> 'bad')")
    deliver(*(person(f"{n:03}", 1, name=f"n{n}") for n in range(6)), key="a")
    rows = [person(f"{n:03}", 2, name=f"m{n}") for n in range(5)]
    rows[2]["name"] = "bad"
    if hands.product == "sqlite":
        rows[2]["name"] = "m1"
    answer = refresh(deliver.endpoint, *rows, key="b")
    assert [row.row for row in answer.refused] == [2]
    assert counts(answer) == (6, 2, 0, 0, 1)
    assert answer.gone == 2
    assert answer.refreshing is not None
    assert answer.refreshing.how == "reload"
    assert ids(hands) == ["000", "001", "003", "004"]


def test_refused_rows_count_in_the_fall(deliver: Deliverer, hands: Hands) -> None:
    if hands.product == "sqlite":
        hands.run("CREATE UNIQUE INDEX person_name ON person (name)")
        bad = "m0"
    else:
        hands.run("ALTER TABLE person ADD CONSTRAINT person_name CHECK (name <> 'bad')")
        bad = "bad"
    deliver(*(person(f"{n:03}", 1, name=f"n{n}") for n in range(6)), key="a")
    rows = [person(f"{n:03}", 2, name="m0" if n == 0 else bad) for n in range(6)]
    with pytest.raises(Diminished) as refused:
        refresh(deliver.endpoint, *rows, key="b", bounds=TENTH)
    assert refused.value.left == 1
    assert [row[0] for row in hands.persons("name")] == [f"n{n}" for n in range(6)]


def test_values_that_do_not_fit_are_refused(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(1, 2), key="a")
    answer = refresh(deliver.endpoint, *persons(1), *persons(2, version=2, name="甲" * 51), *persons(3), key="b")
    if hands.product != "sqlite":
        assert [row.row for row in answer.refused] == [1]
    assert answer.written + answer.unchanged + answer.superseded + len(answer.refused) == 3 + answer.gone


def test_merging_afterwards_is_right(deliver: Deliverer, hands: Hands) -> None:
    """Who left by a refresh may come back as he was; who was deleted by name stays away until he is newer."""
    deliver(*persons(1, 2, 3), key="a")
    refresh(deliver.endpoint, *persons(1), person("002", 4, operation=DELETE), key="b", bounds=ANY)
    assert ids(hands) == ["001"]
    again = deliver(*persons(1, 2, 3), key="c", previous="b")
    assert counts(again) == (1, 0, 1, 1, 0)
    assert ids(hands) == ["001", "003"]


def test_who_was_deleted_comes_back_by_a_refresh_and_stays(deliver: Deliverer, hands: Hands) -> None:
    deliver(*persons(1, 2), key="a")
    deliver(person("002", 9, operation=DELETE), key="b", previous="a")
    assert hands.rows("SELECT count(*) FROM shutong_tombstone") == [(1,)]
    refresh(deliver.endpoint, *persons(1, 2), key="c", previous="b")
    assert ids(hands) == ["001", "002"]
    assert hands.rows("SELECT count(*) FROM shutong_tombstone") == [(0,)]
    assert counts(deliver(*persons(2, version=2), key="d", previous="c")) == (1, 0, 0, 0, 0)


def test_columns_of_others_keep_their_values(deliver: Deliverer, hands: Hands) -> None:
    hands.run("ALTER TABLE person ADD COLUMN mark VARCHAR(10)")
    deliver(*persons(*range(4)), key="a")
    hands.run("UPDATE person SET mark = 'seen'")
    answer = refresh(deliver.endpoint, *persons(0, 1), *persons(2, version=2, name="改"), *persons(9), key="b")
    assert answer.refreshing is not None
    assert answer.refreshing.how == "reload"
    assert any("mark" in why for why in answer.refreshing.why)
    assert hands.persons("id", "mark") == [("000", "seen"), ("001", "seen"), ("002", "seen"), ("009", None)]


@pytest.mark.parametrize("left", [range(39), range(5, 15)], ids=["few", "many"])
def test_rows_without_a_key_go_too(deliver: Deliverer, hands: Hands, left: range) -> None:
    """A unique index takes any number of them, whoever put them there."""
    kind = "text" if hands.product == "sqlite" else "varchar(50)"
    hands.run("DROP TABLE person", f"CREATE TABLE person (id {kind} UNIQUE, name {kind}, version bigint)")
    items = ("id", "name", "version")
    bound = replace(PERSON, columns={item: item for item in items})
    schema = pa.schema([SCHEMA.field(item) for item in items])
    rows = [{item: row[item] for item in (*items, OPERATION)} for row in persons(*range(40))]
    deliver = replace(deliver, binding=bound, schema=schema)
    deliver(*rows, key="a")
    hands.run("INSERT INTO person (name) VALUES ('x'), ('x'), ('y')")
    claim = Claim(key="b", exchange="exchange", epoch=1)
    with deliver.endpoint.sink(bound) as sink:
        delivery = sink.begin(claim, schema)
        delivery.stage(batch([rows[number] for number in left], schema))
        answer = delivery.commit(Deliverer.manifest(claim, len(left), refresh=ANY))
        delivery.abort()
    assert answer.gone == 40 - len(left) + 3
    assert hands.rows("SELECT count(*), count(id) FROM person") == [(len(left), len(left))]


def test_a_table_of_several_parties_is_not_refreshed(deliver: Deliverer, hands: Hands) -> None:
    shared = replace(PERSON, object="people", fixed={"area": "3212"})
    deliver.endpoint.install(shared, SCHEMA)
    other = replace(deliver, binding=replace(shared, fixed={"area": "3213"}), exchange="other")
    other(*persons(1, 2), key="a")
    with pytest.raises(Misconfigured, match="其他来源"):
        refresh(deliver.endpoint, *persons(1), key="b", binding=shared)
    assert hands.rows("SELECT count(*) FROM people") == [(2,)]


def test_somebody_else_writing_meanwhile(deliver: Deliverer, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table cannot be locked, a row that comes in between is noticed; else it has to wait."""
    from adapters.database import refresh as module

    deliver(*persons(*range(4)), key="a")
    find = module.Refreshment._find_gone

    def raced(self: module.Refreshment, connection: sa.Connection) -> int:
        found = find(self, connection)
        with hands.engine.connect() as other:
            if hands.product == "postgresql":
                other.execute(sa.text("SET lock_timeout = '200ms'"))
            elif hands.product == "sqlite":
                other.execute(sa.text("PRAGMA busy_timeout = 200"))
            other.execute(sa.text("INSERT INTO person (id, version) VALUES ('rival', 1)"))
            other.commit()
        return found

    monkeypatch.setattr(module.Refreshment, "_find_gone", raced)
    if hands.product == "mariadb":
        with pytest.raises(Unavailable, match="正在写入"):
            refresh(deliver.endpoint, *persons(2, 3, 4), key="b")
        assert ids(hands) == ["000", "001", "002", "003", "rival"]
    else:
        with pytest.raises(sa.exc.OperationalError):
            raced_refresh(deliver, hands)
        assert ids(hands) == ["000", "001", "002", "003"]
    monkeypatch.undo()
    refresh(deliver.endpoint, *persons(2, 3, 4), key="b")
    assert ids(hands) == ["002", "003", "004"]


def raced_refresh(deliver: Deliverer, hands: Hands) -> None:
    try:
        refresh(deliver.endpoint, *persons(2, 3, 4), key="b")
    except Unavailable as error:  # the rival's own error, told as if it were ours
        raise sa.exc.OperationalError("", {}, error) from error


def test_what_will_be_done_is_told(deliver: Deliverer, hands: Hands) -> None:
    told = deliver.endpoint.refreshing(PERSON)
    assert told is not None
    assert told.how == ("swap" if swaps(hands) else "reload")
    hands.run("CREATE VIEW person_view AS SELECT id FROM person")
    told = deliver.endpoint.refreshing(PERSON)
    assert told is not None
    assert told.how == "reload"
