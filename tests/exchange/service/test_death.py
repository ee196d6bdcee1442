"""Whoever has a part in the Web Service way dies wherever he stands: nothing is lost, nothing is delivered twice.

A desk dies wherever something has become durable; a worker at every step, and after every file of the outbox and
every call of a department's service; that service and the hub's door where a call is here, where it is carried out and
nobody has heard, and in the middle of the answer; the departments' programmes wherever they have called or committed.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.engine.town import SYNC, identity_number, person
from tests.exchange.engine.witness import STEPS
from tests.exchange.engine.worker import Workers
from tests.exchange.service.callers import PUSH, Callers
from tests.exchange.service.ways import MODULES, WHO, Way, Ways, open_ways

LEASE_SECONDS = 0.3


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(tmp_path_factory.mktemp("others") / "errors.log", *MODULES) as others:
        yield others


@pytest.fixture(scope="module")
def ways(others: Workers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    folder = tmp_path_factory.mktemp("ways")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with open_ways(folder / "home", urls, others) as ways:
        yield ways


@dataclass
class Desks:
    """Desks that are killed."""

    others: Workers

    def do(self, deed: str, home: Path, point: int = 0, **about: Any) -> dict[str, Any] | None:
        """Let a desk carry out a deed; what the caller was told, None if the desk was killed before."""
        status, told = self.others.do(f"tests.exchange.service.dying:{deed}", point, home=str(home), **about)
        assert status in (0, -signal.SIGKILL), self.others.said
        return told if status == 0 else None


@pytest.fixture(scope="module")
def desks(others: Workers) -> Desks:
    return Desks(others)


def hub(callers: Callers, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{callers.town.home / 'hub.db'}?mode=ro", uri=True, timeout=20)) as connection:
        return connection.execute(query).fetchall()


def library(callers: Callers) -> dict[str, int]:
    with closing(sqlite3.connect(callers.town.urls["library"].removeprefix("sqlite:///"))) as connection:
        return dict(connection.execute("SELECT id_no, ver FROM r_101001001_0002"))


def until_done(deed: Any) -> dict[str, Any]:
    """Ask again as a caller does whose line was cut, until there is an answer that is one."""
    deadline = time.monotonic() + 30
    while True:
        told: dict[str, Any] = deed()
        if told["state"] not in ("received", "Unavailable") or time.monotonic() > deadline:
            return told
        time.sleep(LEASE_SECONDS / 3)


def settle(callers: Callers) -> None:
    """What is delivered and owes something yet is ended by whoever runs what is due."""
    deadline = time.monotonic() + 30
    while hub(callers, "SELECT 1 FROM run WHERE state = 'committed'") and time.monotonic() < deadline:
        with callers.town.hub() as opened:
            for _ in opened.oversight.run_due(by=callers.town.actor("integrator")):
                pass
        time.sleep(LEASE_SECONDS / 3)


def test_a_push_is_carried_out_once_wherever_its_desk_dies(callers: Callers, desks: Desks) -> None:
    town = callers.town
    town.hold_leases_for(LEASE_SECONDS)
    expected: dict[str, int] = {}
    for point in count(1):
        about = {"message": f"M{point}", "version": point}
        died = desks.do("push", town.home, point, **about) is None
        told = until_done(lambda about=about: desks.do("push", town.home, **about))
        assert told == {"state": "delivered", "accepted": 2, "refused": [2]}, point
        expected |= {identity_number(1): point, identity_number(100 + point): 1}
        settle(callers)
        assert library(callers) == expected, point
        assert hub(callers, "SELECT state FROM run WHERE state <> 'settled'") == [], point
        taken = Counter(run for (run,) in hub(callers, "SELECT run FROM message"))
        assert set(taken.values()) == {1}, point
        assert len(hub(callers, f"SELECT 1 FROM receipt WHERE exchange = '{PUSH}'")) == point
        assert hub(callers, "SELECT 1 FROM owed WHERE done_at IS NULL") == [], point
        if not died:
            break
    assert point > 10
    assert len(town.query("library", f"SELECT 1 FROM shutong_ledger WHERE exchange = '{PUSH}'")) == point
    assert town.faults() == []


def test_a_caller_holds_what_is_granted_wherever_its_desk_dies(callers: Callers, desks: Desks, tmp_path: Path) -> None:
    town = callers.town
    town.hold_leases_for(LEASE_SECONDS)
    file = tmp_path / "recipient.jsonl"
    file.touch()
    for point in count(1):
        callers.collected(*(person(number, version=point) for number in range(8)))
        died = desks.do("fetch", town.home, point, file=str(file)) is None
        until_done(lambda: desks.do("fetch", town.home, file=str(file)))
        settle(callers)
        applied: dict[str, dict[str, Any]] = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["ver"] >= applied.get(row["id_no"], row)["ver"]:
                applied[row["id_no"]] = {name: value for name, value in row.items() if name[0] != "_"}
        assert applied == town.granted(), point
        # Every delivery that has rows was fetched, once; none is left in the box.
        assert hub(callers, "SELECT delivery FROM mail WHERE state <> 'fetched' AND parts <> '[]'") == [], point
        events = Counter(delivery for (delivery,) in hub(
            callers, "SELECT json_extract(body, '$.delivery') FROM event WHERE type = 'MailFetched'"
        ))  # fmt: skip
        assert set(events.values()) == {1}, point
        assert hub(callers, f"SELECT 1 FROM run WHERE exchange <> '{SYNC}' AND state <> 'settled'") == [], point
        if not died:
            break
    assert point > 10
    staged = [path.name for path in (town.home / "mail").iterdir() if path.name.startswith(".")]
    assert staged == []
    assert town.faults() == []


ROUNDS = count(2)
"""What is reported rises, whatever was reported before."""


def everywhere(ways: Ways, way: Way, who: str) -> int:
    """Let somebody die at one point after the other, until there is none; how often he died."""
    for point in count(1):
        ways.news(way, next(ROUNDS))
        died, _ = ways.act(way, who, f"outside:{point}" if who == "worker" else point)
        left = ways.unfinished(ways.shares[way])
        if died or left:
            ways.whole(way)
        ways.look(way, f"{way} {who} {point}", left)
        if not died:
            assert not ways.faults, "\n".join(ways.faults)
            return point - 1
    raise AssertionError


@pytest.mark.parametrize("way", ["collect", "deliver"])
def test_a_worker_dies_at_every_step(ways: Ways, way: Way) -> None:
    gate = STEPS.index("6.gate")
    for steps in (*((step,) for step in STEPS[:gate]), STEPS[gate:]):
        ways.news(way, next(ROUNDS))
        assert ways.die(ways.shares[way], *((step, 1) for step in steps)) == list(steps)
        ways.look(way, f"{way} {steps}", checked=True)
    assert not ways.faults, "\n".join(ways.faults)


@pytest.mark.long_with("worker", "programme")  # A worker dies at every step above.
@pytest.mark.parametrize(("way", "who"), [(way, who) for way, both in WHO.items() for who in both])
def test_whoever_dies_wherever_nothing_is_lost_and_nothing_comes_twice(ways: Ways, way: Way, who: str) -> None:
    assert everywhere(ways, way, who) >= 6
    assert ways.town.faults() == []
