"""Settings on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from exchange.cli.root import app
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import Town

__all__ = ["built_town", "town"]


def asked(home: Path, *words: str, by: str = "integrator") -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--home", str(home), "--as", by, "setting", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_listed_changed_and_set_back(town: Town) -> None:
    home = town.home
    status, made = asked(home, "set", "accounts.failures", "4", "--reason", "从严")
    assert (status, made["value"], made["own"], made["reason"]) == (0, 4, 5, "从严")
    status, found = asked(home, "list", by="auditor")
    assert status == 0
    assert made in found["settings"]
    assert asked(home, "reset", "accounts.failures", "--reason", "结束")[1]["value"] == 5
    assert asked(home, "reset", "accounts.failures", "--reason", "结束")[0] == 5
    assert asked(home, "set", "accounts.failures", "zwei", "--reason", "从严")[0] == 2
    assert asked(home, "set", "accounts.oidc", "1", "--reason", "从严")[0] == 4
    assert asked(home, "set", "accounts.failures", "4", "--reason", "从严", by="tax")[0] == 3
    people = CliRunner().invoke(app, ["--home", str(home), "--as", "integrator", "setting", "list"])
    assert "连续失败多少次后锁定" in people.stdout
