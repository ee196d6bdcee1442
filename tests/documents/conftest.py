"""What the documents' tests share: the command, and a place that looks like a clone to whoever reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.command import warm


@pytest.fixture(scope="session")
def launcher() -> Iterator[Path]:
    """A stand-in for the launcher that calls the same command."""
    with warm() as caller:
        yield caller


@pytest.fixture
def clone(tmp_path: Path, launcher: Path) -> Path:
    """A folder with the launcher in it; beside it the reader's own folder, and a Python by its usual name."""
    for name in ("clone", "reader", "programs"):
        tmp_path.joinpath(name).mkdir()
    tmp_path.joinpath("clone", "shutong").symlink_to(launcher)
    python = tmp_path / "programs" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return tmp_path / "clone"
