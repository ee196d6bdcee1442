"""What is called warm is the command as it is called cold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.command import ROOT


@pytest.mark.parametrize("words", [["stauts"], ["status"], ["--json", "status"]], ids=" ".join)
def test_words_environment_folder_streams_and_status_are_the_callers(
    words: list[str], launcher: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "SHUTONG_HOME": "nothing-here", "COLUMNS": "77"}

    def called(*program: str | Path, **added: str) -> tuple[int, str, str]:
        ran = subprocess.run(
            [*program, *words], cwd=tmp_path, env={**environment, **added}, capture_output=True, text=True, check=False
        )
        return ran.returncode, ran.stdout, ran.stderr

    cold = called(sys.executable, "-P", "-m", "exchange.cli", PYTHONPATH=str(ROOT))
    assert called(launcher) == cold
    assert "status" not in words or str(tmp_path) in cold[1] + cold[2]
