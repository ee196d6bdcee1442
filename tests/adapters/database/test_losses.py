"""Nothing reported is passed over: times ahead of the clock, rows reported again; names and files kept apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.base import Binding, Outcome, Selection
from adapters.database import DatabaseEndpoint
from adapters.errors import Misconfigured
from tests.adapters.database.conftest import PERSON, SCHEMA, Hands
from tests.adapters.database.test_settle import FAMILY
from tests.adapters.database.test_source import BATCHES, bound, read, values

MOMENTS = {"sqlite": "datetime", "postgresql": "timestamp", "mariadb": "datetime"}


@pytest.mark.parametrize("text", [False, True])
def test_a_time_ahead_of_the_clock_hides_nothing(endpoint: DatabaseEndpoint, hands: Hands, text: bool) -> None:
    moment = "varchar(20)" if text else f"{MOMENTS[hands.product]} NULL"
    texts = "id varchar(9), cd_batch varchar(9), cd_operation varchar(2), row_guid varchar(9)"
    hands.run(f"CREATE TABLE t ({texts}, cd_time {moment})")
    hands.run(
        "INSERT INTO t VALUES ('a', 'b1', 'I', 'r1', '2024-01-01 08:00:00'),"
        " ('z', 'b2', 'I', 'r2', '2099-01-01 00:00:00')"
    )
    with endpoint.source(bound("id", capture="batches", profile=BATCHES)) as source:
        assert values(read(source), "id") == [("a",), ("z",)]
        position = source.position()
        assert position == {"time": "2024-01-01 08:00:00", "batch": "b1", "row": "r1"}
        hands.run("INSERT INTO t VALUES ('b', 'b3', 'I', 'r3', '2024-02-01 08:00:00'), ('n', 'b4', 'I', 'r4', NULL)")
        assert {row["id"] for row in read(source, position)} == {"n", "a", "b", "z"}
        position = source.position()
        assert {row["id"] for row in read(source, position)} == {"n", "b", "z"}


@pytest.mark.parametrize("written_at", [None, "written"])
def test_a_row_without_a_version_reported_again_stays_unread(
    endpoint: DatabaseEndpoint, hands: Hands, written_at: str | None
) -> None:
    family = FAMILY.model_copy(update={"version": None, "read_at": None, "error_text": None, "written_at": written_at})
    binding = Binding(object="t", columns={"id": "id", "name": "name"}, key=("id",), capture="outbox", profile=family)
    hands.run(
        f"CREATE TABLE t (id varchar(9), name varchar(20), flag varchar(2), written {MOMENTS[hands.product]} NULL)",
        "INSERT INTO t VALUES ('a', '甲', '0', '2024-01-01 08:00:00'), ('b', NULL, '0', NULL), ('c', '丙', '0', NULL)",
    )
    with endpoint.source(binding) as source:
        outcomes = [Outcome(row["_reference"]) for got in source.batches(Selection()) for row in got.to_pylist()]
        hands.run("UPDATE t SET name = '乙' WHERE id = 'a'")
        if written_at:
            hands.run("UPDATE t SET written = '2024-01-02 08:00:00' WHERE id = 'c'")
        assert source.settle(outcomes) == (1 if written_at else 2)
    flags = dict(hands.rows("SELECT id, flag FROM t"))
    assert flags == {"a": "0", "b": "1", "c": "0" if written_at else "1"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_products_own_tables_are_refused(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id varchar(9) primary key)")
    own = replace(PERSON, object="SQLite_person")
    assert any("保留名" in each for each in endpoint.check(own, SCHEMA, sink=True))
    for act in (endpoint.install, endpoint.prepare):
        with pytest.raises(Misconfigured, match="保留名"):
            act(own, SCHEMA)
    with endpoint.source(bound("name", object="sqlite_master")) as source, pytest.raises(Misconfigured, match="保留名"):
        source.schema()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_of_ours_is_nobody_elses(database_url: str, installed: DatabaseEndpoint) -> None:
    file = Path(database_url.removeprefix("sqlite:///"))
    assert file.stat().st_mode & 0o777 == 0o600
