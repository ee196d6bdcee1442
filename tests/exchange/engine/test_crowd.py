"""Eight workers on one exchange at once: one wins, the others are told so; and nothing is lost, dead or alive."""

from __future__ import annotations

import random
import signal

import pytest

from exchange.errors import Busy
from tests.exchange.engine.town import SYNC, Town, person
from tests.exchange.engine.witness import STEPS, Witness
from tests.exchange.engine.worker import Workers

EIGHT = 8


def test_of_eight_at_once_one_wins_and_the_others_are_told_so(town: Town, workers: Workers) -> None:
    town.report(*(person(number) for number in range(12)))
    witness = Witness(town, workers)
    for exchange in (SYNC, town.share):
        # All have planned before the first takes the lease, and all have ended before the winner reads.
        statuses = workers.together(town.home, exchange, *["meet"] * EIGHT)
        assert sorted(statuses) == [0, *[Busy.status] * (EIGHT - 1)], workers.said
        assert len(town.runs(exchange)) == len(town.ledger(exchange)) == len(town.receipts(exchange)) == 1
        assert town.epoch(exchange) == 1
        witness.check(exchange, "eight at once", None, taken_over=False)
    assert town.rows("tax") == town.granted()
    assert witness.faults == town.faults() == []


def test_eight_at_once_of_whom_most_die(town: Town, workers: Workers) -> None:
    slaughter(town, workers, seed=1, rounds=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_eight_at_once_of_whom_most_die_on_each_product(product_town: Town, workers: Workers, seed: int) -> None:
    slaughter(product_town, workers, seed=seed)


def slaughter(town: Town, workers: Workers, *, seed: int, rounds: int = 2) -> None:
    """Their leases run out while they live: who is slow has been overtaken before it dies, or instead."""
    chance = random.Random(seed)
    town.hold_leases_for(0.15)
    witness = Witness(town, workers)
    died = 0
    for version in range(2, 2 + rounds):
        witness.report(version)
        for exchange in (SYNC, town.share):
            points = [*chance.choices([*STEPS, "target:3", "target:9", "any:40", "after:0.3"], k=EIGHT - 1), "after:5"]
            statuses = workers.together(town.home, exchange, *points)
            assert set(statuses) <= {0, Busy.status, -signal.SIGKILL}, workers.said
            died += statuses.count(-signal.SIGKILL)
            witness.lapse(exchange)
            witness.finish(exchange, "eight at once")
            # What came in between may have been read by a run that began later than another's end.
            runs = town.runs(exchange)
            assert {run.state for run in runs} == {"settled"}
            assert sorted(town.ledger(exchange)) == sorted(run.delivery for run in runs)
            taken_over = "RunTakenOver" in town.events(runs[-1].id)
            witness.check(exchange, "eight at once", None, taken_over=taken_over)
    assert died >= 2 * rounds
    assert witness.faults == town.faults() == []
