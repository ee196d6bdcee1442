"""The leash (看护): a small process that ends others when whoever started them is gone, however that went.

``python -I -S leash.py`` reads lines ``+SESSION`` and ``-SESSION`` from its standard input: processes that lead a
session of their own. When that closes, it ends all that is left of these sessions: asks, tells, kills. A process may
have left its leader's group, as Airflow's tasks do; its session it cannot leave without becoming somebody else.
It imports the standard library alone, and is run as a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

ASKED_SECONDS = 12.0
"""Within which processes that were asked to end (SIGINT) have ended."""
TOLD_SECONDS = 5.0
"""Within which those that were told to (SIGTERM) have."""
FIRST = 2
"""The kernel's own and that of the first process are nobody's to end."""


def main() -> None:
    """Remember sessions until the input closes; then end them."""
    for deaf in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(deaf, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        (sessions.add if line[0] == "+" else sessions.discard)(int(line[1:]))
    end(sessions)


def end(sessions: Collection[int]) -> None:
    """End sessions together: their leaders' groups are asked (SIGINT), all are told (SIGTERM), and killed at last."""
    for leader in sessions:
        if leader >= FIRST:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGINT)
    if _gone(sessions, ASKED_SECONDS):
        return
    send(sessions, signal.SIGTERM)
    if not _gone(sessions, TOLD_SECONDS):
        kill(sessions)


def kill(sessions: Collection[int]) -> None:
    """Kill all of some sessions, and what they start meanwhile."""
    for _ in range(50):
        send(sessions, signal.SIGKILL)
        if _gone(sessions, 0.1):
            return


def _gone(sessions: Collection[int], seconds: float) -> bool:
    """Whether nothing of some sessions is left, at once or within a while."""
    until = time.monotonic() + seconds
    while living(sessions):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def send(sessions: Collection[int], message: signal.Signals) -> None:
    """Send a signal to every process of sessions that are still there."""
    for pid in living(sessions):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, message)


def living(sessions: Collection[int]) -> set[int]:
    """Processes of sessions that have not ended; one that has, and nobody has waited for, has."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in brackets may hold anything; what follows the last bracket may not.
            state, _parent, _group, session = stat.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if int(session) in sessions and int(session) >= FIRST and state not in "ZX":
                found.add(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main()
