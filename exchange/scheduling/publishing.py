"""Publishing the snapshot by a process of its own (发布排班快照): what stays for days needs none of its libraries.

``python -m exchange.scheduling.publishing HOME`` says on standard output, as JSON, what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from exchange.errors import Failed, HubError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Published:
    """What came of publishing (发布结果).

    Attributes:
        exchanges: How many are scheduled.
        broken: Those that cannot be, each with its reason.
    """

    exchanges: int
    broken: Mapping[str, str]


def publish(home: Path) -> Published:
    """Make the snapshot of a hub true, as the platform.

    Args:
        home: The hub's home.

    Raises:
        Failed: It was not published; says why.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(  # noqa: S603 - a module of ours
        [sys.executable, "-m", __spec__.name, str(home)],
        stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    try:
        told = json.loads(done.stdout)
    except ValueError as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"退出状态 {done.returncode}"]
        raise Failed(f"排班快照没有写成：{last[0]}") from error
    if "error" in told:
        raise Failed(told["error"], remedy=told["remedy"])
    return Published(told["exchanges"], told["broken"])


def main(home: Path) -> None:
    """Publish, and say what came of it."""
    from exchange.hub import open_hub

    told: dict[str, object]
    try:
        with closing(open_hub(home)) as hub:
            published = hub.timetable.publish()
    except HubError as error:
        told = {"error": error.message, "remedy": error.remedy}
    else:
        told = {"exchanges": published.exchanges, "broken": published.broken}
    sys.stdout.write(json.dumps(told, ensure_ascii=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
