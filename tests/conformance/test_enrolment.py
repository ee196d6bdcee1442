"""No kind stays away, and no gap is declared that is none."""

from __future__ import annotations

from typing import get_args

import pytest

from adapters.base import ERROR_CHARACTERS, REFERENCE, Answers, Capture, Outcome, Recall, Selection
from adapters.errors import Unsupported
from adapters.registry import kinds
from tests.conformance.cases import CASES, NUMBER, REMARK, Case
from tests.conformance.conftest import CAPABILITIES, enrolled, lacking
from tests.conformance.places import PLACES, Place, Run


def test_every_kind_has_its_places() -> None:
    assert {place.kind for place in enrolled(kinds()).values()} == set(kinds()) == set(PLACES)


def test_a_kind_without_a_place_ends_the_collection() -> None:
    with pytest.raises(pytest.UsageError, match="carrier-pigeon"):
        enrolled([*kinds(), "carrier-pigeon"])


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_gaps_are_those_of_the_capabilities(place: Place) -> None:
    capabilities = place.endpoint.capabilities
    assert lacking(type(place)) == {name for name in CAPABILITIES if not getattr(capabilities, name)}
    assert set(place.gaps) <= {*CAPABILITIES, *(case.name for case in CASES)}


@pytest.mark.shows("delivers")
def test_what_delivers_and_what_does_not(place: Place) -> None:
    one = Case("one", (NUMBER, REMARK), ({"number": "1"},))
    binding = place.target(one.items)
    assert Run(place.endpoint.sink(binding), one.schema).deliver(one.batch).written == 1


@pytest.mark.needs("delivers")
@pytest.mark.shows("merges")
def test_what_merges_and_what_does_not(place: Place) -> None:
    one = Case("one", (NUMBER, REMARK), ({"number": "1"},))
    run = Run(place.endpoint.sink(place.target(one.items)), one.schema)
    run.deliver(one.batch)
    answer = Run(run.sink, one.schema).deliver(one.batch)
    assert (answer.written, answer.unchanged) == (0, 1)


@pytest.mark.shows("settles")
def test_what_settles_and_what_does_not(place: Place) -> None:
    two = Case("two", (NUMBER, REMARK), ({"number": "1", "remark": "x"}, {"number": "2", "remark": "x"}))
    binding = place.outbox(two)
    with place.endpoint.source(binding) as source:
        rows = [row for batch in source.batches(Selection()) for row in batch.to_pylist()]
        assert len(rows) == 2
        outcomes = [Outcome(row[REFERENCE], "不对" if row["number"] == "2" else None) for row in rows]
    for marked in (2, 0):
        with place.endpoint.source(binding) as source:
            assert source.settle(outcomes) == marked
    with place.endpoint.source(binding) as source:
        assert list(source.batches(Selection())) == []


@pytest.mark.needs("delivers")
@pytest.mark.shows("answers")
def test_what_can_be_asked_and_what_cannot(place: Place) -> None:
    two = Case("two", (NUMBER, REMARK), ({"number": "1", "remark": "x"}, {"number": "2", "remark": "x"}))
    binding = place.answering(two.items)
    run = Run(place.endpoint.sink(binding), two.schema)
    stamp = run.deliver(two.batch).stamp
    unread = run.sink.answers(stamp, rows=9)
    assert unread is not None
    assert unread == Answers(new=2, done=0, failed=0, other=0, advice=unread.advice)
    place.answer(binding, "1", None)
    place.answer(binding, "2", "不对" * ERROR_CHARACTERS if place.kind == "memory" else "不对")
    found = run.sink.answers(stamp, rows=9)
    assert found is not None
    assert (found.new, found.done, found.failed) == (0, 1, 1)
    (failed,) = found.rows
    assert (failed.key, (failed.text or "")[:2]) == (("2",), "不对")
    assert len(failed.text or "") <= ERROR_CHARACTERS
    assert run.sink.answers(stamp, rows=0).rows == ()


@pytest.mark.needs("delivers")
def test_what_can_be_called_back_and_what_cannot(place: Place) -> None:
    one = Case("one", (NUMBER, REMARK), ({"number": "1"},))
    run = Run(place.endpoint.sink(place.target(one.items)), one.schema)
    answer = run.deliver(one.batch)
    about = {"key": answer.key, "place": answer.place, "subject": "测试", "reason": "误发", "by": "某局"}
    recall = Recall(id="1", **about, delivered=answer.at, at=answer.at, until=answer.at)
    if not place.endpoint.capabilities.recalls:
        with pytest.raises(Unsupported):
            run.sink.recall(recall)
        return
    assert run.sink.recall(recall) == run.sink.recall(recall)
    assert run.sink.recalled("1") is None


@pytest.mark.parametrize("capture", get_args(Capture))
def test_a_capture_that_is_not_declared_is_unsupported(place: Place, capture: Capture) -> None:
    if capture in place.endpoint.capabilities.captures:
        return
    binding = place.provide(next(case for case in CASES if case.items == (NUMBER, REMARK)))
    with pytest.raises(Unsupported):
        place.endpoint.source(type(binding)(**{**vars(binding), "capture": capture}))
