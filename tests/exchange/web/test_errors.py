from __future__ import annotations

import inspect

import pytest

from exchange import errors
from exchange.errors import Busy, Denied, Failed, Held, HubError, Invalid, Unavailable
from exchange.hub.signing import NotSignedIn, TooMany
from exchange.web.errors import kind_of, status_of

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HubError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_failure_has_a_status(kind: type[HubError]) -> None:
    assert 400 <= status_of(kind("不行")) < 600
    assert (status_of(kind("不行")) == 500) == (kind.__name__ in ("HubError", "Tampered"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("x"), 422), (Denied("x"), 403), (NotSignedIn("x"), 403), (Held("x"), 409), (Busy("x"), 503),
        (TooMany("x", 3), 503), (Failed("x"), 502), (Unavailable("x"), 503),
    ],
)  # fmt: skip
def test_one_below_another_has_that_one_s(error: HubError, status: int) -> None:
    assert status_of(error) == status


def test_a_sort_is_one_word() -> None:
    assert kind_of(Denied("x")) == "denied"
