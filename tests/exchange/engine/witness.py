"""Who stands by when workers die: finishes what they began, and compares what lies where with what should."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from exchange.errors import Busy
from exchange.receipts import balanced
from tests.exchange.engine.town import AWAY, HERE, POLICE, SYNC, Town, person, wrong
from tests.exchange.engine.worker import Workers

STEPS = (
    "1.planned", "2.leased", "3.read", "5.staged", "5.manifest", "6.gate", "6.gated", "7.commit", "7.committed",
    "8.promoted", "9.settled",
)  # fmt: skip
PRODUCTS = ("sqlite", "postgresql", "mariadb")
CAPTURES = ("outbox", "snapshot", "batches", "watermark", "diff")
ONCE = ("RunStarted", "RunStaged", "RunGated", "RunCommitted", "RunSettled")
AGAIN = ("RunStaged", "RunGated")
"""Said once more each time a stage was lost."""
PATIENCE = 30.0


@dataclass
class Witness:
    """One town in which workers die, and what was found wrong after each death."""

    town: Town
    workers: Workers
    faults: list[str] = field(default_factory=list)
    paused: bool = False
    """Whether a worker is alive that was overtaken: what it is still writing is its own to remove."""
    _reported: int = 0

    def report(self, version: int) -> None:
        """One changed, one that leaves or enters the granted district, one wrong, one new, some as they were."""
        self.town.report(
            person(1, version=version, name=f"改{version}"),
            person(2, version=version, district=AWAY if version % 2 else HERE),
            wrong(3, version=version),
            person(100 + version),
            *(person(number, version=1) for number in (4, 5)),
        )
        if self.town.capture == "diff" and self._reported:
            self.town.remove(100 + self._reported)
        self._reported = version

    def die(self, exchange: str, *points: tuple[str, int], where: str = "") -> list[str]:
        """Kill one worker after the other, each at its point, let another carry on, and look at everything.

        Args:
            exchange: What they run.
            points: Each with the time they come by that is their last.
            where: What the test calls it.

        Returns:
            Where one died; a worker that gets to its end is the last.
        """
        died: list[str] = []
        left: dict[str, Any] | None = None
        for point, occurrence in points:
            status = self.workers.run(self.town.home, exchange, point, occurrence)
            where = where or f"{exchange[:5]} {point}" + (f" 第 {occurrence} 次" if occurrence > 1 else "")
            if status == 0:
                break
            if status != -signal.SIGKILL:
                self.faults.append(f"{where}: the worker ended with {status}: {self.workers.said[-500:]}")
                break
            died.append(point)
            left = self.unfinished(exchange)
            self.lapse(exchange)
        else:
            self.finish(exchange, where)
        self.check(exchange, where, left, taken_over=left is not None)
        return died

    def lapse(self, exchange: str) -> None:
        """Let the time pass after which the lease of who died is anybody's."""
        hub = self.town.home / "hub.db"
        with closing(sqlite3.connect(hub, timeout=20)) as connection, connection:
            connection.execute("UPDATE lease SET expires = 0 WHERE exchange = ?", (exchange,))

    def finish(self, exchange: str, where: str) -> None:
        """Let a worker carry on to the end, as soon as it may."""
        deadline = time.monotonic() + PATIENCE
        while (status := self.workers.run(self.town.home, exchange)) == Busy.status and time.monotonic() < deadline:
            time.sleep(0.05)
        if status != 0:
            self.faults.append(f"{where}: the next worker ended with {status}: {self.workers.said[-500:]}")

    def check(self, exchange: str, where: str, left: dict[str, Any] | None, *, taken_over: bool) -> None:
        """Compare what lies where with what should.

        Args:
            exchange: What was run.
            where: What the test calls it.
            left: The run that was found unfinished, if it is to be the last one.
            taken_over: Whether the last run had more than one owner.
        """
        town = self.town
        run = self.hub("SELECT * FROM run WHERE exchange = ? ORDER BY started_at DESC, id LIMIT 1", exchange)[0]
        found = {
            "the run is not settled": run["state"] == "settled",
            "the books do not balance": run["state"] == "settled" and balanced(json.loads(run["counts"])),
            "there is more than one unfinished run": self.unfinished(exchange) is None,
            "another delivery key was taken": left is None
            or (left["id"], left["delivery"]) == (run["id"], run["delivery"]),
            "not one receipt for each delivery": self.receipts(exchange) == Counter(self.ledger(exchange)),
            "a stage is left": town.stages("library") == town.stages("tax") == [],
            "something is owed": self.hub("SELECT * FROM owed WHERE done_at IS NULL") == [],
            "quota is reserved for what was not delivered": self.usage(exchange) == self.delivered(exchange),
            "the library holds something else": town.rows("library") == town.good(),
            "not one notice for each who should have one": self.notices(run["id"]) == self.expected_notices(run),
            "the log does not say what happened": self.told(run["id"], taken_over=taken_over),
            "a file is left of who died": self.files() == self.manifests(),
        }
        if exchange == SYNC and town.capture == "outbox":
            good = town.good()
            flags = {name: "1" if name in good else "2" for name in town.reported}
            found["a flag at the source is wrong"] = town.flags() == flags
        elif exchange != SYNC:
            found["the recipient holds something else"] = self.held(exchange) == town.granted()
        self.faults += [f"{where}: {fault}" for fault, right in found.items() if not right]

    def ledger(self, exchange: str) -> list[str]:
        """Delivery keys that the exchange's target took."""
        return self.town.ledger(exchange)

    def held(self, exchange: str) -> dict[str, dict[str, Any]]:
        """What the recipient of an exchange holds."""
        return self.town.rows("tax")

    # --- what the hub's books say --------------------------------------------------------------

    def hub(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the hub's database as they are committed."""
        with closing(sqlite3.connect(f"file:{self.town.home / 'hub.db'}?mode=ro", uri=True, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def unfinished(self, exchange: str) -> dict[str, Any] | None:
        """A run that is neither settled nor given up."""
        states = "('planned', 'staged', 'committing', 'committed')"
        found = self.hub(f"SELECT id, delivery, state FROM run WHERE exchange = ? AND state IN {states}", exchange)
        return found[0] if found else None

    def receipts(self, exchange: str) -> Counter[str]:
        """Delivery keys by the number of their receipts."""
        rows = self.hub("SELECT body FROM receipt WHERE exchange = ?", exchange)
        return Counter(json.loads(row["body"])["delivery"] for row in rows)

    def usage(self, exchange: str) -> dict[str, int]:
        """What counts against the quota of the exchange's grant, by delivery."""
        query = 'SELECT u.delivery, u.rows FROM usage u JOIN exchange e ON e."grant" = u."grant" WHERE e.id = ?'
        return {row["delivery"]: row["rows"] for row in self.hub(query, exchange)}

    def delivered(self, exchange: str) -> dict[str, int]:
        """What was written, by delivery."""
        runs = self.hub("SELECT delivery, counts FROM run WHERE exchange = ? AND state = 'settled'", exchange)
        return {run["delivery"]: json.loads(run["counts"])["written"] for run in runs}

    def notices(self, run: str) -> list[str]:
        """Who was told of a run."""
        return sorted(row["department"] for row in self.hub("SELECT department FROM notice WHERE run = ?", run))

    def expected_notices(self, run: dict[str, Any]) -> list[str]:
        """Who should be told of it."""
        refused = json.loads(run["counts"])["refused"]
        return sorted([json.loads(run["plan"])["recipient"], *([POLICE] if refused else [])])

    def told(self, run: str, *, taken_over: bool) -> bool:
        """Whether the log says once of each step that it was done, and who took over."""
        said = Counter(row["type"] for row in self.hub("SELECT type FROM event WHERE run = ?", run))
        again = said["RunRestaged"]
        once = all(said[name] == 1 or (name in AGAIN and 1 <= said[name] <= 1 + again) for name in ONCE)
        return once and bool(said["RunTakenOver"]) is taken_over

    def files(self) -> set[str]:
        """What lies encrypted at the hub."""
        names = {path.name for path in (self.town.home / "payload").iterdir()}
        return {name for name in names if not (self.paused and name.startswith("."))}

    def manifests(self) -> set[str]:
        """The manifests of all runs, and the notes in force."""
        manifests = {row["manifest"] for row in self.hub("SELECT manifest FROM run WHERE manifest IS NOT NULL")}
        positions = [json.loads(row["position"] or "{}") for row in self.hub("SELECT position FROM exchange")]
        return manifests | {place["notes"]["file"] for place in positions if place and "notes" in place}


def databases(request: pytest.FixtureRequest, folder: Path, **products: str) -> dict[str, str]:
    """Addresses of new databases, each of its product."""
    found = {}
    for name, product in products.items():
        if product == "sqlite":
            found[name] = f"sqlite:///{folder / name}.db"
        else:
            new: Callable[[], str] = request.getfixturevalue(f"{product}_server").new_database
            found[name] = new()
    return found
