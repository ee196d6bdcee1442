"""Settling: what is owed after a delivery is paid again and again until done, and only once."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from exchange.db.tables import NoticeRow, OwedRow
from exchange.engine import RunState
from exchange.errors import Failed, Invalid
from tests.exchange.engine.town import AWAY, POLICE, SYNC, TAX, Town, at, person, wrong


def notices(town: Town, run: str) -> dict[str, str]:
    return {row.department: row.text for row in town.all(sa.select(NoticeRow).where(NoticeRow.run == run))}


def test_both_sides_are_told_once(town: Town) -> None:
    town.report(*(person(number) for number in range(5)), wrong(7))
    collected, shared = town.run_both()
    assert "1 行被拒收" in notices(town, collected.id)[POLICE]
    assert list(notices(town, shared.id)) == [TAX]
    assert "送达 3 行" in notices(town, shared.id)[TAX]
    town.report(person(1, version=2, district=AWAY))
    _, again = town.run_both()
    assert "送达 1 行（其中删除 1 行）" in notices(town, again.id)[TAX]


def test_a_source_that_is_away_is_told_later(town: Town) -> None:
    town.report(*(person(number) for number in range(5)), wrong(7))
    with ExitStack() as stack:
        with pytest.raises((Failed, Invalid)):
            town.run(SYNC, observe=at("8.promoted", lambda: stack.enter_context(town.away("police"))))
        (run,) = town.runs(SYNC)
        assert run.state == RunState.COMMITTED
        assert town.rows("library") == town.good()
        (debt,) = town.all(sa.select(OwedRow).where(OwedRow.kind == "settle"))
        assert (debt.attempts, debt.done_at) == (1, None)
        assert debt.error
        with pytest.raises((Failed, Invalid)):
            town.run(SYNC)
        assert town.all(sa.select(OwedRow.attempts).where(OwedRow.kind == "settle")) == [2]
        assert len(town.receipts(SYNC)) == 1
    assert town.flags() == dict.fromkeys(town.reported, "0")
    result = town.run(SYNC)
    assert (result.id, result.state) == (run.id, RunState.SETTLED)
    assert town.flags() == {**dict.fromkeys(town.good(), "1"), wrong(7)["id_no"]: "2"}
    assert town.owed() == []
    assert len(town.runs(SYNC)) == 1


def test_a_row_that_changed_meanwhile_stays_unread(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    newer = person(1, version=2, name="又改了")
    town.run(SYNC, observe=at("8.promoted", lambda: town.report(newer)))
    assert town.flags() == {**dict.fromkeys(town.reported, "1"), newer["id_no"]: "0"}
    assert town.run(SYNC).counts["written"] == 1
    assert town.rows("library") == town.good()
    assert town.flags() == dict.fromkeys(town.reported, "1")


def test_every_reason_of_a_refused_row_reaches_its_provider(town: Town) -> None:
    town.report(*(person(number) for number in range(4)), {**wrong(7), "name": ""})
    town.run(SYNC)
    state, said = town.told()[wrong(7)["id_no"]]
    assert state == "2"
    assert said is not None
    assert "公民身份号码" in said
    assert "姓名" in said
    assert wrong(7)["id_no"] not in said


def test_a_conflict_found_by_the_target_reaches_the_provider_too(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run(SYNC)
    town.report({**person(2), "name": "换了内容"}, person(3, version=2))
    town.run(SYNC)
    assert town.told()[person(2)["id_no"]][0] == "2"
    assert town.told()[person(3)["id_no"]] == ("1", None)
