"""Child rows from one department's two tables to another's, through the library and past it."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from itertools import count

import pytest

from tests.exchange.engine.households import SYNC, Households, member
from tests.exchange.engine.town import Town, counts
from tests.exchange.engine.worker import Workers

pytestmark = pytest.mark.long_with("sqlite", "mariadb")


@pytest.fixture
def households(product_town: Town) -> Households:
    made = Households(product_town)
    made.set_up()
    return made


def test_members_travel_inside_their_household(households: Households) -> None:
    households.report("H1", member(1), member(2, "女"), member(2, "女"))
    households.report("H2")
    households.report("H3", member(3, "", BORN=None, SHARE=None, SEEN=None, LOCAL=None, ID_NO=None, RELATION="妻"))
    collected, shared = households.run_both()
    assert collected.counts == counts(read=3, written=3)
    assert shared.counts == counts(read=3, written=3)
    assert households.library() == households.expected()
    assert households.tax() == households.expected()
    assert households.town.stages("tax") == []
    assert any("household_member" in remark for remark in shared.plan.remarks)

    households.report("H1", member(2, "女"), version=2)
    households.report("H2", member(4), version=2)
    assert [result.counts for result in households.run_both()] == [counts(read=2, written=2)] * 2
    assert households.tax() == households.library() == households.expected()

    with households.town.hub() as hub:
        for exchange in (SYNC, households.town.share):
            found = hub.reconciler.reconcile(exchange)
            assert found.agrees, exchange
            assert found.expected == 3
    households.town.execute("tax", "UPDATE household_member SET relation = '外' WHERE hid = 'H1'")
    with households.town.hub() as hub:
        found = hub.reconciler.reconcile(households.town.share, keys=True)
    assert [(row.key, row.kind, row.items) for row in found.rows] == [({"hid": "H1"}, "content", ("members",))]

    # Everything again finds the one household whose members are not as they were.
    again = households.town.run(households.town.share, redeliver=True)
    assert again.counts == counts(read=3, unchanged=2, written=1)
    assert households.tax() == households.expected()


def test_a_wrong_member_refuses_the_household_and_is_named_to_its_department(households: Households) -> None:
    households.report("H1", member(1))
    households.report("H2", member(1), member(2, ID_NO="321202185001010000"), member(3, RELATION=None))
    collected, shared = households.run_both()
    assert collected.counts == counts(read=2, written=1, refused=1)
    assert shared.counts == counts(read=1, written=1)
    del households.reported["H2"]
    assert households.tax() == households.expected()
    query = "SELECT sync_sign, sync_error_desc FROM inf_household WHERE hid = 'H2'"
    ((state, text),) = households.town.query("police", query)
    assert state == "2"
    assert "].id_no" in text
    refused = households.town.quarantined(SYNC)
    assert {row.item for row in refused} == {"members"}
    assert {row.rule for row in refused} == {"identity_number", "mandatory"}


def test_a_household_that_leaves_the_library_takes_its_members_along(households: Households) -> None:
    households.report("H1", member(1), member(2))
    households.report("H2", member(3))
    households.run_both()
    households.town.execute("library", "DELETE FROM r_101001001_0002 WHERE hid = 'H1'")
    households.town.execute(
        "library",
        "INSERT INTO shutong_tombstone (object, scope, key_text, version, serial)"
        " SELECT 'r_101001001_0002', scope, '[\"H1\"]', '2', 99 FROM"
        ' (SELECT DISTINCT \'{"shutong_provider":"11321200TE00000291"}\' AS scope) AS scopes',
    )
    households.town.execute("library", "UPDATE shutong_serial SET value = 99 WHERE object = 'r_101001001_0002'")
    shared = households.town.run(households.town.share)
    assert shared.counts == counts(read=1, written=1, deleted=1)
    del households.reported["H1"]
    assert households.tax() == households.expected()


def test_straight_from_the_provider(product_town: Town) -> None:
    households = Households(product_town, served="provider")
    households.set_up()
    households.report("H1", member(1), member(2))
    households.report("H2")
    assert product_town.run(product_town.share).counts == counts(read=2, written=2)
    households.report("H2", member(5), version=2)
    assert product_town.run(product_town.share).counts == counts(read=2, unchanged=1, written=1)
    assert households.tax() == households.expected()


def test_death_at_every_statement_loses_no_member_and_brings_none_twice(
    households: Households, workers: Workers
) -> None:
    town = households.town
    with_foreign_key(town)
    households.report("H1", member(1), member(2))
    households.report("H2", member(3))
    households.report("H3", member(4), member(4))
    households.run_both()
    before = households.tax()
    assert before == households.expected()

    households.report("H1", member(2), version=2)
    households.report("H2", member(3), member(5), member(5), version=2)
    households.report("H4", member(6))
    town.run(SYNC)
    deaths = 0
    for number in count(1):
        status = workers.run(town.home, town.share, f"target:{number}")
        if status == 0:
            break
        assert status == -signal.SIGKILL, workers.said
        assert households.tax() == before, f"target:{number}"
        deaths += 1
        with closing(sqlite3.connect(town.home / "hub.db", timeout=20)) as connection, connection:
            connection.execute("UPDATE lease SET expires = 0 WHERE exchange = ?", (town.share,))
    assert deaths > 15
    assert households.tax() == households.expected()
    assert len(town.ledger(town.share)) == 2
    assert town.stages("tax") == []
    assert town.runs(town.share)[-1].counts == counts(read=3, written=3)
    assert town.faults() == []


def with_foreign_key(town: Town) -> None:
    """The recipient wants every member to have his household."""
    if town.databases["tax"].dialect.name == "sqlite":
        ((made,),) = town.query("tax", "SELECT sql FROM sqlite_master WHERE name = 'household_member'")
        town.execute("tax", "DROP TABLE household_member")
        town.execute("tax", f"{made.rstrip().rstrip(')')}, FOREIGN KEY (hid) REFERENCES household (hid))")
        town.execute("tax", "CREATE INDEX of_household ON household_member (hid)")
    else:
        rule = "FOREIGN KEY (hid) REFERENCES household (hid)"
        town.execute("tax", f"ALTER TABLE household_member ADD CONSTRAINT of_household {rule}")
