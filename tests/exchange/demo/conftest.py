"""The demonstration, once as a visitor sees it and once as a program reads it; nobody changes their homes."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exchange.demo import run, show
from exchange.demo.city import City
from exchange.demo.show import Play

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Shown:
    """What a visitor saw, and the city it was shown in, closed again."""

    home: Path
    status: int
    text: str
    city: City
    play: Play

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass(frozen=True)
class Told:
    """What a program was told by the installed command, called in the shell of somebody who has a hub of his own."""

    home: Path
    status: int
    stdout: bytes
    stderr: str
    busy: float
    own: Path

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.stdout)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    home = tmp_path_factory.mktemp("shown") / "city"
    met: list[tuple[City, Play]] = []
    play = show._play

    def watched(city: City, screen: show.Screen) -> Play:
        met.append((city, play(city, screen)))
        return met[0][1]

    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(pipe):
        patch.setattr(show, "_play", watched)
        status = run(home=home)
        pipe.flush()
    text = pipe.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return Shown(home, status, text, *met[0])


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    place = tmp_path_factory.mktemp("told")
    own = place / "own"
    own.mkdir()
    home = place / "演示 'city' [1]"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "SHUTONG_HOME": str(own),
        "SHUTONG_DATABASE_URL": f"sqlite:///{own / 'hub.db'}",
        "SHUTONG_LIBRARY_URL": f"sqlite:///{own / 'library.db'}",
        "SHUTONG_NO_SUCH_THING": "1",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "exchange.cli", "demo", "--json", "--home", str(home)],
        cwd=own, env=environment, capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = min(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Told(home, ended.returncode, ended.stdout, ended.stderr.decode(), busy, own)
