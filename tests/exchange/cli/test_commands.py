from __future__ import annotations

import subprocess
import sys

import pytest

from exchange.cli import main
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


def test_every_room_has_commands() -> None:
    assert all(room.app.registered_commands for room in ROOMS)
