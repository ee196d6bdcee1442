from __future__ import annotations

import pytest

from adapters.errors import Refused, Unavailable
from adapters.webservice.errors import Later
from adapters.webservice.patience import ONCE, Breaker, Patience, breaker_of, repeated


class Service:
    """Answers with what it was given, one after another."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.waited: list[float] = []
        self.breaker = Breaker(failures=3, pause=60, clock=lambda: self.now)
        self.now = 0.0

    def ask(self, patience: Patience = ONCE) -> object:
        return repeated(self._answer, patience, self.breaker, "x", sleep=self.waited.append)

    def _answer(self) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_what_is_unavailable_is_asked_again_with_growing_pauses() -> None:
    service = Service(Unavailable("a"), Unavailable("b"), "yes")
    assert service.ask(Patience(attempts=3, pause=1.0)) == "yes"
    first, second = service.waited
    assert 0.5 <= first <= 1.0 <= second <= 2.0


def test_patience_ends() -> None:
    service = Service(Unavailable("a"), Unavailable("b"), "yes")
    with pytest.raises(Unavailable, match="b"):
        service.ask(Patience(attempts=2))
    assert len(service.waited) == 1


def test_what_is_refused_is_not_asked_again() -> None:
    service = Service(Refused("a"), "yes")
    with pytest.raises(Refused):
        service.ask(Patience(attempts=5))
    assert service.waited == []


def test_the_services_own_pause_is_kept_up_to_a_limit() -> None:
    service = Service(Later("a", after=20.0), Later("b", after=86_400.0), "yes")
    assert service.ask(Patience(attempts=3, longest=30.0)) == "yes"
    assert service.waited == [20.0, 30.0]


def test_the_breaker_opens_and_lets_one_try() -> None:
    service = Service(*[Unavailable("a")] * 3, Unavailable("still"), "yes", "yes")
    for _ in range(3):
        with pytest.raises(Unavailable, match="a"):
            service.ask()
    with pytest.raises(Unavailable, match="暂停访问"):
        service.ask()
    assert len(service.answers) == 3
    service.now = 61.0
    with pytest.raises(Unavailable, match="still"):
        service.ask()
    with pytest.raises(Unavailable, match="暂停访问"):
        service.ask()
    service.now = 122.0
    assert service.ask() == "yes"
    assert service.ask() == "yes"


def test_only_one_tries_a_service_that_was_away() -> None:
    service = Service(*[Unavailable("a")] * 3)
    for _ in range(3):
        with pytest.raises(Unavailable):
            service.ask()
    service.now = 61.0

    def second() -> object:
        with pytest.raises(Unavailable, match="暂停访问"):
            service.ask()
        return "yes"

    assert repeated(second, ONCE, service.breaker, "x") == "yes"


def test_whoever_goes_away_does_not_hold_the_trial() -> None:
    service = Service(*[Unavailable("a")] * 3, KeyboardInterrupt(), "yes")
    for _ in range(3):
        with pytest.raises(Unavailable):
            service.ask()
    service.now = 61.0
    with pytest.raises(KeyboardInterrupt):
        service.ask()
    assert service.ask() == "yes"


def test_a_refusal_is_an_answer() -> None:
    service = Service(*[Unavailable("a")] * 2, Refused("b"), *[Unavailable("a")] * 2, "yes")
    for _ in range(5):
        with pytest.raises((Unavailable, Refused)):
            service.ask()
    assert service.ask() == "yes"


def test_an_address_has_one_breaker() -> None:
    one = breaker_of("http://a.example/", failures=1, pause=1)
    assert breaker_of("http://a.example/", failures=2, pause=2) is one
    assert breaker_of("http://b.example/", failures=1, pause=1) is not one
