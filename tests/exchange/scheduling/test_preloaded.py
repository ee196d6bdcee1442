from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from exchange.scheduling.preloaded import NEEDED


def run(folder: Path, *words: str) -> str:
    environment = os.environ | {"AIRFLOW_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def test_it_is_airflow(tmp_path: Path) -> None:
    assert run(tmp_path, "-m", "exchange.scheduling.preloaded", "version").strip() == version("apache-airflow")


def test_what_is_imported_starts_no_thread(tmp_path: Path) -> None:
    """A thread would be missing in whatever is forked from it."""
    code = (
        f"import importlib, threading; [importlib.import_module(name) for name in {NEEDED}];"
        "print([each.name for each in threading.enumerate()])"
    )
    assert run(tmp_path, "-c", code).strip().splitlines()[-1] == "['MainThread']"
