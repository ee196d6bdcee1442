"""Pieces of work on a process's few hands."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from exchange.errors import Busy, Denied
from exchange.web import working
from exchange.web.working import Tell, Working

LONG = 10.0


def test_what_is_begun_is_followed_to_its_end() -> None:
    hands, go = Working(), threading.Event()

    def do(tell: Tell) -> str:
        tell("first", {"run": "R1", "read": 1})
        go.wait(LONG)
        tell("second", {"read": 2})
        return "result"

    work = hands.start("run a", do, owner="tax")
    seen = work.wait(LONG, lambda now: now.step == "first")
    assert (seen.state, seen.figures, seen.owner) == ("running", {"run": "R1", "read": 1}, "tax")
    assert hands.at("run a") is work
    go.set()
    seen = work.wait(LONG)
    assert (seen.state, seen.step, seen.result) == ("done", "second", "result")
    assert seen.figures == {"run": "R1", "read": 2}
    assert seen.ended_at is not None
    assert hands.find(work.id) is work
    assert hands.at("run a") is None


def test_of_one_key_no_two_and_of_all_no_more_than_hands() -> None:
    hands, go = Working(2), threading.Event()

    def wait(_tell: Tell) -> bool:
        return go.wait(LONG)

    begun = [hands.start("a", wait)]
    with pytest.raises(Busy, match="正在办理"):
        hands.start("a", wait)
    begun.append(hands.start("b", wait))
    with pytest.raises(Busy, match="2 件"):
        hands.start("c", wait)
    assert hands.close(0.01) == 2
    go.set()
    assert [each.wait(LONG).state for each in begun] == ["done", "done"]
    assert hands.start("a", wait).wait(LONG).state == "done"
    assert hands.close(LONG) == 0


@pytest.mark.parametrize("error", [Denied("no"), ZeroDivisionError()])
def test_what_kept_it_is_told(error: Exception) -> None:
    def fail(_tell: Tell) -> Any:
        raise error

    seen = Working().start("a", fail).wait(LONG)
    assert (seen.state, seen.error) == ("failed", error)


def test_waiting_has_an_end() -> None:
    go = threading.Event()
    work = Working().start("a", lambda _tell: go.wait(LONG))
    assert work.wait(0.01).state == "running"
    go.set()


def test_what_ended_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "REMEMBERED", 2)
    hands = Working()
    ids = []
    for number in range(4):
        work = hands.start(str(number), lambda _tell: None)
        work.wait(LONG)
        ids.append(work.id)
    assert [hands.find(each) is not None for each in ids] == [False, False, True, True]
