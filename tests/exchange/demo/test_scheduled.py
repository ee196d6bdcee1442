"""The demonstration by Airflow shows the same books as the demonstration without."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.demo.conftest import Told

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-c", "from exchange.cli import main; main()"]
BOOKS = ("read", "filtered", "refused", "unchanged", "superseded", "written", "deleted")


def books(document: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
    """What moved, whatever the exchanges are called this time."""
    names = ("kind", "way", "class", "provider", "recipient", *BOOKS)
    return sorted(tuple(entry[name] for name in names) for entry in document["exchanges"])


@pytest.mark.long
def test_airflow_moves_what_is_moved_without_it(tmp_path: Path, told: Told) -> None:
    words = [*PROGRAM, "demo", "--airflow", "--json", "--home", str(tmp_path / "city")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert books(document) == books(told.document)
    assert document["balanced"]
    assert document["audit"]["verified"]
    assert "Airflow 已就绪" in done.stderr
    runs = list((tmp_path / "city" / "airflow" / "runs").glob("dag_id=*/run_id=*"))
    # Four are called for by programmes of departments, which ask the hub's door and nobody else.
    assert len([run for run in runs if "shutong-" not in run.parent.name]) == len(document["exchanges"]) - 4
