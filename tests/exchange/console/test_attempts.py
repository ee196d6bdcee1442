"""Runs begun from pages: bounded, one at a time of each exchange, told of while they last and when they fail."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from exchange.console.attempts import REMEMBERED, Attempt, Attempts
from exchange.engine import RunState
from exchange.errors import Busy, Denied, Misplaced, Unknown
from exchange.hub import Hub
from exchange.web.working import Working
from tests.exchange.console.stories import ended
from tests.exchange.engine.town import SYNC, Town, person
from tests.exchange.site.people import People


def waited(attempts: Attempts, exchange: str) -> Attempt:
    attempt = attempts.of(exchange)
    assert attempt is not None
    assert attempt.work is not None
    attempt.work.wait(60)
    assert attempt.ended
    return attempt


def test_a_run_is_carried_out_and_told_step_by_step(people: People, town: Town) -> None:
    town.report(*map(person, range(4)))
    attempts: Attempts = people.app.state.attempts
    attempts.start(SYNC, by=people.actor("integrator"))
    attempt = ended(people, SYNC)
    assert attempt.error is None
    assert attempt.result is not None
    assert attempt.result.state == RunState.SETTLED
    assert attempt.result.counts["written"] == 4
    told = [words.split()[0] for _at, words in attempt.steps]
    assert told[0] == "制定方案"
    assert {"读取与检查", "目标端已提交", "签发回执", "办结待办"} <= set(told)
    assert attempt.share == 1.0
    assert attempt.by == "集成员"


def test_who_may_not_begins_nothing(people: People) -> None:
    attempts: Attempts = people.app.state.attempts
    with pytest.raises(Denied):
        attempts.start(SYNC, by=people.actor("police"))
    with pytest.raises(Unknown):
        attempts.start("sync-none", by=people.actor("integrator"))
    assert attempts.of(SYNC) is None


def test_one_at_a_time_and_no_more_than_so_many(people: People, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    real = people.hub.oversight.run

    def slow(exchange: str, **options: Any) -> Any:
        held.wait(60)
        return real(exchange, **options)

    monkeypatch.setattr(people.hub.oversight, "run", slow)
    attempts, by = Attempts(people.hub, Working(1)), people.actor("integrator")
    attempts.start(SYNC, by=by)
    with pytest.raises(Busy, match=r"正在办理$"):
        attempts.start(SYNC, by=by)
    with pytest.raises(Busy, match="已有 1 件"):
        attempts.start(town.share, by=by)
    held.set()
    assert waited(attempts, SYNC).result is not None
    attempts.start(town.share, by=by)
    assert waited(attempts, town.share).ended


def test_why_it_came_to_nothing_is_kept(people: People) -> None:
    by = people.actor("integrator")
    people.hub.pausing.pause("exchange", SYNC, reason="核查", by=by)
    people.app.state.attempts.start(SYNC, by=by)
    attempt = ended(people, SYNC)
    assert attempt.result is None
    assert isinstance(attempt.error, Misplaced)
    assert "核查" in attempt.error.message


def test_a_defect_ends_the_attempt_and_says_nothing_of_itself(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object, **_options: object) -> None:
        raise ZeroDivisionError("321202185001010000")

    monkeypatch.setattr(people.hub.oversight, "run", broken)
    people.app.state.attempts.start(SYNC, by=people.actor("integrator"))
    attempt = ended(people, SYNC)
    assert attempt.error is not None
    assert "321202" not in str(attempt.error)


def test_the_oldest_that_are_over_are_forgotten(people: People) -> None:
    class Quick:
        class oversight:  # noqa: N801 - stands where a hub's does
            @staticmethod
            def demand_may_run(*_given: object, **_options: object) -> str:
                return ""

            @staticmethod
            def run(*_given: object, **_options: object) -> None:
                raise Misplaced("nothing to do")

    quick: Any = Quick
    hub: Hub = quick
    attempts, by = Attempts(hub, Working()), people.actor("integrator")
    for number in range(REMEMBERED + 5):
        attempts.start(f"x{number}", by=by)
        waited(attempts, f"x{number}")
    assert attempts.of("x0") is None
    assert attempts.of(f"x{REMEMBERED + 4}") is not None


def test_the_same_step_is_told_once_with_its_last_figures() -> None:
    attempt = Attempt("x", "y", replay=False)
    for read in range(5):
        attempt.observe("3.read", {"read": read})
    attempt.observe("5.staged", {"staged": 5})
    assert [words for _at, words in attempt.steps] == ["读取与检查  读取 4", "暂存完成"]
