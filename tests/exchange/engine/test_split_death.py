"""Death while a run is split, staged in parts and finished: whoever comes next carries it to the same end.

In the suite workers die in a row at every step of each of the three on PostgreSQL, each taking over from the one
before. Left to the long one are all products, deaths one by one, and those after every statement, in the hub and
outside.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain, count
from pathlib import Path

import pytest

from exchange.errors import Busy
from tests.exchange.engine.town import SYNC, build, person
from tests.exchange.engine.witness import PATIENCE, PRODUCTS, STEPS, Witness, databases
from tests.exchange.engine.worker import Workers

SPLITTING = ("1.planned", "2.leased")
STAGING = ("2.leased", "3.read", "5.staged", "5.manifest")
FINISHING = tuple(step if step != "3.read" else "4.gathered" for step in STEPS)
PARTS = 2


class Splitting(Witness):
    """A town in which runs are split, and whoever is at them dies."""

    def do(self, point: str, *does: object) -> int | None:
        """Let a worker do something and perhaps die of it; then let the time pass that his leases last."""
        status = self.workers.run(self.town.home, SYNC, point, does=does)
        self.lapse(SYNC)
        with closing(sqlite3.connect(self.town.home / "hub.db", timeout=20)) as connection, connection:
            connection.execute("UPDATE part SET expires = 0")
        return status

    def case(
        self, splitting: Sequence[str] = (), staging: Sequence[str] = (), finishing: Sequence[str] = ()
    ) -> list[str]:
        """One run, in which workers die one after the other where they are told; the points where they did."""
        where = f"split {splitting} stage {staging} finish {finishing}"
        died = self.dying(where, splitting, "split", SYNC, PARTS)
        run = self.unfinished(SYNC)
        assert run is not None, self.faults
        died += self.dying(where, (), "stage_part", run["id"], 1)
        died += self.dying(where, staging, "stage_part", run["id"], PARTS)
        died += self.dying(where, finishing, "finish", run["id"])
        self.check(SYNC, where, run, taken_over=True)
        parts = self.hub("SELECT state, counts, sealed FROM part WHERE run = ?", run["id"])
        if [part["state"] for part in parts] != ["staged"] * PARTS or any(part["sealed"] for part in parts):
            self.faults.append(f"{where}: the parts are not what they should be")
        return died

    def dying(self, where: str, points: Sequence[str], *does: object) -> list[str]:
        """Workers do something, each dying at its point, until one does it to its end."""
        died = [point for point in points if self.do(point, *does) == -signal.SIGKILL]
        deadline = time.monotonic() + PATIENCE
        while (status := self.do("", *does)) == Busy.status and time.monotonic() < deadline:
            time.sleep(0.05)
        if status != 0:
            self.faults.append(f"{where}: the last worker ended with {status}: {self.workers.said[-500:]}")
        return died


@pytest.fixture
def splitting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Splitting]:
    product = request.param
    urls = databases(request, tmp_path, police=product, library=product, tax=product)
    with (
        closing(build(tmp_path / "home", urls, capture="snapshot")) as town,
        Workers(tmp_path / "errors.log") as workers,
    ):
        town.report(*map(person, range(8)))
        yield Splitting(town, workers)


@pytest.mark.parametrize(
    "splitting",
    [product if product == "postgresql" else pytest.param(product, marks=pytest.mark.long) for product in PRODUCTS],
    indirect=True,
)
def test_whoever_dies_at_a_part_nothing_is_lost_and_nothing_comes_twice(splitting: Splitting) -> None:
    splitting.report(2)
    assert splitting.case(SPLITTING, STAGING, FINISHING) == [*SPLITTING, *STAGING, *FINISHING]
    assert splitting.faults + splitting.town.faults() == []


@pytest.mark.long
@pytest.mark.parametrize("splitting", PRODUCTS, indirect=True)
def test_at_every_step_by_itself_and_after_every_statement(splitting: Splitting) -> None:
    versions = count(2)
    for place, steps in enumerate((SPLITTING, STAGING, FINISHING)):
        for point in chain(steps, (f"any:{number}" for number in count(1))):
            splitting.report(next(versions))
            points: list[Sequence[str]] = [(), (), ()]
            points[place] = (point,)
            if not splitting.case(*points):
                break
        assert int(point.removeprefix("any:")) > 10, point
    assert splitting.faults + splitting.town.faults() == []
