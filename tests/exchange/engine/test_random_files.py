"""Death at random on the file way: over a hundred kills of everybody who has a part in it, drawn from a seed.

A case is drawn from the seed and its number alone: what a department drops, who collects and delivers it and dies
where, which server, broker or line is gone meanwhile, and whose grant is revoked in between. Afterwards everybody lives
and carries on to the end, and every drop holds what it should. ``SHUTONG_TEST_SEED`` sets the seed,
``SHUTONG_TEST_CASE`` the number of one case to repeat alone, in an office of its own.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import secrets
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from exchange.receipts import balanced
from tests.exchange.engine.office import SYNC, Grant, Office, held, library, open_office
from tests.exchange.engine.perishing import COURIER_STEPS, MODULES, WORK
from tests.exchange.engine.tolls import ALONE, SEED, numbers, toll
from tests.exchange.engine.town import Town, build
from tests.exchange.engine.witness import STEPS
from tests.exchange.engine.worker import Workers
from tests.support.openssh import OpenSSHServer
from tests.support.proxy import Line
from tests.support.rabbitmq import RabbitMQServer

KILLS = 120
Place = tuple[str, bool, str, bool]
"""What is dropped, whether on a server, what becomes of it when it is taken, and whether messages go over a broker."""
PLACES: list[Place] = [
    # The lanes have every other one: the first none of the broker.
    ("csv", False, "move", False),
    ("jsonl", True, "move", True),
    ("xml", True, "leave", False),
    ("document", False, "leave", True),
    ("xlsx", False, "delete", False),
    ("csv", True, "delete", True),
    ("document", True, "move", False),
    ("parquet", False, "leave", True),
    ("gzip", True, "move", False),
]
HANDS = ("collector", "courier", "hand", "keeper")
"""Who collects, who delivers by messages, who delivers one exchange by hand, and who does all that is due."""
TROUBLES = ("sessions", "server", "line", "broker", "queues", "empty")
"""What is gone meanwhile: connections, the server, the line; the broker, its queues, everything it held."""
HALTED = ("red", "abandoned", "stopped")
"""Runs that do not go on before a person has looked."""
Combination = tuple[Place, str]
COMBINATIONS: tuple[Combination, ...] = tuple(
    (place, who)
    for place, who in product(PLACES, (*HANDS, *TROUBLES))
    if place[3] or who not in ("broker", "queues", "empty")
)
"""Where, and who dies first."""


@dataclass(frozen=True)
class Act:
    """Somebody at work, where he dies, and what goes away meanwhile."""

    who: str
    point: str = ""
    trouble: str = ""
    at: float = 0.0
    """When that is, as a part of the time that the work takes."""
    back: float = 0.0
    """Seconds until it is there again."""

    def __str__(self) -> str:
        end = f" at {self.point}" if self.point else ""
        return f"{self.who}{end}" + (f" with {self.trouble} gone at {self.at:.2f}" if self.trouble else "")


@dataclass(frozen=True)
class Case:
    """One case, drawn from the seed and its number."""

    number: int
    combination: Combination
    acts: tuple[Act, ...]
    revoked: int | None
    """Which recipient's grant is revoked after the first."""
    recall: str
    """What is called back: ``revoked``: all under that grant; ``one``: a delivery; or nothing."""
    late: bool
    """Something is dropped after the first."""

    @property
    def place(self) -> Place:
        """Where it is tried."""
        return self.combination[0]

    def __str__(self) -> str:
        form, remote, after, broker = self.place
        where = f"{form} {'sftp' if remote else 'local'} {after} {'broker' if broker else 'embedded'}"
        more = f", grant {self.revoked} revoked" if self.revoked is not None else ""
        more += f", {self.recall} recalled" if self.recall else ""
        return f"case {self.number}: {where}: {', '.join(map(str, self.acts))}{more}{', dropped late' * self.late}"


def draw(seed: int, number: int) -> Case:
    """The case of a number."""
    deck = list(COMBINATIONS)
    random.Random(seed).shuffle(deck)
    chance = random.Random(f"{seed}:{number}")
    combination = deck[number % len(deck)]
    place, first = combination
    troubles = TROUBLES if place[3] else TROUBLES[:3]
    people = [first, *(chance.choice((*HANDS, *troubles)) for _ in range(chance.choices((0, 1, 2), (35, 40, 25))[0]))]
    revoked = chance.randrange(3) if chance.random() < 0.2 else None
    recall = chance.choices(
        ("", "revoked" if revoked is not None else "one"), (60, 40) if revoked is not None else (85, 15)
    )[0]
    return Case(
        number=number,
        combination=combination,
        acts=tuple(_act(chance, who) for who in people),
        revoked=revoked,
        recall=recall,
        late=chance.random() < 0.25,
    )


def _act(chance: random.Random, who: str) -> Act:
    if who not in HANDS:
        # What is gone is gone for somebody, who may die of something else as well.
        whom = "courier" if who in ("broker", "queues", "empty") else chance.choice(HANDS)
        point = _point(chance, whom) if chance.random() < 0.25 else ""
        return Act(whom, point, who, chance.uniform(0.05, 1), chance.choice((0.0, 0.2, 1.0)))
    return Act(who, _point(chance, who))


def _point(chance: random.Random, who: str) -> str:
    """Where one dies: of a moment, the part of the time that the work takes."""
    kind = chance.choices(("step", "sql", "durable", "after"), (35, 20, 25, 20))[0]
    if kind == "step":
        step = chance.choice(COURIER_STEPS if who == "courier" else STEPS)
        return f"step:{step}:{chance.choice((1, 1, 2, 3)) if who in ('courier', 'keeper') or step == '3.read' else 1}"
    if kind == "after":
        return f"after:{chance.uniform(0.05, 1):.3f}"
    return f"{kind}:{chance.randrange(1, {'sql': 250, 'durable': 60}[kind])}"


@dataclass
class Killing:
    """An office in which cases are tried, one after the other."""

    office: Office
    workers: Workers
    hands: ThreadPoolExecutor
    broker: RabbitMQServer | None
    faults: list[str] = field(default_factory=list)
    killed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each took last when he lived."""

    @property
    def town(self) -> Town:
        """Of this office."""
        return self.office.town

    def attempt(self, case: Case) -> None:
        """Try one case."""
        office, chance = self.office, random.Random(f"{SEED}:{case.number}:dropped")
        office.replace()
        office.drop(chance)
        if case.acts[0].who in ("courier", "hand"):
            self.collect()
        for number, act in enumerate(case.acts):
            self.act(act, chance)
            if number == 0:
                if case.late:
                    office.drop(chance, late=True)
                self.withdraw(case, chance)
        self.rest()
        self.faults += [f"{case}: {fault}" for fault in self.look()]

    # --- people --------------------------------------------------------------------------------

    def act(self, act: Act, chance: random.Random) -> None:
        """Let somebody work, and die, while something goes away."""
        point = act.point
        if point.startswith("after:"):
            point = f"after:{float(point[6:]) * self.seconds.get(act.who, 1.0):.4f}"
        about: dict[str, Any] = {"what": "due" if act.who == "keeper" else "run"}
        if act.who == "courier":
            about = {"what": "deliver", "seconds": 30, "endures": bool(act.trouble)}
        elif act.who == "collector":
            about["exchange"] = SYNC
        elif act.who == "hand":
            about["exchange"] = chance.choice([each for each in self.office.grants if not each.revoked]).share
        began = time.monotonic()
        working = self.hands.submit(self.workers.do, WORK, point, home=str(self.town.home), **about)
        if act.trouble:
            # By this thread: what it starts anew lives no longer than it.
            wait([working], act.at * self.seconds.get(act.who, 1.0))
            if not working.done():
                self.trouble(act, chance)
        status, said = working.result()
        self.office.line.cut_after(1 << 60)  # it does not stay cut
        if status == -signal.SIGKILL:
            self.killed += 1
        elif status != 0:
            self.faults.append(f"{act}: ended with {status}: {self.workers.said[-500:]}")
        elif not act.trouble:
            if said.get("error") and not said["busy"]:
                self.faults.append(f"{act}: {said}")
            else:
                self.seconds[act.who] = time.monotonic() - began
        elif said.get("error") and not said["retry"]:
            self.faults.append(f"{act}: {said}")
        self.lapse()

    def trouble(self, act: Act, chance: random.Random) -> None:
        """Something goes away, and may soon be there again."""
        server, broker = self.office.server, self.broker
        if act.trouble == "line":
            if chance.random() < 0.5:
                self.office.line.cut()
            else:
                self.office.line.cut_after(chance.randrange(200_000))
        elif act.trouble == "sessions":
            sessions = server.sessions()
            for pid in sessions:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.killed += bool(sessions)
        elif act.trouble == "server":
            server.go_away()
            self.killed += 1
            time.sleep(act.back)
            server.come_back()
        elif broker is not None:
            if act.trouble == "queues":
                with self.town.hub() as hub:
                    prefix = hub.settings.messages.exchange
                broker.delete_queues(*(f"{prefix}.to.{code}" for code in self.recipients()))
                return
            broker.go_away()
            self.killed += 1
            time.sleep(act.back)
            broker.come_back(empty=act.trouble == "empty")

    def recipients(self) -> list[str]:
        """Codes of all who are granted something."""
        return sorted({row["recipient"] for row in self.hub("SELECT recipient FROM dispatch")})

    def lapse(self) -> None:
        """Let the time pass after which the leases of the dead are anybody's."""
        with closing(sqlite3.connect(self.town.home / "hub.db", timeout=20)) as connection, connection:
            connection.execute("UPDATE lease SET expires = 0")

    def collect(self) -> None:
        """Undisturbed."""
        self.do("run", exchange=SYNC)

    def do(self, what: str, **about: Any) -> dict[str, Any]:
        """Let somebody do one thing to its end."""
        deadline = time.monotonic() + 30
        while True:
            status, said = self.workers.do(WORK, "", home=str(self.town.home), what=what, **about)
            if status == 0 and not said.get("error"):
                return dict(said)
            if status or not said["busy"] or time.monotonic() > deadline:
                server = self.broker.log_tail(8) if self.broker is not None else ""
                self.faults.append(f"{what} {about}, undisturbed: {status} {said} {self.workers.said[-300:]} {server}")
                return {}
            time.sleep(0.05)

    # --- grants --------------------------------------------------------------------------------

    def withdraw(self, case: Case, chance: random.Random) -> None:
        """Revoke a grant, call something back."""
        if case.revoked is not None:
            grant = [each for each in self.office.grants if not each.revoked][case.revoked]
            self.do("revoke", grant=grant.id, recall=case.recall == "revoked")
            grant.revoked = True
        elif case.recall:
            grant = chance.choice([each for each in self.office.grants if not each.revoked])
            query = "SELECT id, counts FROM run WHERE exchange = ? AND state IN ('committed', 'settled') ORDER BY id"
            delivered = [run["id"] for run in self.hub(query, grant.share) if json.loads(run["counts"])["written"]]
            recalled = {row["run"] for row in self.hub("SELECT run FROM recall")}
            if wanted := [each for each in delivered if each not in recalled]:
                self.do("recall", run=chance.choice(wanted))

    # --- and then ------------------------------------------------------------------------------

    def rest(self) -> None:
        """Everybody lives and works until nothing is left to do."""
        for _ in range(2):
            self.collect()
        self.do("deliver", seconds=40)
        with closing(sqlite3.connect(self.town.home / "hub.db", timeout=20)) as connection, connection:
            connection.execute("UPDATE recall SET due_at = ordered_at WHERE due_at IS NOT NULL")
        if failed := self.do("due").get("failed"):
            self.faults.append(f"what is due failed: {failed}")
        # Some exchange of which nothing is owed may have been left by somebody who died at it.
        for exchange in {row["exchange"] for row in self.unfinished()}:
            self.do("run", exchange=exchange)
        self.do("deliver", seconds=40)
        with self.town.hub() as hub:
            hub.engine.handovers.expire(by=self.town.actor("integrator"), days=0)

    def look(self) -> list[str]:
        """What is wrong now."""
        office, town = self.office, self.town
        faults = [*office.faults()]
        for grant in office.grants:
            rows, wrong = held(grant)
            faults += [f"{grant.root.name}: {fault}" for fault in wrong]
            if not grant.revoked and (misses := office.misses(grant, rows)):
                faults.append(f"{grant.root.name} holds something else: {str(misses)[:600]}")
            faults += [f"{grant.root.name}: {fault}" for fault in self.told(grant)]
        taken = Counter(
            (row["name"], row["digest"]) for row in self.hub("SELECT name, digest FROM file WHERE state = 'taken'")
        )
        if taken != office.taken:
            faults.append(
                f"not every file was taken once: too often {taken - office.taken}, not {office.taken - taken}"
            )
        wanted = {
            number: (each.ver, each.holder, each.level, _digest(each.content))
            for number, each in office.library.items()
        }
        if (found := library(town)) != wanted:
            faults.append(f"the library holds something else: {_difference(found, wanted)}")
        faults += self.spool()
        faults += self.books()
        return faults

    def spool(self) -> list[str]:
        """Whether the spool holds what the library's rows name, and nothing that the books do not account for.

        Where one run brought a licence more than once, all that it brought is kept until the next.
        """
        contents = {each.content for each in self.office.library.values() if each.content is not None}
        with self.town.hub() as hub:
            wanted = {hub.engine.documents.name(str(_digest(content))) for content in contents}
        folder = self.town.home / "spool/documents"
        there = {path.name for path in folder.glob("[0-9a-f][0-9a-f]/*")}
        entered = {row["document"] for row in self.hub("SELECT document FROM holding")}
        parts = [path.name for path in folder.glob("parts/*") if path.name != "removing.lock"]
        found = {
            f"the spool lacks {len(wanted - there)}": wanted <= there,
            f"the spool and its books differ by {len(there ^ entered)}": there == entered,
            f"the spool keeps parts {parts}": not parts,
        }
        return [fault for fault, right in found.items() if not right]

    def books(self) -> list[str]:
        """Whether the books say that everything has come to its end."""
        town = self.town
        runs = self.hub("SELECT * FROM run")
        receipts = Counter(row["run"] for row in self.hub("SELECT run FROM receipt"))
        delivered = [run["id"] for run in runs if run["state"] == "settled"]
        payload = {path.name for path in (town.home / "payload").iterdir()}
        halted = [(run["exchange"], run["state"], run["counts"]) for run in runs if run["state"] in HALTED]
        manifests = {run["manifest"] for run in runs if run["manifest"]}
        positions = [json.loads(row["position"] or "{}") for row in self.hub("SELECT position FROM exchange")]
        notes = {place["notes"]["file"] for place in positions if place and "notes" in place}
        found = {
            f"runs are unfinished: {[dict(row) for row in self.unfinished()]}": not self.unfinished(),
            "the books do not balance": all(
                balanced(json.loads(run["counts"])) for run in runs if run["state"] == "settled"
            ),
            f"somebody must look at {halted}": not halted,
            "not one receipt for each delivery": receipts == Counter(delivered),
            f"something is owed: {set(town.owed())}": set(town.owed()) <= {"answers"},
            f"messages are not done: {self.open()}": not self.open(),
            f"recalls are not told: {self.untold()}": not self.untold(),
            "a stage is left": town.stages("library") == [],
            f"a file is left of who died: {payload ^ (manifests | notes)}": payload == manifests | notes,
        }
        return [fault for fault, right in found.items() if not right]

    def told(self, grant: Grant) -> list[str]:
        """Whether nothing passed the gate after its revocation, and each recall has one notice."""
        faults = []
        query = "SELECT id FROM event WHERE type = 'GrantRevoked' AND json_extract(body, '$.grant') = ?"
        if revoked := self.hub(query, grant.id):
            query = (
                "SELECT MAX(event.id) AS gated FROM event JOIN run ON run.id = event.run "
                "WHERE event.type = 'RunGated' AND run.exchange = ? AND run.state = 'settled' GROUP BY run.id"
            )
            late = [row for row in self.hub(query, grant.share) if row["gated"] > revoked[0]["id"]]
            faults += ["something came after the grant was revoked"] * bool(late)
        elif grant.revoked:
            faults.append("nothing tells of the revocation")
        files = sorted(path.name for path in grant.root.glob("RECALL-*.json") if ".answer." not in path.name)
        wanted = sorted(f"RECALL-{row['id']}.json" for row in self.recalls(grant) if row["state"] != "void")
        if files != wanted:
            faults.append(f"notices {files} where there should be {wanted}")
        runs = self.hub("SELECT counts FROM run WHERE exchange = ? AND state = 'settled'", grant.share)
        many = sum(1 for run in runs if json.loads(run["counts"])["written"] + json.loads(run["counts"])["deleted"])
        if many != len(list(grant.root.glob("lic_*.csv"))):
            faults.append(f"{many} deliveries are in the books, {len(list(grant.root.glob('lic_*.csv')))} are there")
        return faults

    def recalls(self, grant: Grant) -> list[dict[str, Any]]:
        """Of what was delivered under a grant."""
        return self.hub("SELECT * FROM recall WHERE exchange = ?", grant.share)

    def untold(self) -> list[str]:
        """Recalls without a notice."""
        return [row["error"] or row["id"] for row in self.hub("SELECT * FROM recall WHERE state = 'owed'")]

    def open(self) -> list[tuple[str, str]]:
        """Deliveries that are neither made nor withdrawn."""
        query = "SELECT state, error FROM dispatch WHERE state NOT IN ('done', 'withdrawn')"
        return [(row["state"], row["error"]) for row in self.hub(query)]

    def unfinished(self) -> list[dict[str, Any]]:
        """Runs that have not come to their end."""
        states = "('planned', 'staged', 'committing', 'committed')"
        return self.hub(f"SELECT id, exchange, state FROM run WHERE state IN {states}")

    def hub(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the hub's database as they are committed."""
        with closing(sqlite3.connect(f"file:{self.town.home / 'hub.db'}?mode=ro", uri=True, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    less, more = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    other = {key: (found[key], wanted[key]) for key in found.keys() & wanted.keys() if found[key] != wanted[key]}
    return f"{less} missing, {more} too many, {str(other)[:600]}"


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def test_a_case_is_drawn_from_seed_and_number_alone() -> None:
    cases = [draw(7, number) for number in range(400)]
    assert cases == [draw(7, number) for number in range(400)]
    assert cases != [draw(8, number) for number in range(400)]
    assert {case.combination for case in cases[: len(COMBINATIONS)]} == set(COMBINATIONS)
    assert {place for place, _ in COMBINATIONS} == set(PLACES)
    assert {len(case.acts) for case in cases} == {1, 2, 3}
    assert {case.recall for case in cases} == {"", "revoked", "one"}
    assert {act.trouble for case in cases for act in case.acts} == {"", *TROUBLES}
    assert {act.point.partition(":")[0] for case in cases for act in case.acts} == {
        "", "step", "sql", "durable", "after",
    }  # fmt: skip


@pytest.mark.long
def test_whoever_dies_whenever_every_drop_holds_what_it_should(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    cases = [draw(SEED, number) for number in numbers(KILLS * 3)]
    # Python 3.11 may stumble where two lanes load what makes classes at once.
    for module in (*MODULES, "adapters.database.endpoint"):
        importlib.import_module(module)

    def lane(stack: ExitStack, number: int) -> Callable[[Place], Killing]:
        workers = stack.enter_context(Workers(tmp_path / f"errors-{number}.log", *MODULES))
        server = stack.enter_context(OpenSSHServer())
        line = stack.enter_context(Line(server.port))
        hands = stack.enter_context(ThreadPoolExecutor(1))
        brokers: list[RabbitMQServer] = []

        def opened(place: Place) -> Killing:
            folder = tmp_path / str(PLACES.index(place))
            folder.mkdir()
            urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
            town = stack.enter_context(closing(build(folder / "home", urls)))
            form, remote, after, broker = place
            messages: dict[str, Any] = {}
            if broker:
                if not brokers:
                    brokers.append(stack.enter_context(RabbitMQServer()))
                secret = town.home / "broker.password"
                secret.touch(mode=0o600)
                secret.write_text(brokers[0].password)
                name = f"c{secrets.token_hex(4)}"
                messages = {"url": brokers[0].url, "password": "file:broker.password", "exchange": name}
            office = open_office(town, server, line, form=form, remote=remote, after=after, messages=messages)
            return Killing(office, workers, hands, brokers[0] if broker else None)

        return opened

    told = toll(cases, PLACES, KILLS, lane)
    record_property("told", str(told))
    assert not told.faults, "\n".join([str(told), *told.faults])
    assert ALONE or (told.kills >= KILLS and len(told.combinations) == len(COMBINATIONS)), told
