from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import RunRow
from exchange.errors import HubError
from exchange.hub.behind import behind
from tests.exchange.engine.town import SYNC, Town, person

OTHER = "101001001/0002"


def late(town: Town, grace: float = 0.0) -> list[str]:
    with town.hub() as hub:
        return behind(hub, grace)


def set_rhythm(town: Town, **rhythm: Any) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        query = sa.text("UPDATE exchange SET settings = :settings WHERE id = :id")
        session.execute(query, {"settings": json.dumps(rhythm), "id": town.share})


def test_a_delivery_is_behind_from_the_refresh_until_it_is_begun(town: Town) -> None:
    assert late(town) == []  # it never ran: its time has come anyway
    town.report(person(1))
    town.run_both()
    assert late(town) == []
    town.report(person(2))
    town.run(SYNC)
    assert late(town) == [town.share]
    assert late(town, grace=3600) == []
    town.run(town.share)
    assert late(town) == []


def test_what_was_tried_in_vain_is_not_behind_until_there_is_something_newer(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    town.report(person(2))
    town.run(SYNC)
    # It has its next time, or waits for who mends it: nobody calls it minute by minute.
    at_tax = Path(sa.make_url(town.urls["tax"]).database or "")
    at_tax.rename(at_tax.with_name("away"))
    with town.hub() as hub, pytest.raises(HubError):
        hub.oversight.carry_out(town.share, scheduled=True)
    assert late(town) == []
    at_tax.with_name("away").rename(at_tax)
    town.report(person(3))
    town.run(SYNC)
    assert late(town) == [town.share]
    town.run(town.share)
    assert late(town) == []


def test_a_run_that_changed_nothing_leaves_nobody_behind(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    town.run(SYNC)
    assert late(town) == []


@pytest.mark.parametrize("state", ["suspend", "revoke"])
def test_who_is_no_longer_granted_is_not_behind(town: Town, state: str) -> None:
    town.report(person(1))
    town.run_both()
    town.report(person(2))
    town.run(SYNC)
    town.change(state)
    assert late(town) == []


def test_what_has_times_of_its_own_waits_for_them(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    town.report(person(2))
    town.run(SYNC)
    set_rhythm(town, schedule="0 4 * * *")
    assert late(town) == []


def test_what_waits_for_several_is_behind_when_all_were_refreshed_on_one_day(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    town.report(person(2))
    town.run(SYNC)
    set_rhythm(town, all_of=[OTHER])
    assert late(town) == []
    # Another collection, of the same day and then of another one, as its books would have it.
    with town.hub() as hub, hub.database.transaction() as session:
        row = dict(session.execute(sa.text(f"SELECT * FROM exchange WHERE id = '{SYNC}'")).mappings().one())
        row |= {"id": "sync-other", "resource": OTHER}
        names = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(f":{name}" for name in row)
        session.execute(sa.text(f"INSERT INTO exchange ({names}) VALUES ({values})"), row)
        run = session.scalars(sa.select(RunRow).where(RunRow.exchange == SYNC).order_by(RunRow.started_at)).all()[-1]
        session.add(
            RunRow(
                id="r-other", exchange="sync-other", delivery="d-other", state="settled", plan={}, plan_digest="",
                epoch=1, counts={"written": 1}, started_at=run.started_at, ended_at=run.ended_at,
            )
        )  # fmt: skip
    assert late(town) == [town.share]
    with town.hub() as hub, hub.database.transaction() as session:
        other = session.get_one(RunRow, "r-other")
        assert other.ended_at is not None
        other.ended_at -= timedelta(days=2)
    assert late(town) == []
