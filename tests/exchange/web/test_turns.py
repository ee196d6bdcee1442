from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from exchange.web.turns import Turns


class Room:
    """An application that notes who is inside; a call stays until its number is let out."""

    def __init__(self) -> None:
        self.inside: list[int] = []
        self.order: list[int] = []
        self.begins = asyncio.Event()
        self.out: dict[int, asyncio.Event] = {}

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        number = scope["number"]
        self.inside.append(number)
        self.order.append(number)
        try:
            await self.out.setdefault(number, asyncio.Event()).wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope.get("slow"):
                await asyncio.sleep(3600)
            if scope.get("broken"):
                raise KeyError
        finally:
            self.inside.remove(number)


def call(turns: Turns, number: int, method: str = "GET", **about: Any) -> asyncio.Task[None]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(_message: Any) -> None:
        return

    return asyncio.create_task(turns({"type": "http", "method": method, "number": number, **about}, receive, send))  # type: ignore[arg-type]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_few_are_in_at_once_and_the_others_follow_in_their_order() -> None:
    async def go() -> None:
        room = Room()
        turns = Turns(room, together=2, patience=60)
        calls = [call(turns, number) for number in range(5)]
        await settled()
        assert room.inside == [0, 1]
        for number, then in ((1, [0, 2]), (0, [2, 3]), (2, [3, 4]), (3, [4]), (4, [])):
            room.out[number].set()
            await settled()
            assert room.inside == then
        await asyncio.gather(*calls)
        assert room.order == [0, 1, 2, 3, 4]

    asyncio.run(go())


def test_one_who_sends_something_waits_for_nobody() -> None:
    async def go() -> None:
        room = Room()
        turns = Turns(room, together=1, patience=60)
        calls = [call(turns, 0), call(turns, 1), call(turns, 2, "POST")]
        await settled()
        assert room.inside == [0, 2]
        for each in calls:
            each.cancel()

    asyncio.run(go())


@pytest.mark.parametrize("how", ["slow", "broken"])
def test_one_who_reads_slowly_or_fails_keeps_nobody_waiting(how: str) -> None:
    async def go() -> None:
        room = Room()
        turns = Turns(room, together=1, patience=60)
        first, second = call(turns, 0, **{how: True}), call(turns, 1)
        await settled()
        assert room.inside == [0]
        room.out[0].set()
        await settled()
        assert 1 in room.inside
        for each in (first, second):
            each.cancel()
        await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(go())


def test_one_that_takes_long_keeps_the_others_waiting_for_so_long_only() -> None:
    async def go() -> None:
        room = Room()
        turns = Turns(room, together=1, patience=0.2)
        calls = [call(turns, number) for number in range(3)]
        await asyncio.sleep(0.1)
        assert room.inside == [0]
        until = time.monotonic() + 30
        while room.inside != [0, 1, 2]:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        # Its turn was over once: when it ends, it is not over a second time.
        for number in range(3):
            room.out[number].set()
        await asyncio.gather(*calls)
        calls = [call(turns, number) for number in (10, 11)]
        await settled()
        assert room.inside == [10]
        for each in calls:
            each.cancel()

    asyncio.run(go())


def test_one_who_goes_while_waiting_leaves_his_turn_to_the_next() -> None:
    async def go() -> None:
        room = Room()
        turns = Turns(room, together=1, patience=60)
        calls = [call(turns, number) for number in range(3)]
        await settled()
        calls[1].cancel()
        room.out[0].set()
        await settled()
        assert room.inside == [2]
        calls[2].cancel()

    asyncio.run(go())


def test_each_loop_has_turns_of_its_own() -> None:
    turns = Turns(Room(), together=1, patience=60)
    entered: list[int] = []

    def go(number: int) -> None:
        async def one() -> None:
            task = call(turns, number)
            await settled()
            entered.append(number)
            task.cancel()

        asyncio.run(one())

    threads = [threading.Thread(target=go, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert sorted(entered) == [0, 1, 2]
