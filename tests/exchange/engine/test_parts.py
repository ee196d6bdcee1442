"""Split runs: parts staged by whomever, one delivery with one receipt, the same as if one had done it all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, PartRow
from exchange.engine import RunPart, RunResult, SplitRun
from exchange.engine.parts import Parts, splits
from exchange.errors import Busy, Failed, HubError, Invalid, Misplaced, Red, Unknown
from exchange.identity import PLATFORM
from exchange.plan import Refresh
from exchange.receipts import balanced
from tests.exchange.engine.town import SYNC, Town, at, build, clone, identity_number, person, wrong

PEOPLE = 12


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("split")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls, capture="snapshot")) as town:
        town.report(*map(person, range(PEOPLE)), wrong(PEOPLE))
        yield town


@pytest.fixture
def town(built: Town, tmp_path: Path) -> Iterator[Town]:
    """A town whose police has thirteen people in its table, one of them wrong; nothing has moved yet."""
    with closing(clone(built, tmp_path)) as town:
        yield town


def split(town: Town, exchange: str = SYNC, parts: int = 3) -> SplitRun | None:
    with town.hub() as hub:
        return hub.engine.split(exchange, parts, by=PLATFORM)


def begun(town: Town, exchange: str = SYNC, parts: int = 3) -> SplitRun:
    found = split(town, exchange, parts)
    assert found is not None
    return found


def stage(town: Town, run: SplitRun, *numbers: int, **options: Any) -> list[RunPart]:
    with town.hub() as hub:
        return [hub.engine.stage_part(run.id, number, by=PLATFORM, **options) for number in numbers]


def finish(town: Town, run: SplitRun) -> RunResult:
    with town.hub() as hub:
        return hub.engine.finish(run.id, by=PLATFORM)


def in_parts(town: Town, exchange: str = SYNC) -> RunResult:
    """Everything in three parts, the last one first."""
    run = begun(town, exchange)
    stage(town, run, *(part.number for part in reversed(run.parts)))
    return finish(town, run)


def part_stages(town: Town, place: str = "library") -> dict[int, str]:
    """The stages that lie at a place, by their rows."""
    found = {}
    for name in town.stages(place):
        found[town.query(place, f"SELECT count(*) FROM {name}")[0][0]] = name
    return found


def test_a_split_run_is_one_delivery(town: Town) -> None:
    run = begun(town)
    assert [part.state for part in run.parts] == ["waiting"] * 3
    assert town.owed() == []
    told = stage(town, run, 2, 3, 1)
    assert {part.state for part in told} == {"staged"}
    assert sum(part.counts["read"] for part in told) == PEOPLE + 1
    assert town.rows("library") == {}, "nobody sees what is staged"
    result = finish(town, run)
    assert (result.state, result.id) == ("settled", run.id)
    assert (result.counts["read"], result.counts["written"], result.counts["refused"]) == (PEOPLE + 1, PEOPLE, 1)
    assert balanced(result.counts)
    assert town.rows("library") == town.good()
    assert [row.run for row in town.receipts(SYNC)] == [run.id]
    assert len(town.ledger(SYNC)) == 1
    assert town.events(run.id) == [
        "RunStarted", "RunDivided", "PartStaged", "PartStaged", "PartStaged", "RunTakenOver", "RunStaged", "RunGated",
        "RunCommitted", "NoticeIssued", "NoticeIssued", "RunSettled",
    ]  # fmt: skip
    assert (town.stages("library"), town.owed(), town.faults()) == ([], [], [])
    assert [path.name for path in (town.home / "payload").iterdir()] == [town.runs(SYNC)[0].manifest]
    assert {row.sealed for row in town.all(sa.select(PartRow))} == {None}, "bounds are keys"


def test_what_lies_between_the_parts_is_sealed(town: Town) -> None:
    begun(town)
    content = b"".join(path.read_bytes() for path in town.home.glob("hub.db*"))
    assert not [number for number in range(PEOPLE) if identity_number(number).encode() in content]


def test_split_or_not_the_end_is_the_same(built: Town, tmp_path: Path) -> None:
    found = []
    for name, run in (("whole", Town.run), ("parts", in_parts)):
        (tmp_path / name).mkdir()
        with closing(clone(built, tmp_path / name)) as town:
            results = [run(town, exchange) for exchange in (SYNC, town.share)]
            assert town.rows("tax") == town.granted() != {}
            receipts = [town.receipts(exchange)[0].body for exchange in (SYNC, town.share)]
            refused = [(row.number, row.rule, row.key_hash) for row in town.quarantined(SYNC)]
            positions = [run.after for exchange in (SYNC, town.share) for run in town.runs(exchange)]
            said = [{key: receipt[key] for key in ("counts", "report", "content", "plan")} for receipt in receipts]
            found.append((town.rows("library"), town.rows("tax"), said, refused, positions))
            assert all(result.state == "settled" for result in results)
    assert found[0] == found[1]


def test_what_is_not_worth_it_or_cannot_be_is_not_split(town: Town) -> None:
    assert split(town, parts=1) is None
    town.run(SYNC)
    town.run(town.share)
    assert split(town, town.share) is None, "changes alone"
    town.remove(*range(1, PEOPLE))
    assert split(town, parts=3) is None, "two rows are one batch"
    with pytest.raises(Unknown, match="没有交换"):
        split(town, "sync-x")


def test_which_plans_are_split(town: Town) -> None:
    with town.hub() as hub:
        plan = hub.sharing.plan(town.share)
        collected = hub.sharing.plan(SYNC)
    assert (plan.full, splits(plan), splits(collected)) == (True, True, True)
    assert not splits(plan.model_copy(update={"full": False})), "changes alone"
    assert splits(collected.model_copy(update={"full": False})), "a snapshot is always everything"
    assert not splits(plan.model_copy(update={"refresh": Refresh()})), "it takes away what it has not seen"
    item = collected.items[0].model_copy(update={"document": True})
    assert not splits(collected.model_copy(update={"items": (item, *collected.items[1:])}))


def test_an_outbox_is_not_split(built_town: Town, tmp_path: Path) -> None:
    with closing(clone(built_town, tmp_path)) as town:
        town.report(*map(person, range(PEOPLE)))
        assert split(town) is None
        assert town.runs(SYNC) == []
        assert town.run(SYNC).counts["written"] == PEOPLE


def test_who_splits_again_finds_the_parts_as_they_are(town: Town) -> None:
    run = begun(town)
    stage(town, run, 1)
    again = begun(town, parts=5)
    assert (again.id, [part.state for part in again.parts]) == (run.id, ["staged", "waiting", "waiting"])
    stage(town, run, 2, 3)
    finish(town, run)
    assert begun(town).id != run.id


def test_whoever_runs_the_exchange_stages_what_is_missing(town: Town) -> None:
    run = begun(town)
    [first] = stage(town, run, 2)
    result = town.run(SYNC)
    assert (result.id, result.state) == (run.id, "settled")
    assert town.events(run.id).count("PartStaged") == 3
    assert town.rows("library") == town.good()
    assert 0 < first.counts["read"] < result.counts["read"] == PEOPLE + 1


def test_a_part_that_is_missing_is_named(town: Town) -> None:
    run = begun(town)
    stage(town, run, 2)
    with pytest.raises(Misplaced, match="第 1、3 段"):
        finish(town, run)
    assert stage(town, run, 2)[0].state == "staged"
    assert town.events(run.id).count("PartStaged") == 1
    with pytest.raises(Unknown, match="没有第 4 段"):
        stage(town, run, 4)
    stage(town, run, 1, 3)
    assert finish(town, run).state == "settled"
    assert finish(town, run).receipt == town.receipts(SYNC)[0].id
    assert stage(town, run, 1)[0].state == "staged"
    assert (town.stages("library"), len(town.runs(SYNC))) == ([], 1)


def test_of_two_at_one_part_one_wins(town: Town) -> None:
    run = begun(town)
    met: list[HubError] = []

    def other() -> None:
        for action in (lambda: stage(town, run, 1), lambda: finish_anyway(town)):
            with pytest.raises(Busy) as refused:
                action()
            met.append(refused.value)

    stage(town, run, 2, 3)
    stage(town, run, 1, observe=at("3.read", other))
    assert ["第 1 段正由" in error.message for error in met] == [True, True]
    assert finish(town, run).state == "settled"
    assert town.rows("library") == town.good()


def finish_anyway(town: Town) -> None:
    town.run(SYNC)


def test_who_was_overtaken_at_a_part_notes_nothing(town: Town) -> None:
    run = begun(town)

    def overtake() -> None:
        expire(town)
        stage(town, run, 1)

    with pytest.raises(Busy, match="接管"):
        stage(town, run, 1, observe=at("5.staged", overtake))
    stage(town, run, 2, 3)
    assert finish(town, run).counts["written"] == PEOPLE
    assert town.rows("library") == town.good()
    assert len(list((town.home / "payload").iterdir())) == 1


def test_whoever_takes_his_time_keeps_his_part(town: Town) -> None:
    run = begun(town)
    town.hold_leases_for(0.6)

    def linger() -> None:
        time.sleep(1.5)
        with pytest.raises(Busy, match="正由"):
            stage(town, run, 1)

    assert stage(town, run, 1, observe=at("3.read", linger))[0].state == "staged"


def expire(town: Town) -> None:
    """Let the time pass after which the lease of a part is anybody's."""
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.update(PartRow).values(expires=0.0))


def test_whose_stage_was_taken_from_under_him_is_told_that_he_was_overtaken(town: Town) -> None:
    run = begun(town)

    def overtake() -> None:
        expire(town)
        stage(town, run, 1)

    with pytest.raises(Busy, match="接管"):
        stage(town, run, 1, observe=at("3.read", overtake))
    assert stage(town, run, 1)[0].error is None
    assert len(town.stages("library")) == 1


def test_what_was_noted_stays_although_the_answer_was_lost(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(town)
    with monkeypatch.context() as patch:
        note = Parts._note

        def lost(*given: Any) -> None:
            note(*given)
            raise Failed("没有答复", retry=True)

        patch.setattr(Parts, "_note", lost)
        assert stage(town, run, 1)[0].state == "staged"
    stage(town, run, 2, 3)
    assert finish(town, run).counts["written"] == PEOPLE
    assert town.events(run.id).count("PartStaged") == 3


def test_what_changes_meanwhile_is_not_lost(town: Town) -> None:
    town.run(SYNC)
    run = begun(town, town.share)
    stage(town, run, 1)
    town.report(person(1, version=2, name="新名"), person(50), person(PEOPLE - 1, version=2, name="新名"))
    town.run(SYNC)
    stage(town, run, 2, 3)
    assert finish(town, run).state == "settled"
    assert town.rows("tax") != town.granted(), "the first part was read before"
    second = town.run(town.share)
    assert second.counts["unchanged"] >= 1, "what a later part has seen comes again"
    assert town.rows("tax") == town.granted()


def test_a_row_stolen_from_a_part_turns_the_run_red(town: Town) -> None:
    run = begun(town)
    stage(town, run, 1, 2, 3)
    stages = part_stages(town)
    stolen = stages[max(stages)]  # one of them is empty
    town.execute("library", f"DELETE FROM {stolen} WHERE rowid = 1")
    with pytest.raises(Red, match="现有"):
        finish(town, run)
    assert (town.runs(SYNC)[0].state, town.stages("library"), town.rows("library")) == ("red", [], {})
    assert list((town.home / "payload").iterdir()) == []
    assert town.run(SYNC).counts["written"] == PEOPLE


def test_a_stage_that_is_lost_is_staged_again(town: Town) -> None:
    run = begun(town)
    stage(town, run, 1, 2, 3)
    for name in town.stages("library")[:2]:
        town.execute("library", f"DROP TABLE {name}")
    result = finish(town, run)
    assert (result.state, result.counts["written"]) == ("settled", PEOPLE)
    assert town.events(run.id).count("PartRestaged") == 2
    assert town.events(run.id).count("PartStaged") == 5
    assert town.rows("library") == town.good()
    assert town.faults() == []


def test_a_revoked_grant_ends_it_at_the_next_part(town: Town) -> None:
    town.run(SYNC)
    run = begun(town, town.share)
    stage(town, run, 1)
    town.change("revoke")
    assert stage(town, run, 2)[0].state == "waiting"
    assert (town.runs(town.share)[0].state, town.stages("tax"), town.rows("tax")) == ("barred", [], {})
    result = finish(town, run)
    assert (result.state, result.receipt) == ("barred", None)
    assert town.owed() == []


def test_a_grant_revoked_after_the_parts_is_barred(town: Town) -> None:
    town.run(SYNC)
    run = begun(town, town.share)
    stage(town, run, 1, 2, 3)
    town.change("revoke")
    assert finish(town, run).state == "barred"
    assert (town.stages("tax"), town.rows("tax"), town.owed()) == ([], {}, [])
    assert len(list((town.home / "payload").iterdir())) == 1, "the synchronisation's"


def test_tolerance_is_for_all_parts(town: Town) -> None:
    town.report(*(wrong(number) for number in range(20, 34)))
    run = begun(town)
    stage(town, run, 1, 2, 3)
    result = finish(town, run)
    assert (result.state, result.counts["refused"]) == ("stopped", 15)
    assert (town.stages("library"), town.rows("library")) == ([], {})
    rows = town.quarantined(SYNC)
    assert {row.run for row in rows} == {run.id}
    assert len({row.number for row in rows}) == len(rows), "one number each"
    assert {row.file for row in rows} == {town.runs(SYNC)[0].manifest}


def test_a_split_run_that_is_given_up_leaves_nothing(town: Town) -> None:
    run = begun(town)
    stage(town, run, 1, 2)
    result = town.run(SYNC, redeliver=True)
    assert (result.state, result.counts["written"]) == ("settled", PEOPLE)
    assert [row.state for row in town.runs(SYNC)] == ["abandoned", "settled"]
    assert stage(town, run, 3)[0].state == "waiting"
    assert finish(town, run).state == "abandoned"
    assert (town.stages("library"), town.owed()) == ([], [])
    assert [path.name for path in (town.home / "payload").iterdir()] == [town.runs(SYNC)[1].manifest]


def test_an_endpoint_that_is_away_fails_its_part_alone(town: Town) -> None:
    run = begun(town)
    stage(town, run, 1)
    with town.away("police"), pytest.raises(Invalid):
        stage(town, run, 2)
    with town.hub() as hub:
        assert hub.engine.parts.part(run.id, 2).error is not None
    assert town.runs(SYNC)[0].state == "planned"
    assert stage(town, run, 2, 3)[0].error is None
    assert finish(town, run).state == "settled"


def test_the_log_says_what_was_staged(town: Town) -> None:
    run = begun(town)
    stage(town, run, 1, 2, 3)
    said = town.all(
        sa.select(EventRow.body).where(EventRow.type.in_(("RunDivided", "PartStaged"))).order_by(EventRow.id)
    )
    assert said[0] == {"parts": 3}
    assert [each["number"] for each in said[1:]] == [1, 2, 3]
    assert said[1]["counts"]["read"] == said[1]["counts"]["staged"]


def test_a_first_pass_by_watermark(tmp_path: Path) -> None:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, capture="watermark")) as town:
        town.report(*map(person, range(PEOPLE)))
        run = begun(town)
        stage(town, run, 1)
        town.report(person(0, version=2, name="新名"), person(50))
        stage(town, run, 2, 3)
        assert finish(town, run).state == "settled"
        assert split(town) is None, "changes alone"
        town.run(SYNC)
        assert town.rows("library") == town.good()
