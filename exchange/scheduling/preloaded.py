"""Airflow with the hub in memory (预载): ``python -m exchange.scheduling.preloaded WORDS…`` is ``airflow WORDS…``.

Each task is a process that is forked from its executor's. What that has imported, a task need not import again; without
this every exchange would begin by reading the hub's libraries, which takes longer than many an exchange.
"""

from __future__ import annotations

import importlib
import runpy
import sys

NEEDED = ("exchange.hub", "exchange.scheduling.operators", "exchange.scheduling.keeping")
"""What a task needs. Nothing in there opens a file or starts a thread when it is imported."""


def main() -> None:
    """Import what tasks need, then be Airflow."""
    for name in NEEDED:
        importlib.import_module(name)
    sys.argv[0] = "airflow"
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
