from __future__ import annotations

import json
import os
import pwd
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exchange.cli.root import app
from tests.exchange.cli.county import HUB

USER = pwd.getpwuid(os.getuid()).pw_name
WORDS = {"--department-code": HUB, "--department-name": "某市行政审批局", "--division": "321200", "--actor": "张三"}


def init(home: Path, *more: str, **changes: str) -> Result:
    given = {**WORDS, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    words = [part for pair in given.items() for part in pair]
    return CliRunner().invoke(app, ["init", "--home", str(home), *words, *more])


def test_a_home_is_made_and_can_be_worked_in(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    outcome = init(home)
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    assert f"export SHUTONG_HOME={home}" in outcome.stdout
    assert "shutong demo" in outcome.stdout
    settings = tomllib.loads((home / "shutong.toml").read_text(encoding="utf-8"))
    assert settings["actors"] == {USER: {"name": "张三", "department": HUB, "roles": ["integrator", "system"]}}
    assert settings["demo"] is False
    told = CliRunner().invoke(app, ["--home", str(home), "department", "list", "--json"])
    assert [each["name"] for each in json.loads(told.stdout)["departments"]] == ["某市行政审批局"]
    told = CliRunner().invoke(app, ["--home", str(home), "endpoint", "list", "--json"])
    assert [each["name"] for each in json.loads(told.stdout)["endpoints"]] == ["library"]


def test_by_the_environment_and_for_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "hub"
    monkeypatch.setenv("SHUTONG_HOME", str(home))
    words = [part for pair in WORDS.items() for part in pair]
    outcome = CliRunner().invoke(app, ["init", *words, "--role", "audit", "--digest", "sm3", "--json"])
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout) == {
        "home": str(home),
        "settings": str(home / "shutong.toml"),
        "actor": {"user": USER, "name": "张三", "department": HUB, "roles": ["audit"]},
    }
    assert 'digest = "sm3"' in (home / "shutong.toml").read_text(encoding="utf-8")
    outcome = CliRunner().invoke(app, ["audit", "search", "--json"])
    assert {event["type"] for event in json.loads(outcome.stdout)["events"]} >= {"DepartmentRegistered"}


def test_a_home_is_made_once(tmp_path: Path) -> None:
    assert init(tmp_path / "hub").exit_code == 0
    before = (tmp_path / "hub" / "shutong.toml").read_bytes()
    outcome = init(tmp_path / "hub", actor="李四")
    assert outcome.exit_code == 5
    assert "已存在，没有改动" in outcome.stderr
    assert (tmp_path / "hub" / "shutong.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "more", "told"),
    [
        ({"department_code": "123"}, [], "统一社会信用代码"),
        ({"department_name": " "}, [], "部门名称"),
        ({"division": "32"}, [], "行政区划代码"),
        ({"actor": ""}, [], "actors › "),
        ({"actor": "platform"}, [], "不能作为人员姓名"),
        ({}, ["--role", "king"], "没有角色 king"),
        ({}, ["--role", "audit", "--role", "security"], "三员分立"),
    ],
)
def test_nothing_is_left_of_what_was_wrong(tmp_path: Path, changes: dict[str, str], more: list[str], told: str) -> None:
    home = tmp_path / "hub"
    outcome = init(home, *more, **changes)
    assert outcome.exit_code == 2
    assert told in outcome.stderr
    assert not home.exists()
    assert init(home).exit_code == 0


def test_everything_wrong_with_the_department_at_once(tmp_path: Path) -> None:
    outcome = init(tmp_path / "hub", "--json", department_code="1", department_name="", division="x")
    assert len(json.loads(outcome.stdout)["error"]["problems"]) == 3


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert init(tmp_path, actor="").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
