"""``exchange pause|resume`` and ``endpoint pause|resume``."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from exchange.cli.root import app
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import SYNC, Town, person

__all__ = ["built_town", "town"]


def asked(town: Town, *words: str, by: str = "integrator") -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--home", str(town.home), "--as", by, *words, "--json"])
    assert result.exit_code != 1, result.stdout
    return result.exit_code, json.loads(result.stdout or result.stderr)


def test_an_exchange_rests_until_it_is_resumed(town: Town) -> None:
    town.report(person(1))
    status, told = asked(town, "exchange", "pause", SYNC, "--reason", "核查", "--until", "2999-12-31")
    assert (status, told["paused"], told["exchange"]) == (0, [SYNC], SYNC)
    assert told["until"].startswith("3000-01-01T00:00")
    status, told = asked(town, "run", SYNC)
    assert status == 5
    assert "核查" in json.dumps(told, ensure_ascii=False)
    status, told = asked(town, "status")
    (found,) = (each for each in told["exchanges"] if each["id"] == SYNC)
    assert (found["state"], len(found["resting"])) == ("paused", 1)
    page = CliRunner().invoke(app, ["--home", str(town.home), "--as", "integrator", "status"]).stdout
    assert "暂停至 3000-01-01 00:00：核查" in "".join(page.split("\n"))
    assert asked(town, "exchange", "resume", SYNC, "--reason", "好了")[1]["resumed"] == [SYNC]
    assert asked(town, "run", SYNC)[0] == 0
    assert asked(town, "exchange", "resume", SYNC, "--reason", "好了")[0] == 5


def test_an_endpoint_rests_with_everything_at_it(town: Town) -> None:
    status, told = asked(town, "endpoint", "pause", "library", "--reason", "升级")
    assert (status, sorted(told["paused"]), told["until"]) == (0, sorted([SYNC, town.share]), None)
    assert sorted(asked(town, "endpoint", "resume", "library", "--reason", "好了")[1]["resumed"]) == sorted(
        [SYNC, town.share]
    )


def test_only_who_may_and_only_a_time(town: Town) -> None:
    assert asked(town, "endpoint", "pause", "police", "--reason", "x", by="police")[0] == 3
    assert asked(town, "exchange", "pause", SYNC, "--reason", "x", "--until", "soon")[0] == 2
    assert asked(town, "exchange", "pause", SYNC, "--reason", "x", "--until", "2020-01-01")[0] == 2
    assert asked(town, "exchange", "pause", "nothing", "--reason", "x")[0] == 4
