from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from exchange.web import correlation
from exchange.web.correlation import HEADER, Correlation
from tests.exchange.web.probe import Told, asked


def answered(given: str | None = None) -> str:
    headers = [] if given is None else [(HEADER, given)]
    return asked(Correlation(Told()), headers=headers)[1][HEADER.lower()]


def test_a_call_without_an_id_is_given_one_of_its_own() -> None:
    first, second = answered(), answered()
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first != second


def test_a_decent_id_of_the_caller_s_is_kept() -> None:
    assert answered("a1b2-c3.d4_E5") == "a1b2-c3.d4_E5"


@pytest.mark.parametrize(
    "given",
    ["", "short", "x" * 65, "abcdefgh\r\nSet-Cookie: a=b", "abcdefgh\nX", "abcdefgh ijk", "<script>alert</script>"],
)  # fmt: skip
def test_an_id_that_would_write_headers_or_lines_is_not(given: str) -> None:
    told = asked(Correlation(Told()), headers=[(HEADER, given)])[1]
    assert re.fullmatch("[0-9a-f]{16}", told[HEADER.lower()])
    assert "set-cookie" not in told


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logs as nobody has configured them: what else ran in this process may have, and loggers remember."""
    before = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr(correlation, "_log", structlog.get_logger("shutong.web"))
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("plain")
def test_the_line_has_the_id_and_the_status_and_never_the_address_asked_for() -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise KeyError

    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        asked(Correlation(Told()), "/people/320102199001010011?name=x", headers=[(HEADER, "abcdefgh")])
        with pytest.raises(KeyError):
            asked(Correlation(broken), headers=[(HEADER, "ijklmnop")])
    assert [(line["correlation"], line["status"], line["route"]) for line in lines] == [
        ("abcdefgh", 200, None),
        ("ijklmnop", 500, None),
    ]
    assert "320102199001010011" not in str(lines)
