"""Enrols every registered kind of endpoint: one that has no place here fails the collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.registry import kinds
from tests.conformance.cases import CASES, Case
from tests.conformance.places import PLACES, Place
from tests.support.servers import Server

CAPABILITIES = ("delivers", "merges", "transactional", "settles", "answers")


def enrolled(registered: Iterable[str]) -> dict[str, type[Place]]:
    """All places of the registered kinds, by name.

    Raises:
        pytest.UsageError: A kind has none.
    """
    missing = [kind for kind in registered if not PLACES.get(kind)]
    if missing:
        raise pytest.UsageError(f"tests/conformance/places.py has no place for: {', '.join(missing)}")
    return {name: place for kind in registered for name, place in PLACES[kind].items()}


def lacking(place: type[Place]) -> set[str]:
    """The capabilities that a place says it has not; what delivers nothing merges nothing either."""
    gaps = {name for name in CAPABILITIES if name in place.gaps}
    return gaps | {"merges", "transactional", "answers"} if "delivers" in gaps else gaps


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(capability): only for places that have no gap there")
    config.addinivalue_line("markers", "shows(capability): for all places; where there is a gap it ends as that says")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each place that can be asked for it, and for each case there is.

    A test that ``shows`` a capability runs at every place, and must end as the gap says where there is one;
    so does a case that a place cannot carry.
    """
    if "place" not in metafunc.fixturenames:
        return
    needed = {mark.args[0] for mark in metafunc.definition.iter_markers("needs")}
    shown = [mark.args[0] for mark in metafunc.definition.iter_markers("shows")]
    cases: list[Case | None] = [*CASES] if "case" in metafunc.fixturenames else [None]
    names = ["place", "case"] if "case" in metafunc.fixturenames else ["place"]
    parameters = []
    for name, place in enrolled(kinds()).items():
        if needed & lacking(place):
            continue
        for case in cases:
            gaps = [place.gaps[want] for want in [*shown, case.name if case else ""] if want in place.gaps]
            marks = [pytest.mark.xfail(strict=True, raises=gap.ends, reason=gap.reason) for gap in gaps]
            values: list[Any] = [place, *([case] if case else [])]
            parameters.append(pytest.param(*values, id=f"{name}-{case.name}" if case else name, marks=marks))
    metafunc.parametrize(names, parameters, indirect=["place"])


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    opened = request.param(tmp_path, request.getfixturevalue)
    with opened.closing:
        yield opened


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: Server) -> Iterator[str]:
    url = postgresql_server.new_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture(scope="session")
def mariadb_database(mariadb_server: Server) -> Iterator[str]:
    url = mariadb_server.new_database()
    yield url
    mariadb_server.drop_database(url)
