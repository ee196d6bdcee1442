"""A run: what moves, what is counted, and what is refused."""

from __future__ import annotations

from exchange.engine import RunState
from exchange.receipts import balanced
from tests.exchange.engine.town import Town, person, wrong


def test_people_travel_from_one_department_to_another_under_a_grant(town: Town) -> None:
    town.report(*(person(number) for number in range(10)), wrong(10))
    collected, shared = town.run_both()
    assert collected.state == shared.state == RunState.SETTLED
    assert collected.counts == {
        "read": 11, "filtered": 0, "refused": 1, "unchanged": 0, "superseded": 0, "written": 10, "deleted": 0,
    }  # fmt: skip
    assert shared.counts == {
        "read": 10, "filtered": 4, "refused": 0, "unchanged": 0, "superseded": 0, "written": 6, "deleted": 0,
    }  # fmt: skip
    assert town.rows("library") == town.good()
    assert town.rows("tax") == town.granted()
    assert town.flags() == {**dict.fromkeys(town.good(), "1"), wrong(10)["id_no"]: "2"}
    assert balanced(collected.counts)
    assert balanced(shared.counts)
    assert collected.owed == shared.owed == ()
    assert town.faults() == []
