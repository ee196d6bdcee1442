"""Collecting by watermark and by difference, through the whole engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.database.dialects import dialect
from exchange.db.tables import ExchangeRow
from exchange.errors import Failed, Invalid
from tests.exchange.engine.town import SYNC, Town, at, build, clone, counts, offered, person, publish, resource, wrong


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Town]]:
    """Towns by capture, each built once."""
    built: dict[str, Town] = {}

    def town(capture: str) -> Town:
        if capture not in built:
            folder = tmp_path_factory.mktemp(capture)
            urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
            built[capture] = build(folder / "home", urls, capture=capture)
        return built[capture]

    yield town
    for each in built.values():
        each.close()


@pytest.fixture
def watermark(towns: Callable[[str], Town], tmp_path: Path) -> Iterator[Town]:
    """A town in which ten people were collected by a watermark."""
    yield from _collected(towns("watermark"), tmp_path)


@pytest.fixture
def diff(towns: Callable[[str], Town], tmp_path: Path) -> Iterator[Town]:
    """A town in which ten people were collected by difference."""
    yield from _collected(towns("diff"), tmp_path)


def _collected(town: Town, folder: Path) -> Iterator[Town]:
    with closing(clone(town, folder)) as copy:
        copy.report(*(person(number) for number in range(10)))
        assert copy.run(SYNC).counts == counts(read=10, written=10)
        yield copy


def position(town: Town) -> dict[str, Any]:
    return town.all(sa.select(ExchangeRow.position).where(ExchangeRow.id == SYNC))[0]  # type: ignore[no-any-return]


def notes(town: Town) -> list[str]:
    return sorted(path.name for path in (town.home / "payload").glob("notes.*"))


def same(town: Town) -> None:
    assert town.rows("library") == town.good()
    assert town.faults() == []


def dated(town: Town, number: int, moment: datetime) -> None:
    """Set a row's watermark, in the zone of the place."""
    local = (moment + timedelta(hours=8)).replace(tzinfo=None)
    columns = town.front.c
    with town.databases["police"].begin() as connection:
        connection.execute(
            sa.update(town.front).where(columns.id_no == person(number)["id_no"]).values(update_date=local)
        )


# --- watermark -------------------------------------------------------------------------------------


def test_changes_come_by_their_watermark_and_repeats_are_unchanged(watermark: Town) -> None:
    watermark.report(person(1, version=2, name="改名"), person(20), wrong(21))
    result = watermark.run(SYNC)
    assert not result.plan.full
    assert (result.counts["refused"], result.counts["written"]) == (1, 2)
    assert result.counts["read"] == 3 + result.counts["unchanged"], "the overlap"
    same(watermark)
    assert watermark.run(watermark.share).counts["written"] > 0
    assert watermark.rows("tax") == watermark.granted()


def test_a_row_committed_long_after_its_time_is_found(watermark: Town) -> None:
    end = position(watermark)["low"] / 1_000_000
    watermark.report(person(30))
    dated(watermark, 30, datetime.fromtimestamp(end, UTC) - timedelta(seconds=1))
    result = watermark.run(SYNC)
    assert result.counts["written"] == 1
    same(watermark)


@pytest.mark.parametrize("hours", [-5, 5])
def test_whatever_the_sources_clock_says_no_row_is_lost(
    watermark: Town, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is hours behind or ahead of the data, and is set right in the end."""
    wrong_clock = sa.literal((datetime.now(UTC) + timedelta(hours=hours)).timestamp())
    with monkeypatch.context() as patched:
        patched.setattr(type(dialect("sqlite")), "clock", lambda _self: wrong_clock)
        watermark.report(person(40))
        watermark.run(SYNC)
        watermark.report(person(41))
        watermark.run(SYNC)
        same(watermark)
    for number in range(42, 46):
        watermark.report(person(number))
        watermark.run(SYNC)
        same(watermark)


def test_what_was_read_and_not_delivered_is_read_again(watermark: Town) -> None:
    before = position(watermark)
    watermark.report(person(50), *(wrong(number) for number in range(51, 80)))
    assert watermark.run(SYNC).state == "stopped"
    assert position(watermark) == before
    watermark.execute("police", "DELETE FROM inf_person WHERE update_date IS NULL OR id_no NOT IN ({})".format(
        ",".join(f"'{name}'" for name in watermark.good())
    ))  # fmt: skip
    assert watermark.run(SYNC).counts["written"] == 1
    assert watermark.rows("library") == watermark.good()


def test_a_deleted_row_stays_and_the_plan_says_so(watermark: Town) -> None:
    watermark.remove(3)
    result = watermark.run(SYNC)
    assert result.counts["deleted"] == 0
    assert person(3)["id_no"] in watermark.rows("library")
    assert any("物理删除" in remark for remark in result.plan.remarks)


# --- diff ------------------------------------------------------------------------------------------


def test_changes_and_deletions_come_by_difference(diff: Town) -> None:
    assert diff.run(SYNC).counts == counts()
    diff.report(person(1, name="改名"), person(20), wrong(21))
    diff.remove(3, 4)
    result = diff.run(SYNC)
    assert result.counts == counts(read=5, refused=1, written=4, deleted=2)
    assert any("物理删除" in remark for remark in result.plan.remarks)
    same(diff)
    assert diff.run(SYNC).counts == counts()
    diff.run(diff.share)
    assert diff.rows("tax") == diff.granted()
    diff.remove(1)
    diff.run(SYNC)
    assert diff.run(diff.share).counts["deleted"] == 1
    assert diff.rows("tax") == diff.granted()


def test_the_notes_are_encrypted_and_the_old_ones_go(diff: Town) -> None:
    [first] = notes(diff)
    content = (diff.home / "payload" / first).read_bytes()
    assert all(name.encode() not in content for name in diff.reported)
    diff.run(SYNC)
    assert notes(diff) == [first], "nothing changed"
    diff.report(person(30))
    diff.run(SYNC)
    [second] = notes(diff)
    assert second != first
    assert position(diff)["notes"]["file"] == second


@pytest.mark.parametrize("step", ["3.read", "5.staged", "6.gate", "6.gated", "7.commit"])
def test_until_it_is_delivered_the_old_notes_are_in_force(diff: Town, step: str) -> None:
    before = position(diff)
    diff.report(person(1, name="改名"))
    diff.remove(3)

    def stop() -> None:
        raise Failed("测试中断")

    with pytest.raises(Failed):
        diff.run(SYNC, observe=at(step, stop))
    assert position(diff) == before
    assert before["notes"]["file"] in notes(diff)
    result = diff.run(SYNC)
    assert result.counts == counts(read=2, written=2, deleted=1)
    same(diff)
    assert notes(diff) == [position(diff)["notes"]["file"]]


def test_what_was_stopped_leaves_no_notes(diff: Town) -> None:
    before = position(diff)
    diff.report(*(wrong(number) for number in range(51, 80)))
    assert diff.run(SYNC).state == "stopped"
    assert position(diff) == before
    assert notes(diff) == [before["notes"]["file"]]


@pytest.mark.parametrize("how", ["lost", "tampered"])
def test_without_its_notes_it_reads_everything_and_says_what_it_cannot_know(diff: Town, how: str) -> None:
    diff.report(person(1, name="改名"))
    diff.remove(3)
    [name] = notes(diff)
    file = diff.home / "payload" / name
    if how == "lost":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    result = diff.run(SYNC)
    assert result.plan.full
    assert any("记录缺失或被改动" in remark for remark in result.plan.remarks)
    assert result.counts == counts(read=9, unchanged=8, written=1)
    assert set(diff.rows("library")) - set(diff.good()) == {person(3)["id_no"]}
    diff.remove(5)
    again = diff.run(SYNC)
    assert again.counts == counts(read=1, written=1, deleted=1)
    assert not any("记录缺失" in remark for remark in again.plan.remarks)


def test_notes_that_go_while_a_run_is_at_it_stop_it(diff: Town) -> None:
    diff.report(person(1, name="改名"))

    def lose() -> None:
        for name in notes(diff):
            (diff.home / "payload" / name).unlink()

    with pytest.raises(Failed, match="记录缺失"):
        diff.run(SYNC, observe=at("2.leased", lose))
    result = diff.run(SYNC)
    assert result.plan.full
    same(diff)


def test_a_redelivery_hands_everything_over_and_what_is_gone(diff: Town) -> None:
    diff.remove(3)
    with diff.hub() as hub:
        hub.oversight.run(SYNC, by=diff.actor("integrator"), redeliver=True)
    same(diff)
    assert diff.run(SYNC).counts == counts()


def test_a_resource_with_a_version_is_not_read_by_difference(diff: Town) -> None:
    with diff.hub() as hub:
        publish(diff, hub, resource(**{**offered("diff"), "version_item": "ver"}))
        with pytest.raises(Invalid) as told:
            hub.sharing.plan(SYNC)
    assert "版本项" in str([problem.message for problem in told.value.problems])
