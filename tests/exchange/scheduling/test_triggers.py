"""The trigger that says what waits, as the triggerer runs it: alone, and many over one look."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import SharedStreamManager

from exchange.hub.timetable import Timetable
from exchange.scheduling import triggers
from exchange.scheduling.triggers import Look, WaitingTrigger
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import Town

QUICK = 0.05
PATIENCE = 20.0


@pytest.fixture
def drops(town: Town) -> Drops:
    """Two recipients of files to whom nothing is owed yet."""
    return Drops(town, 2)


def trigger(drops: Drops, exchange: str, **changes: Any) -> WaitingTrigger:
    given = {"home": str(drops.town.home), "exchange": exchange, "every": QUICK, **changes}
    return WaitingTrigger(**given)


async def first(watching: WaitingTrigger) -> TriggerEvent:
    """The first event of a trigger by itself."""
    async with aclosing(watching.run()) as events, asyncio.timeout(PATIENCE):
        return await anext(events)


async def looks(*given: Look | None, pause: float = QUICK) -> AsyncIterator[Look]:
    """A stream of looks; None: nothing was seen for a while."""
    for look in given:
        await asyncio.sleep(pause)
        if look is not None:
            yield look


def fired(watching: WaitingTrigger, given: Iterable[Look | None], pause: float = QUICK) -> list[Any]:
    """Marks that a trigger fired for."""

    async def collected() -> list[Any]:
        stream = looks(*given, pause=pause)
        return [event.payload["waiting"] async for event in watching.filter_shared_stream(stream)]

    return asyncio.run(collected())


def test_it_can_be_made_again_from_what_airflow_stores(drops: Drops) -> None:
    made = trigger(drops, "a", again=9.0)
    path, arguments = made.serialize()
    stored = json.loads(json.dumps(arguments))
    again = import_string(path)(**stored)
    assert isinstance(again, BaseEventTrigger)
    assert again.serialize() == made.serialize()
    assert again.shared_stream_key() == made.shared_stream_key()
    assert BaseEventTrigger.hash(path, stored) == BaseEventTrigger.hash(*made.serialize())
    assert set(stored) == {"home", "exchange", "every", "again"}


def test_without_a_home_it_watches_the_one_where_it_runs(drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTONG_HOME", str(drops.town.home))
    key = trigger(drops, "a").shared_stream_key()
    assert trigger(drops, "b", home=None).shared_stream_key() == key
    monkeypatch.setenv("SHUTONG_HOME", "/elsewhere")
    assert trigger(drops, "b", home=None).shared_stream_key() != key


def test_it_fires_when_something_new_waits_and_for_its_exchange_alone() -> None:
    watching = WaitingTrigger(None, "a")
    assert fired(watching, [{}, {"b": "1"}, {"a": "1"}, {"a": "1", "b": "2"}]) == ["1"]
    assert fired(watching, [{"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "3"}]) == ["1", "2", "3"]
    # Gone and come again, even if it looks the same.
    assert fired(watching, [{"a": "1"}, {}, {"a": "1"}]) == ["1", "1"]


def test_it_fires_again_and_again_while_it_waits_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that an event started may have been over what came after its first look."""
    monkeypatch.setattr(triggers, "SOON", 0.1)
    still = [{"a": "1"}] * 100
    begun = time.monotonic()
    many = len(fired(WaitingTrigger(None, "a", again=0.4), still, pause=0.01))
    waited = time.monotonic() - begun
    # At 0, 0.1, 0.3, 0.7 and from there on every 0.4 seconds.
    assert 3 <= many <= 4 + max(0.0, waited - 0.7) / 0.4


def test_what_is_owed_fires_and_what_was_delivered_does_not(drops: Drops) -> None:
    town, one, other = drops.town, drops.shares[0], drops.shares[1]

    async def lived() -> list[Any]:
        told: list[Any] = []
        async with aclosing(trigger(drops, one).run()) as events, asyncio.timeout(PATIENCE):
            waited = asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([waited], timeout=1.0)
            assert not done  # nothing is owed
            await asyncio.to_thread(drops.collect, 1, 2)
            told.append((await waited).payload)
            await asyncio.to_thread(town.run, one)
            waited = asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([waited], timeout=1.0)
            assert not done  # it was delivered
            await asyncio.to_thread(drops.collect, 4)
            told.append((await waited).payload)
        return told

    told = asyncio.run(lived())
    assert [each["exchange"] for each in told] == [one, one]
    assert told[0]["waiting"] != told[1]["waiting"]
    # Whoever is begun anew is told again of what still waits: nothing is remembered, nothing is lost.
    assert asyncio.run(first(trigger(drops, one))).payload == told[1]
    assert asyncio.run(first(trigger(drops, other))).payload["exchange"] == other


def test_all_exchanges_of_a_hub_share_one_look(drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []
    really = Timetable.waiting

    def waiting(self: Timetable) -> dict[str, str]:
        looked.append(time.monotonic())
        return really(self)

    monkeypatch.setattr(Timetable, "waiting", waiting)
    monkeypatch.setattr(triggers, "SILENT", 0.2)
    drops.collect(1, 2)

    async def lived() -> dict[str, str]:
        manager = SharedStreamManager()
        found: dict[str, str] = {}

        async def follow(number: int, watching: WaitingTrigger) -> None:
            key = watching.shared_stream_key()
            stream = manager.subscribe(trigger_id=number, trigger=watching, key=key)
            async for event in watching.filter_shared_stream(stream):
                found[event.payload["exchange"]] = event.payload["waiting"]

        # A hundred that wait in vain beside the two that do not; the last one comes late.
        ids = [*(f"idle-{number}" for number in range(100)), drops.shares[0]]
        tasks = [asyncio.ensure_future(follow(number, trigger(drops, each))) for number, each in enumerate(ids)]
        async with asyncio.timeout(PATIENCE):
            while drops.shares[0] not in found:
                await asyncio.sleep(QUICK)
            tasks.append(asyncio.ensure_future(follow(101, trigger(drops, drops.shares[1]))))
            while drops.shares[1] not in found:
                await asyncio.sleep(QUICK)
        begun, before = time.monotonic(), len(looked)
        await asyncio.sleep(1.0)
        assert len(looked) - before <= (time.monotonic() - begun) / QUICK + 1
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await manager.stop_all()
        return found

    assert set(asyncio.run(lived())) == set(drops.shares)


def test_looking_holds_nobody_up(drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    drops.collect(1)
    really = Timetable.waiting

    def waiting(self: Timetable) -> dict[str, str]:
        time.sleep(1.0)
        return really(self)

    monkeypatch.setattr(Timetable, "waiting", waiting)

    async def lived() -> float:
        longest, last = 0.0, time.monotonic()
        waited = asyncio.ensure_future(first(trigger(drops, drops.shares[0])))
        while not waited.done():
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert (await waited).payload["exchange"] == drops.shares[0]
        return longest

    assert asyncio.run(lived()) < 0.9


def test_a_hub_that_is_away_is_said_and_looked_at_again(drops: Drops, caplog: pytest.LogCaptureFixture) -> None:
    drops.collect(1)
    file = drops.town.home / "shutong.toml"
    away = file.with_name("away.toml")

    async def lived() -> TriggerEvent:
        file.rename(away)
        waited = asyncio.ensure_future(first(trigger(drops, drops.shares[0])))
        done, _ = await asyncio.wait([waited], timeout=1.5)
        assert not done
        away.rename(file)
        return await waited

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(lived()).payload["exchange"] == drops.shares[0]
    said = [each.message for each in caplog.records if each.name == triggers.__name__]
    assert 1 <= len(said) < 8  # ever more rarely
    assert str(drops.town.home) in said[0]


def test_a_hub_that_goes_away_meanwhile_ends_nothing(drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    really, troubles = Timetable.waiting, iter([OSError("gone"), ValueError("odd")])

    def waiting(self: Timetable) -> dict[str, str]:
        for trouble in troubles:
            raise trouble
        return really(self)

    monkeypatch.setattr(Timetable, "waiting", waiting)
    drops.collect(1)
    assert asyncio.run(first(trigger(drops, drops.shares[0]))).payload["exchange"] == drops.shares[0]
    assert list(troubles) == []
