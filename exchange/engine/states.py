"""States of a run (批次状态) and the moves between them, as one table."""

from __future__ import annotations

from enum import StrEnum

from exchange.errors import Misplaced


class RunState(StrEnum):
    """Where a run stands. Each value's comment says what a takeover does with it."""

    PLANNED = "planned"  # read again from the start, under the same delivery key
    STAGED = "staged"  # go to the gate with what is staged
    COMMITTING = "committing"  # commit again: the ledger answers "done" if it was
    COMMITTED = "committed"  # pay what is owed
    SETTLED = "settled"  # nothing is left to do
    FAILED = "failed"  # nothing was delivered; the next run plans anew
    STOPPED = "stopped"  # too many refused rows: nothing was delivered
    BARRED = "barred"  # the grant no longer allowed it at the gate: nothing was delivered
    RED = "red"  # going on could lose or repeat something; a person must look
    ABANDONED = "abandoned"  # given up after the hub was restored from a backup


MOVES: dict[RunState, frozenset[RunState]] = {
    RunState.PLANNED: frozenset(
        {RunState.STAGED, RunState.FAILED, RunState.STOPPED, RunState.BARRED, RunState.RED, RunState.ABANDONED}
    ),
    # What has lost its stage before anything was committed goes back to the start.
    RunState.STAGED: frozenset(
        {RunState.PLANNED, RunState.COMMITTING, RunState.BARRED, RunState.RED, RunState.ABANDONED}
    ),
    RunState.COMMITTING: frozenset(
        {RunState.PLANNED, RunState.COMMITTED, RunState.STOPPED, RunState.RED, RunState.ABANDONED}
    ),
    RunState.COMMITTED: frozenset({RunState.SETTLED}),
}

UNFINISHED = tuple(MOVES)
DELIVERED = (RunState.COMMITTED, RunState.SETTLED)
"""Ended with a receipt; some of them owe something yet."""
UNDELIVERED = (RunState.FAILED, RunState.STOPPED, RunState.BARRED, RunState.RED, RunState.ABANDONED)
"""Ended without a receipt: what was staged is of no use any more."""


def moved(before: str, after: RunState) -> str:
    """The new state, if the table allows the move.

    Raises:
        Misplaced: It does not.
    """
    if after not in MOVES.get(RunState(before), frozenset()):
        raise Misplaced(f"批次状态不能从 {before} 变为 {after}")
    return after.value
