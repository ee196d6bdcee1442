"""Tidying: what an ended run staged and never delivered does not stay at the recipient."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from exchange.db.tables import OwedRow
from exchange.engine import RunState
from exchange.errors import Denied, Failed, Invalid
from tests.exchange.engine.town import SYNC, Town, at, person


def test_what_could_not_be_tidied_is_owed_and_tidied_later(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    with ExitStack() as stack:

        def go_away() -> None:
            assert town.stages("tax")
            stack.enter_context(town.away("tax"))

        with pytest.raises((Failed, Invalid)):
            town.run(town.share, observe=at("3.read", go_away))
        (failed,) = town.runs(town.share)
        assert failed.state == RunState.FAILED
        (debt,) = town.all(sa.select(OwedRow).where(OwedRow.done_at.is_(None)))
        assert (debt.kind, debt.attempts) == ("tidy", 1)
        assert debt.error
    assert town.stages("tax")
    town.change("revoke")
    with pytest.raises(Denied):
        town.run(town.share)
    assert town.stages("tax") == []
    assert town.owed() == []


def test_a_run_that_failed_at_a_table_that_does_not_fit_leaves_nothing(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)

    def rename() -> None:
        town.execute("tax", "ALTER TABLE person RENAME COLUMN born TO birthday")

    with pytest.raises((Failed, Invalid)):
        town.run(town.share, observe=at("2.leased", rename))
    assert town.stages("tax") == []
    town.execute("tax", "ALTER TABLE person RENAME COLUMN birthday TO born")
    assert town.run(town.share).state == RunState.SETTLED
    assert town.owed() == []


def test_stages_of_other_runs_are_left_alone(town: Town) -> None:
    town.report(*(person(number) for number in range(9)))
    town.execute("library", "CREATE TABLE shutong_stage_of_another (x INTEGER)")
    town.run(SYNC)
    assert town.stages("library") == ["shutong_stage_of_another"]
