"""Death at random on the Web Service way: over a hundred kills of everybody who has a part in it, drawn from a seed.

A case is drawn from the seed and its number alone: which way is gone, by which contract and form of rows, between which
databases, who dies where, how often, and what is reported meanwhile. ``SHUTONG_TEST_SEED`` sets the seed,
``SHUTONG_TEST_CASE`` the number of one case to repeat alone, in a town of its own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

import pytest

from tests.exchange.engine.tolls import ALONE, SEED, numbers, toll
from tests.exchange.engine.town import Town
from tests.exchange.engine.witness import STEPS, databases
from tests.exchange.engine.worker import Workers
from tests.exchange.service.ways import FORMS, MODULES, PUSHED_TO, READ, WHO, Way, Ways, open_ways

KILLS = 120
PRODUCTS = ("sqlite", "postgresql")
Place = tuple[str, str, str, str]
"""Product of all databases, how the police's service is read, by which capture, how the tax office's is pushed to."""
PLACES: list[Place] = [
    (product, read, ("batches", "snapshot")[(number + at) % 2], list(PUSHED_TO)[(number // 2 + at) % 2])
    for at, product in enumerate(PRODUCTS)
    for number, read in enumerate(READ)
]
Form = tuple[str, str]
Combination = tuple[Way, str, Form, Place]
"""Which way is gone, who dies first, contract and form of a programme's rows, and where."""


def _combinations() -> Iterator[Combination]:
    for place, who in product(PLACES, WHO["collect"]):
        yield "collect", who, FORMS[0], place
    for product_, pushed_to, who in product(PRODUCTS, PUSHED_TO, WHO["deliver"]):
        yield "deliver", who, FORMS[0], next(each for each in PLACES if each[::3] == (product_, pushed_to))
    for number, (way, form, at) in enumerate(product(("fetch", "push"), FORMS, range(len(PRODUCTS)))):
        for who in WHO[way]:  # type: ignore[index]  # ways
            yield way, who, form, PLACES[at * len(READ) + number % len(READ)]  # type: ignore[misc]


COMBINATIONS = tuple(_combinations())


@dataclass(frozen=True)
class Death:
    """Who dies where."""

    who: str
    point: int | str
    durable: bool = False
    """The door's points are where something of the hub becomes durable."""

    def __str__(self) -> str:
        return f"{self.who} at {'durable ' if self.durable else ''}{self.point}"


@dataclass(frozen=True)
class Case:
    """One case, drawn from the seed and its number."""

    number: int
    combination: Combination
    deaths: tuple[Death, ...]
    more: int
    """New rows beside the usual ones."""
    meanwhile: bool
    """Something is reported when the first is dead."""

    @property
    def place(self) -> Place:
        """Where it is tried."""
        return self.combination[3]

    def __str__(self) -> str:
        way, _, form, place = self.combination
        late = ", reported meanwhile" if self.meanwhile else ""
        how = f" {form[0]} {form[1]}" if way in ("fetch", "push") else ""
        return f"case {self.number}: {way}{how} in {'/'.join(place)}, {', '.join(map(str, self.deaths))}{late}"


def draw(seed: int, number: int) -> Case:
    """The case of a number."""
    deck = list(COMBINATIONS)
    random.Random(seed).shuffle(deck)
    chance = random.Random(f"{seed}:{number}")
    combination = deck[number % len(deck)]
    way, first, _, _ = combination
    # Whoever runs what is due may die of what a door has left, too.
    others = [*WHO[way], "worker"]
    people = [first, *(chance.choice(others) for _ in range(chance.choices((0, 1, 2), (70, 20, 10))[0]))]
    return Case(
        number=number,
        combination=combination,
        deaths=tuple(_death(chance, who) for who in people),
        more=chance.randrange(8),
        meanwhile=chance.random() < 0.2,
    )


def _death(chance: random.Random, who: str) -> Death:
    """Where one dies: of a moment, the part of the time that the whole takes."""
    if chance.random() < 0.25:
        return Death(who, f"after:{chance.uniform(0.02, 1):.3f}")
    if who == "worker":
        kind = chance.choices(("step", "outside", "any", "before", "settle"), (30, 40, 10, 10, 10))[0]
        most = {"outside": 24, "settle": 6}.get(kind, 220)
        return Death(who, chance.choice(STEPS) if kind == "step" else f"{kind}:{chance.randrange(1, most)}")
    durable = who == "door" and chance.random() < 0.5
    return Death(who, chance.randrange(1, 24 if durable else 13 if who == "door" else 9), durable)


@dataclass
class Killing:
    """A town in which cases are tried, one after the other."""

    ways: Ways
    rounds: Iterator[int] = field(default_factory=lambda: count(2, 2))
    killed: int = 0
    seconds: dict[Way, float] = field(default_factory=dict)
    """How long a way took last when nobody died."""

    @property
    def town(self) -> Town:
        """Of these ways."""
        return self.ways.town

    @property
    def faults(self) -> list[str]:
        """What was found wrong."""
        return self.ways.faults

    def attempt(self, case: Case) -> None:
        """Try one case."""
        ways, version = self.ways, next(self.rounds)
        way, _, form, _ = case.combination
        exchange, died = ways.shares[way], 0
        ways.news(way, version, case.more)
        for death in case.deaths:
            if death.who == "worker" and way in ("fetch", "push") and not ways.is_due(exchange):
                continue
            point = death.point
            if isinstance(point, str) and point.startswith("after:"):
                point = f"after:{float(point[6:]) * self.seconds.get(way, 0.5):.4f}"
            began = time.monotonic()
            dead, _ = ways.act(way, death.who, point, durable=death.durable, form=form)
            died += dead
            if not dead:
                self.seconds[way] = time.monotonic() - began
            if case.meanwhile and dead and died == 1:
                ways.news(way, version + 1)
        left = ways.unfinished(exchange)
        ways.whole(way, form)
        if case.meanwhile and died:
            # Whatever the run that lay dead had read of it, the next brings the rest.
            ways.whole(way, form)
            left = None
        self.killed += died
        ways.look(way, str(case), left)


def test_a_case_is_drawn_from_seed_and_number_alone() -> None:
    cases = [draw(7, number) for number in range(400)]
    assert cases == [draw(7, number) for number in range(400)]
    assert cases != [draw(8, number) for number in range(400)]
    assert {case.combination for case in cases[: len(COMBINATIONS)]} == set(COMBINATIONS)
    assert {(way, who) for way, who, _, _ in COMBINATIONS} == {(way, who) for way, both in WHO.items() for who in both}
    assert {place for *_, place in COMBINATIONS} == set(PLACES)
    assert {len(case.deaths) for case in cases} == {1, 2, 3}
    assert {case.meanwhile for case in cases} == {True, False}
    assert {death.who for case in cases for death in case.deaths} == {"worker", "service", "programme", "door"}


@pytest.mark.long
def test_whoever_dies_whenever_nothing_is_lost_and_nothing_comes_twice(
    request: pytest.FixtureRequest, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    cases = [draw(SEED, number) for number in numbers(KILLS * 3)]
    urls = {}
    for place in {case.place for case in cases}:
        folder = tmp_path / str(PLACES.index(place))
        folder.mkdir()
        urls[place] = databases(request, folder, **dict.fromkeys(("police", "library", "tax"), place[0]))

    def lane(stack: ExitStack, number: int) -> Callable[[Place], Killing]:
        workers = stack.enter_context(Workers(tmp_path / f"errors-{number}.log", *MODULES))

        def opened(place: Place) -> Killing:
            _, read, capture, pushed_to = place
            home = tmp_path / str(PLACES.index(place)) / "home"
            ways = open_ways(home, urls[place], workers, read=read, capture=capture, pushed_to=pushed_to)
            return Killing(stack.enter_context(ways))

        return opened

    told = toll(cases, PLACES, KILLS, lane)
    record_property("told", str(told))
    assert not told.faults, "\n".join([str(told), *told.faults])
    assert ALONE or (told.kills >= KILLS and len(told.combinations) == len(COMBINATIONS)), told
