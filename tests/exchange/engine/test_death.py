"""Death at every step: whoever comes next carries the run to exactly what the grant allows.

A worker is killed with SIGKILL once at every step of a run, after every statement of the target
transaction and after every change while settling, on each product, collecting from an outbox and sharing from
the library's journal; and once at every step on each product, collecting in each of the other ways. What differs
between them ends with the reading; the statements of target and settlement are the same.

What dies after the reading dies in a row: each of a run's owners takes over from the one before it and dies one step or
statement further on, until one is left to end it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.exchange.engine.town import SYNC, TAX, build, person
from tests.exchange.engine.witness import CAPTURES, PRODUCTS, STEPS, Witness, databases
from tests.exchange.engine.worker import Workers

GATE = STEPS.index("6.gate")
MOST = 60
"""More statements than a target transaction has."""


@dataclass
class Matrix(Witness):
    """All deaths of one town."""

    rounds: Iterator[int] = field(default_factory=lambda: count(2))
    deaths: dict[str, list[str]] = field(default_factory=dict)

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Those that die here: how the library is read does not depend on how it was filled."""
        return (SYNC, self.town.share) if self.town.capture == "outbox" else (SYNC,)

    def run(self) -> None:
        """All deaths of both exchanges."""
        self.town.report(*(person(number) for number in range(12)))
        for exchange in self.exchanges:
            self.deaths[exchange] = []
            assert self.workers.run(self.town.home, exchange) == 0, self.workers.said
        if self.town.capture == "outbox":
            for step in STEPS:
                self.both((step, 1))
            self.both(("3.read", 2))
            self.both(*((f"target:{number}", 1) for number in range(1, MOST)))
            for number in count(1):
                if not self.both((f"settle:{number}", 1)):
                    break
        else:
            for step in STEPS[:GATE]:
                self.both((step, 1))
            self.both(*((step, 1) for step in STEPS[GATE:]))
        self.faults += self.town.faults()

    def both(self, *points: tuple[str, int]) -> bool:
        """Let the police report something, then workers of both exchanges die at points; whether any did."""
        self.report(next(self.rounds))
        died = [self.die(exchange, *points) for exchange in self.exchanges]
        for exchange, where in zip(self.exchanges, died, strict=True):
            self.deaths[exchange] += where
        return any(died)


def carried_out(request: pytest.FixtureRequest, folder: Path, product: str, capture: str, workers: Workers) -> Matrix:
    """All deaths of a town on one product that is collected from in one way."""
    urls = databases(request, folder, police=product, library=product, tax=product)
    with closing(build(folder / "home", urls, capture=capture)) as town:
        matrix = Matrix(town, workers)
        matrix.run()
    return matrix


@pytest.mark.long_with("sqlite", "mariadb")
@pytest.mark.parametrize("product", PRODUCTS)
def test_whoever_dies_wherever_nothing_is_lost_and_nothing_comes_twice(
    request: pytest.FixtureRequest, tmp_path: Path, workers: Workers, product: str
) -> None:
    matrix = carried_out(request, tmp_path, product, "outbox", workers)
    assert matrix.faults == []
    for exchange, least in ((SYNC, 3), (matrix.town.share, 3)):
        deaths = Counter(point.partition(":")[0] for point in matrix.deaths[exchange])
        assert set(STEPS) <= set(deaths), exchange
        assert MOST - 1 > deaths["target"] >= 10
        assert deaths["settle"] >= least
    assert matrix.notices(matrix.hub("SELECT id FROM run ORDER BY started_at DESC LIMIT 1")[0]["id"]) == [TAX]


@pytest.mark.long_with("sqlite", "mariadb", "snapshot", "watermark", "diff")
@pytest.mark.parametrize("capture", CAPTURES[1:])
@pytest.mark.parametrize("product", PRODUCTS)
def test_however_it_is_read(
    request: pytest.FixtureRequest, tmp_path: Path, workers: Workers, product: str, capture: str
) -> None:
    matrix = carried_out(request, tmp_path, product, capture, workers)
    assert matrix.faults == []
    assert matrix.deaths == {SYNC: list(STEPS)}
