"""Accounts on the command line: made, given roles, shut and opened, each by whom it belongs to."""

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
    result = CliRunner().invoke(app, ["--home", str(home), "--as", by, "account", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_from_the_first_to_the_last(town: Town) -> None:
    home = town.home
    assert asked(home, "first", by="tax")[0] == 3
    status, made = asked(home, "first")
    assert status == 0
    first = {each["login"]: each for each in made["accounts"]}
    assert first["secadmin"]["roles"] == ["security"]
    assert len(first["secadmin"]["password"]) == 16
    assert asked(home, "first")[1] == {"accounts": []}

    status, made = asked(home, "create", "zhangsan", "--name", "张三", "--department", "税务局")
    assert (status, made["department"], made["roles"]) == (0, TAX, [])
    assert made["password"]
    assert asked(home, "create", "sync", "--name", "同步", "--department", TAX, "--programme")[1]["password"] is None
    assert asked(home, "create", "zhangsan", "--name", "李四", "--department", TAX)[0] == 2

    words = ("assign", "zhangsan", "--role", "clerk", "--role", "reviewer", "--reason", "任命")
    assert asked(home, *words)[0] == 3
    assert asked(home, *words, by="security") == (0, {"login": "zhangsan", "roles": ["clerk", "reviewer"]})
    assert asked(home, "assign", "zhangsan", "--reason", "x", by="security")[0] == 2
    assert asked(home, "assign", "zhangsan", "--role", "root", "--reason", "x", by="security")[0] == 2
    moved = ("assign", "zhangsan", "--none", "--department", "公安局", "--reason", "调离")
    assert asked(home, *moved, by="security")[1]["roles"] == []

    assert asked(home, "disable", "zhangsan", "--reason", "离职")[1] == {"login": "zhangsan", "state": "disabled"}
    assert asked(home, "disable", "zhangsan", "--reason", "离职")[0] == 5
    assert asked(home, "enable", "zhangsan", "--reason", "返岗")[1]["state"] == "active"
    assert asked(home, "reset", "zhangsan")[1]["password"]
    assert asked(home, "unlock", "zhangsan")[0] == 5
    assert asked(home, "unlink", "zhangsan", "--reason", "有误")[0] == 5
    assert asked(home, "reset", "nobody")[0] == 4

    status, listed = asked(home, "list", by="auditor")
    assert status == 0
    [one] = [each for each in listed["accounts"] if each["login"] == "zhangsan"]
    assert (one["name"], one["state"], one["must_change"]) == ("张三", "active", True)
    assert made["password"] not in json.dumps(listed)
    assert [each["login"] for each in asked(home, "list", "--department", "税务局")[1]["accounts"]] == ["sync", "tax"]


def test_who_is_there_and_out_with_him(town: Town) -> None:
    given = {each["login"]: each["password"] for each in asked(town.home, "first")[1]["accounts"]}
    with town.hub() as hub:
        hub.signing.sign_in("tax", given["tax"], address="198.51.100.9")
    [seen] = asked(town.home, "sessions", by="auditor")[1]["sessions"]
    assert (seen["account"], seen["address"]) == ("tax", "198.51.100.9")
    assert asked(town.home, "sessions", by="tax")[0] == 3
    assert asked(town.home, "out", "tax", "--reason", "设备遗失", by="security")[1] == {"login": "tax", "ended": 1}
    assert asked(town.home, "sessions", "tax", by="security")[1] == {"sessions": []}


def test_a_lock_is_seen_and_lifted(town: Town) -> None:
    asked(town.home, "first")
    with town.hub() as hub:
        for number in range(5):
            hub.signing.attempts.begin("tax", f"10.0.0.{number}")
    shown = CliRunner().invoke(app, ["--home", str(town.home), "--as", "integrator", "account", "list"])
    assert "锁定" in shown.stdout
    assert asked(town.home, "unlock", "tax")[0] == 0


@pytest.mark.parametrize("words", [("first",), ("create", "z3", "--name", "张三", "--department", TAX)])
def test_people_are_told_that_a_password_is_shown_once(town: Town, words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, ["--home", str(town.home), "--as", "integrator", "account", *words])
    assert shown.exit_code == 0
    assert "只显示这一次" in shown.stdout
