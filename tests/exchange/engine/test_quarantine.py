"""Refused rows in their provider's hands: masked by grade, corrected under the checks, kept encrypted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from exchange.db.tables import QuarantineRow, RunRow
from exchange.engine import RowState, ShownRow
from exchange.engine.quarantine import READING, corrected, read_repair
from exchange.errors import Busy, HubError, Invalid, Misplaced, Unknown
from tests.exchange.engine.town import HERE, SYNC, Town, person, wrong


def refused(town: Town, **changes: Any) -> int:
    """Let one row be refused among others; its number in quarantine."""
    town.report(*(person(number) for number in range(4)), {**wrong(7), **changes})
    town.run(SYNC)
    return town.quarantined(SYNC)[0].id


def shown(town: Town, number: int) -> ShownRow:
    with town.hub() as hub, hub.database.reading() as session:
        return hub.engine.quarantine.look(session, hub.engine.quarantine.find(session, number))


def mend(town: Town, number: int, reason: str = "", **changes: str | None) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        rows = hub.engine.quarantine.find(session, number, lock=True)
        hub.engine.quarantine.mend(session, rows, changes, town.actor("police"), reason)


def drop(town: Town, number: int) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        hub.engine.quarantine.drop(session, hub.engine.quarantine.find(session, number, lock=True))


def state(town: Town, number: int) -> str:
    return str(town.all(sa.select(QuarantineRow.state).where(QuarantineRow.id == number))[0])


def change(town: Town, statement: Any) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(statement)


def age(town: Town, days: int = 91) -> None:
    """Let time go by since every run so far."""
    for run in town.all(sa.select(RunRow)):
        if run.ended_at is not None:
            moved = run.ended_at - timedelta(days=days)
            change(town, sa.update(RunRow).where(RunRow.id == run.id).values(ended_at=moved))


def test_what_is_wrong_is_shown_and_the_rest_is_masked(town: Town) -> None:
    row = shown(town, refused(town, name="欧阳某某"))
    values = {item.name: (item.value, item.masked) for item in row.items}
    assert values == {
        "id_no": (wrong(7)["id_no"], False),
        "name": ("欧***", True),
        "district": (HERE, False),
        "born": (f"{wrong(7)['born']:%Y}", True),
        "ver": ("1", False),
    }
    assert row.state == RowState.OPEN
    assert [rule for rule, _ in row.findings] == ["identity_number"]
    assert [item.name for item in row.items if item.reasons] == ["id_no"]


def test_a_key_that_is_not_to_be_mended_is_masked_too(town: Town) -> None:
    number = person(8)["id_no"]
    row = shown(town, refused(town, id_no=number, name=None))
    values = {item.name: item.value for item in row.items}
    assert values["id_no"] == f"{number[:6]}********{number[-4:]}"
    assert values["name"] is None


def test_every_number_of_a_row_leads_to_all_that_is_wrong_with_it(town: Town) -> None:
    refused(town, name=None)
    rows = [shown(town, each.id) for each in town.quarantined(SYNC)]
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert {rule for rule, _ in rows[0].findings} == {"identity_number", "mandatory"}


@pytest.mark.parametrize("number", [0, 999, 2**63, -1])
def test_a_number_that_is_none(town: Town, number: int) -> None:
    with pytest.raises(Unknown):
        shown(town, number)


def test_a_correction_is_held_to_the_checks_and_everything_wrong_is_told_at_once(town: Town) -> None:
    number = refused(town, name=None)
    with pytest.raises(Invalid) as told:
        mend(town, number, district="1234567890", born="昨天")
    fields = {problem.where.partition(" › ")[2] for problem in told.value.problems}
    assert fields == {"id_no", "name", "district", "born"}
    assert "昨天" not in repr(told.value.problems)
    assert all(problem.remedy for problem in told.value.problems)
    assert state(town, number) == RowState.OPEN
    with town.hub() as hub:
        assert not [name for name in hub.engine.vault.names() if name.startswith("repair-")]


def test_an_item_that_does_not_exist(town: Town) -> None:
    number = refused(town)
    with pytest.raises(Invalid) as told:
        mend(town, number, id_mo=person(7)["id_no"], nought="x")
    assert [problem.message for problem in told.value.problems] == [
        "没有信息项 id_mo，是否指 id_no",
        "没有信息项 nought",
    ]


def test_a_correction_is_kept_encrypted_with_who_when_and_why(town: Town) -> None:
    number = refused(town, name=None)
    right = person(7)["id_no"]
    mend(town, number, "核对过证件", id_no=right, name="王𠮷")
    rows = town.quarantined(SYNC)
    assert {row.state for row in rows} == {RowState.REPAIRED}
    (file,) = {str(row.repair) for row in rows}
    with town.hub() as hub:
        repair = read_repair(hub.engine.vault, file)
        assert right.encode() not in (town.home / "payload" / file).read_bytes()
    assert (repair.run, repair.number, repair.by) == (rows[0].run, rows[0].number, "公安经办")
    assert repair.reason == "核对过证件"
    assert repair.changes == {"id_no": right, "name": "王𠮷"}
    row = shown(town, number)
    assert {item.name: item.value for item in row.items if item.corrected} == {"id_no": right, "name": "王𠮷"}
    assert (row.repaired_by, row.repair_reason) == ("公安经办", "核对过证件")


def test_a_second_correction_keeps_what_the_first_set(town: Town) -> None:
    number = refused(town, name=None)
    mend(town, number, id_no=person(7)["id_no"], name="王五")
    mend(town, number, name="王六", born=None)
    with town.hub() as hub:
        repair = read_repair(hub.engine.vault, str(town.quarantined(SYNC)[0].repair))
    assert repair.changes == {"id_no": person(7)["id_no"], "name": "王六", "born": None}


def test_what_is_given_up_cannot_be_corrected(town: Town) -> None:
    number = refused(town)
    drop(town, number)
    assert state(town, number) == RowState.DROPPED
    for attempt in (lambda: mend(town, number, id_no=person(7)["id_no"]), lambda: drop(town, number)):
        with pytest.raises(Misplaced, match="不再送"):
            attempt()


@pytest.mark.parametrize("other", [s for s in RowState if s not in (RowState.OPEN, RowState.REPAIRED)])
def test_a_row_that_does_not_wait_cannot_be_touched(town: Town, other: RowState) -> None:
    number = refused(town)
    change(town, sa.update(QuarantineRow).values(state=other.value))
    with pytest.raises(Misplaced) as told:
        mend(town, number, id_no=person(7)["id_no"])
    assert told.value.remedy


@pytest.mark.parametrize("reading", READING)
def test_a_row_in_the_hands_of_a_replay_cannot_be_touched(town: Town, reading: str) -> None:
    number = refused(town)
    (run,) = town.runs(SYNC)
    change(town, sa.update(QuarantineRow).values(replay=run.id))
    change(town, sa.update(RunRow).values(state=str(reading)))
    for attempt in (lambda: mend(town, number, id_no=person(7)["id_no"]), lambda: drop(town, number)):
        with pytest.raises(Busy):
            attempt()
    assert state(town, number) == RowState.OPEN


def test_a_row_the_target_refused_has_no_content(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run(SYNC)
    town.report({**person(2), "name": "换了内容"}, *(person(number) for number in range(10, 13)))
    town.run(SYNC)
    (row,) = town.quarantined(SYNC)
    assert (row.rule, row.file, row.state) == ("conflict", None, RowState.OPEN)
    assert shown(town, row.id).items == ()
    with pytest.raises(Misplaced, match="没有保留"):
        mend(town, row.id, name="又换")
    drop(town, row.id)


def test_a_manifest_that_was_changed_is_not_shown(town: Town) -> None:
    number = refused(town)
    file = town.home / "payload" / str(town.quarantined(SYNC)[0].file)
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(HubError):
        shown(town, number)


def test_a_row_refused_run_after_run_waits_once(town: Town) -> None:
    refused(town)
    good = [person(number) for number in range(20, 26)]
    town.report(wrong(7, version=2), wrong(8), {**person(9), "id_no": ""}, *good)
    town.run(SYNC)
    town.report({**person(9), "id_no": "", "ver": 2}, *(person(number) for number in range(30, 33)))
    town.run(SYNC)
    found = [(row.rule, row.state) for row in town.quarantined(SYNC)]
    assert found[0] == ("identity_number", RowState.AGAIN)
    # Rows without a key have one hash, and are not one row.
    assert [state for rule, state in found if rule == "key"] == [RowState.OPEN] * 2
    assert [state for rule, state in found[1:] if rule == "identity_number"] == [RowState.OPEN] * 2


def test_a_correction_changes_nothing_but_what_it_names() -> None:
    row = pa.record_batch({
        "name": ["张三"], "born": pa.array([None], pa.date32()), "_operation": pa.array([0], pa.int8()),
        "_reference": ["r"], "_number": pa.array([3], pa.int64()),
    })  # fmt: skip
    changed = corrected(row, {"born": "1850-01-02", "more": None})
    assert changed.schema.names == ["name", "born", "more", "_operation", "_reference", "_number"]
    assert changed.to_pylist() == [
        {"name": "张三", "born": "1850-01-02", "more": None, "_operation": 0, "_reference": "r", "_number": 3}
    ]
