"""Tokens on the command line: told once, listed without what they are, revoked for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from exchange.cli.root import app
from tests.exchange.engine.conftest import built_town, town
from tests.exchange.engine.town import TAX, Town

__all__ = ["built_town", "town"]


def asked(home: Path, *words: str, by: str = "tax", group: str = "token") -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--home", str(home), "--as", by, group, *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_issue_list_revoke(town: Town) -> None:
    home = town.home
    assert asked(home, "issue", "--purpose", "取数")[0] == 4
    asked(home, "first", by="integrator", group="account")
    status, made = asked(home, "issue", "--purpose", "取数", "--scope", "write", "--days", "7")
    assert (status, made["account"], made["scopes"]) == (0, "tax", ["read", "write"])
    with town.hub() as hub:
        assert hub.tokens.bearer(made["secret"]) is not None
    status, listed = asked(home, "list")
    assert [(each["id"], each["state"]) for each in listed["tokens"]] == [(made["id"], "active")]
    assert made["secret"] not in json.dumps(listed)
    assert asked(home, "list", "--login", "tax", by="police")[0] == 3
    assert asked(home, "revoke", made["id"], "--reason", "下线", by="police")[0] == 3
    assert asked(home, "revoke", made["id"], "--reason", "下线")[0] == 0
    assert asked(home, "revoke", made["id"], "--reason", "下线")[0] == 5
    assert asked(home, "issue", "--purpose", "取数", "--scope", "root")[0] == 2
    with town.hub() as hub:
        assert hub.tokens.bearer(made["secret"]) is None


def test_a_programme_gets_its_own_from_the_system_administrator(town: Town) -> None:
    home = town.home
    asked(home, "first", by="integrator", group="account")
    words = ("create", "sync", "--name", "同步", "--department", TAX, "--programme")
    assert asked(home, *words, by="integrator", group="account")[0] == 0
    shown = CliRunner().invoke(
        app, ["--home", str(home), "--as", "integrator", "token", "issue", "--login", "sync", "--purpose", "编目"]
    )
    assert shown.exit_code == 0
    assert "shutong_" in shown.stdout
    assert "只显示这一次" in shown.stdout
