"""A run: what moves, what is counted, and what stops it."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import ExchangeRow, GrantRow, LeaseRow, UsageRow
from exchange.engine import RunState, staging
from exchange.engine.passage import Passage, Passed
from exchange.errors import Denied, Failed, Invalid, Misplaced, Red, Unknown
from exchange.receipts import balanced
from tests.exchange.engine.town import (
    AWAY,
    COLUMNS,
    HERE,
    POLICE,
    SYNC,
    TAX,
    Town,
    application,
    at,
    copy_file,
    counts,
    grant,
    person,
    prepare,
    publish,
    resource,
    wrong,
)
from tests.exchange.engine.worker import Workers

# --- what moves ------------------------------------------------------------------------------------


def test_people_travel_from_one_department_to_another_under_a_grant(town: Town) -> None:
    town.report(*(person(number) for number in range(10)), wrong(10))
    steps: list[str] = []
    collected = town.run(SYNC, observe=lambda step, _: steps.append(step))
    shared = town.run(town.share)
    assert collected.state == shared.state == RunState.SETTLED
    assert collected.counts == counts(read=11, refused=1, written=10)
    assert shared.counts == counts(read=10, filtered=4, written=6)
    assert town.rows("library") == town.good()
    assert town.rows("tax") == town.granted()
    assert town.flags() == {**dict.fromkeys(town.good(), "1"), wrong(10)["id_no"]: "2"}
    assert "公民身份号码" in str(town.told()[wrong(10)["id_no"]][1])
    assert collected.owed == shared.owed == ()
    assert list(dict.fromkeys(steps)) == [
        "1.planned", "2.leased", "3.read", "5.staged", "5.manifest", "6.gate", "6.gated", "7.commit", "7.committed",
        "8.promoted", "9.settled",
    ]  # fmt: skip
    for exchange, result in ((SYNC, collected), (town.share, shared)):
        (receipt,) = town.receipts(exchange)
        assert receipt.id == result.receipt
        assert receipt.body["counts"] == result.counts
        assert balanced(result.counts)
        assert town.ledger(exchange) == [receipt.body["delivery"]]
        assert town.events(result.id) == [
            "RunStarted", "RunStaged", "RunGated", "RunCommitted",
            *["NoticeIssued"] * (2 if result is collected else 1), "RunSettled",
        ]  # fmt: skip
    assert town.stages("library") == town.stages("tax") == []
    assert town.faults() == []


def test_only_changes_move(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    assert [result.counts for result in town.run_both()] == [counts(), counts()]
    town.report(person(1, version=2, name="新名字"), person(4), person(5, version=2))
    collected, shared = town.run_both()
    assert collected.counts == counts(read=3, unchanged=1, written=2)
    assert shared.counts == counts(read=2, written=2)
    assert not shared.plan.full
    assert town.rows("tax") == town.granted()
    town.report(person(1, version=1))
    late, nothing = town.run_both()
    assert late.counts == counts(read=1, superseded=1)
    assert nothing.counts == counts()
    assert town.rows("tax")[person(1)["id_no"]]["name"] == "新**"


def test_a_row_that_leaves_the_grant_is_taken_back_and_may_come_again(town: Town) -> None:
    town.report(*(person(number) for number in range(6)))
    town.run_both()
    leaving = person(1)["id_no"]
    assert leaving in town.rows("tax")
    town.report(person(1, version=2, district=AWAY), person(3, version=2, name="别区的人"))
    _, shared = town.run_both()
    assert shared.counts == counts(read=2, filtered=1, written=1, deleted=1)
    assert town.rows("tax") == town.granted()
    assert leaving not in town.rows("tax")
    town.report(person(1, version=3, district=HERE))
    _, shared = town.run_both()
    assert shared.counts == counts(read=1, written=1)
    assert town.rows("tax") == town.granted()
    assert leaving in town.rows("tax")


def test_other_content_of_the_same_version_is_refused_and_its_provider_told(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run_both()
    town.report({**person(1), "name": "悄悄改名"}, person(4))
    collected, shared = town.run_both()
    assert collected.counts == counts(read=2, refused=1, written=1)
    assert shared.counts == counts(read=1, written=1)
    (row,) = town.quarantined(SYNC)
    assert (row.rule, row.number) == ("conflict", 1)
    state, said = town.told()[person(1)["id_no"]]
    assert state == "2"
    assert said
    (_, receipt) = town.receipts(SYNC)
    assert receipt.body["report"] == {"conflict": 1}


def test_a_deletion_at_the_source_reaches_the_recipient(town: Town) -> None:
    """In a family of tables that can say so: Shandong's."""
    columns = {name: name.upper() for name in COLUMNS}
    town.execute(
        "police",
        "CREATE TABLE EA_PERSON (ID_NO VARCHAR(18) PRIMARY KEY, NAME VARCHAR(64), DISTRICT VARCHAR(6), BORN DATE, "
        "VER BIGINT, DATAVER VARCHAR(10), SIGNSTATE VARCHAR(1), DATASTATE VARCHAR(1), MAKETIME TIMESTAMP)",
    )
    code = "101001001/0002"
    offer = {"endpoint": "police", "object": "EA_PERSON", "columns": columns, "profile": "shandong"}

    def report(number: int, version: int, mark: str) -> None:
        row = person(number, version=version)
        town.execute("police", f"DELETE FROM EA_PERSON WHERE ID_NO = '{row['id_no']}'")
        town.execute(
            "police",
            f"INSERT INTO EA_PERSON VALUES ('{row['id_no']}', '{row['name']}', '{HERE}', '1850-01-01', {version}, "
            f"'{version}', '0', '{mark}', '2026-03-01 00:00:00')",
        )

    with town.hub() as hub:
        publish(town, hub, resource(code=code, name="人口变动信息", offer=offer))
        town.grant = grant(
            town, hub, resource=code, target={"endpoint": "tax", "object": "moved", "columns": {}}
        )  # fmt: skip
        prepare(town, hub)
    for number in (1, 2, 3):
        report(number, 1, "1")
    sync = "sync-101001001-0002"
    assert town.run(sync).counts == counts(read=3, written=3)
    assert town.run(town.share).counts == counts(read=3, written=3)
    report(2, 2, "0")
    report(3, 2, "1")
    assert town.run(sync).counts == counts(read=2, written=2, deleted=1)
    assert town.run(town.share).counts == counts(read=2, written=2, deleted=1)
    assert [row[0] for row in town.query("tax", "SELECT id_no FROM moved ORDER BY ver, id_no")] == [
        person(1)["id_no"], person(3)["id_no"],
    ]  # fmt: skip
    report(2, 1, "1")
    assert town.run(sync).counts == counts(read=1, superseded=1)


def test_another_grant_on_the_same_table_makes_one_full_pass_and_takes_back_what_it_does_not_cover(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    old, target = town.share, application()["target"]
    masks = {**application()["masks"], "name": {"mask": "truncate", "length": 2}}
    narrower = {"any": [{"item": "id_no", "is": person(n)["id_no"]} for n in (1, 3)]}
    with town.hub() as hub:
        town.grant = grant(town, hub, masks=masks, filter=narrower, target=target)
        with pytest.raises(Invalid) as refused:
            hub.oversight.run(town.share, by=town.actor("integrator"))
    assert [problem.message for problem in refused.value.problems if old in problem.message]
    with town.hub() as hub:
        hub.sharing.change(old.removeprefix("share-"), "revoke", reason="改授", by=town.actor("chief"))
    shared = town.run(town.share)
    assert shared.plan.full
    assert shared.counts == counts(read=9, filtered=2, written=7, deleted=5)
    assert {name: row["name"] for name, row in town.rows("tax").items()} == {
        person(n)["id_no"]: person(n)["name"][:2] for n in (1, 3)
    }
    assert town.run(town.share).counts == counts()


def test_a_new_version_of_the_resource_makes_one_full_pass(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run(SYNC)
    with town.hub() as hub:
        items = [{**item, "mandatory": False} if item["name"] == "district" else item for item in resource()["items"]]
        publish(town, hub, resource(items=items))
    again = town.run(SYNC)
    assert again.plan.resource_version == 2
    assert again.plan.full
    assert again.counts == counts(read=4, unchanged=4)
    assert not town.run(SYNC).plan.full
    assert town.run(town.share).plan.resource_version == 1


# --- the books -------------------------------------------------------------------------------------


def stage_of(town: Town, place: str) -> str:
    (name,) = town.stages(place)
    return name


def test_one_row_stolen_from_the_stage_turns_the_run_red_and_nothing_is_delivered(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)

    def steal() -> None:
        town.execute("tax", f"DELETE FROM {stage_of(town, 'tax')} WHERE row_number = 2")

    with pytest.raises(Red, match="暂存 6 行，只判定了 5 行") as told:
        town.run(town.share, observe=at("6.gated", steal))
    assert told.value.remedy
    assert town.rows("tax") == {}
    assert town.ledger(town.share) == []
    assert town.stages("tax") == []
    (run,) = town.runs(town.share)
    assert run.state == RunState.RED
    assert "RunReddened" in town.events(run.id)
    assert town.all(sa.select(UsageRow.rows).where(UsageRow.grant == town.grant)) == []
    assert town.run(town.share).state == RunState.SETTLED
    assert town.rows("tax") == town.granted()


def test_one_row_slipped_into_the_stage_turns_the_run_red(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)

    def slip() -> None:
        name = stage_of(town, "tax")
        copied = sa.Table(name, sa.MetaData(), autoload_with=town.databases["tax"]).columns.keys()
        values = ", ".join({"row_number": "6", "key_text": "'[]'"}.get(column, column) for column in copied)
        town.execute("tax", f"INSERT INTO {name} SELECT {values} FROM {name} WHERE row_number = 0")

    with pytest.raises(Red):
        town.run(town.share, observe=at("5.manifest", slip))
    assert town.rows("tax") == {}


def test_a_passage_that_loses_a_row_turns_the_run_red(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    class Losing(Passage):
        def through(self, batch: Any) -> Passed:
            passed = super().through(batch)
            return Passed(**{**passed.__dict__, "staged": passed.staged.slice(1)})

    town.report(*(person(number) for number in range(3)))
    with monkeypatch.context() as patch:
        patch.setattr(staging, "Passage", Losing)
        with pytest.raises(Red, match="账不平"):
            town.run(SYNC)
    assert town.rows("library") == {}
    assert town.flags() == dict.fromkeys(town.reported, "0")
    assert town.stages("library") == []
    assert town.runs(SYNC)[-1].state == RunState.RED
    assert town.run(SYNC).counts == counts(read=3, written=3)


def test_too_many_refused_rows_stop_the_run_and_are_listed(town: Town) -> None:
    town.report(person(1), wrong(2), wrong(3))
    stopped = town.run(SYNC)
    assert stopped.state == RunState.STOPPED
    assert "超过容许" in stopped.reasons[0]
    assert stopped.receipt is None
    assert town.rows("library") == {}
    assert town.flags() == dict.fromkeys(town.reported, "0")
    assert [(row.rule, row.run) for row in town.quarantined(SYNC)] == [("identity_number", stopped.id)] * 2
    assert town.stages("library") == []
    assert town.ledger(SYNC) == []
    assert "RunReddened" in town.events(stopped.id)
    town.report(person(2), person(3), *(person(number) for number in range(4, 9)))
    town.execute("police", f"DELETE FROM inf_person WHERE id_no IN ('{wrong(2)['id_no']}', '{wrong(3)['id_no']}')")
    assert town.run(SYNC).counts == counts(read=8, written=8)


def forbid(town: Town) -> None:
    """The tax office's table takes one row of each district from now on."""
    town.execute("tax", "CREATE UNIQUE INDEX one_each ON person (district)")


def permit(town: Town) -> None:
    on = " ON person" if town.databases["tax"].dialect.name in ("mysql", "mariadb") else ""
    town.execute("tax", f"DROP INDEX one_each{on}")


def test_rows_that_only_the_target_refuses_count_and_nothing_is_delivered(product_town: Town) -> None:
    town = product_town
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    forbid(town)
    stopped = town.run(town.share)
    assert stopped.state == RunState.STOPPED
    assert "目标端提交时拒收 5 行" in stopped.reasons[0]
    assert stopped.counts == counts(read=9, filtered=3, refused=5)
    assert stopped.receipt is None
    assert town.rows("tax") == {}
    assert town.ledger(town.share) == town.stages("tax") == town.owed() == []
    assert town.all(sa.select(UsageRow.rows).where(UsageRow.grant == town.grant)) == []
    assert [(row.rule, row.state) for row in town.quarantined(town.share)] == [("constraint", "stopped")] * 5
    assert "RunReddened" in town.events(stopped.id)
    permit(town)
    assert town.run(town.share).counts == counts(read=9, filtered=3, written=6)
    assert town.rows("tax") == town.granted()
    # Refused by checks and refused by the target come out of one tolerance: half of what is read.
    town.report(*({**person(number), "name": "改"} for number in (0, 3)), wrong(20), person(21), person(22))
    stopped = town.run(SYNC)
    assert stopped.state == RunState.STOPPED
    assert stopped.counts == counts(read=5, refused=3)
    assert sorted(row.rule for row in town.quarantined(SYNC)) == ["conflict", "conflict", "identity_number"]
    assert set(town.flags().values()) == {"0", "1"}
    town.report(person(23))
    assert town.run(SYNC).counts == counts(read=6, refused=3, written=3)
    assert town.faults() == []


def test_whoever_dies_while_a_delivery_is_taken_back_leaves_it_to_be_stopped(town: Town, workers: Workers) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    town.hold_leases_for(0.3)
    forbid(town)
    for step in ("7.commit", "7.refused", "7.commit"):
        assert workers.run(town.home, town.share, step) == -signal.SIGKILL
        time.sleep(0.4)
        assert town.runs(town.share)[-1].state == RunState.COMMITTING
    stopped = town.run(town.share)
    assert stopped.state == RunState.STOPPED
    assert town.rows("tax") == {}
    assert len(town.runs(town.share)) == 1
    assert len(town.quarantined(town.share)) == 5
    assert town.ledger(town.share) == town.stages("tax") == town.owed() == []
    assert town.all(sa.select(UsageRow.rows).where(UsageRow.grant == town.grant)) == []
    assert town.faults() == []


# --- the gate --------------------------------------------------------------------------------------


def expire(town: Town) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        row = session.get_one(GrantRow, town.grant)
        row.valid_until = row.valid_from


def suspend_and_resume(town: Town) -> None:
    town.change("suspend")
    town.change("resume")


def give_little(town: Town) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(GrantRow, town.grant).quota_rows = 5


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (lambda town: town.change("revoke"), "已撤销"),
        (lambda town: town.change("suspend"), "已中止"),
        (expire, "期限已过"),
        (suspend_and_resume, "须重新制定方案"),
        (give_little, "超出上限"),
    ],
)
@pytest.mark.parametrize("step", ["2.leased", "6.gate"])
def test_what_ends_a_grant_before_the_gate_bars_the_run(
    town: Town, step: str, happens: Callable[[Town], None], reason: str
) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    barred = town.run(town.share, observe=at(step, lambda: happens(town)))
    assert barred.state == RunState.BARRED
    assert reason in barred.reasons[0]
    assert barred.receipt is None
    assert town.rows("tax") == {}
    assert town.ledger(town.share) == []
    assert town.stages("tax") == []
    assert town.owed() == []
    assert town.events(barred.id)[-1] == "RunRefusedAtGate"
    assert town.all(sa.select(UsageRow).where(UsageRow.grant == town.grant)) == []


def test_a_grant_revoked_after_the_gate_comes_too_late_and_the_log_says_so(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    delivered = town.run(town.share, observe=at("6.gated", lambda: town.change("revoke")))
    assert delivered.state == RunState.SETTLED
    assert town.rows("tax") == town.granted()
    said = town.events(delivered.id)
    assert said.index("RevocationAfterDelivery") > said.index("RunGated")
    with pytest.raises(Denied) as denied:
        town.run(town.share)
    assert "已撤销" in denied.value.reasons[0]
    with town.hub() as hub:
        found = hub.oversight.search(by=town.actor("auditor"), type="AccessDenied", exchange=town.share)
    assert len(found.events) == 1


def test_what_was_delivered_counts_against_the_quota(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    assert town.all(sa.select(UsageRow.rows).where(UsageRow.grant == town.grant)) == [6]
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(GrantRow, town.grant).quota_rows = 7
    town.report(person(1, version=2), person(2, version=2))
    town.run(SYNC)
    assert town.run(town.share).state == RunState.BARRED
    assert town.rows("tax")[person(1)["id_no"]]["ver"] == 1


def test_what_was_read_for_a_barred_run_is_read_again(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    town.report(person(1, version=2), person(2, version=2, district=AWAY))
    town.run(SYNC)
    assert town.run(town.share, observe=at("6.gate", lambda: suspend_and_resume(town))).state == RunState.BARRED
    assert town.run(town.share).counts == counts(read=2, written=2, deleted=1)
    assert town.rows("tax") == town.granted()


# --- sides that are away, or were put back -----------------------------------------------------------


def test_a_source_that_is_away_fails_the_run_and_the_next_one_plans_anew(town: Town) -> None:
    town.report(person(1))
    with town.away("police"), pytest.raises((Failed, Invalid)):
        town.run(SYNC)
    assert town.stages("library") == []
    assert town.run(SYNC).counts == counts(read=1, written=1)
    assert [run.state for run in town.runs(SYNC)][-1] == RunState.SETTLED


def test_a_stage_that_somebody_drops_turns_the_run_red(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    with pytest.raises(Red, match="暂存"):
        town.run(town.share, observe=at("3.read", lambda: town.execute("tax", f"DROP TABLE {stage_of(town, 'tax')}")))
    assert town.runs(town.share)[-1].state == RunState.RED
    assert town.run(town.share).state == RunState.SETTLED


def test_a_target_that_does_not_answer_the_commit_is_asked_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.database.dialects.sqlite.LOCK_SECONDS", 0.2)
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    path = Path(sa.make_url(town.urls["tax"]).database or "")
    lock = sqlite3.connect(path, isolation_level=None, timeout=0.1)

    def hold() -> None:
        lock.execute("BEGIN IMMEDIATE")

    with pytest.raises(Failed) as told:
        town.run(town.share, observe=at("7.commit", hold))
    lock.execute("ROLLBACK")
    lock.close()
    assert told.value.retry
    (run,) = town.runs(town.share)
    assert run.state == RunState.COMMITTING
    result = town.run(town.share)
    assert (result.id, result.state) == (run.id, RunState.SETTLED)
    assert town.rows("tax") == town.granted()


def backed_up(town: Town, folder: Path) -> Callable[[], None]:
    """Put a copy of the hub aside; what is returned brings it back."""
    for name in ("hub.db", "payload"):
        source = town.home / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            copy_file(f"sqlite:///{source}", f"sqlite:///{folder / name}")

    def restore() -> None:
        for path in town.home.glob("hub.db*"):
            path.unlink()
        shutil.rmtree(town.home / "payload")
        shutil.copy(folder / "hub.db", town.home / "hub.db")
        shutil.copytree(folder / "payload", town.home / "payload")

    return restore


def test_a_hub_restored_from_an_old_backup_is_refused_and_goes_on_when_told(town: Town, tmp_path: Path) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    (tmp_path / "backup").mkdir()
    restore = backed_up(town, tmp_path / "backup")
    town.report(person(1, version=2), person(2, version=2, district=AWAY), person(20))
    town.run_both()
    delivered = {exchange: town.ledger(exchange) for exchange in (SYNC, town.share)}
    restore()
    town.report(person(4, version=2))
    for exchange in (SYNC, town.share):
        for _ in range(2):
            with pytest.raises(Red, match="旧备份") as told:
                town.run(exchange)
            assert f"{exchange} --after-restore" in told.value.remedy
        assert town.ledger(exchange) == delivered[exchange]
    assert any("链头" in fault or "末尾" in fault for fault in town.faults())
    collected, shared = town.run(SYNC, after_restore=True), town.run(town.share, after_restore=True)
    assert collected.plan.full
    assert collected.counts == counts(read=10, unchanged=9, written=1)
    assert shared.counts == counts(read=10, filtered=4, unchanged=5, written=1)
    assert town.rows("library") == town.good()
    assert town.rows("tax") == town.granted()
    for exchange in (SYNC, town.share):
        assert len(set(town.ledger(exchange))) == len(delivered[exchange]) + 1
        assert town.run(exchange).state == RunState.SETTLED
    assert town.flags() == dict.fromkeys(town.reported, "1")
    with town.hub() as hub:
        hub.oversight.acknowledge(by=town.actor("auditor"), reason="从备份恢复")
    assert town.faults() == []


def test_what_was_given_up_after_a_restore_is_never_delivered(town: Town, tmp_path: Path) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    (tmp_path / "backup").mkdir()
    restores: list[Callable[[], None]] = []

    def back_up_in_the_middle() -> None:
        restores.append(backed_up(town, tmp_path / "backup"))

    town.run(town.share, observe=at("6.gate", back_up_in_the_middle))
    town.report(person(1, version=2))
    town.run_both()
    restores[0]()
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(LeaseRow, town.share).expires = 0.0
    with pytest.raises(Red):
        town.run(town.share)
    town.run(SYNC, after_restore=True)
    result = town.run(town.share, after_restore=True)
    given_up, last = town.runs(town.share)
    assert given_up.state == RunState.ABANDONED
    assert "HubRecovered" in town.events(given_up.id)
    assert last.delivery != given_up.delivery
    assert result.counts == counts(read=9, filtered=3, unchanged=6)
    assert town.rows("tax") == town.granted()


def test_a_target_restored_from_an_old_backup_turns_red_and_is_delivered_to_again(town: Town, tmp_path: Path) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    path = Path(sa.make_url(town.urls["tax"]).database or "")
    town.close()
    shutil.copy(path, tmp_path / "old")
    town.report(person(1, version=2, name="改名"), person(2, version=2, district=AWAY), person(22))
    town.run_both()
    town.close()
    shutil.copy(tmp_path / "old", path)
    town.report(person(4, version=2))
    town.run(SYNC)
    for _ in range(2):
        with pytest.raises(Red, match="台账") as told:
            town.run(town.share)
        assert f"{town.share} --redeliver" in told.value.remedy
    assert town.runs(town.share)[-1].state == RunState.RED
    again = town.run(town.share, redeliver=True)
    assert again.plan.full
    assert again.counts["deleted"] == 1
    assert town.rows("tax") == town.granted()
    assert "TargetRedelivered" in town.events(again.id)
    assert town.run(town.share).counts == counts()


def test_a_library_restored_from_an_old_backup_reaches_everybody_again(town: Town, tmp_path: Path) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    path = Path(sa.make_url(town.urls["library"]).database or "")
    town.close()
    shutil.copy(path, tmp_path / "old")
    town.report(person(1, version=2, name="改名"))
    town.run_both()
    town.close()
    shutil.copy(tmp_path / "old", path)
    town.report(person(2, version=2, name="又一人"), person(4, version=2, district=AWAY))
    with pytest.raises(Red):
        town.run(town.share)
    with pytest.raises(Red):
        town.run(SYNC)
    town.run(SYNC, redeliver=True)
    assert town.rows("library") == town.good()
    town.run(town.share)
    assert town.rows("tax") == town.granted()
    assert not town.run(town.share).plan.full


def test_a_redelivery_gives_up_what_was_staged_and_finishes_what_was_committing(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)

    class Gone(Exception):
        """The worker is no more."""

    def leave() -> None:
        raise Gone

    for step, state in (("6.gate", RunState.ABANDONED), ("7.committed", RunState.SETTLED)):
        with suppress(Gone):
            town.run(town.share, observe=at(step, leave))
        left = town.runs(town.share)[-1]
        again = town.run(town.share, redeliver=True)
        assert again.id != left.id
        assert again.state == RunState.SETTLED
        assert {run.id: run.state for run in town.runs(town.share)}[left.id] == state
        assert town.stages("tax") == []
    assert town.rows("tax") == town.granted()
    assert len(town.receipts(town.share)) == len(town.ledger(town.share))


# --- what cannot run ---------------------------------------------------------------------------------


def test_an_exchange_nobody_knows(town: Town) -> None:
    with pytest.raises(Unknown):
        town.run("share-nothing")


@pytest.mark.parametrize(("state", "word"), [("paused", "已暂停"), ("ended", "已终止")])
def test_an_exchange_that_does_not_run(town: Town, state: str, word: str) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(ExchangeRow, SYNC).state = state
    with pytest.raises(Misplaced, match=word):
        town.run(SYNC)
    assert town.runs(SYNC) == []


def test_a_target_that_does_not_fit_is_refused_with_all_that_is_wrong(town: Town) -> None:
    town.report(*(person(number) for number in range(3)))
    town.run(SYNC)
    town.execute("tax", "ALTER TABLE person DROP COLUMN born")
    with pytest.raises(Invalid, match="born"):
        town.run(town.share)
    assert town.runs(town.share)[-1].state == RunState.FAILED
    assert town.query("tax", "SELECT count(*) FROM person")[0][0] == 0


def test_the_parties_and_the_way_stand_in_the_plan(town: Town) -> None:
    with town.hub() as hub:
        plan = hub.sharing.plan(town.share)
    assert (plan.provider, plan.recipient, plan.way, plan.kind) == (POLICE, TAX, "database", "sharing")


def test_a_stage_that_is_lost_at_the_commit_is_read_again_under_the_same_key(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)

    def lose() -> None:
        [stage] = town.stages("tax")
        town.execute("tax", f"DROP TABLE {stage}")

    result = town.run(town.share, observe=at("7.commit", lose))
    assert result.state == "settled"
    assert town.rows("tax") == town.granted()
    assert len(town.runs(town.share)) == len(town.ledger(town.share)) == len(town.receipts(town.share)) == 1
    assert "RunRestaged" in town.events(result.id)
    assert town.stages("tax") == []
    assert town.faults() == []


def test_a_stage_that_is_lost_is_not_read_again_under_a_grant_that_is_no_more(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    read = []

    def lose() -> None:
        [stage] = town.stages("tax")
        town.execute("tax", f"DROP TABLE {stage}")
        town.change("revoke")

    lost = at("7.commit", lose)

    def observe(step: str, figures: dict[str, Any]) -> None:
        read.append(step)
        lost(step, figures)

    result = town.run(town.share, observe=observe)
    assert result.state == "barred"
    assert "3.read" not in read[read.index("7.commit") :]
    assert town.rows("tax") == {}
    assert town.ledger(town.share) == []
