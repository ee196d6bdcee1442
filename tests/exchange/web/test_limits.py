from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from exchange.web import limits
from exchange.web.limits import Bounds, Rate, TooMuch, TooOften
from tests.exchange.web.probe import Told, asked


def test_a_body_within_bounds_is_passed_on_whole() -> None:
    told = Told()
    assert asked(Bounds(told, largest=10, seconds=5), body=[b"12345", b"67890"])[0] == 200
    assert told.body == b"1234567890"


@pytest.mark.parametrize("said", ["11", "1073741824", "-1", "ten", "1e3", "9" * 40])
def test_a_body_that_says_it_is_too_large_is_not_even_begun(said: str) -> None:
    told = Told()
    status, headers, _ = asked(Bounds(told, largest=10, seconds=5), headers=[("Content-Length", said)])
    assert (status, headers["connection"]) == (413, "close")
    assert told.scope == {}


def test_one_gigabyte_that_does_not_say_so_is_refused_while_it_comes() -> None:
    taken = 0

    async def go() -> None:
        async def receive() -> dict[str, Any]:
            nonlocal taken
            taken += 1 << 20
            return {"type": "http.request", "body": bytes(1 << 20), "more_body": taken < 1 << 30}

        async def send(_message: Any) -> None:
            raise AssertionError

        scope = {"type": "http", "headers": []}
        await Bounds(Told(), largest=32 << 20, seconds=60)(scope, receive, send)

    with pytest.raises(TooMuch) as refused:
        asyncio.run(go())
    assert refused.value.status_code == 413
    assert taken == 33 << 20


def test_a_body_that_lies_about_its_length_is_counted() -> None:
    with pytest.raises(TooMuch):
        asked(Bounds(Told(), largest=10, seconds=5), headers=[("Content-Length", "3")], body=[bytes(6), bytes(6)])


def test_a_body_that_never_ends_is_waited_for_so_long_and_no_longer() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(_message: Any) -> None:
        raise AssertionError

    began = time.monotonic()
    with pytest.raises(TooMuch) as refused:
        asyncio.run(Bounds(Told(), largest=10_000, seconds=0.3)({"type": "http", "headers": []}, receive, send))
    assert refused.value.status_code == 408
    assert 0.25 < time.monotonic() - began < 5


def test_what_comes_after_the_body_has_no_deadline() -> None:
    """A page that follows a run listens for its caller's leaving for as long as it takes."""
    heard: list[str] = []

    async def following(_scope: Any, receive: Any, _send: Any) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    async def go() -> None:
        messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, Any]:
            if len(messages) == 1:
                await asyncio.sleep(0.3)
            return messages.pop(0)

        async def send(_message: Any) -> None:
            raise AssertionError

        await Bounds(following, largest=10, seconds=0.1)({"type": "http", "headers": []}, receive, send)

    asyncio.run(go())
    assert heard == ["http.request", "http.disconnect"]


def test_so_many_a_minute_and_a_tenth_of_them_at_once() -> None:
    rate = Rate(lambda: 60)
    assert [rate.take("a", 100.0) for _ in range(6)] == [0.0] * 6
    assert rate.take("a", 100.0) == pytest.approx(1.0)
    assert rate.take("b", 100.0) == 0.0, "another caller is another matter"
    assert rate.take("a", 101.01) == 0.0
    assert rate.take("a", 101.01) > 0.9
    assert [rate.take("a", 10_000.0) for _ in range(7)].count(0.0) == 6, "nobody saves up more than that"


def test_whoever_is_told_to_wait_is_not_punished_for_asking() -> None:
    rate = Rate(lambda: 60)
    for _ in range(6):
        rate.take("a", 0.0)
    assert [rate.take("a", 0.5) for _ in range(100)][-1] == pytest.approx(0.5)


def test_callers_that_there_are_too_many_of_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED", 3)
    rate = Rate(lambda: 10)
    assert rate.take("a", 0.0) == 0.0
    for number in range(3):
        rate.take(f"other {number}", 0.0)
    assert rate.take("a", 0.0) == 0.0
    assert rate.take("a", 0.0) > 0


def test_threads_together_are_let_in_no_more_often() -> None:
    rate = Rate(lambda: 600)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: rate.take("a", 1.0), range(500)))
    assert taken.count(0.0) == 60


def test_a_call_too_many_says_when_to_come_again() -> None:
    rate = Rate(lambda: 10)
    rate.demand("a")
    with pytest.raises(TooOften) as told:
        rate.demand("a")
    assert (told.value.status_code, told.value.headers) == (429, {"Retry-After": "6"})
