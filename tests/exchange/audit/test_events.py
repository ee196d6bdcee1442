"""The types of events: complete, documented, and unable to say what they should not."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import get_type_hints

import pytest

from exchange.audit import events
from exchange.errors import Invalid

VALUES = {
    str: "文 𠮷",
    int: 2**62,
    bool: True,
    str | None: None,
    tuple[str, ...]: ("甲", "乙"),
    dict[str, int]: {"read": 3},
    dict[str, str]: {"text": "甲"},
}
ALL = sorted(events.REGISTRY.values(), key=lambda event: event.__name__)


def filled(event):
    hints = get_type_hints(event)
    return event(**{field.name: VALUES[hints[field.name]] for field in dataclasses.fields(event)})


@pytest.mark.parametrize("event", ALL)
def test_every_event_is_frozen_past_and_explained_in_both_languages(event):
    assert dataclasses.is_dataclass(event)
    assert event.__dataclass_params__.frozen
    words = re.findall(r"[A-Z][a-z]+", event.__name__)
    assert any(word.endswith("ed") or word in {"Read", "After", "Withdrawn", "Over"} for word in words)
    assert re.search(r"[\u4e00-\u9fff]", inspect.getdoc(event))
    schema = events.json_schema(event)
    assert all(part["description"] for part in schema["properties"].values())
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("event", ALL)
def test_every_event_can_be_written_as_json(event):
    body = filled(event).body()
    assert list(body) == [field.name for field in dataclasses.fields(event)]
    assert all(isinstance(value, str | int | bool | list | dict | None) for value in body.values())


def test_a_field_takes_its_type_only():
    for wrong in (events.RunGated("G", "1"), events.RunGated(1, 1), events.RunStaged({"read": 1.5})):
        with pytest.raises(Invalid):
            wrong.body()


def test_a_name_belongs_to_one_event():
    assert all(name == event.__name__ for name, event in events.REGISTRY.items())
    assert len(events.REGISTRY) == len(ALL)
    assert all(len(name) <= 48 for name in events.REGISTRY)


def test_no_event_holds_a_time_of_its_own():
    # The one time of an event is the database's, when it was written.
    assert datetime not in {kind for event in ALL for kind in get_type_hints(event).values()}


def test_many_threads_say_something_for_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As couriers do that deliver side by side, while memory is cleared up and lets others go on."""
    names = sorted(events.REGISTRY)[:24]
    monkeypatch.setattr(events, "_adapters", {})
    thresholds = gc.get_threshold()

    def let_go(_phase: str, _about: dict[str, int]) -> None:
        time.sleep(0)

    gc.callbacks.append(let_go)
    gc.set_threshold(200)
    try:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda name: events.json_schema(events.REGISTRY[name]), names))
        assert len(found) == len(names)
    finally:
        gc.callbacks.remove(let_go)
        gc.set_threshold(*thresholds)
