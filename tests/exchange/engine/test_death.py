"""Death at every step: whoever comes next carries the run to exactly what the grant allows.

A worker is killed with SIGKILL once at every step of a run, after every statement of the target
transaction and after every change while settling, on each product, collecting from an outbox and sharing from
the library's journal; and once at every step on each product, collecting in each of the other ways. What differs
between them ends with the reading; the statements of target and settlement are the same. The three products take
their turns side by side.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from exchange.errors import Busy
from tests.exchange.engine.town import AWAY, HERE, POLICE, SYNC, TAX, Town, build, person, wrong
from tests.exchange.engine.worker import Workers

STEPS = (
    "1.planned", "2.leased", "3.read", "5.staged", "5.manifest", "6.gate", "6.gated", "7.commit", "7.committed",
    "8.promoted", "9.settled",
)  # fmt: skip
PRODUCTS = ("sqlite", "postgresql", "mariadb")
OTHERS = ("snapshot", "batches", "watermark", "diff")
"""Captures that are tried at the steps alone."""
ONCE = ("RunStarted", "RunStaged", "RunGated", "RunCommitted", "RunSettled")
LEASE_SECONDS = 0.3


@dataclass
class Matrix:
    """One town in which workers die, and what was found wrong after each death."""

    town: Town
    workers: Workers
    rounds: Iterator[int] = field(default_factory=lambda: count(2))
    deaths: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

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
        for step in STEPS:
            self.both(step)
        if self.town.capture == "outbox":
            self.both("3.read", occurrence=2)
            for kind in ("target", "settle"):
                for number in count(1):
                    if not self.both(f"{kind}:{number}"):
                        break
        self.faults += self.town.faults()

    def both(self, point: str, occurrence: int = 1) -> bool:
        """Let the police report something, then both exchanges die at a point; whether any worker did."""
        self.report(next(self.rounds))
        died = [self.die(exchange, point, occurrence) for exchange in self.exchanges]
        return any(died)

    def report(self, version: int) -> None:
        """One changed, one that leaves or enters the granted district, one wrong, one new, some as they were."""
        self.town.report(
            person(1, version=version, name=f"改{version}"),
            person(2, version=version, district=AWAY if version % 2 else HERE),
            wrong(3, version=version),
            person(100 + version),
            *(person(number, version=1) for number in (4, 5)),
        )
        if self.town.capture == "diff" and version > 2:
            self.town.remove(100 + version - 1)

    def die(self, exchange: str, point: str, occurrence: int) -> bool:
        """Kill a worker at a point, let others carry on, and look at everything."""
        where = f"{exchange[:5]} {point}" + (f" 第 {occurrence} 次" if occurrence > 1 else "")
        status = self.workers.run(self.town.home, exchange, point, occurrence)
        if status == 0:
            self.check(exchange, f"{where} (survived)", None)
            return False
        if status != -signal.SIGKILL:
            self.faults.append(f"{where}: the worker ended with {status}: {self.workers.said[-500:]}")
            return False
        self.deaths[exchange].append(point)
        left = self.unfinished(exchange)
        deadline = time.monotonic() + 30
        while (status := self.workers.run(self.town.home, exchange)) == Busy.status and time.monotonic() < deadline:
            time.sleep(0.05)
        if status != 0:
            self.faults.append(f"{where}: the next worker ended with {status}: {self.workers.said[-500:]}")
        self.check(exchange, where, left)
        return True

    def check(self, exchange: str, where: str, left: dict[str, Any] | None) -> None:
        """Compare what lies where with what should."""
        town = self.town
        run = self.hub("SELECT * FROM run WHERE exchange = ? ORDER BY started_at DESC, id LIMIT 1", exchange)[0]
        found = {
            "the run is not settled": run["state"] == "settled",
            "there is more than one unfinished run": self.unfinished(exchange) is None,
            "another delivery key was taken": left is None
            or (left["id"], left["delivery"]) == (run["id"], run["delivery"]),
            "not one receipt for each delivery": self.receipts(exchange) == Counter(town.ledger(exchange)),
            "a stage is left": town.stages("library") == town.stages("tax") == [],
            "something is owed": self.hub("SELECT * FROM owed WHERE done_at IS NULL") == [],
            "the library holds something else": town.rows("library") == town.good(),
            "not one notice for each who should have one": self.notices(run["id"]) == self.expected_notices(run),
            "the log does not say what happened": self.told(run["id"], left is not None),
            "a file is left of who died": self.files() == self.manifests(),
        }
        if exchange == SYNC and town.capture == "outbox":
            good = town.good()
            flags = {name: "1" if name in good else "2" for name in town.reported}
            found["a flag at the source is wrong"] = town.flags() == flags
        elif exchange != SYNC:
            found["the recipient holds something else"] = town.rows("tax") == town.granted()
        self.faults += [f"{where}: {fault}" for fault, right in found.items() if not right]

    def hub(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the hub's database as they are committed."""
        with closing(sqlite3.connect(f"file:{self.town.home / 'hub.db'}?mode=ro", uri=True, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def unfinished(self, exchange: str) -> dict[str, Any] | None:
        states = "('planned', 'staged', 'committing', 'committed')"
        found = self.hub(f"SELECT id, delivery, state FROM run WHERE exchange = ? AND state IN {states}", exchange)
        return found[0] if found else None

    def receipts(self, exchange: str) -> Counter[str]:
        rows = self.hub("SELECT body FROM receipt WHERE exchange = ?", exchange)
        return Counter(json.loads(row["body"])["delivery"] for row in rows)

    def notices(self, run: str) -> list[str]:
        return sorted(row["department"] for row in self.hub("SELECT department FROM notice WHERE run = ?", run))

    def expected_notices(self, run: dict[str, Any]) -> list[str]:
        refused = json.loads(run["counts"])["refused"]
        return sorted([json.loads(run["plan"])["recipient"], *([POLICE] if refused else [])])

    def told(self, run: str, taken_over: bool) -> bool:
        said = Counter(row["type"] for row in self.hub("SELECT type FROM event WHERE run = ?", run))
        return all(said[name] == 1 for name in ONCE) and bool(said["RunTakenOver"]) is taken_over

    def files(self) -> set[str]:
        return {path.name for path in (self.town.home / "payload").iterdir()}

    def manifests(self) -> set[str]:
        """The manifests of all runs, and the notes in force."""
        manifests = {row["manifest"] for row in self.hub("SELECT manifest FROM run WHERE manifest IS NOT NULL")}
        positions = [json.loads(row["position"] or "{}") for row in self.hub("SELECT position FROM exchange")]
        return manifests | {place["notes"]["file"] for place in positions if place and "notes" in place}


Matrices = dict[tuple[str, str], Future[Matrix]]
"""By product and capture."""


@pytest.fixture(scope="module")
def matrices(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrices]:
    """The towns of three products, in which workers die side by side; those of one product one after another."""
    found = {}
    with ExitStack() as stack:
        for product in PRODUCTS:
            workers = stack.enter_context(Workers(tmp_path_factory.mktemp(product) / "errors.log"))
            turns = stack.enter_context(ThreadPoolExecutor(1))
            for capture in ("outbox", *OTHERS):
                folder = tmp_path_factory.mktemp(f"{product}-{capture}")
                urls = _databases(request, product, folder)
                found[product, capture] = turns.submit(_carried_out, folder, urls, capture, workers)
        yield found


def _databases(request: pytest.FixtureRequest, product: str, folder: Path) -> dict[str, str]:
    names = ("police", "library", "tax")
    if product == "sqlite":
        return {name: f"sqlite:///{folder / name}.db" for name in names}
    new: Callable[[], str] = request.getfixturevalue(f"{product}_server").new_database
    return {name: new() for name in names}


def _carried_out(folder: Path, urls: dict[str, str], capture: str, workers: Workers) -> Matrix:
    with closing(build(folder / "home", urls, lease_seconds=LEASE_SECONDS, capture=capture)) as town:
        matrix = Matrix(town, workers)
        matrix.run()
    return matrix


@pytest.mark.parametrize("product", PRODUCTS)
def test_whoever_dies_wherever_nothing_is_lost_and_nothing_comes_twice(matrices: Matrices, product: str) -> None:
    matrix = matrices[product, "outbox"].result()
    assert matrix.faults == []
    for exchange, least in ((SYNC, 3), (matrix.town.share, 3)):
        deaths = Counter(point.partition(":")[0] for point in matrix.deaths[exchange])
        assert set(STEPS) <= set(deaths), exchange
        assert deaths["target"] >= 10
        assert deaths["settle"] >= least
    assert matrix.notices(matrix.hub("SELECT id FROM run ORDER BY started_at DESC LIMIT 1")[0]["id"]) == [TAX]


@pytest.mark.parametrize("capture", OTHERS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_however_it_is_read(matrices: Matrices, product: str, capture: str) -> None:
    matrix = matrices[product, capture].result()
    assert matrix.faults == []
    assert matrix.deaths == {SYNC: list(STEPS)}
