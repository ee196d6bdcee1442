from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from exchange.cli.answers import cell, hour, listed, plain, seen
from exchange.settings import Role


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    name: str
    password: SecretStr
    at: datetime


@dataclass(frozen=True)
class Record:
    name: str
    inner: Any


AT = datetime(2026, 1, 31, 16, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        ("文", "文"),
        (Colour.RED, "red"),
        (Role.AUDIT, "audit"),
        (AT, "2026-01-31T16:30:05+00:00"),
        (date(2026, 1, 31), "2026-01-31"),
        (Path("/tmp/甲"), "/tmp/甲"),
        ({"a": (1, AT), 2: {"b"}}, {"a": [1, "2026-01-31T16:30:05+00:00"], "2": ["b"]}),
        (frozenset({"b", "a"}), ["a", "b"]),
        (Record("甲", Record("乙", (Role.AUDIT,))), {"name": "甲", "inner": {"name": "乙", "inner": ["audit"]}}),
    ],
)
def test_what_programs_read(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    json.dumps(plain(value))


def test_a_secret_shows_only_its_stand_in() -> None:
    told = plain({"endpoint": Model(name="甲", password=SecretStr("opensesame"), at=AT)})
    assert "opensesame" not in json.dumps(told)
    assert told["endpoint"]["at"] == "2026-01-31T16:30:05Z"


def test_what_nobody_can_read_is_refused() -> None:
    with pytest.raises(TypeError):
        plain(object())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (True, "是"),
        (False, "否"),
        (AT, "2026-02-01 00:30:05"),
        (date(2026, 1, 31), "2026-01-31"),
        (("甲", 2), "甲、2"),
        (frozenset({"b", "a"}), "a、b"),
        (12, "12"),
    ],
)
def test_what_people_read(value: Any, expected: str) -> None:
    assert cell(value) == expected


def test_a_moment_of_these_days() -> None:
    assert hour(AT) == "02-01 00:30"
    assert hour(None) == ""


def test_nothing_steers_the_terminal() -> None:
    assert seen("甲\x1b[31m乙\r\n\u202e丙") == "甲\ufffd[31m乙\ufffd\n\ufffd丙"
    assert seen("𠮷䶮") == "𠮷䶮"


def test_a_list_in_words() -> None:
    assert listed(["甲", "乙"]) == "甲、乙"
