"""A worker that runs one exchange and kills itself at a named point, the nth time it comes by.

Points are the steps the engine tells its observer, and ``target:N``: after the Nth statement that
reaches the target between the gate and the target's commit, so that death falls inside that
transaction; ``settle:N`` likewise while the status is written back.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from exchange.hub import open_hub
from exchange.identity import current_actor


def die() -> None:
    """The hardest end there is."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(home: str, exchange: str, point: str, occurrence: str) -> None:
    """Run the exchange until the point is reached."""
    hub = open_hub(Path(home))
    kind, _, number = point.partition(":")
    seen = 0
    watching = False
    mine = hub.database

    def observe(step: str, figures: dict[str, Any]) -> None:
        nonlocal seen, watching
        watching = (kind == "target" and step == "7.commit") or (kind == "settle" and step == "8.promoted")
        if step == point:
            seen += 1
            if seen == int(occurrence):
                die()

    counted = 0

    def executed(connection: sa.Connection, *_: Any) -> None:
        nonlocal counted
        if watching and connection.engine not in (mine._write, mine._read):
            counted += 1
            if counted == int(number):
                die()

    if number:
        sa.event.listen(sa.Engine, "after_cursor_execute", executed)
    hub.oversight.run(exchange, by=current_actor(hub.settings, "integrator"), observe=observe)
    hub.close()
    sys.exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
