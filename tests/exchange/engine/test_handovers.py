"""Books of documents: what was handed over, what the library has, and what may go."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, HandoverRow, HoldingRow
from tests.exchange.engine.licences import SYNC, Licences, build, pdf
from tests.exchange.engine.town import Town, counts
from tests.exchange.engine.worker import Workers


@pytest.fixture
def licences(town: Town, tmp_path: Path) -> Licences:
    return build(town, tmp_path)


def _spooled(town: Town) -> list[Path]:
    return [path for path in (town.home / "spool/documents").glob("??/*") if len(path.name) == 64]


def _expire(town: Town) -> int:
    """Let all documents grow old, then remove what may go."""
    for path in _spooled(town):
        os.utime(path, (1, 1))
    with town.hub() as hub:
        return hub.engine.handovers.expire(by=town.actor("integrator"), days=90)


def _check(licences: Licences) -> None:
    found = licences.delivered(licences.out)
    assert {number: content for number, (_, content) in found.items()} == licences.expected()


def test_a_new_file_of_a_licence_takes_the_place_of_the_old(licences: Licences) -> None:
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")))
    licences.run_all()
    licences.drop((licences.row("1", "甲.pdf", version=2), pdf("新")))
    licences.run_all()
    _check(licences)
    assert len(town.all(sa.select(HoldingRow.document))) == 1
    # An older one that comes late changes nothing, and what the library has stays held.
    licences.drop((licences.row("1", "甲.pdf", version=1), pdf("旧")))
    licences.told["1"] = (licences.row("1", "甲.pdf", version=2), pdf("新"))
    assert town.run(SYNC).counts == counts(read=1, superseded=1)
    assert len(town.all(sa.select(HoldingRow.document))) == 2
    _check(licences)


def test_what_is_needed_stays_and_what_is_not_goes_in_time(licences: Licences) -> None:
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "乙.pdf"), pdf("乙")))
    licences.run_all()
    licences.drop((licences.row("1", "甲.pdf", version=2), pdf("新")))
    licences.run_all()
    assert len(_spooled(town)) == 3
    with town.hub() as hub:
        assert hub.engine.handovers.expire(by=town.actor("integrator"), days=90) == 0
    assert _expire(town) == 1
    assert {path.name for path in _spooled(town)} == set(town.all(sa.select(HoldingRow.document)))
    [body] = town.all(sa.select(EventRow.body).where(EventRow.type == "DocumentsExpired"))
    assert body["documents"] == 1
    assert _expire(town) == 0


def test_what_an_unfinished_delivery_needs_stays(licences: Licences, workers: Workers) -> None:
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")))
    town.run(SYNC)
    share = licences.shares[0]
    assert workers.run(town.home, share, "6.gated", 1) != 0
    licences.drop((licences.row("1", "甲.pdf", version=2), pdf("新")))
    town.run(SYNC)
    # The library has another one now; who died has not delivered the first.
    assert _expire(town) == 0
    with closing(sqlite3.connect(town.home / "hub.db", timeout=20)) as connection, connection:
        connection.execute("UPDATE lease SET expires = 0 WHERE exchange = ?", (share,))
    town.run(share)
    town.run(share)
    _check(licences)
    assert _expire(town) == 1


def test_what_is_deleted_is_held_no_more(licences: Licences) -> None:
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")))
    licences.run_all()
    licences.drop((licences.row("1", "", version=2), None))
    licences.run_all()
    assert town.all(sa.select(HoldingRow.document)) == []
    assert len(town.all(sa.select(HandoverRow.id))) == 1
    assert _expire(town) == 1


def test_two_rows_with_one_document_hold_it_both(licences: Licences) -> None:
    town = licences.town
    licences.drop((licences.row("1", "甲.pdf"), pdf("同")), (licences.row("2", "乙.pdf"), pdf("同")))
    licences.run_all()
    _check(licences)
    assert len(_spooled(town)) == 1
    licences.drop((licences.row("1", "", version=2), None))
    licences.run_all()
    assert _expire(town) == 0
    assert len(_spooled(town)) == 1
