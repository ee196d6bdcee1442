from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.cli import commands, main
from exchange.cli.commands import ROOMS


def test_main_ends_with_the_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["shutong", "nothing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "没有命令 shutong nothing" in capsys.readouterr().err


def test_as_a_module() -> None:
    told = subprocess.run([sys.executable, "-m", "exchange.cli", "--version"], capture_output=True, check=True)
    assert told.stdout.decode().startswith("数通 ")


def test_no_module_with_commands_is_left_out() -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in Path(commands.__file__).parent.glob("*.py")}
    found = {name for name, source in sources.items() if re.search(r"^@(app\.)?command\(", source, re.MULTILINE)}
    assert found == {room.__name__.rpartition(".")[2] for room in ROOMS}
