"""What the long loops of random deaths have in common: a seed, cases by number, lanes side by side, and their toll."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tests.exchange.engine.town import Town

# What the environment says is read before the tests hide it from each other.
SEED = int(os.environ.get("SHUTONG_TEST_SEED") or secrets.randbelow(1 << 32))
ALONE = os.environ.get("SHUTONG_TEST_CASE")
LANES = 2


class Case(Protocol):
    """One case, drawn from the seed and its number."""

    @property
    def number(self) -> int: ...
    @property
    def place(self) -> Hashable: ...
    @property
    def combination(self) -> Hashable: ...


AnyCase = TypeVar("AnyCase", bound=Case, contravariant=True)


class Killing(Protocol[AnyCase]):
    """A town in which cases are tried, one after the other."""

    town: Town
    faults: list[str]
    killed: int

    def attempt(self, case: AnyCase) -> None:
        """Try one case."""


@dataclass
class Toll:
    """What cases came to.

    Attributes:
        seconds: How long they took.
    """

    cases: int = 0
    kills: int = 0
    seconds: float = 0.0
    combinations: Counter[Hashable] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"seed {SEED}: {self.kills} kills in {self.cases} cases over {len(self.combinations)} combinations "
            f"in {self.seconds:.0f} s"
        )


def numbers(most: int) -> Iterable[int]:
    """Numbers of the cases to try: all, or the one that was asked for."""
    return [int(ALONE)] if ALONE else range(most)


def toll(
    cases: Iterable[AnyCase],
    places: Sequence[Hashable],
    kills: int,
    lane: Callable[[ExitStack, int], Callable[[Any], Killing[AnyCase]]],
) -> Toll:
    """Try cases, those of a place one after the other, until enough are dead.

    Args:
        cases: In their order.
        places: All there are.
        kills: How many are enough.
        lane: Opens what a lane needs; what it returns opens the town of a place.
    """
    lanes: list[list[AnyCase]] = [[] for _ in range(LANES)]
    for case in cases:
        lanes[places.index(case.place) % LANES].append(case)
    began, whole = time.monotonic(), Toll()
    with ThreadPoolExecutor(LANES) as pool:
        for part in pool.map(lambda of: _lane(lanes[of], kills / LANES, lambda stack: lane(stack, of)), range(LANES)):
            whole.cases += part.cases
            whole.kills += part.kills
            whole.combinations += part.combinations
            whole.faults += part.faults
    whole.seconds = time.monotonic() - began
    return whole


def _lane(
    cases: Sequence[AnyCase], kills: float, opened: Callable[[ExitStack], Callable[[Any], Killing[AnyCase]]]
) -> Toll:
    found = Toll()
    towns: dict[Hashable, Killing[AnyCase]] = {}
    with ExitStack() as stack:
        opens = opened(stack)
        for case in cases:
            if found.kills >= kills:
                break
            if case.place not in towns:
                towns[case.place] = opens(case.place)
            killing = towns[case.place]
            if killing.faults:
                continue  # what is wrong once is wrong from then on
            before = killing.killed
            try:
                killing.attempt(case)
            except Exception as error:
                killing.faults.append(f"{type(error).__name__}: {error}")
            found.cases += 1
            found.kills += killing.killed - before
            found.combinations[case.combination] += 1
            found.faults += [
                f"SHUTONG_TEST_SEED={SEED} SHUTONG_TEST_CASE={case.number} ({case}): {fault}"
                for fault in killing.faults
            ]
        for killing in towns.values():
            found.faults += [f"SHUTONG_TEST_SEED={SEED}: the log: {fault}" for fault in killing.town.faults()]
    return found
