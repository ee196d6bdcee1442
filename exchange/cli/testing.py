"""``shutong test`` and ``shutong bench``: the project's own tests and benchmarks, run from its source folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from exchange.errors import Misplaced

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")  # noqa: S108 - tests make private folders in it, as in any folder for temporary files
ROOM = 4 << 30
"""Bytes that tests must find free in a folder to write there."""


def run_tests(arguments: list[str], long: bool) -> int:  # noqa: FBT001
    """Install what the tests need where it is missing, then run them.

    Args:
        arguments: Handed to pytest as they are; paths are relative to the source folder. Without any, the whole
            suite runs, on all processors.
        long: Whether to run the tests marked ``long`` too.

    Returns:
        The exit status: pytest's, or 1 if something could not be installed.

    Raises:
        Misplaced: The project was installed without its source folder.
    """
    _demand_source()
    if status := _install():
        return status
    selection = [] if long else ["-m", "not long"]
    # A file's tests share what it sets up, so files are what is spread over the processors.
    spread = [] if arguments else ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *selection, *spread, *arguments]
    environment = {**os.environ, "TMPDIR": _temporary()}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603


def run_bench(arguments: list[str]) -> int:
    """Install what the benchmarks need where it is missing, then run one.

    Args:
        arguments: Its name and options.

    Returns:
        The exit status.

    Raises:
        Misplaced: The project was installed without its source folder.
    """
    _demand_source()
    if status := _install():
        return status
    return subprocess.run([sys.executable, "-m", "tests.bench", *arguments], cwd=ROOT, check=False).returncode  # noqa: S603


def _demand_source() -> None:
    if not (ROOT / "tests").is_dir():
        raise Misplaced(
            f"{ROOT} 中没有 tests 目录，测试只能在源代码目录中运行",
            remedy="请取得源代码，在其目录中运行 ./shutong test",
        )


def _temporary() -> str:
    """Where tests write: in memory where that holds them, as thousands of commits would each wait for a disk."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and os.access(MEMORY, os.W_OK):
        runs_programs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
        if runs_programs and shutil.disk_usage(MEMORY).free >= ROOM:
            return str(MEMORY)
    return tempfile.gettempdir()


def _install() -> int:
    return subprocess.run([sys.executable, "-m", "tests.support.packages"], cwd=ROOT, check=False).returncode
