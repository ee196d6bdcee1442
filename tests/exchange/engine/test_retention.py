"""Retention: contents go after their time, what is still needed stays, and the log says how many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, OwedRow, QuarantineRow, RunRow
from exchange.engine import RowState
from exchange.engine.retention import Retention
from exchange.errors import Failed, Misplaced
from exchange.secrets import Vault
from tests.exchange.engine.test_quarantine import age, change, drop, mend, shown
from tests.exchange.engine.test_replay import refused, replay, states
from tests.exchange.engine.town import SYNC, Town, at, person, wrong


def expire(town: Town) -> int:
    with town.hub() as hub:
        return hub.engine.retention.expire(by=town.actor("integrator"))


def files(town: Town) -> set[str]:
    return {path.name for path in (town.home / "payload").iterdir()}


def told(town: Town) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == "QuarantineExpired"))


def test_contents_go_after_their_time_and_what_was_wrong_stays(town: Town) -> None:
    number, _ = refused(town, wrong(7), {**person(8), "name": None})
    before = town.quarantined(SYNC)
    age(town, 89)
    assert expire(town) == 0
    age(town, 2)
    held = files(town)
    assert expire(town) == 2
    assert held - files(town) == {str(before[0].file)}
    after = town.quarantined(SYNC)
    assert [(row.rule, row.reason, row.key_hash) for row in after] == [
        (row.rule, row.reason, row.key_hash) for row in before
    ]
    assert {(row.state, row.file) for row in after} == {(RowState.EXPIRED, None)}
    assert told(town) == [{"rows": 2}]
    assert shown(town, number).items == ()
    with pytest.raises(Misplaced, match="留存期限"):
        mend(town, number, name="某")
    with pytest.raises(Misplaced):
        replay(town)
    assert expire(town) == 0
    assert len(told(town)) == 1
    assert town.owed() == []
    town.report(person(20))
    assert town.run(SYNC).counts["written"] == 1
    assert town.faults() == []


def test_a_correction_that_waits_keeps_its_manifest(town: Town) -> None:
    number, other = refused(town, wrong(7), {**person(8), "name": None})
    mend(town, number, id_no=person(7)["id_no"])
    age(town)
    held = files(town)
    assert expire(town) == 0
    assert files(town) == held
    replay(town)
    assert expire(town) == 2
    assert states(town) == [RowState.REPLAYED, RowState.EXPIRED]
    # Of the replay itself, which is young, the manifest is still there.
    assert files(town) == {str(town.runs(SYNC)[-1].manifest)}
    assert shown(town, other).items == ()


def test_a_replay_that_is_not_at_its_end_keeps_what_it_reads(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])

    def stop() -> None:
        raise Failed("断了")

    with pytest.raises(Failed):
        replay(town, observe=at("6.gate", stop))
    age(town)
    change(town, sa.update(QuarantineRow).values(state="open"))
    assert expire(town) == 0


def test_an_unfinished_run_keeps_its_manifest(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    drop(town, number)
    age(town)
    change(town, sa.update(RunRow).values(state="committed"))
    assert expire(town) == 0
    assert town.quarantined(SYNC)[0].file in files(town)


def test_rows_of_a_stopped_run_expire_too(town: Town) -> None:
    town.report(person(1), wrong(7), wrong(8))
    town.run(SYNC)
    age(town)
    assert expire(town) == 2
    assert states(town) == [RowState.EXPIRED] * 2
    assert files(town) == set()


def test_what_is_given_up_stays_given_up(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    drop(town, number)
    age(town)
    assert expire(town) == 1
    assert states(town) == [RowState.DROPPED]
    assert town.quarantined(SYNC)[0].file is None


def test_a_death_before_the_files_are_gone_is_made_good(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    drop(town, number)
    age(town)

    def die(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "remove", die)
        with pytest.raises(InterruptedError):
            expire(town)
    assert town.all(sa.select(OwedRow.kind).where(OwedRow.done_at.is_(None))) == ["expire"]
    assert files(town)
    assert expire(town) == 0
    assert files(town) == set()
    assert town.owed() == []
    assert len(told(town)) == 1


def test_corrections_that_belong_to_no_row_are_swept(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    mend(town, number, name="改名")
    standing = str(town.quarantined(SYNC)[0].repair)
    assert len([name for name in files(town) if name.startswith("repair-")]) == 2
    expire(town)
    assert [name for name in files(town) if name.startswith("repair-")] == [standing]


def test_what_is_due_takes_old_contents_away(town: Town) -> None:
    refused(town, wrong(7))
    age(town)
    with town.hub() as hub:
        for _ in hub.oversight.run_due(by=town.actor("integrator")):
            break
    assert states(town) == [RowState.EXPIRED]


def test_days_are_a_setting(town: Town, tmp_path: Path) -> None:
    refused(town, wrong(7))
    age(town, 10)
    with town.hub() as hub:
        short = Retention(hub.database, hub.engine.vault, hub.audit, days=9)
        assert hub.settings.retention.quarantine_days == 90
        assert short.expire(by=town.actor("integrator")) == 1
