"""What the command line says before anything moves: whose home it is, whether there is a hub, what cannot be meant."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.cli.root import app
from tests.exchange.engine.town import SYNC, Town, person

NOBODY = 65534


def asked(home: Path, *words: str) -> tuple[int, Any]:
    """Call the program for a document: exit status and what it says."""
    result = CliRunner().invoke(app, ["--home", str(home), "--as", "integrator", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


@contextmanager
def shut_out(folder: Path) -> Iterator[str]:
    """Nothing in the folder can be reached; gives the name of who tries."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield pwd.getpwuid(os.geteuid()).pw_name
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(mode)


def test_a_home_of_somebody_else(town: Town) -> None:
    owner = pwd.getpwuid(town.home.stat().st_uid).pw_name
    with shut_out(town.home) as user:
        status, told = asked(town.home, "status")
    assert (status, told["error"]["kind"]) == (3, "denied")
    assert str(town.home) in told["error"]["message"]
    assert any("没有权限" in reason for reason in told["error"]["reasons"])
    assert any(owner in reason and user in reason for reason in told["error"]["reasons"])
    assert told["error"]["remedy"]
    assert asked(town.home, "status")[0] == 0


def test_settings_that_only_somebody_else_may_read(town: Town) -> None:
    file = town.home / "shutong.toml"
    outer = [folder for folder in town.home.parents if folder.stat().st_mode & 0o055 != 0o055]
    modes = {folder: folder.stat().st_mode for folder in (*outer, town.home)}
    try:
        for folder, mode in modes.items():
            folder.chmod(mode | 0o055)
        with shut_out(file):
            status, told = asked(town.home, "status")
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert (status, told["error"]["kind"]) == (3, "denied")
    assert any("没有权限" in reason for reason in told["error"]["reasons"])


def test_a_home_without_a_hub(tmp_path: Path) -> None:
    status, told = asked(tmp_path, "status")
    assert status == 2
    assert told["error"]["message"].startswith(f"{tmp_path} 里还没有枢纽")
    assert "shutong init" in told["error"]["remedy"]


@pytest.mark.parametrize("option", ["--redeliver", "--after-restore"])
def test_what_a_person_must_decide_for_each_exchange_is_not_done_to_all_that_are_due(town: Town, option: str) -> None:
    town.report(person(1))
    status, told = asked(town.home, "run", "--due", option)
    assert (status, told["error"]["kind"]) == (2, "invalid")
    assert option in told["error"]["message"]
    assert town.runs(SYNC) == town.runs(town.share) == []


@pytest.mark.parametrize("text", ["departments: []\ndepartments: []\n", "a: [\n"])
def test_a_described_fault_names_its_file_once(town: Town, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    status, told = asked(town.home, "plan", str(file))
    assert status == 2
    for problem in told["error"]["problems"]:
        assert problem["where"].startswith("bad.yaml 第 ")
        assert "bad.yaml" not in problem["message"]
        assert problem["message"]
