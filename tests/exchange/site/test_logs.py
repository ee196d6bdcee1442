from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def said(script: str) -> list[dict[str, str]]:
    """What a process of the site says, line by line."""
    begin = "import logging, structlog\nfrom exchange.site.logs import configure\nconfigure()\n"
    done = subprocess.run([sys.executable, "-c", begin + script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_one_object_whoever_says_it() -> None:
    first, second = said(
        "structlog.contextvars.bind_contextvars(correlation='abcdefgh')\n"
        "structlog.get_logger('shutong.web').info('call', route='/me', status=200)\n"
        "logging.getLogger('exchange.hub').warning('两行\\n都在一行里 %s', 1)\n"
    )
    assert (first["event"], first["route"], first["correlation"], first["level"]) == ("call", "/me", "abcdefgh", "info")
    assert (second["event"], second["logger"]) == ("两行\n都在一行里 1", "exchange.hub")
    assert second["correlation"] == "abcdefgh"
    assert second["timestamp"].endswith("Z")


def test_a_defect_is_told_with_where_it_happened() -> None:
    [line] = said(
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n"
        "    logging.getLogger('exchange.console').error('a defect', exc_info=error)\n"
    )
    assert "ZeroDivisionError" in line["exception"]
    assert line["level"] == logging.getLevelName(logging.ERROR).lower()


def test_what_is_not_of_interest_is_not_said() -> None:
    assert said("logging.getLogger('exchange.hub').debug('x')\nlogging.getLogger('elsewhere').info('y')\n") == []
