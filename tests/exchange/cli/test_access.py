"""Credentials on the command line: told once, listed without their secrets, revoked for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.cli.root import app
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import TAX, Town

__all__ = ["built_town", "town"]


def asked(home: Path, *words: str, by: str = "integrator") -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--home", str(home), "--as", by, "access", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_issue_list_revoke(town: Town) -> None:
    status, made = asked(town.home, "issue", "token", "--department", "税务局", "--until", "2099-12-31")
    assert (status, made["department"], made["name"]) == (0, TAX, None)
    assert len(made["secret"]) > 30
    status, listed = asked(town.home, "list")
    [one] = listed["credentials"]
    assert (one["id"], one["state"], one["kind"]) == (made["id"], "active", "token")
    assert made["secret"] not in json.dumps(listed)
    assert asked(town.home, "revoke", made["id"], "--reason", "测试")[0] == 0
    assert asked(town.home, "list")[1]["credentials"][0]["state"] == "revoked"
    assert asked(town.home, "revoke", made["id"], "--reason", "测试")[0] == 5
    assert asked(town.home, "revoke", "C0", "--reason", "测试")[0] in (3, 4)


def test_a_password_is_shown_once_to_people_too(town: Town) -> None:
    words = ["access", "issue", "password", "--department", TAX, "--name", "tax-app"]
    shown = CliRunner().invoke(app, ["--home", str(town.home), "--as", "integrator", *words])
    assert shown.exit_code == 0
    assert "tax-app" in shown.stdout
    assert "只显示这一次" in shown.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("token", "--name", "x"),
        ("password",),
        ("gateway", "--name", "a\nb"),
        ("token", "--until", "gestern"),
        ("token", "--until", "2001-01-01"),
    ],
)
def test_what_cannot_be_issued(town: Town, words: tuple[str, ...]) -> None:
    assert asked(town.home, "issue", *words, "--department", TAX)[0] == 2
    assert asked(town.home, "list")[1]["credentials"] == []


@pytest.mark.parametrize("by", ["tax", "chief", "auditor"])
def test_who_may_not_issue(town: Town, by: str) -> None:
    assert asked(town.home, "issue", "token", "--department", TAX, by=by)[0] == 3
