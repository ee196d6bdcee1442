"""Death at random: hundreds of kills over all captures, databases and ways, each drawn from a seed.

A case is drawn from the seed and its number alone: what is run between which databases, what is reported before and
meanwhile, and where how many workers die: at a step, after or before any statement, or at any moment. Now and then the
first is not dead but paused; it wakes up when another has taken over and ended the run.

``SHUTONG_TEST_SEED`` sets the seed, ``SHUTONG_TEST_CASE`` the number of one case to repeat alone, in a town of its own.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

import pytest

from exchange.errors import Busy
from tests.exchange.engine.tolls import ALONE, SEED, numbers, toll
from tests.exchange.engine.town import SYNC, build, person, wrong
from tests.exchange.engine.witness import CAPTURES, PRODUCTS, STEPS, Witness, databases
from tests.exchange.engine.worker import Workers

KILLS = 300
READ_BEFORE = STEPS[STEPS.index("5.manifest") : -1]
"""Steps at which a paused worker has nothing open at its source."""

Place = tuple[str, str, str, str]
"""Products of the provider, the library and the recipient, and the capture."""
COMBINATIONS = (
    *((False, pair, capture) for pair, capture in product(product(PRODUCTS, PRODUCTS), CAPTURES)),
    *((True, pair, "outbox") for pair in product(PRODUCTS, PRODUCTS)),
)
"""Whether it is shared, from which product to which, and how the provider's table is read."""


def place_of(shared: bool, pair: tuple[str, str], capture: str) -> Place:
    """The town in which a combination is tried; each town has two of its three pairs of products."""
    if shared:
        library, recipient = (PRODUCTS.index(each) for each in pair)
        provider = (recipient - library) % 3
    else:
        provider, library = (PRODUCTS.index(each) for each in pair)
        recipient = (provider + library) % 3
    return PRODUCTS[provider], PRODUCTS[library], PRODUCTS[recipient], capture


PLACES = sorted({place_of(*combination) for combination in COMBINATIONS})
"""All towns."""


@dataclass(frozen=True)
class Case:
    """One case, drawn from the seed and its number."""

    number: int
    shared: bool
    place: Place
    fresh: bool
    """Nothing was ever delivered before."""
    points: tuple[tuple[str, int], ...]
    pause: str
    """Where the first is paused, if it is."""
    more: int
    """New rows beside the usual ones."""
    meanwhile: bool
    """Something is reported while the run lies dead."""

    @property
    def combination(self) -> tuple[bool, Place]:
        """What every loop must have tried."""
        return self.shared, self.place

    def __str__(self) -> str:
        what = "sharing" if self.shared else "synchronisation"
        first = ", the first delivery" if self.fresh else ""
        paused = f" paused at {self.pause}, then" if self.pause else ""
        points = ", ".join(f"{point}×{times}" if times > 1 else point for point, times in self.points)
        late = ", reported meanwhile" if self.meanwhile else ""
        return (
            f"case {self.number}: {what}{first} {'→'.join(self.place[:3])} by {self.place[3]},{paused} {points}{late}"
        )


def draw(seed: int, number: int) -> Case:
    """The case of a number."""
    deck = list(COMBINATIONS)
    random.Random(seed).shuffle(deck)
    places = [place_of(*combination) for combination in deck]
    chance = random.Random(f"{seed}:{number}")
    shared = deck[number % len(deck)][0]
    place = places[number % len(deck)]
    deaths = chance.choices((1, 2, 3), (75, 17, 8))[0]
    steps: tuple[str, ...] = STEPS[1:-1]
    if "sqlite" in (place[1] if shared else place[0], place[2] if shared else place[1]):
        steps = READ_BEFORE
    return Case(
        number=number,
        shared=shared,
        place=place,
        fresh=number < len(deck) and places.index(place) == number,
        points=tuple(_point(chance) for _ in range(deaths)),
        pause=chance.choice(steps) if chance.random() < 0.12 else "",
        more=chance.randrange(8),
        meanwhile=chance.random() < 0.2,
    )


def _point(chance: random.Random) -> tuple[str, int]:
    """Where one dies: of a moment, the part of the time that a whole run takes."""
    kind = chance.choices(("step", "target", "settle", "any", "before", "after"), (35, 13, 8, 12, 12, 20))[0]
    if kind == "step":
        step = chance.choice(STEPS)
        return step, chance.randrange(1, 5) if step == "3.read" else 1
    if kind == "after":
        return f"after:{chance.uniform(0.02, 1):.3f}", 1
    return f"{kind}:{chance.randrange(1, {'target': 24, 'settle': 7}.get(kind, 260))}", 1


@dataclass
class Killing(Witness):
    """A town in which cases are tried, one after the other."""

    rounds: Iterator[int] = field(default_factory=lambda: count(2, 3))
    killed: int = 0
    seconds: float = 1.0
    """How long a whole run took last."""

    def attempt(self, case: Case) -> None:
        """Try one case."""
        town, version = self.town, next(self.rounds)
        exchange = town.share if case.shared else SYNC
        if not town.reported:
            town.report(*(person(number) for number in range(12)))
            if not case.fresh:
                self.whole(SYNC)
                self.whole(town.share)
        self.report(version)
        town.report(*(person(1000 + 10 * case.number + each) for each in range(case.more)))
        if case.shared:
            self.whole(SYNC)
        if case.pause and self.workers.run(town.home, exchange, case.pause, strike="SIGSTOP") is None:
            self.paused = True
            self.lapse(exchange)
        died, left = 0, self.unfinished(exchange)
        for point, occurrence in case.points:
            kind, _, part = point.partition(":")
            at = f"after:{float(part) * self.seconds:.4f}" if kind == "after" else point
            status = self.workers.run(town.home, exchange, at, occurrence)
            if status != -signal.SIGKILL:
                self.demand(status == 0, f"a worker ended with {status}")
                break
            died += 1
            self.lapse(exchange)
            left = self.unfinished(exchange)
            if case.meanwhile and died == 1:
                town.report(person(1, version=version + 1, name="其间又改"), wrong(30), person(500 + version))
                if case.shared:
                    self.whole(SYNC)
        else:
            self.whole(exchange)
        self.killed += died
        if case.meanwhile and died:
            # Whatever the run that lay dead had read of it, the next brings the rest.
            self.whole(exchange)
            left = None
        ended = self.state(exchange)
        self.check(exchange, str(case), left, taken_over=left is not None)
        if self.paused:
            status = self.workers.wake()
            self.paused = False
            self.demand(status in (0, Busy.status), f"who woke up ended with {status}")
            self.demand(self.state(exchange) == ended, "who woke up changed something")
            self.demand(self.files() == self.manifests(), "who woke up left a file")

    def whole(self, exchange: str) -> None:
        """Let a worker run an exchange from wherever it stands to its end."""
        begun = time.monotonic()
        self.finish(exchange, f"{exchange[:5]}, undisturbed")
        self.seconds = min(time.monotonic() - begun, 3.0)

    def demand(self, holds: bool, fault: str) -> None:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(f"{fault}: {self.workers.said[-500:]}")

    def state(self, exchange: str) -> tuple[object, ...]:
        """What nobody may change who comes too late."""
        place = "library" if exchange == SYNC else "tax"
        runs = self.hub("SELECT id, state, epoch FROM run WHERE exchange = ? ORDER BY id", exchange)
        return self.town.rows(place), self.town.ledger(exchange), runs, self.receipts(exchange), self.files()


def test_a_case_is_drawn_from_seed_and_number_alone() -> None:
    cases = [draw(7, number) for number in range(400)]
    assert cases == [draw(7, number) for number in range(400)]
    assert cases != [draw(8, number) for number in range(400)]
    assert {(case.shared, case.place) for case in cases[: len(COMBINATIONS)]} == {
        (combination[0], place_of(*combination)) for combination in COMBINATIONS
    }
    assert len({case.place for case in cases}) == 45
    for shared, pair, capture in COMBINATIONS:
        place = place_of(shared, pair, capture)
        assert pair == (place[1:3] if shared else place[:2])
    assert {point.partition(":")[0] for case in cases for point, _ in case.points} == {
        *STEPS, "target", "settle", "any", "before", "after",
    }  # fmt: skip
    assert {len(case.points) for case in cases} == {1, 2, 3}
    assert {bool(case.pause) for case in cases} == {case.meanwhile for case in cases} == {True, False}


@pytest.mark.long
def test_whoever_dies_whenever_nothing_is_lost_and_nothing_comes_twice(
    request: pytest.FixtureRequest, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    cases = [draw(SEED, number) for number in numbers(KILLS * 3)]
    urls = {}
    for place in {case.place for case in cases}:
        folder = tmp_path / "-".join(place)
        folder.mkdir()
        urls[place] = databases(request, folder, **dict(zip(("police", "library", "tax"), place[:3], strict=True)))

    def lane(stack: ExitStack, number: int) -> Callable[[Place], Killing]:
        workers = stack.enter_context(Workers(tmp_path / f"errors-{number}.log"))

        def opened(place: Place) -> Killing:
            home = tmp_path / "-".join(place) / "home"
            return Killing(stack.enter_context(closing(build(home, urls[place], capture=place[3]))), workers)

        return opened

    told = toll(cases, PLACES, KILLS, lane)
    record_property("told", str(told))
    assert not told.faults, "\n".join([str(told), *told.faults])
    assert ALONE or (told.kills >= KILLS and len(told.combinations) == len(COMBINATIONS)), told
