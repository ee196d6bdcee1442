from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from exchange.cli.root import app
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import SYNC, Town, person
from tests.exchange.hub.test_freshness import age

__all__ = ["built_town", "town"]


def asked(town: Town, *words: str, by: str = "integrator") -> tuple[int, Any]:
    words = ("--home", str(town.home), "--as", by, "exchange", "freshness", *words, "--json")
    result = CliRunner().invoke(app, words)
    assert result.exit_code != 1, result.stdout
    return result.exit_code, json.loads(result.stdout)["freshness"]


def test_what_is_overdue_stands_first_and_is_the_status(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    status, (only,) = asked(town)
    assert (status, only["exchange"], only["overdue"]) == (0, SYNC, False)
    assert asked(town, "--overdue") == (0, [])
    age(town, 30)
    status, (late,) = asked(town, "--overdue", by="police")
    assert (status, late["overdue"]) == (5, True)
    assert asked(town, by="tax") == (0, [])
    page = CliRunner().invoke(app, ["--home", str(town.home), "--as", "police", "exchange", "freshness"]).stdout
    assert "逾期" in page
    assert "每日" in page
