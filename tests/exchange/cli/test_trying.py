from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.cli.root import app

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "test_small.py"
    path.write_text(
        "import pytest\n"
        "from pathlib import Path\n"
        "HERE = Path(__file__).parent\n"
        "def test_short(): (HERE / 'short').touch()\n"
        "@pytest.mark.long\n"
        "def test_long(): (HERE / 'long').touch()\n"
    )
    return path


@pytest.mark.parametrize(
    ("words", "status", "left"),
    [
        (["SUITE"], 0, {"short"}),
        (["SUITE", "--long"], 0, {"short", "long"}),
        (["--long", "-q", "SUITE"], 0, {"short", "long"}),
        (["-q", "-x", "SUITE", "-k", "nothing_of_that_name"], 5, set()),
        (["SUITE", "--no-such-option"], 4, set()),
    ],
)
def test_every_word_goes_to_pytest_but_one(suite: Path, words: list[str], status: int, left: set[str]) -> None:
    given = [str(suite) if word == "SUITE" else word for word in words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-m", "exchange.cli", "test", *given], cwd=suite.parent, env=environment, capture_output=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == status
    assert {path.name for path in suite.parent.iterdir() if path.suffix == ""} - {"__pycache__"} == left


def test_its_own_help() -> None:
    outcome = CliRunner().invoke(app, ["test", "--help"])
    assert outcome.exit_code == 0
    assert "其余的词原样交给 pytest" in outcome.stdout


def test_the_demonstration_is_offered() -> None:
    outcome = CliRunner().invoke(app, ["demo", "--help"])
    assert outcome.exit_code == 0
    assert "--json" in outcome.stdout
