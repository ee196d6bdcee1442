from __future__ import annotations

import json
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from exchange.cli.root import ORDER, app

VERSION = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["version"]


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"数通 {VERSION}\n"
    told = CliRunner().invoke(app, ["--version", "--json"])
    assert json.loads(told.stdout) == {"version": VERSION}


def test_without_a_word_it_shows_what_there_is() -> None:
    outcome = CliRunner().invoke(app, [])
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout == CliRunner().invoke(app, ["--help"]).stdout
    places = [outcome.stdout.index(f"\n  {name} ") for name in ORDER]
    assert places == sorted(places)


def test_a_group_without_a_word_shows_its_commands() -> None:
    outcome = CliRunner().invoke(app, ["resource"])
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout == CliRunner().invoke(app, ["resource", "--help"]).stdout
    assert "from-table" in outcome.stdout
