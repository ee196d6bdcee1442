from __future__ import annotations

import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from adapters.base import DELETE, ERROR_CHARACTERS, Acknowledgement, Answers, Binding, FailedRow
from adapters.database import DatabaseEndpoint
from adapters.errors import Misconfigured
from schemas import Profile, StateColumn, profile
from tests.adapters.database.conftest import NAMES, PERSON, SCHEMA, Deliverer, Hands, person

FAMILIES = ("jiangsu", "guangdong", "shandong")


def bound(family: str | Profile) -> Binding:
    known = profile(family) if isinstance(family, str) else family
    columns = {name: name for name in NAMES}
    if known.version:
        columns["version"] = known.version
    return replace(PERSON, columns=columns, profile=known)


def delivering(endpoint: DatabaseEndpoint, binding: Binding) -> Deliverer:
    assert endpoint.install(binding, SCHEMA) == []
    return Deliverer(endpoint, binding)


def asked(deliver: Deliverer, answer: Acknowledgement, rows: int = 10) -> Answers:
    assert answer.stamp
    with deliver.endpoint.sink(deliver.binding) as sink:
        assert sink.settled(answer.key) == answer
        found = sink.answers(answer.stamp, rows=rows)
    assert found is not None
    return found


def quoted(hands: Hands, name: str) -> str:
    return hands.engine.dialect.identifier_preparer.quote(name)


def mark(hands: Hands, family: Profile, id: str, state: str | None, text: str | None = None) -> None:
    """What the recipient's own system does with a row."""
    assert family.state
    values = {family.state.column: state} | ({family.error_text: text} if family.error_text else {})
    sets = ", ".join(f"{quoted(hands, name)} = :v{place}" for place, name in enumerate(values))
    given = {f"v{place}": value for place, value in enumerate(values.values())}
    hands.run(f"UPDATE person SET {sets} WHERE id = :id", id=id, **given)


def untouched(hands: Hands) -> list[tuple[object, ...]]:
    return hands.rows("SELECT * FROM person ORDER BY id")


@pytest.mark.parametrize("name", FAMILIES)
def test_states_are_counted_and_errors_read_in_each_family(endpoint: DatabaseEndpoint, hands: Hands, name: str) -> None:
    family = profile(name)
    assert family.state
    deliver = delivering(endpoint, bound(name))
    answer = deliver(*(person(str(number)) for number in range(5)))
    none = None if name == "guangdong" else 0
    assert asked(deliver, answer) == Answers(new=5, done=0, failed=none, other=0)
    mark(hands, family, "1", family.state.done)
    mark(hands, family, "2", family.state.failed, "身份证号不存在")
    mark(hands, family, "3", "7")
    mark(hands, family, "4", None)
    before = untouched(hands)
    found = asked(deliver, answer)
    text = "身份证号不存在" if family.error_text else None
    if name == "guangdong":
        assert found == Answers(new=2, done=2, failed=None, other=1)
    else:
        assert found == Answers(new=2, done=1, failed=1, other=1, rows=(FailedRow(("2",), text),))
    assert untouched(hands) == before


def test_where_the_flag_does_not_tell_the_error_table_does(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    deliver = delivering(endpoint, bound("guangdong"))
    answer = deliver(person("1"), person("2"), person("3"))
    family = profile("guangdong")
    for number in "12":
        mark(hands, family, number, "1")
    table, remark = quoted(hands, "person_ERROR"), quoted(hands, "ERROR_REMARK")
    hands.run(f"CREATE TABLE {table} AS SELECT person.* FROM person WHERE id = '2'")
    hands.run(f"ALTER TABLE {table} ADD {remark} varchar(200)", f"UPDATE {table} SET {remark} = '编码不对'")
    assert asked(deliver, answer) == Answers(new=1, done=1, failed=1, other=0, rows=(FailedRow(("2",), "编码不对"),))
    hands.run(f"UPDATE {table} SET {quoted(hands, 'INSERTTIME')} = '2020-01-01 00:00:00'")
    assert asked(deliver, answer).failed == 0, "what was said of an earlier delivery of the row"
    hands.run(f"ALTER TABLE {table} DROP COLUMN {quoted(hands, 'INSERTTIME')}")
    assert asked(deliver, answer).failed is None


def test_a_row_belongs_to_the_delivery_that_wrote_it_last(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    deliver, family = delivering(endpoint, bound("jiangsu")), profile("jiangsu")
    first = deliver(person("1"), person("2"), person("3"), person("4"))
    mark(hands, family, "1", "1")
    mark(hands, family, "2", "2", "错")
    time.sleep(1.1)
    second = deliver(person("2", 2), person("3", 1), person("4", 2, operation=DELETE), key="second", previous="key")
    assert first.stamp != second.stamp
    assert asked(deliver, first) == Answers(new=1, done=1, failed=0, other=0)
    assert asked(deliver, second) == Answers(new=1, done=0, failed=0, other=0)
    mark(hands, family, "2", "2", "还是错")
    assert asked(deliver, second).rows == (FailedRow(("2",), "还是错"),)
    assert deliver(person("2", 2), person("3", 1), person("4", 2, operation=DELETE), key="second").stamp == second.stamp


def test_a_large_hostile_text_does_not_travel_whole(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    large = {"sqlite": "text", "postgresql": "text", "mariadb": "mediumtext"}[hands.product]
    deliver, family = delivering(endpoint, bound("jiangsu")), profile("jiangsu")
    hands.run("ALTER TABLE person DROP COLUMN sync_error_desc", f"ALTER TABLE person ADD sync_error_desc {large}")
    answer = deliver(person("1"), person("2"), person("3"))
    mark(hands, family, "1", "2", "\x1b]0;x\x07甲\u202e\r\n" + "𠮷" * (1 << 18))
    mark(hands, family, "2", "2", "'\"; DROP TABLE person; --,\\N")
    mark(hands, family, "3", "2", None)
    found = asked(deliver, answer)
    assert (found.failed, [row.key for row in found.rows]) == (3, [("1",), ("2",), ("3",)])
    assert found.rows[0].text == ("\x1b]0;x\x07甲\u202e\r\n" + "𠮷" * ERROR_CHARACTERS)[:ERROR_CHARACTERS]
    assert [row.text for row in found.rows[1:]] == ["'\"; DROP TABLE person; --,\\N", None]
    assert (asked(deliver, answer, rows=1).failed, len(asked(deliver, answer, rows=1).rows)) == (3, 1)
    assert asked(deliver, answer, rows=0).rows == ()


def test_bytes_that_are_no_text_are_shown_by_their_numbers(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    if hands.product != "sqlite":
        return  # the others let no such bytes into a text
    deliver = delivering(endpoint, bound("jiangsu"))
    answer = deliver(person("1"))
    hands.run("UPDATE person SET sync_sign = '2', sync_error_desc = CAST(x'd5c5ff41' AS TEXT)")
    assert asked(deliver, answer).rows[0].text == "\\xd5\\xc5\\xffA"


def test_what_is_gone_is_named(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    deliver = delivering(endpoint, bound("jiangsu"))
    answer = deliver(person("1"))
    hands.run("ALTER TABLE person DROP COLUMN sync_error_desc")
    with pytest.raises(Misconfigured, match="没有列 sync_error_desc"):
        asked(deliver, answer)
    hands.run("DROP TABLE person")
    with pytest.raises(Misconfigured, match="没有表 person"):
        asked(deliver, answer)


def test_rows_of_others_are_not_counted(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    one = replace(bound("jiangsu"), fixed={"owner": "甲方"})
    deliver = delivering(endpoint, one)
    answer = deliver(person("1"))
    other = Deliverer(endpoint, replace(one, fixed={"owner": "乙方"}), exchange="other")
    other(person("1"), person("2"), key="other")
    hands.run("UPDATE person SET update_date = (SELECT moment FROM (SELECT min(update_date) moment FROM person) t)")
    hands.run("INSERT INTO person (owner, id, sync_sign) VALUES ('甲方', '9', '0')")
    assert asked(deliver, answer) == Answers(new=1, done=0, failed=0, other=0)


def test_a_target_without_state_or_time_is_not_known(endpoint: DatabaseEndpoint) -> None:
    timeless = Profile(
        name="p",
        label="",
        source="",
        capture="outbox",
        state=StateColumn(column="flag", new=("0",), fresh="0", done="1", failed="2"),
    )
    for number, family in enumerate((None, timeless)):
        binding = replace(PERSON, object=f"t{number}", profile=family)
        answer = delivering(endpoint, binding)(person("1"), key=f"k{number}")
        assert answer.stamp == ""
        with endpoint.sink(binding) as sink:
            assert sink.answers("2026-01-01 00:00:00", rows=1) is None


def test_the_script_makes_an_index_and_without_one_it_is_advised(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    binding = bound("jiangsu")
    deliver = delivering(endpoint, binding)
    answer = deliver(person("1"))
    assert asked(deliver, answer).advice == ()
    (index,) = [row for row in _indexes(hands) if "answer" in row]
    hands.run(f"DROP INDEX {index}" + (" ON person" if hands.product == "mariadb" else ""))
    assert "update_date 没有索引" in asked(deliver, answer).advice[0]
    assert f"CREATE INDEX IF NOT EXISTS {index}" in endpoint.prepare(binding, SCHEMA)
    endpoint.install(binding, SCHEMA)
    assert asked(deliver, answer).advice == ()
    assert "shutong_answer" not in endpoint.prepare(binding, SCHEMA)


def _indexes(hands: Hands) -> list[str]:
    return [str(each["name"]) for each in sa.inspect(hands.engine).get_indexes("person")]
