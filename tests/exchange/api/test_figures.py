"""What moved, as the console's dashboard shows it."""

from __future__ import annotations

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import SYNC


def test_what_moved_concerns_those_it_moved_between(calls: Programmes) -> None:
    calls.collected()
    told = calls.get("police", "/figures")
    assert (told["whole"]["runs"], told["whole"]["read"], told["whole"]["refused"]) == (1, 7, 1)
    assert [each["exchange"] for each in told["most_refused"]] == [SYNC]
    assert calls.get("tax", "/figures")["whole"]["runs"] == 0
    rows = calls.ask("police", "GET", "/figures/export", params={"format": "csv"})
    assert rows.content.decode("utf-8-sig").splitlines()[1].startswith(f"{SYNC},")
    assert len(calls.ask("tax", "GET", "/figures/export", params={"format": "jsonl"}).content) == 0


def test_a_period_that_cannot_be_is_told(calls: Programmes) -> None:
    answer = calls.ask("police", "GET", "/figures", params={"since": "2026-11-22", "until": "2026-11-21"})
    assert answer.status_code == 422
    assert "调换" in answer.json()["remedy"]
