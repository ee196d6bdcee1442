"""What waits, as a scheduler's watcher asks for it once a second."""

from __future__ import annotations

import time
from pathlib import Path

from exchange.db import now
from exchange.db.tables import MessageRow
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.town import SYNC, Town, person


def pushed(town: Town, name: str, exchange: str = SYNC) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        message = MessageRow(
            department="d", message=name, exchange=exchange, endpoint="box", object="o", file=name, digest="", rows=1,
            kept=True, received_at=now(session),
        )  # fmt: skip
        session.add(message)


def test_nothing_waits_in_a_new_town(town: Town) -> None:
    with town.hub() as hub:
        assert hub.timetable.waiting() == {}


def test_the_mark_changes_with_every_message_and_stays_otherwise(town: Town) -> None:
    with town.hub() as hub:
        marks = []
        for name in ("a", "b"):
            pushed(town, name)
            marks.append(hub.timetable.waiting()[SYNC])
        assert hub.timetable.waiting() == {SYNC: marks[1]}
        assert marks[0] != marks[1]
        with hub.database.transaction() as session:
            for message in session.query(MessageRow):
                message.kept = False
        assert hub.timetable.waiting() == {}


def test_files_messages_and_what_is_owed_are_told_together(town: Town, tmp_path: Path) -> None:
    drops = Drops(town, 2)
    drops.collect(1, 2)
    (tmp_path / "desk").mkdir()
    desk = Desk(town, tmp_path / "desk")
    desk.offer()
    desk.put("people_1.csv", person(5))
    pushed(town, "a", town.share)
    with town.hub() as hub:
        found = hub.timetable.waiting()
        assert set(found) == {SYNC, town.share, *drops.shares}
        # A drop that is away takes nothing from the others.
        desk.root.rename(tmp_path / "elsewhere")
        assert hub.timetable.waiting() == {name: mark for name, mark in found.items() if name != SYNC}
        began = time.process_time()
        for _ in range(10):
            hub.timetable.waiting()
        assert (time.process_time() - began) / 10 < 0.1
