"""``shutong test`` and ``shutong bench``: the project's own tests and benchmarks, run from its source folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from exchange.errors import Misplaced

ROOT = Path(__file__).resolve().parents[2]


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
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603


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


def _install() -> int:
    return subprocess.run([sys.executable, "-m", "tests.support.packages"], cwd=ROOT, check=False).returncode
