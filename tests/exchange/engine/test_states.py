"""Every move of a run's state, and only those."""

from __future__ import annotations

import itertools

import pytest

from exchange.engine.states import MOVES, UNDELIVERED, UNFINISHED, RunState, moved
from exchange.errors import Misplaced

S = RunState
ALLOWED = {
    (S.PLANNED, S.STAGED), (S.PLANNED, S.FAILED), (S.PLANNED, S.STOPPED), (S.PLANNED, S.BARRED), (S.PLANNED, S.RED),
    (S.PLANNED, S.ABANDONED),
    (S.STAGED, S.PLANNED), (S.COMMITTING, S.PLANNED),
    (S.STAGED, S.COMMITTING), (S.STAGED, S.BARRED), (S.STAGED, S.RED), (S.STAGED, S.ABANDONED),
    (S.COMMITTING, S.COMMITTED), (S.COMMITTING, S.RED), (S.COMMITTING, S.ABANDONED),
    (S.COMMITTING, S.STOPPED),
    (S.COMMITTED, S.SETTLED),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunState, RunState)))
def test_every_move_and_only_those(before: RunState, after: RunState) -> None:
    if (before, after) in ALLOWED:
        assert moved(before.value, after) == after.value
    else:
        with pytest.raises(Misplaced):
            moved(before.value, after)


def test_a_state_nobody_knows_moves_nowhere() -> None:
    with pytest.raises(ValueError, match="lost"):
        moved("lost", RunState.STAGED)


def test_what_passed_the_gate_is_never_called_failed() -> None:
    assert not MOVES[S.COMMITTING] & {S.FAILED, S.BARRED}
    assert MOVES[S.COMMITTED] == {S.SETTLED}


def test_a_run_is_unfinished_delivered_or_undelivered() -> None:
    assert sorted([*UNFINISHED, *UNDELIVERED, S.SETTLED]) == sorted(RunState)
