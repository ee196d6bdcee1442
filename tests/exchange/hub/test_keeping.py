from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import EventRow, GrantRow
from exchange.errors import Failed
from exchange.hub.keeping import keep
from exchange.identity import PLATFORM
from tests.exchange.engine.town import SYNC, Town


def test_each_part_of_housekeeping_fails_by_itself(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(GrantRow, town.grant).valid_until = now(session) - timedelta(seconds=1)

        def away(**_: Any) -> int:
            raise Failed("存储不可用", retry=True)

        monkeypatch.setattr(hub.engine.retention, "expire", away)
        monkeypatch.setattr(hub.engine.pruning, "prune", away)
        kept = hub.timetable.keep()
        assert kept.failed == {"quarantine": "存储不可用", "books": "存储不可用"}
        others = ("pauses", "documents", "answers", "recalls", "boxes", "dispatches", "sessions", "freshness")
        assert kept.done == {"grants": 1, **dict.fromkeys((*others, "tallies", "log"), 0)}
        assert hub.timetable.lost(0) == [SYNC]
        assert [name for name, _ in hub.oversight.run_due(by=town.actor("integrator"))] == [SYNC]


def test_a_part_of_somebody_elses_is_done_after_the_others_and_a_disk_may_fail(town: Town) -> None:
    seen: list[str] = []

    def full() -> int:
        raise OSError(28, "No space left on device")

    with town.hub() as hub:
        kept = keep(hub, by=PLATFORM, more={"full": full, "more": lambda: seen.append("more") or 3})
    assert seen == ["more"]
    assert kept.done["more"] == 3
    assert list(kept.failed) == ["full"]
    assert "No space left" in kept.failed["full"]


def test_what_housekeeping_does_is_in_the_log_under_who_asked(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(GrantRow, town.grant).valid_until = now(session) - timedelta(seconds=1)
        hub.timetable.keep()
        (event,) = town.all(sa.select(EventRow).where(EventRow.type == "GrantExpired"))
        assert (event.actor, event.number is not None) == ("platform", True)
