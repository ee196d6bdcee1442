"""How tests are spread over processors: file by file, and files that share something slow together."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

TOGETHER = {
    "tests/exchange/demo/test_city.py": "one city",
    "tests/exchange/demo/test_programmes.py": "one city",
    "tests/exchange/demo/test_show.py": "one city",
    "tests/exchange/scheduling/test_running.py": "one Airflow",
    "tests/exchange/scheduling/test_watched.py": "one Airflow",
}
"""Files whose tests run one after the other in the same process, with the name of what they share."""


def unit(test: str) -> str:
    """What a test is handed out with: its file, or the name of what that shares with others."""
    file = test.partition("::")[0]
    return TOGETHER.get(file, file)


class Spreading(LoadFileScheduling):  # type: ignore[misc]
    """Hands a file, or files that share something, to whoever has nothing to do."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
