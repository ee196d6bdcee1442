"""Reconciliation: what is told of two ends, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from exchange.engine.reconciliation import Difference, Reconciliation
from tests.exchange.engine.town import AWAY, SYNC, Town, person, wrong


def reconciled(town: Town, exchange: str | None = None, **options: Any) -> Reconciliation:
    options = {"range_rows": 4, **options}
    with town.hub() as hub:
        return hub.reconciler.reconcile(exchange or town.share, **options)


def row(found: Reconciliation, number: int) -> Difference:
    """The row of the nth person."""
    (one,) = [each for each in found.rows if each.key == {"id_no": person(number)["id_no"]}]
    return one


def counts(**given: int) -> dict[str, int]:
    return {**dict.fromkeys(("missing", "surplus", "repeated", "older", "newer", "content"), 0), **given}


@pytest.fixture
def moved(town: Town) -> Town:
    """A town in which forty people were reported, one of them wrongly, and everything was delivered."""
    town.report(*(person(number) for number in range(40)), wrong(41))
    town.run_both()
    return town


def test_what_was_delivered_and_left_alone_agrees(moved: Town) -> None:
    for exchange, read in ((SYNC, 41), (moved.share, 40)):
        found = reconciled(moved, exchange)
        assert found.agrees
        assert found.counts == counts()
        assert found.expected_digest == found.held_digest
        assert (found.read, found.refused) == (read, read - 40)
        assert found.expected == found.held == len(moved.rows("library" if exchange == SYNC else "tax"))
        assert found.ranges > 3
        assert (found.differing_ranges, found.found_ranges, found.rows, found.remedies) == (0, (), (), ())


def test_every_way_to_differ_is_told_apart(moved: Town) -> None:
    table = "UPDATE person SET {change} WHERE id_no = '{key}'"
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    moved.execute("tax", table.format(change="born = '1999-01-01'", key=person(2)["id_no"]))
    moved.execute("tax", table.format(change="name = '测试4'", key=person(4)["id_no"]))
    moved.execute("tax", table.format(change="ver = 0", key=person(5)["id_no"]))
    moved.execute("tax", table.format(change="ver = 9, name = '谁'", key=person(8)["id_no"]))
    moved.execute("tax", "INSERT INTO person VALUES ('999999', '多*', '321202', NULL, 1)")
    found = reconciled(moved, keys=True)
    assert not found.agrees
    assert found.expected_digest != found.held_digest
    assert found.counts == counts(missing=1, surplus=1, older=1, newer=1, content=2)
    assert row(found, 1).kind == "missing"
    assert (row(found, 2).kind, row(found, 2).items) == ("content", ("born",))
    assert (row(found, 4).kind, row(found, 4).items) == ("content", ("name",))
    assert (row(found, 5).kind, row(found, 5).items) == ("older", ("ver",))
    assert (row(found, 8).kind, row(found, 8).items) == ("newer", ("name", "ver"))
    (surplus,) = [each for each in found.rows if each.kind == "surplus"]
    assert surplus.key == {"id_no": "999999"}
    assert all(each.why == () for each in found.rows)
    assert any("--redeliver" in remedy for remedy in found.remedies)
    assert any("接收方核实" in remedy for remedy in found.remedies)
    assert sum(sum(each.counts.values()) for each in found.found_ranges) == 6
    assert found.differing_ranges == len(found.found_ranges) < found.ranges
    for each in found.found_ranges:
        assert each.expected_digest != each.held_digest


def test_redelivery_mends_what_a_delivery_can(moved: Town) -> None:
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    moved.execute("tax", f"UPDATE person SET born = '1999-01-01' WHERE id_no = '{person(2)['id_no']}'")
    away = person(3)
    moved.execute("tax", f"INSERT INTO person VALUES ('{away['id_no']}', '别*', '{AWAY}', NULL, 1)")
    found = reconciled(moved, keys=True)
    assert row(found, 3).why == ("withdrawn",)
    assert found.counts == counts(missing=1, content=1, surplus=1)
    assert all("接收方核实处理" not in remedy for remedy in found.remedies)
    moved.run(moved.share, redeliver=True)
    assert reconciled(moved).agrees


def test_ranges_stand_still_when_rows_come_and_go(moved: Town) -> None:
    before = reconciled(moved)
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    after = reconciled(moved)
    assert after.ranges == before.ranges
    assert after.differing_ranges == 1
    (one,) = after.found_ranges
    assert one.expected == one.held + 1
    assert after.expected_digest == before.expected_digest


def test_what_the_next_run_will_bring_is_told(moved: Town) -> None:
    moved.report(person(1, version=2, name="新名字"), person(50), person(4, version=2, district=AWAY))
    found = reconciled(moved, SYNC, keys=True)
    assert found.counts == counts(missing=1, older=2)
    assert {each.why for each in found.rows} == {("pending",)}
    assert found.remedies == (f"来源已变而尚未送达的：执行 shutong run {SYNC}",)
    assert reconciled(moved).agrees
    moved.run(SYNC)
    assert reconciled(moved, SYNC).agrees
    found = reconciled(moved, keys=True)
    assert found.counts == counts(missing=1, older=1, surplus=1)
    assert (row(found, 1).why, row(found, 50).why) == (("pending",), ("pending",))
    assert row(found, 4).why == ("pending", "withdrawn")
    moved.run(moved.share)
    assert reconciled(moved).agrees


def test_rows_refused_and_rows_deleted_are_explained(moved: Town) -> None:
    library = "r_101001001_0001"
    bad = {**person(1, version=2), "district": None}
    moved.report(bad, person(38, version=2), person(39, version=2))
    found = reconciled(moved, SYNC, keys=True)
    assert row(found, 1).kind == "surplus"
    assert row(found, 1).why == ("pending", "refused")
    moved.run(SYNC)
    found = reconciled(moved, SYNC, keys=True)
    assert (row(found, 1).why, row(found, 1).rules) == (("refused",), ("mandatory",))
    assert any("quarantine list" in remedy for remedy in found.remedies)
    # The same version with other content is refused by the target.
    moved.execute("library", f"UPDATE {library} SET shutong_serial = 9, born = '1850-01-01' WHERE name = '测试2'")
    moved.execute("library", "UPDATE shutong_serial SET value = 9")
    moved.run(moved.share)
    found = reconciled(moved, keys=True)
    assert (row(found, 2).kind, row(found, 2).why, row(found, 2).rules) == ("content", ("refused",), ("conflict",))
    # A deletion that the library knows of, and a row that somebody put back at the recipient.
    gone = person(5)["id_no"]
    moved.execute("library", f"DELETE FROM {library} WHERE id_no = '{gone}'")
    scope = moved.query("library", f"SELECT shutong_provider FROM {library} LIMIT 1")[0][0]
    moved.execute(
        "library",
        "INSERT INTO shutong_tombstone (object, scope, key_text, version, serial) VALUES "
        f"""('{library}', '{{"shutong_provider":"{scope}"}}', '["{gone}"]', '1', 1)""",
    )
    found = reconciled(moved, keys=True)
    assert row(found, 5).why == ("deleted",)
    found = reconciled(moved, SYNC, keys=True)
    assert (row(found, 5).kind, row(found, 5).why) == ("missing", ("buried",))


def test_nothing_beyond_the_grant_is_told_to_the_recipient(moved: Town) -> None:
    moved.report({**person(1, version=2), "district": None}, person(2, version=2))
    moved.run(SYNC)
    away = person(3)
    moved.execute("tax", f"INSERT INTO person VALUES ('{away['id_no']}', '别*', '{AWAY}', NULL, 1)")
    found = reconciled(moved, keys=True, beyond_grant=False)
    assert row(found, 3).why == ()
    assert row(found, 2).why == ("pending",)
    assert isinstance(found.found_ranges[0].first, str)
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(2)['id_no']}'")
    (missing,) = [each for each in reconciled(moved, keys=True, beyond_grant=False).rows if each.kind == "missing"]
    assert missing.key is None
    refused = reconciled(moved, SYNC, keys=True, beyond_grant=False)
    assert (row(refused, 1).why, row(refused, 1).rules) == ((), ())


def test_keys_are_hashed_unless_asked_for(moved: Town) -> None:
    stolen = person(1)["id_no"]
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{stolen}'")
    hidden, shown = reconciled(moved), reconciled(moved, keys=True)
    assert not any(code in repr(hidden) for code in moved.rows("library"))
    assert hidden.rows[0].key is None
    assert hidden.rows[0].key_hash == shown.rows[0].key_hash
    assert shown.rows[0].key == {"id_no": stolen}
    assert isinstance(hidden.found_ranges[0].first, str)
    assert shown.found_ranges[0].first != hidden.found_ranges[0].first
    # The hash is that of the quarantine.
    moved.report({**person(2, version=2), "district": None}, person(38, version=2), person(39, version=2))
    moved.run(SYNC)
    (quarantined,) = [each for each in moved.quarantined(SYNC) if each.rule == "mandatory"]
    assert [each.key_hash for each in reconciled(moved, SYNC).rows] == [quarantined.key_hash]


def test_no_more_is_told_than_asked_for_and_all_is_counted(moved: Town) -> None:
    moved.execute("tax", "DELETE FROM person")
    found = reconciled(moved, most_rows=3, most_ranges=2)
    assert found.held == 0
    assert found.counts == counts(missing=found.expected)
    assert (len(found.rows), len(found.found_ranges)) == (3, 2)
    assert found.differing_ranges == found.ranges > 2


def test_before_the_first_delivery_everything_is_missing(town: Town) -> None:
    town.report(*(person(number) for number in range(6)))
    found = reconciled(town, SYNC)
    assert found.counts == counts(missing=6)
    assert found.remarks == ("平台没有该交换的交付记录",)
    assert found.remedies == (f"来源已变而尚未送达的：执行 shutong run {SYNC}",)
    empty = reconciled(town)
    assert empty.agrees
    assert (empty.ranges, empty.expected, empty.held) == (0, 0, 0)


def test_it_changes_nothing(moved: Town) -> None:
    def state() -> list[Any]:
        tables = {"police": "inf_person", "library": "r_101001001_0001", "tax": "person"}
        return [moved.query(place, f"SELECT * FROM {table}") for place, table in tables.items()] + [
            moved.query(place, "SELECT * FROM shutong_ledger") for place in ("library", "tax")
        ]

    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    before = state()
    reconciled(moved)
    reconciled(moved, SYNC)
    assert state() == before
    assert sa.inspect(moved.databases["tax"]).get_table_names() == sa.inspect(moved.databases["tax"]).get_table_names()
