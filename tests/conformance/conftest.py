"""Enrols every registered kind of endpoint: one that has no place here fails the collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.registry import kinds
from tests.conformance.cases import CASES, HOSTILE, Case
from tests.conformance.places import PLACES, Place
from tests.support.servers import Server


def enrolled(registered: Iterable[str]) -> dict[str, type[Place]]:
    """All places of the registered kinds, by name.

    Raises:
        pytest.UsageError: A kind has none.
    """
    missing = [kind for kind in registered if not PLACES.get(kind)]
    if missing:
        raise pytest.UsageError(f"tests/conformance/places.py has no place for: {', '.join(missing)}")
    return {name: place for kind in registered for name, place in PLACES[kind].items()}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(capability): the test asks this of a place; see its gaps")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each place, and for each case there is, marked where a place has a gap."""
    if "place" not in metafunc.fixturenames:
        return
    needed = [mark.args[0] for mark in metafunc.definition.iter_markers("needs")]
    given: list[Case | None] = [None]
    names = ["place"]
    if "case" in metafunc.fixturenames:
        names.append("case")
        given = list(CASES)
    elif "hostile" in metafunc.fixturenames:
        names.append("hostile")
        given = list(HOSTILE)
    parameters = []
    for name, place in enrolled(kinds()).items():
        for case in given:
            gaps = [place.gaps[want] for want in [*needed, case.name if case else ""] if want in place.gaps]
            marks = [pytest.mark.xfail(strict=True, raises=gap.ends, reason=gap.reason) for gap in gaps[:1]]
            values: list[Any] = [place, *([case] if case else [])]
            label = f"{name}-{case.name}" if case else name
            parameters.append(pytest.param(*values, id=label, marks=marks))
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
