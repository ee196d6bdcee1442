"""From the source through the checks into a stage: what is counted, and when it stops."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import update

from exchange.db.tables import LeaseRow
from exchange.engine.manifest import Header
from exchange.engine.staging import demand_balance
from exchange.errors import Busy, Red
from tests.exchange.engine.town import SYNC, Town, at, person, wrong


def test_books_that_do_not_balance_are_red() -> None:
    demand_balance("x", Header(delivery="d", read=6, filtered=1, refused=2, staged=3))
    with pytest.raises(Red, match="交换 x 账不平"):
        demand_balance("x", Header(delivery="d", read=6, filtered=1, refused=2, staged=2))


def test_every_batch_is_told_and_counted(town: Town) -> None:
    town.report(*map(person, range(5)), wrong(7))
    told: list[dict[str, int]] = []
    town.run(SYNC, observe=lambda step, figures: told.append(figures) if step == "3.read" else None)
    assert [figures["read"] for figures in told] == [2, 4, 6]
    assert (told[-1]["refused"], told[-1]["staged"]) == (1, 5)


def test_who_has_lost_the_lease_reads_no_further(town: Town) -> None:
    town.report(*map(person, range(6)))
    town.hold_leases_for(0.3)
    steps: list[str] = []
    stolen = at("3.read", lambda: steal(town))

    def observe(step: str, figures: dict[str, Any]) -> None:
        steps.append(step)
        stolen(step, figures)

    with pytest.raises(Busy, match="接管"):
        town.run(SYNC, observe=observe)
    assert steps.count("3.read") == 1
    assert town.rows("library") == {}


def steal(town: Town) -> None:
    """Take every lease over, and wait until its owner must have noticed."""
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(update(LeaseRow).values(owner="another", epoch=LeaseRow.epoch + 1, expires=2e9))
    time.sleep(0.5)
