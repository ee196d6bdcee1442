"""What planning is given: the grant as it stands now, and who else is at the same table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.errors import Denied, Invalid, Misplaced
from tests.exchange.engine.town import COLUMNS, SYNC, Town, application, grant, person, prepare, publish, resource


def begin_tomorrow(row: GrantRow) -> None:
    row.valid_from += timedelta(days=1)


def end_yesterday(row: GrantRow) -> None:
    row.valid_until = row.valid_from


def suspend(row: GrantRow) -> None:
    row.state = "suspended"


@pytest.mark.parametrize(
    ("change", "reason"),
    [(begin_tomorrow, "尚未生效"), (end_yesterday, "期限已过"), (suspend, "已中止")],
)
def test_an_exchange_without_a_grant_that_holds_is_not_planned(
    town: Town, change: Callable[[GrantRow], None], reason: str
) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            change(session.get_one(GrantRow, town.grant))
        with pytest.raises(Denied) as denied:
            hub.sharing.plan(town.share)
    assert [reason in each for each in denied.value.reasons] == [True]


def test_a_paused_exchange_is_not_planned(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, town.share).state = "paused"
        with pytest.raises(Misplaced, match="已暂停"):
            hub.sharing.plan(town.share)


def test_the_plan_is_made_of_directory_grant_and_exchange(town: Town) -> None:
    with town.hub() as hub:
        plan = hub.sharing.plan(town.share)
        with hub.database.reading() as session:
            row = session.get_one(GrantRow, town.grant)
            assert (plan.grant, plan.grant_version, plan.resource_version) == (
                row.id,
                row.version,
                row.resource_version,
            )
            assert plan.filter == row.body["filter"]
            assert now(session) >= row.valid_from
    assert plan.deliver == COLUMNS
    assert plan.masks["name"] == {"mask": "name"}
    assert plan.batch_rows == 2
    assert plan.tolerance.share == 0.5
    assert plan.source.capture == "journal"
    assert plan.source.fixed == {"shutong_provider": plan.provider}


def test_a_front_end_table_has_one_reader_by_its_status_column(town: Town) -> None:
    code = "101001001/0009"
    with town.hub() as hub:
        publish(town, hub, resource(code=code, name="同一张表"))
        with pytest.raises(Invalid) as refused:
            hub.sharing.plan("sync-101001001-0009")
        assert [SYNC in problem.message for problem in refused.value.problems] == [True]
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).state = "ended"
        assert hub.sharing.plan("sync-101001001-0009").source.capture == "outbox"


def test_two_grants_that_hold_do_not_meet_in_one_table(town: Town) -> None:
    town.report(*(person(number) for number in range(4)))
    town.run_both()
    old = town.share
    with town.hub() as hub:
        town.grant = grant(town, hub, scope="另一项业务", filter=None)
        for exchange, other in ((old, town.share), (town.share, old)):
            with pytest.raises(Invalid) as refused:
                hub.sharing.plan(exchange)
            assert [other in problem.message for problem in refused.value.problems] == [True]
        town.grant = grant(town, hub, scope="第三项业务", target={**application()["target"], "object": "other"})
        prepare(town, hub)
        assert hub.sharing.plan(town.share).target.object == "other"
