"""Replay: corrected rows go the one way through, once, and whoever dies on it loses and repeats nothing."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, ExchangeRow, GrantRow, QuarantineRow, RunRow
from exchange.engine import RowState, RunResult, RunState
from exchange.engine.replay import origin
from exchange.errors import Busy, Denied, Failed, Invalid, Misplaced
from tests.exchange.engine.test_quarantine import age, change, mend, shown
from tests.exchange.engine.town import (
    AWAY,
    HERE,
    ITEMS,
    SYNC,
    Town,
    at,
    build,
    counts,
    person,
    publish,
    resource,
    wrong,
)
from tests.exchange.engine.worker import Workers

STEPS = (
    "1.planned", "2.leased", "3.read", "5.staged", "5.manifest", "6.gate", "6.gated", "7.commit", "7.committed",
    "8.promoted", "9.settled",
)  # fmt: skip


def refused(town: Town, *rows: dict[str, Any], good: int = 6) -> list[int]:
    """Let rows be refused among others; their numbers in quarantine."""
    town.report(*(person(number) for number in range(good)), *rows)
    assert town.run(SYNC).state == RunState.SETTLED
    return [row.id for row in town.quarantined(SYNC)]


def replay(town: Town, **options: Any) -> RunResult:
    return town.run(SYNC, replay=True, **options)


def states(town: Town) -> list[str]:
    return [row.state for row in town.quarantined(SYNC)]


def told(result: RunResult) -> dict[str, int]:
    return {name: number for name, number in result.counts.items() if number}


def events(town: Town, kind: str) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == kind).order_by(EventRow.id))


def test_a_corrected_row_is_delivered_and_the_source_hears_of_it(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    assert town.told()[wrong(7)["id_no"]][0] == "2"
    mend(town, number, id_no=person(7)["id_no"])
    result = replay(town)
    assert result.state == RunState.SETTLED
    assert result.counts == counts(read=1, written=1)
    assert result.receipt
    assert town.rows("library")[person(7)["id_no"]]["name"] == person(7)["name"]
    assert town.told()[wrong(7)["id_no"]] == ("1", None)
    assert states(town) == [RowState.REPLAYED]
    assert events(town, "QuarantineReplayed") == [{"rows": 1, "repaired": 1, "refused": 0}]
    assert {"RunStarted", "RunGated", "RunCommitted", "RunSettled"} <= set(town.events(result.id))
    assert len(town.receipts(SYNC)) == len(town.ledger(SYNC)) == 2
    assert town.faults() == []


def test_the_recipient_gets_what_the_grant_allows_of_it(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    town.run(town.share)
    before = town.rows("tax")
    mend(town, number, id_no=person(7)["id_no"], name="欧阳某某")
    replay(town)
    town.run(town.share)
    assert town.rows("tax") == before | {
        person(7)["id_no"]: {**person(7), "name": "欧***", "born": str(person(7)["born"])}
    }


def test_reading_goes_on_where_it_was(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    place = sa.select(ExchangeRow.position, ExchangeRow.shape).where(ExchangeRow.id == SYNC)

    def stands() -> Any:
        with town.hub() as hub, hub.database.reading() as session:
            return tuple(session.execute(place).one())

    before = stands()
    mend(town, number, id_no=person(7)["id_no"])
    last = replay(town)
    assert stands() == before
    town.report(person(20))
    assert told(town.run(SYNC)) == {"read": 1, "written": 1}
    runs = town.runs(SYNC)
    assert [bool(run.plan["replay"]) for run in runs] == [False, True, False]
    assert runs[1].id == last.id


def test_a_row_that_changed_at_the_source_keeps_its_state_there(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    town.report(wrong(7, version=2))
    replay(town)
    assert town.told()[wrong(7)["id_no"]][0] == "0"
    assert person(7)["id_no"] in town.rows("library")


def test_a_newer_version_that_came_meanwhile_stands(town: Town) -> None:
    (number,) = refused(town, {**person(7), "name": None})
    town.report(person(7, version=2, name="新名"))
    town.run(SYNC)
    mend(town, number, name="旧名")
    result = replay(town)
    assert result.counts == counts(read=1, superseded=1)
    assert town.rows("library")[person(7)["id_no"]]["name"] == "新名"
    assert states(town) == [RowState.REPLAYED]


def test_without_a_version_what_the_target_has_is_not_overwritten(town: Town) -> None:
    with town.hub() as hub:
        publish(town, hub, resource(version_item=None))
    first, second = refused(town, {**person(7), "name": None}, {**person(8), "name": None})
    town.report(person(7, name="新名"))
    town.run(SYNC)
    mend(town, first, name="旧名")
    mend(town, second, name="头一回")
    result = replay(town)
    assert result.counts == counts(read=2, written=1, refused=1)
    assert town.rows("library")[person(7)["id_no"]]["name"] == "新名"
    assert town.rows("library")[person(8)["id_no"]]["name"] == "头一回"
    rows = town.quarantined(SYNC)
    assert [(row.rule, row.state) for row in rows] == [
        ("mandatory", RowState.AGAIN), ("mandatory", RowState.REPLAYED), ("outdated", RowState.OPEN),
    ]  # fmt: skip
    assert "没有版本项" in rows[2].reason


def test_what_is_refused_again_waits_under_its_new_number(town: Town) -> None:
    (number,) = refused(town, {**person(7), "name": None})
    mend(town, number, name="新名", ver="3")
    town.report(person(7, version=3, name="另一个名"))
    town.run(SYNC)
    result = replay(town)
    assert result.counts == counts(read=1, refused=1)
    assert [(row.rule, row.state) for row in town.quarantined(SYNC)] == [
        ("mandatory", RowState.AGAIN), ("conflict", RowState.OPEN),
    ]  # fmt: skip
    assert events(town, "QuarantineReplayed") == [{"rows": 1, "repaired": 1, "refused": 1}]


def test_a_row_refused_in_a_replay_can_be_corrected_and_replayed_again(town: Town) -> None:
    with town.hub() as hub:
        publish(town, hub, resource(version_item=None))
    (number,) = refused(town, {**person(7), "name": None})
    town.report(person(7, name="新名"))
    town.run(SYNC)
    mend(town, number, name="旧名")
    replay(town)
    last = town.quarantined(SYNC)[-1]
    assert last.rule == "outdated"
    mend(town, last.id, id_no=person(8)["id_no"])
    assert replay(town).counts == counts(read=1, written=1)
    # Only the source's own correction stands in its table, which bears no refusal any more.
    assert town.rows("library")[person(8)["id_no"]]["name"] == "旧名"
    assert [row.state for row in town.quarantined(SYNC)] == [RowState.AGAIN, RowState.REPLAYED]


def test_rows_that_the_rules_accept_now_go_as_they_are(town: Town) -> None:
    nameless = {**person(8), "name": None}
    refused(town, wrong(7), nameless)
    with pytest.raises(Misplaced, match="没有可重送"):
        replay(town)
    with town.hub() as hub:
        lenient = [{**item, "mandatory": False} if item["name"] == "name" else item for item in ITEMS]
        publish(town, hub, resource(items=lenient))
    town.execute("police", f"DELETE FROM inf_person WHERE id_no = '{nameless['id_no']}'")
    with pytest.raises(Misplaced, match="全量"):
        replay(town)
    town.run(SYNC)
    assert nameless["id_no"] not in town.rows("library")
    assert states(town) == [RowState.AGAIN, RowState.OPEN, RowState.OPEN]
    result = replay(town)
    assert result.counts == counts(read=1, written=1)
    assert town.rows("library")[nameless["id_no"]]["name"] is None
    assert states(town) == [RowState.AGAIN, RowState.REPLAYED, RowState.OPEN]
    assert events(town, "QuarantineReplayed") == [{"rows": 1, "repaired": 0, "refused": 0}]


def test_there_must_be_something_to_replay(town: Town) -> None:
    refused(town, wrong(7))
    with pytest.raises(Misplaced, match="没有可重送"):
        replay(town)
    assert len(town.runs(SYNC)) == 1
    change(town, sa.update(QuarantineRow).values(state="dropped"))
    with pytest.raises(Misplaced):
        replay(town)


def test_rows_of_a_run_that_delivered_nothing_are_shown_and_not_replayed(town: Town) -> None:
    town.report(person(1), wrong(7), wrong(8))
    stopped = town.run(SYNC)
    assert stopped.state == RunState.STOPPED
    assert "超过容许（读取行的 50%）" in stopped.reasons[0]
    assert town.rows("library") == {}
    assert states(town) == [RowState.STOPPED] * 2
    row = shown(town, town.quarantined(SYNC)[0].id)
    assert row.items[0].value == wrong(7)["id_no"]
    with pytest.raises(Misplaced, match="整批没有交付"):
        mend(town, row.id, id_no=person(7)["id_no"])
    with pytest.raises(Misplaced):
        replay(town)
    town.report(*(person(number) for number in range(2, 6)))
    assert town.run(SYNC).counts["refused"] == 2
    assert states(town) == [RowState.STOPPED] * 2 + [RowState.OPEN] * 2


def test_an_unfinished_run_is_carried_to_its_end_first(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    town.report(person(20))

    def stop() -> None:
        raise Failed("断了")

    with pytest.raises(Failed):
        town.run(SYNC, observe=at("6.gate", stop))
    result = replay(town)
    assert result.counts == counts(read=1, written=1)
    assert person(20)["id_no"] in town.rows("library")
    assert [(run.state, bool(run.plan["replay"])) for run in town.runs(SYNC)] == [
        ("settled", False), ("settled", False), ("settled", True),
    ]  # fmt: skip


def test_an_unfinished_replay_is_carried_to_its_end_by_an_ordinary_run(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])

    def stop() -> None:
        raise Failed("断了")

    with pytest.raises(Failed):
        replay(town, observe=at("6.gate", stop))
    with pytest.raises(Busy):
        mend(town, number, name="改名")
    result = town.run(SYNC)
    assert result.plan.replay is not None
    assert result.counts == counts(read=1, written=1)
    assert states(town) == [RowState.REPLAYED]


def test_a_replay_barred_at_the_gate_leaves_the_rows_waiting(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    with town.hub() as hub, hub.database.reading() as session:
        grant = session.get_one(ExchangeRow, SYNC).grant

    def revise() -> None:
        change(town, sa.update(GrantRow).where(GrantRow.id == grant).values(version=GrantRow.version + 1))

    assert replay(town, observe=at("6.gate", revise)).state == RunState.BARRED
    assert states(town) == [RowState.REPAIRED]
    mend(town, number, name="改名")
    assert replay(town).counts == counts(read=1, written=1)
    assert town.rows("library")[person(7)["id_no"]]["name"] == "改名"


def test_a_correction_between_planning_and_beginning_is_not_lost(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    with pytest.raises(Busy, match="刚有改动"):
        replay(town, observe=at("1.planned", lambda: mend(town, number, name="改名")))
    assert len(town.runs(SYNC)) == 1
    assert replay(town).counts == counts(read=1, written=1)
    assert town.rows("library")[person(7)["id_no"]]["name"] == "改名"


def test_a_source_that_is_away_is_told_later(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    with ExitStack() as stack:
        with pytest.raises((Failed, Invalid)):
            replay(town, observe=at("8.promoted", lambda: stack.enter_context(town.away("police"))))
        assert states(town) == [RowState.REPLAYED]
        assert town.owed()
    assert town.told()[wrong(7)["id_no"]][0] == "2"
    assert town.run(SYNC).state == RunState.SETTLED
    assert town.told()[wrong(7)["id_no"]] == ("1", None)
    assert town.owed() == []


def test_a_replay_needs_the_grant(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    mend(town, number, id_no=person(7)["id_no"])
    change(town, sa.update(GrantRow).values(state="suspended"))
    with pytest.raises(Denied):
        replay(town)
    assert states(town) == [RowState.REPAIRED]


def test_many_rows_are_read_in_batches(town: Town) -> None:
    wrongs = [wrong(number) for number in range(100, 700)]
    numbers = refused(town, *wrongs, good=800)
    mend(town, numbers[5], id_no=person(2005)["id_no"])
    mend(town, numbers[599], id_no=person(2006)["id_no"])
    # What the checks refused of the others they refuse now, too.
    assert replay(town).counts == counts(read=2, written=2)
    assert states(town).count("open") == 598


@pytest.mark.parametrize("product", ["postgresql", "mariadb"])
def test_a_replay_on_a_server(request: pytest.FixtureRequest, tmp_path: Path, product: str) -> None:
    server = request.getfixturevalue(f"{product}_server")
    hub_url = server.new_database() if product == "postgresql" else None
    urls = {name: server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=hub_url)) as town:
        first, second = refused(town, wrong(7), {**person(8), "name": None})
        mend(town, first, id_no=person(7)["id_no"], born="1850年1月9日")
        mend(town, second, name="𠮷补")
        assert replay(town).counts == counts(read=2, written=2)
        assert town.rows("library")[person(7)["id_no"]]["born"] == "1850-01-09"
        assert town.rows("library")[person(8)["id_no"]]["name"] == "𠮷补"
        told = town.told()
        assert [told[name] for name in (wrong(7)["id_no"], person(8)["id_no"])] == [("1", None)] * 2
        town.report(wrong(9))
        town.report(*(person(number) for number in range(30, 36)))
        town.run(SYNC)
        assert states(town) == [RowState.REPLAYED, RowState.REPLAYED, RowState.OPEN]
        age(town)
        with town.hub() as hub:
            assert hub.engine.retention.expire(by=town.actor("integrator")) == 3
        assert town.faults() == []


def test_where_a_row_comes_from() -> None:
    assert origin('ab12/7/["a/b", "c"]') == ("ab12", 7, '["a/b", "c"]')


@pytest.mark.long_with(
    "2.leased", "5.staged", "5.manifest", "6.gated", "8.promoted", "target:1", "target:9", "settle:1", "settle:4"
)
@pytest.mark.parametrize("step", [*STEPS, "target:1", "target:4", "target:9", "settle:1", "settle:2", "settle:4"])
def test_whoever_dies_wherever_in_a_replay_nothing_is_lost_and_nothing_comes_twice(
    town: Town, workers: Workers, step: str
) -> None:
    town.hold_leases_for(0.3)
    first, second, _ = refused(town, wrong(7), {**person(8), "name": None}, {**person(9), "name": None})
    town.run(town.share)
    mend(town, first, id_no=person(7)["id_no"])
    mend(town, second, name="补上的名", district=AWAY)
    assert workers.run(town.home, SYNC, step, replay=True) == -signal.SIGKILL, workers.said
    left = [run for run in town.runs(SYNC) if run.state in ("planned", "staged", "committing", "committed")]
    while (status := workers.run(town.home, SYNC)) == Busy.status:
        pass
    assert status == 0, workers.said
    if not any(run.plan["replay"] for run in town.runs(SYNC)):
        assert step == "1.planned"
        assert replay(town).counts == counts(read=2, written=2)
    replays = [run for run in town.runs(SYNC) if run.plan["replay"]]
    assert [(run.state, run.counts) for run in replays] == [("settled", counts(read=2, written=2))]
    assert [run.id for run in left] in ([], [replays[0].id])
    assert states(town) == [RowState.REPLAYED, RowState.REPLAYED, RowState.OPEN]
    mended = {person(7)["id_no"]: person(7), person(8)["id_no"]: person(8, name="补上的名", district=AWAY)}
    good = town.good()
    del good[person(9)["id_no"]]
    assert town.rows("library") == good | {name: {**row, "born": str(row["born"])} for name, row in mended.items()}
    flags = town.flags()
    assert (flags[wrong(7)["id_no"]], flags[person(8)["id_no"]], flags[person(9)["id_no"]]) == ("1", "1", "2")
    assert sorted(receipt.body["delivery"] for receipt in town.receipts(SYNC)) == town.ledger(SYNC)
    assert len(events(town, "QuarantineReplayed")) == 1
    assert town.stages("library") == []
    assert town.owed() == []
    files = {path.name for path in (town.home / "payload").iterdir()}
    manifests = set(town.all(sa.select(RunRow.manifest).where(RunRow.manifest.is_not(None))))
    assert files == manifests | {str(row.repair) for row in town.quarantined(SYNC) if row.repair}
    with pytest.raises(Misplaced):
        replay(town)
    town.run(town.share)
    granted = town.rows("tax")
    assert person(7)["id_no"] in granted
    assert person(8)["id_no"] not in granted
    assert all(row["district"] == HERE for row in granted.values())
    assert town.faults() == []
