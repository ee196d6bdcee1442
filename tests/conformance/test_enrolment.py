"""No kind stays away, and no gap is declared that is none."""

from __future__ import annotations

import pytest

from adapters.base import Capture
from adapters.errors import Unsupported
from adapters.registry import kinds
from tests.conformance.cases import CASES, NUMBER, REMARK
from tests.conformance.conftest import enrolled
from tests.conformance.places import PLACES, Place


def test_every_kind_has_its_places() -> None:
    assert {place.kind for place in enrolled(kinds()).values()} == set(kinds()) == set(PLACES)


def test_a_kind_without_a_place_ends_the_collection() -> None:
    with pytest.raises(pytest.UsageError, match="carrier-pigeon"):
        enrolled([*kinds(), "carrier-pigeon"])


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_gaps_are_those_of_the_capabilities(place: Place) -> None:
    capabilities = place.endpoint.capabilities
    declared = {name for name in ("delivers", "merges", "settles", "transactional") if name in place.gaps}
    lacking = {name for name in ("delivers", "merges", "settles", "transactional") if not getattr(capabilities, name)}
    assert declared <= lacking
    # What does not deliver need not say that it does not merge either.
    assert lacking == declared or "delivers" in declared
    known = {case.name for case in CASES} | {"delivers", "merges", "settles", "transactional"}
    assert set(place.gaps) <= known


@pytest.mark.parametrize("capture", ["snapshot", "outbox", "batches", "journal"])
def test_a_capture_that_is_not_declared_is_unsupported(place: Place, capture: Capture) -> None:
    if capture in place.endpoint.capabilities.captures:
        return
    binding = place.provide(next(case for case in CASES if case.items == (NUMBER, REMARK)))
    with pytest.raises(Unsupported):
        place.endpoint.source(type(binding)(**{**vars(binding), "capture": capture}))
