from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.base import Binding, Outcome, Selection
from adapters.database import DatabaseEndpoint
from adapters.database.settle import WriteBack
from adapters.errors import Malformed, Misconfigured
from schemas import DeleteMark, Profile, StateColumn, profile
from tests.adapters.database.conftest import SCHEMA, Hands

FAMILY = Profile(
    name="p",
    label="",
    source="",
    capture="outbox",
    state=StateColumn(column="flag", new=(None, "0"), fresh="0", done="1", failed="2"),
    version="ver",
    read_at="read_at",
    error_text="error_text",
    error_length=10,
)
BOUND = Binding(
    object="t", columns={"id": "id", "name": "name", "n": "n"}, key=("id", "n"), capture="outbox", profile=FAMILY
)


@pytest.fixture
def table(hands: Hands) -> Hands:
    moment = {"sqlite": "datetime", "postgresql": "timestamp", "mariadb": "datetime"}[hands.product]
    hands.run(
        f"CREATE TABLE t (id varchar(9), n integer, name varchar(20), ver integer, flag char(2), read_at {moment} NULL,"
        " error_text varchar(20), foreign_flag varchar(2))"
    )
    hands.run(
        "INSERT INTO t VALUES ('a', 1, '甲', 1, '0', NULL, 'old', 'f'), ('A', 1, '乙', 1, NULL, NULL, NULL, 'f'),"
        " ('a', 2, '丙', NULL, '0', NULL, NULL, 'f'), ('b', 1, '丁', 1, '1', NULL, NULL, 'f')"
    )
    return hands


def references(endpoint: DatabaseEndpoint, binding: Binding = BOUND) -> dict[str, str]:
    """Name of each row read to its reference."""
    with endpoint.source(binding) as source:
        rows = [row for got in source.batches(Selection()) for row in got.to_pylist()]
    return {row["name"]: row["_reference"] for row in rows}


def state(hands: Hands) -> dict[str, tuple[Any, ...]]:
    rows = hands.rows("SELECT name, flag, error_text, read_at IS NULL, foreign_flag FROM t")
    return {name: (flag and flag.strip(), text, not unread) for name, flag, text, unread, _ in rows}


def test_rows_are_marked_as_they_were_read(endpoint: DatabaseEndpoint, table: Hands) -> None:
    read = references(endpoint)
    assert set(read) == {"甲", "乙", "丙"}
    outcomes = [
        Outcome(read["甲"]),
        Outcome(read["乙"], "身份证号码校验位不对，请核对后重报"),
        Outcome(read["丙"], "'; DROP TABLE t; --"),
    ]
    with endpoint.source(BOUND) as source:
        assert source.settle(outcomes) == 3
        after = {
            "甲": ("1", None, True),
            "乙": ("2", "身份证号码校验位不对", True),
            "丙": ("2", "'; DROP TA", True),
            "丁": ("1", None, False),
        }
        assert state(table) == after
        assert source.settle(outcomes) == 0
        assert state(table) == after
    assert table.rows("SELECT count(*) FROM t WHERE foreign_flag = 'f'") == [(4,)]
    found = table.rows("SELECT read_at FROM t WHERE name = '甲'")[0][0]
    local = datetime.fromisoformat(found) if isinstance(found, str) else found
    assert abs(local - timedelta(hours=8) - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=2)
    assert references(endpoint) == {}


@pytest.mark.parametrize(
    "change", ["ver = 2", "ver = NULL", "flag = NULL", "flag = '9'"], ids=["higher", "none", "null", "taken"]
)
def test_a_row_that_was_reported_again_is_left_alone(endpoint: DatabaseEndpoint, table: Hands, change: str) -> None:
    read = references(endpoint)
    table.run(f"UPDATE t SET name = '新', {change} WHERE name = '甲'")
    before = state(table)["新"]
    with endpoint.source(BOUND) as source:
        assert source.settle([Outcome(read["甲"], "x"), Outcome(read["乙"])]) == 1
    assert state(table)["新"] == before
    assert state(table)["乙"][0] == "1"


@pytest.mark.parametrize(
    ("change", "marked"), [("ver = 1", True), ("ver = 2", False), ("flag = '9'", False), ("flag = '0'", True)]
)
def test_a_row_that_bears_its_refusal_takes_what_became_of_its_correction(
    endpoint: DatabaseEndpoint, table: Hands, change: str, marked: bool
) -> None:
    read = references(endpoint)
    with endpoint.source(BOUND) as source:
        assert source.settle([Outcome(read["甲"], "bad"), Outcome(read["乙"], "bad")]) == 2
        assert source.settle([Outcome(read["甲"])]) == 0
        table.run(f"UPDATE t SET {change} WHERE name = '甲'")
        before = state(table)
        corrected = [Outcome(read["甲"], corrected=True), Outcome(read["丙"])]
        assert source.settle(corrected) == 1 + marked
        after = {**before, "丙": ("1", None, True)} | ({"甲": ("1", None, True)} if marked else {})
        assert state(table) == after
        assert source.settle(corrected) == 0


def test_where_a_refusal_looks_like_an_acceptance_a_correction_changes_nothing(
    endpoint: DatabaseEndpoint, table: Hands
) -> None:
    family = FAMILY.model_copy(
        update={"state": StateColumn(column="flag", new=("0",), fresh="0", done="1", failed="1")}
    )
    bound = replace(BOUND, profile=family)
    read = references(endpoint, bound)
    with endpoint.source(bound) as source:
        assert source.settle([Outcome(read["甲"], "bad")]) == 1
        before = state(table)
        assert source.settle([Outcome(read["甲"], corrected=True)]) == 0
    assert state(table) == before


def test_of_two_outcomes_of_one_row_the_refusal_stands(endpoint: DatabaseEndpoint, table: Hands) -> None:
    read = references(endpoint)["甲"]
    with endpoint.source(BOUND) as source:
        assert source.settle([Outcome(read), Outcome(read, "bad"), Outcome(read)]) == 1
    assert state(table)["甲"] == ("2", "bad", True)


def test_many_outcomes_go_in_chunks(endpoint: DatabaseEndpoint, table: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.database.settle._CHUNK", 2)
    read = references(endpoint)
    with endpoint.source(BOUND) as source:
        assert source.settle(Outcome(each) for each in [*read.values(), '["x", "1", null, "0"]']) == 3
        assert source.settle([]) == 0
        assert source.settle(iter(())) == 0


def test_what_is_not_ours_is_told(endpoint: DatabaseEndpoint, table: Hands) -> None:
    with endpoint.source(BOUND) as source:
        for reference in ("x", '["a"]', "1", '["a", {}, null, null]'):
            with pytest.raises(Malformed):
                source.settle([Outcome(reference)])
    with pytest.raises(Misconfigured):
        WriteBack(endpoint._place, replace(BOUND, profile=None))


def test_other_captures_owe_nothing(endpoint: DatabaseEndpoint, table: Hands) -> None:
    with endpoint.source(replace(BOUND, capture="snapshot", profile=None)) as source:
        assert source.settle([Outcome("x")]) == 0


def test_refused_rows_go_into_the_error_table_once(endpoint: DatabaseEndpoint, table: Hands) -> None:
    family = FAMILY.model_copy(update={"error_text": None, "error_table": "{table}_error", "error_length": 10})
    binding = replace(BOUND, profile=family)
    read = references(endpoint, binding)
    assert endpoint.check(binding, SCHEMA, sink=False) == ["没有错误回传表 t_error"]
    with endpoint.source(binding) as source:
        assert source.settle([Outcome(read["丙"], "no table yet")]) == 1
    endpoint.install(binding, SCHEMA)
    endpoint.install(binding, SCHEMA)
    assert endpoint.check(binding, SCHEMA, sink=False) == []
    with endpoint.source(binding) as source:
        outcomes = [Outcome(read["甲"], "身份证号码校验位不对，请核对"), Outcome(read["乙"])]
        assert source.settle(outcomes) == 2
        assert source.settle(outcomes) == 0
    returned = "SELECT id, n, name, ver, foreign_flag, error_remark FROM t_error"
    assert table.rows(returned) == [("a", 1, "甲", 1, "f", "身份证号码校验位不对")]
    table.run("UPDATE t SET flag = '0' WHERE name = '甲'")
    with endpoint.source(binding) as source:
        assert source.settle([Outcome(references(endpoint, binding)["甲"], "again")]) == 1
    assert len(table.rows(returned)) == 1


def test_operation_batches_return_their_refused_rows_only(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    moment = {"sqlite": "datetime", "postgresql": "timestamp", "mariadb": "datetime"}[hands.product]
    columns = f"name varchar(20), cd_batch varchar(9), cd_operation varchar(2), cd_time {moment}, row_guid varchar(9)"
    hands.run(
        f"CREATE TABLE up_person ({columns})",
        f"CREATE TABLE dn_person_error ({columns}, error_remark varchar(5))",
        "INSERT INTO up_person VALUES ('甲', 'b1', 'I', '2024-01-01 08:00:00', 'r1'),"
        " ('甲', 'b2', 'D', '2024-01-01 09:00:00', 'r2'), ('乙', 'b2', 'D', '2024-01-01 09:00:00', NULL)",
    )
    binding = Binding(
        object="up_person", columns={"name": "name"}, key=("name",), capture="batches", profile=profile("national")
    )
    with endpoint.source(binding) as source:
        rows = [row["_reference"] for got in source.batches(Selection()) for row in got.to_pylist()]
        outcomes = [Outcome(rows[0], "a long reason"), Outcome(rows[1], "x"), Outcome(rows[2])]
        assert source.settle(outcomes) == 2
        assert source.settle(outcomes) == 0
    found = hands.rows("SELECT name, cd_batch, row_guid, error_remark FROM dn_person_error ORDER BY cd_batch")
    assert found == [("甲", "b1", "r1", "a lon"), ("乙", "b2", None, "x")]
    assert hands.rows("SELECT count(*) FROM up_person") == [(3,)]
    hands.run("DROP TABLE dn_person_error")
    with endpoint.source(binding) as source:
        assert source.settle(outcomes) == 0


def test_an_error_text_that_may_not_be_null_is_emptied(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run(
        "CREATE TABLE t (id varchar(9), flag varchar(2), error_text varchar(4) NOT NULL)",
        "INSERT INTO t VALUES ('a', '0', 'old')",
    )
    family = FAMILY.model_copy(update={"version": None, "read_at": None})
    binding = Binding(object="t", columns={"id": "id"}, key=("id",), capture="outbox", profile=family)
    with endpoint.source(binding) as source:
        [row] = [row for got in source.batches(Selection()) for row in got.to_pylist()]
        assert source.settle([Outcome(row["_reference"])]) == 1
    assert hands.rows("SELECT flag, error_text FROM t") == [("1", "")]


@pytest.mark.parametrize("delete", [None, DeleteMark(column="flag", values=("x",))])
def test_a_state_that_is_a_number(endpoint: DatabaseEndpoint, hands: Hands, delete: DeleteMark | None) -> None:
    hands.run("CREATE TABLE t (id varchar(9), flag smallint)", "INSERT INTO t VALUES ('a', 0), ('b', NULL), ('c', 1)")
    family = Profile(
        name="p", label="", source="", capture="outbox",
        state=StateColumn(column="flag", new=(None, "0"), fresh="0", done="1", failed="3"),
    )  # fmt: skip
    binding = Binding(object="t", columns={"id": "id"}, key=("id",), capture="outbox", profile=family)
    with endpoint.source(binding) as source:
        rows = [row for got in source.batches(Selection()) for row in got.to_pylist()]
        assert [row["id"] for row in rows] == ["a", "b"]
        assert source.settle([Outcome(rows[0]["_reference"]), Outcome(rows[1]["_reference"], "bad")]) == 2
    assert hands.rows("SELECT id, flag FROM t ORDER BY id") == [("a", 1), ("b", 3), ("c", 1)]


def test_without_a_version_the_content_tells_a_new_report(endpoint: DatabaseEndpoint, table: Hands) -> None:
    """A row that was deleted and inserted again with other content is not the row that was read."""
    binding = replace(BOUND, profile=FAMILY.model_copy(update={"version": None}))
    read = references(endpoint, binding)
    table.run("UPDATE t SET name = '甲乙' WHERE name = '甲'", "UPDATE t SET foreign_flag = 'g' WHERE name = '乙'")
    with endpoint.source(binding) as source:
        assert source.settle([Outcome(read["甲"]), Outcome(read["乙"], "x"), Outcome(read["丙"])]) == 2
    assert state(table)["甲乙"][0] == "0"
    assert [state(table)[name][0] for name in "乙丙"] == ["2", "1"]
