"""A split run on one machine: parts in processes of their own, then one delivery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exchange.errors import Denied, Unknown
from exchange.hub.splitting import stage_side_by_side
from exchange.identity import PLATFORM
from tests.exchange.engine.town import SYNC, Town, build, person


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, capture="snapshot")) as town:
        town.report(*map(person, range(8)))
        yield town


def test_parts_are_staged_in_processes_of_their_own(town: Town) -> None:
    result = town.run(SYNC, parts=2)
    assert (result.state, result.counts["written"]) == ("settled", 8)
    assert town.events(result.id).count("PartStaged") == 2
    assert town.rows("library") == town.good()
    assert town.status()[0].due_at is not None


def test_what_is_not_split_is_run_as_ever(town: Town) -> None:
    town.remove(*range(1, 8))
    with town.hub() as hub:
        assert stage_side_by_side(hub, SYNC, 3, by=PLATFORM) == 0
    assert town.run(SYNC, parts=3).counts["written"] == 1
    assert "RunDivided" not in town.events(town.runs(SYNC)[0].id)


def test_what_a_process_cannot_do_is_tried_and_told_by_who_runs(town: Town) -> None:
    with town.hub() as hub:
        found = hub.engine.split(SYNC, 2, by=PLATFORM)
        assert found is not None
        table = town.stages("library")
        assert table == []
        with town.away("police"):
            assert stage_side_by_side(hub, SYNC, 2, by=PLATFORM) == 2
        assert hub.engine.parts.part(found.id, 1).error is not None
    assert town.run(SYNC, parts=2).counts["written"] == 8


def test_a_scheduler_splits_stages_and_finishes(town: Town) -> None:
    with town.hub() as hub:
        found = hub.oversight.split(SYNC, 2)
        assert found is not None
        assert [hub.oversight.stage_part(found.id, part.number).state for part in found.parts] == ["staged"] * 2
        result = hub.oversight.finish(found.id)
        assert (result.state, result.counts["written"]) == ("settled", 8)
        assert hub.oversight.due() == [town.share]
        with pytest.raises(Unknown, match="没有批次"):
            hub.oversight.finish("x")


def test_who_may_not_run_may_not_run_in_parts(town: Town) -> None:
    with town.hub() as hub, pytest.raises(Denied):
        hub.oversight.run(SYNC, by=town.actor("auditor"), parts=2)
    assert town.runs(SYNC) == []
