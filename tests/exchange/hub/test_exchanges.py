"""Exchanges looked up: page by page in a steady order, one with all it is made of, to those whom they concern."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, LeaseRow
from exchange.errors import Denied, Unknown
from exchange.settings import Role
from tests.exchange.engine.test_structures import redefined
from tests.exchange.engine.town import CODE, POLICE, SYNC, TAX, Town, person, wrong


def test_pages_follow_each_other_and_none_is_left_out(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        whole = hub.exchanges.listed(by=by)
        first = hub.exchanges.listed(by=by, most=1)
        second = hub.exchanges.listed(by=by, most=1, after=first.following)
    assert [each.id for each in whole.exchanges] == [SYNC, town.share]
    assert whole.following is None
    assert ([each.id for each in first.exchanges], first.following) == ([SYNC], SYNC)
    assert ([each.id for each in second.exchanges], second.following) == ([town.share], None)
    assert list(whole.exchanges) == town.status()


def test_filters_are_of_what_somebody_sees(town: Town) -> None:
    with town.hub() as hub:

        def found(who: str, **filters: str) -> list[str]:
            page = hub.exchanges.listed(by=town.actor(who), **filters)  # type: ignore[arg-type]  # as they are typed
            return [each.id for each in page.exchanges]

        assert found("tax") == [town.share]
        assert found("police") == [SYNC, town.share]
        assert found("auditor", department=TAX) == [town.share]
        assert found("tax", department=POLICE) == [town.share]
        assert found("police", text="sync-") == [SYNC]
        assert found("police", text=CODE) == [SYNC, town.share]
        assert found("police", text="%") == []


def test_each_state_has_its_own(town: Town) -> None:
    town.report(*map(person, range(2)))
    town.run_both()
    by = town.actor("integrator")

    def found(state: str) -> list[str]:
        with town.hub() as hub:
            page = hub.exchanges.listed(by=by, state=state)  # type: ignore[arg-type]  # one of them
            assert {each.state for each in page.exchanges} <= {state}
            return [each.id for each in page.exchanges]

    assert found("active") == [SYNC, town.share]
    with town.hub() as hub:
        hub.pausing.pause("exchange", town.share, reason="核查", by=by)
    redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)")(town)
    with pytest.raises(Exception, match="结构"):
        town.run(SYNC)
    assert {state: found(state) for state in ("active", "held", "paused", "ended")} == {
        "active": [], "held": [SYNC], "paused": [town.share], "ended": [],
    }  # fmt: skip
    town.change("revoke")
    assert found("ended") == [town.share]
    assert found("paused") == []


def test_one_is_told_whole(town: Town) -> None:
    town.report(*map(person, range(2)), wrong(7))
    town.run_both()
    with town.hub() as hub:
        shown = hub.exchanges.show(town.share, by=town.actor("tax"))
        source = hub.exchanges.show(SYNC, by=town.actor("police"))
    assert (shown.name, shown.version, shown.grant) == ("人口基本信息", 1, town.grant)
    assert shown.masks == {"name": "姓名只留首字"}
    assert shown.delivered == ("id_no", "name", "district", "born", "ver")
    assert (shown.target.endpoint, shown.target.object) == ("tax", "person")
    assert [run.receipt for run in shown.runs] == [town.receipts(town.share)[0].id]
    assert shown.unfinished is None
    assert not shown.leased
    assert source.open_rows
    assert source.runs[0].counts["refused"] == 1


def test_a_recipient_is_not_told_of_refused_rows(town: Town) -> None:
    town.report(person(1), wrong(7))
    town.run(SYNC)
    with town.hub() as hub:
        assert hub.exchanges.show(SYNC, by=town.actor("auditor")).open_rows
        # The hub's reviewer is of the recipient's department, and oversees nothing.
        assert not hub.exchanges.show(SYNC, by=town.actor("centre")).open_rows


def test_who_is_not_concerned_is_refused_and_it_is_logged(town: Town) -> None:
    with town.hub() as hub:
        with pytest.raises(Denied):
            hub.exchanges.show(SYNC, by=town.actor("tax"))
        with pytest.raises(Denied):
            hub.configuration.own_of(SYNC, by=town.actor("tax"))
        with pytest.raises(Unknown):
            hub.exchanges.show("sync-none", by=town.actor("integrator"))
    assert len(town.all(sa.select(EventRow.id).where(EventRow.type == "AccessDenied"))) == 2


def test_whether_somebody_runs_it_now(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.add(LeaseRow(exchange=SYNC, epoch=1, owner="somebody", expires=1e12))
        assert hub.exchanges.show(SYNC, by=town.actor("police")).leased
        with hub.database.transaction() as session:
            session.get_one(LeaseRow, SYNC).expires = 1.0
        assert not hub.exchanges.show(SYNC, by=town.actor("police")).leased


def test_what_rests_and_what_is_at_an_endpoint(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        assert hub.exchanges.pause(kind="endpoint", name="police") is None
        hub.pausing.pause("endpoint", "police", reason="检修", by=by)
        paused = hub.exchanges.pause(kind="endpoint", name="police")
        assert paused is not None
        assert (paused.reason, paused.by) == ("检修", by.name)
        assert [each.name for each in hub.exchanges.show(SYNC, by=by).pauses] == ["police"]
        assert hub.exchanges.at("police", by=by) == (SYNC,)
        assert hub.exchanges.at("library", by=by) == (SYNC, town.share)
        assert hub.exchanges.at("library", by=town.actor("tax")) == (town.share,)


def test_settings_are_described_anew(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        given = {"schedule": "0 3 * * *", "tolerance": {"share": "5%"}}
        assert hub.configuration.configure(SYNC, given, by=by).action == "change"
        assert hub.configuration.configure(SYNC, given, by=by).action == "same"
        assert hub.configuration.own_of(SYNC, by=by) == {"schedule": "0 3 * * *", "tolerance": {"share": 0.05}}
        assert hub.configuration.configure(SYNC, {}, by=by).action == "change"
        assert hub.configuration.own_of(SYNC, by=by) == {}
        with pytest.raises(Unknown):
            hub.configuration.configure("sync-none", {}, by=by)
        provider = replace(by, name="公安集成", department=POLICE, roles=frozenset({Role.INTEGRATOR}))
        with pytest.raises(Denied):
            hub.configuration.configure(SYNC, given, by=provider)
    kinds = town.all(sa.select(EventRow.type).where(EventRow.type.in_(("RhythmConfigured", "AccessDenied"))))
    assert sorted(kinds) == ["AccessDenied", "RhythmConfigured", "RhythmConfigured"]
    assert town.faults() == []
