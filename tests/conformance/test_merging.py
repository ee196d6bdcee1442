"""The merge, at every place that compares with what it has: one table of answers for all of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, PUT, Acknowledgement, Binding
from adapters.errors import TooManyRefused
from tests.conformance.cases import NUMBER, REMARK, VERSION, Case
from tests.conformance.places import MemoryPlace, Place, Run

pytestmark = pytest.mark.needs("merges")

ITEMS = (NUMBER, REMARK, VERSION)
SCHEMA = Case("", ITEMS, ()).schema

Staged = tuple[str, str | None, int | None, int]
"""Number, remark, version, operation."""


@dataclass(frozen=True)
class Answer:
    """What became of the rows, and what is there afterwards: number to remark and version."""

    written: int = 0
    deleted: int = 0
    unchanged: int = 0
    superseded: int = 0
    refused: tuple[int, ...] = ()
    there: dict[str, tuple[str | None, int | None]] = field(default_factory=dict)


COUNTED = ("written", "deleted", "unchanged", "superseded")


def _batch(rows: Sequence[Staged]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def _answer(found: Acknowledgement, there: dict[str, Any]) -> Answer:
    refused = tuple(row.row for row in found.refused)
    assert all(row.rule == "conflict" and row.reason for row in found.refused)
    return Answer(found.written, found.deleted, found.unchanged, found.superseded, refused, there)


class Target:
    """One target, delivered to again and again."""

    def __init__(self, place: Place, *, versioned: bool = True, **more: Any) -> None:
        self._place = place
        self.binding: Binding = place.target(ITEMS, version="version" if versioned else None, **more)
        self._previous: Run | None = None

    def deliver(self, *rows: Staged, overwrite: bool = False, step: int = 100) -> Answer:
        before = self._previous
        run = Run(self._place.endpoint.sink(self.binding), SCHEMA, before.claim.exchange if before else None)
        batch = _batch(rows)
        parts = [batch.slice(start, step) for start in range(0, len(rows), step)]
        found = run.deliver(*parts, overwrite=overwrite, previous=before.claim.key if before else None)
        self._previous = run
        return _answer(found, self.there())

    def there(self) -> dict[str, tuple[str | None, int | None]]:
        return {row["number"]: (row["remark"], row["version"]) for row in self._place.rows(self.binding, ITEMS)}

    def holds(self, *numbers: str) -> list[bool]:
        keys = pa.record_batch([pa.array(numbers, pa.string())], names=["number"])
        return [bool(one) for one in self._place.endpoint.sink(self.binding).holds(keys).to_pylist()]

    def buried(self, *numbers: str) -> list[bool]:
        keys = pa.record_batch([pa.array(numbers, pa.string())], names=["number"])
        with self._place.endpoint.source(self.binding) as source:
            return [bool(one) for one in source.buried(keys).to_pylist()]


def _under(number: int, row: Staged) -> Staged:
    """A row under a key that belongs to one case alone."""
    return (f"{number}.{row[0]}", *row[1:])


def _together(cases: list[tuple[tuple[Staged, ...], Answer]]) -> tuple[list[Staged], Answer]:
    """Many cases in one delivery, each under keys of its own, and all their answers in one."""
    rows: list[Staged] = []
    refused: list[int] = []
    there: dict[str, tuple[str | None, int | None]] = {}
    for number, (staged, answer) in enumerate(cases):
        refused += [len(rows) + row for row in answer.refused]
        rows += [_under(number, row) for row in staged]
        there |= {f"{number}.{key}": value for key, value in answer.there.items()}
    answers = [answer for _, answer in cases]
    counts = [sum(getattr(answer, name) for answer in answers) for name in COUNTED]
    return rows, Answer(*counts, refused=tuple(refused), there=there)


def _one(remark: str | None, version: int | None) -> dict[str, tuple[str | None, int | None]]:
    return {"1": (remark, version)}


CONTESTS: dict[str, tuple[tuple[Staged, ...], bool, Answer]] = {
    "higher": ((("1", "a", 2, PUT), ("1", "b", 1, PUT)), False, Answer(1, superseded=1, there=_one("a", 2))),
    "higher, last": ((("1", "b", 1, PUT), ("1", "a", 2, PUT)), False, Answer(1, superseded=1, there=_one("a", 2))),
    "the same again": ((("1", "a", 2, PUT), ("1", "a", 2, PUT)), False, Answer(1, unchanged=1, there=_one("a", 2))),
    "conflict": ((("1", "a", 2, PUT), ("1", "b", 2, PUT)), False, Answer(1, refused=(0,), there=_one("b", 2))),
    "null is content": ((("1", None, 2, PUT), ("1", "", 2, PUT)), False, Answer(1, refused=(0,), there=_one("", 2))),
    "overwrite": ((("1", "a", 2, PUT), ("1", "b", 2, PUT)), True, Answer(1, superseded=1, there=_one("b", 2))),
    "three": (
        (("1", "a", 2, PUT), ("1", "b", 3, PUT), ("1", "b", 3, PUT), ("1", "c", 3, PUT), ("2", "x", 1, PUT)),
        False,
        Answer(2, superseded=1, refused=(1, 2), there=_one("c", 3) | {"2": ("x", 1)}),
    ),
    "none is lowest": ((("1", "a", 1, PUT), ("1", "b", None, PUT)), False, Answer(1, superseded=1, there=_one("a", 1))),
    "none twice": (
        (("1", "a", None, PUT), ("1", "b", None, PUT)),
        False,
        Answer(1, refused=(0,), there=_one("b", None)),
    ),
    "put, delete": ((("1", "a", 2, PUT), ("1", "a", 2, DELETE)), False, Answer(unchanged=1, superseded=1)),
    "delete, put": ((("1", "a", 2, DELETE), ("1", "b", 2, PUT)), False, Answer(1, superseded=1, there=_one("b", 2))),
    "delete twice": ((("1", "a", 2, DELETE), ("1", "b", 2, DELETE)), False, Answer(unchanged=2)),
    "delete, higher": ((("1", "a", 2, DELETE), ("1", "b", 3, PUT)), False, Answer(1, superseded=1, there=_one("b", 3))),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("step", [1, 5])
def test_rows_of_one_key_in_one_delivery(place: Place, overwrite: bool, step: int) -> None:
    cases = [(rows, answer) for rows, given, answer in CONTESTS.values() if given is overwrite]
    rows, expected = _together(cases)
    assert Target(place).deliver(*rows, overwrite=overwrite, step=step) == expected


A = {"1": ("a", 5)}
AGAINST: dict[str, tuple[Staged, bool, Answer]] = {
    "lower": (("1", "b", 4, PUT), False, Answer(superseded=1, there=A)),
    "lower, in spite of overwrite": (("1", "b", 4, PUT), True, Answer(superseded=1, there=A)),
    "without version": (("1", "b", None, PUT), False, Answer(superseded=1, there=A)),
    "the same": (("1", "a", 5, PUT), False, Answer(unchanged=1, there=A)),
    "the same, overwrite": (("1", "a", 5, PUT), True, Answer(unchanged=1, there=A)),
    "conflict": (("1", "b", 5, PUT), False, Answer(refused=(0,), there=A)),
    "conflict with null": (("1", None, 5, PUT), False, Answer(refused=(0,), there=A)),
    "case is content": (("1", "A", 5, PUT), False, Answer(refused=(0,), there=A)),
    "a blank is content": (("1", "a ", 5, PUT), False, Answer(refused=(0,), there=A)),
    "overwritten": (("1", "b", 5, PUT), True, Answer(1, there={"1": ("b", 5)})),
    "higher": (("1", "a", 6, PUT), False, Answer(1, there={"1": ("a", 6)})),
    "higher with null": (("1", None, 6, PUT), False, Answer(1, there={"1": (None, 6)})),
    "higher deletes": (("1", None, 6, DELETE), False, Answer(1, 1)),
    "equal deletes": (("1", None, 5, DELETE), False, Answer(1, 1)),
    "lower does not delete": (("1", None, 4, DELETE), False, Answer(superseded=1, there=A)),
    "nothing does not delete": (("1", None, None, DELETE), False, Answer(superseded=1, there=A)),
    "another": (("2", "b", 1, PUT), False, Answer(1, there=A | {"2": ("b", 1)})),
    "deletes what is not there": (("2", None, 1, DELETE), False, Answer(unchanged=1, there=A)),
}


def test_more_refused_rows_than_are_tolerable_take_everything_back(place: Place) -> None:
    binding = place.target(ITEMS, version="version")
    sink = place.endpoint.sink(binding)
    first = Run(sink, SCHEMA)
    first.deliver(_batch([("1", "a", 5, PUT), ("2", "a", 5, PUT), ("3", "a", 5, PUT)]))
    before = place.rows(binding, ITEMS)
    run = Run(sink, SCHEMA, first.claim.exchange)
    rows = [("1", "b", 5, PUT), ("2", "b", 5, PUT), ("3", None, 6, DELETE), ("4", "a", 1, PUT)]
    delivery = sink.begin(run.claim, SCHEMA)
    delivery.stage(_batch(rows))
    for tolerable in (0, 1):
        with pytest.raises(TooManyRefused) as caught:
            delivery.commit(run.manifest(4, previous=first.claim.key, tolerable=tolerable))
        assert [(row.row, row.rule) for row in caught.value.refused] == [(0, "conflict"), (1, "conflict")]
        assert caught.value.remedy
        assert place.rows(binding, ITEMS) == before
        assert sink.settled(run.claim.key) is None
    reading = place.endpoint.source(binding)
    with reading:
        assert reading.buried(pa.record_batch([pa.array(["3"])], names=["number"])).to_pylist() == [False]
    # What is staged is still there, and as many as are tolerable may be refused.
    answer = delivery.commit(run.manifest(4, previous=first.claim.key, tolerable=2))
    assert _answer(answer, {}) == Answer(2, 1, refused=(0, 1))
    # What was answered once is answered again, whatever is tolerable now.
    assert sink.resume(run.claim, SCHEMA).commit(run.manifest(4, tolerable=0)) == answer


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_row_against_what_is_there(place: Place, overwrite: bool) -> None:
    cases = [((row,), answer) for row, given, answer in AGAINST.values() if given is overwrite]
    rows, expected = _together(cases)
    target = Target(place)
    target.deliver(*(_under(number, ("1", "a", 5, PUT)) for number in range(len(cases))))
    assert target.deliver(*rows, overwrite=overwrite) == expected


GRAVES: dict[str, tuple[Staged, bool, Answer]] = {
    "lower": (("1", "b", 4, PUT), False, Answer(superseded=1)),
    "lower, in spite of overwrite": (("1", "b", 4, PUT), True, Answer(superseded=1)),
    "equal": (("1", "b", 5, PUT), False, Answer(superseded=1)),
    "equal, overwrite": (("1", "b", 5, PUT), True, Answer(1, there={"1": ("b", 5)})),
    "higher": (("1", "b", 6, PUT), False, Answer(1, there={"1": ("b", 6)})),
    "deleted again": (("1", None, 5, DELETE), False, Answer(unchanged=1)),
    "deleted lower": (("1", None, 3, DELETE), False, Answer(unchanged=1)),
}


@pytest.mark.parametrize("was_there", [True, False], ids=["row", "no row"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_row_against_a_tombstone(place: Place, overwrite: bool, was_there: bool) -> None:
    cases = [((row,), answer) for row, given, answer in GRAVES.values() if given is overwrite]
    rows, expected = _together(cases)
    target = Target(place)
    if was_there:
        target.deliver(*(_under(number, ("1", "a", 5, PUT)) for number in range(len(cases))))
    target.deliver(*(_under(number, ("1", None, 5, DELETE)) for number in range(len(cases))))
    assert target.deliver(*rows, overwrite=overwrite) == expected


def test_a_tombstone_rises_and_never_sinks(place: Place) -> None:
    target = Target(place)
    for version in (5, 3):
        target.deliver(("1", None, version, DELETE))
    assert target.deliver(("1", "a", 4, PUT)) == Answer(superseded=1)
    target.deliver(("1", None, 8, DELETE))
    assert target.deliver(("1", "a", 7, PUT)) == Answer(superseded=1)
    assert target.deliver(("1", "a", 9, PUT)) == Answer(1, there={"1": ("a", 9)})
    assert target.deliver(("1", "b", 8, PUT)) == Answer(superseded=1, there={"1": ("a", 9)})


def test_without_a_version_the_last_read_wins(place: Place) -> None:
    target = Target(place, versioned=False)
    first = target.deliver(("1", "a", 9, PUT), ("1", "a", 9, PUT), ("1", "b", 1, PUT))
    assert first == Answer(1, superseded=2, there={"1": ("b", 1)})
    assert target.deliver(("1", "b", 1, PUT)) == Answer(unchanged=1, there={"1": ("b", 1)})
    assert target.deliver(("1", "a", 0, PUT)) == Answer(1, there={"1": ("a", 0)})
    assert target.deliver(("1", None, None, DELETE)) == Answer(1, 1)
    assert target.deliver(("1", None, None, DELETE)) == Answer(unchanged=1)
    assert target.deliver(("1", "c", 0, PUT)) == Answer(1, there={"1": ("c", 0)})


def test_holds(place: Place) -> None:
    target = Target(place)
    assert target.holds("1", "2") == [False, False]
    target.deliver(("1", "a", 1, PUT), ("3", "a", 1, PUT), ("4", "a", 1, PUT))
    target.deliver(("4", None, 1, DELETE))
    assert target.holds("1", "2", "3", "4", "1") == [True, False, True, False, True]
    assert target.holds() == []


def test_buried(place: Place) -> None:
    target = Target(place)
    assert target.buried("1", "2") == [False, False]
    target.deliver(("1", "a", 1, PUT), ('"q\\', "a", 1, PUT), ("4", "a", 1, PUT))
    target.deliver(("4", None, 1, DELETE), ('"q\\', None, 1, DELETE), ("9", None, 1, DELETE))
    assert target.buried("1", "2", "4", "9", '"q\\', "4") == [False, False, True, True, True, True]
    target.deliver(("4", "b", 2, PUT))
    assert target.buried("4", "9") == [False, True]
    assert target.buried() == []


KEYS = ("a", "A", "a ", "ａ", "é", "e\u0301", "𠮷", "0", "00", "%", "_")


def test_keys_are_told_apart_to_the_last_blank(place: Place) -> None:
    target = Target(place)
    rows = tuple((key, key, 1, PUT) for key in KEYS)
    answer = target.deliver(*rows)
    assert answer.written == len(KEYS)
    assert target.holds(*KEYS) == [True] * len(KEYS)
    assert target.deliver(("A", None, 2, DELETE)).deleted == 1
    assert target.holds(*KEYS) == [key != "A" for key in KEYS]


def test_the_same_again_is_unchanged(place: Place) -> None:
    target = Target(place)
    rows = tuple((str(number), "x" if number % 3 else None, number % 5 or None, PUT) for number in range(60))
    assert target.deliver(*rows, step=7).written == 60
    again = target.deliver(*rows, step=13)
    assert (again.written, again.unchanged) == (0, 60)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("versioned", [True, False], ids=["versioned", "unversioned"])
def test_it_agrees_with_the_reference(place: Place, seed: int, versioned: bool, tmp_path: Any) -> None:
    """Random deliveries, one after another, here and in memory: the same answers and the same rows."""
    chance = random.Random(seed)
    reference = MemoryPlace(tmp_path, lambda name: None)
    with reference.closing:
        here, there = Target(place, versioned=versioned), Target(reference, versioned=versioned)
        for _ in range(5):
            rows = tuple(
                (
                    chance.choice("1234"),
                    chance.choice(["a", "b", "", None]),
                    chance.choice([1, 2, 3, None]),
                    chance.choice([PUT, PUT, PUT, DELETE]),
                )
                for _ in range(chance.randrange(16))
            )
            overwrite = chance.random() < 0.3
            step = chance.randrange(1, 5)
            assert here.deliver(*rows, overwrite=overwrite, step=step) == there.deliver(*rows, overwrite=overwrite)
