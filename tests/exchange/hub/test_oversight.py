from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import EventRow, ExchangeRow, GrantRow
from exchange.engine import RunResult
from exchange.errors import Denied, HubError, Unknown
from exchange.hub.roster import ZONE
from exchange.identity import PLATFORM, Actor, through_scheduler
from exchange.settings import Role
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import HUB, POLICE, SYNC, TAX, Town, person, wrong


def people(town: Town) -> None:
    town.report(*(person(number) for number in range(40)), wrong(50))


def test_what_is_due_runs_in_order_and_then_waits_its_cycle(town: Town) -> None:
    people(town)
    with town.hub() as hub:
        assert hub.oversight.due() == [SYNC, town.share]
        (_, first), (_, second) = hub.oversight.run_due(by=town.actor("integrator"))
        assert isinstance(first, RunResult)
        assert isinstance(second, RunResult)
        assert (first.plan.exchange, second.plan.exchange) == (SYNC, town.share)
        assert second.counts["written"] > 0
        assert hub.oversight.due() == []
        waits = [each.due_at - each.ended_at for each in hub.oversight.status() if each.due_at and each.ended_at]
        assert all(timedelta(hours=23) < wait < timedelta(hours=25) for wait in waits)


def test_one_that_fails_does_not_keep_the_others_and_is_due_soon_again(town: Town) -> None:
    people(town)
    town.execute("police", "ALTER TABLE inf_person RENAME TO elsewhere")
    with town.hub() as hub:
        (_, failed), (_, shared) = hub.oversight.run_due(by=town.actor("integrator"))
        assert isinstance(failed, HubError)
        assert isinstance(shared, RunResult)


def test_a_grant_whose_period_is_over_is_ended_when_what_is_due_is_run(town: Town) -> None:
    people(town)
    with town.hub() as hub:
        with hub.database.transaction() as session:
            exchange = session.get_one(ExchangeRow, town.share)
            grant = session.get_one(GrantRow, exchange.grant)
            grant.valid_until = now(session) - timedelta(seconds=1)
        assert [name for name, _ in hub.oversight.run_due(by=town.actor("integrator"))] == [SYNC]
        with hub.database.reading() as session:
            assert session.get_one(GrantRow, exchange.grant).state == "expired"


def test_one_in_other_hands_is_left_to_them(town: Town) -> None:
    people(town)
    with town.hub() as hub, town.hub() as other:

        def meanwhile(step: str, _figures: object) -> None:
            if step == "6.gated":
                found.extend(name for name, _ in other.oversight.run_due(by=town.actor("integrator")))

        found: list[str] = []
        hub.oversight.run(SYNC, by=town.actor("integrator"), observe=meanwhile)
        assert found == [town.share]


def test_an_unfinished_run_is_due_whatever_became_of_its_grant(town: Town) -> None:
    class Death(BaseException):
        pass

    def dying(step: str, _figures: object) -> None:
        if step == "6.gated":
            raise Death

    people(town)
    town.run(SYNC)
    with pytest.raises(Death):
        town.run(town.share, observe=dying)
    town.change("revoke")
    with town.hub() as hub:
        assert town.share in hub.oversight.due()
    assert town.run(town.share).state == "settled"
    assert town.rows("tax") == town.granted()


def test_a_delivery_is_followed_from_grant_to_receipt_by_its_parties(town: Town) -> None:
    people(town)
    result, _ = town.run_both()
    with town.hub() as hub:
        for name in (result.id, result.receipt or "", SYNC):
            told = hub.oversight.trace(name, by=town.actor("police"))
            assert told["run"] == result.id
            assert told["receipt"]["counts"] == told["counts"]
            assert told["grant"].passes
            assert "RunCommitted" in {event.type for event in told["events"]}
        with pytest.raises(Denied):
            hub.oversight.trace(SYNC, by=town.actor("tax"))
        with pytest.raises(Unknown):
            hub.oversight.trace("nothing", by=town.actor("police"))


def test_refused_rows_are_shown_to_their_provider_without_content(town: Town) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        (refused,) = hub.oversight.quarantine(by=town.actor("police"))
        assert (refused.item, refused.rule, refused.kept) == ("id_no", "identity_number", False)
        assert wrong(50)["id_no"] not in str(refused)
        assert hub.oversight.quarantine(by=town.actor("tax")) == []
        assert hub.oversight.quarantine(by=town.actor("police"), exchange=town.share) == []
        assert [notice.department for notice in hub.oversight.notices(by=town.actor("police"))]


def test_the_log_is_the_audit_administrators(town: Town, tmp_path: Path) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        auditor = town.actor("auditor")
        for attempt in (
            lambda: hub.oversight.verify(by=town.actor("integrator")),
            lambda: hub.oversight.search(by=town.actor("police")),
            lambda: hub.oversight.export(tmp_path / "log.jsonl", by=town.actor("centre")),
        ):
            with pytest.raises(Denied):
                attempt()
        assert hub.oversight.verify(by=auditor).verified
        written = hub.oversight.export(tmp_path / "log.jsonl", by=auditor, exchange=SYNC)
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert len(lines) == written > 3
        assert {json.loads(line)["exchange"] for line in lines} == {SYNC}


def test_a_touched_log_is_named(town: Town) -> None:
    people(town)
    town.run_both()
    with sa.create_engine(f"sqlite:///{town.home / 'hub.db'}", poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("DELETE FROM event WHERE type = 'RunGated'")
    with town.hub() as hub:
        verification = hub.oversight.verify(by=town.actor("auditor"))
    assert not verification.verified
    assert verification.faults


def test_a_paused_exchange_is_not_due(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).state = "paused"
        assert hub.oversight.due() == [town.share]


# --- reconciliation --------------------------------------------------------------------------------


def somebody(department: str, *roles: Role) -> Actor:
    return Actor(name="某人", established="demo", department=department, roles=frozenset(roles))


def stolen(town: Town) -> Town:
    """A row is missing at the recipient, and one is too many."""
    people(town)
    town.run_both()
    town.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    town.execute("tax", f"INSERT INTO person VALUES ('{person(3)['id_no']}', '别*', '321283', NULL, 1)")
    return town


def logged(town: Town, kind: str) -> list[EventRow]:
    return town.all(sa.select(EventRow).where(EventRow.type == kind).order_by(EventRow.id))


def test_a_reconciliation_is_recorded_with_counts_and_both_digests(town: Town) -> None:
    stolen(town)
    with town.hub() as hub:
        found = hub.oversight.reconcile(town.share, by=town.actor("integrator"))
    assert not found.agrees
    assert {each.key for each in found.rows} == {None}
    (event,) = logged(town, "ExchangeReconciled")
    assert event.exchange == town.share
    assert event.body["agrees"] is False
    assert (event.body["expected"], event.body["held"]) == (found.expected_digest, found.held_digest)
    assert (event.body["counts"]["missing"], event.body["counts"]["surplus"]) == (1, 1)
    assert event.body["counts"]["held"] == found.held
    assert logged(town, "KeysRevealed") == []
    assert town.faults() == []


@pytest.mark.parametrize(
    ("department", "role"),
    [(HUB, Role.INTEGRATOR), (POLICE, Role.INTEGRATOR), (TAX, Role.INTEGRATOR), (HUB, Role.AUDIT)],
)
def test_integrators_of_either_side_and_the_auditor_may_reconcile(town: Town, department: str, role: Role) -> None:
    stolen(town)
    with town.hub() as hub:
        assert hub.oversight.reconcile(town.share, by=somebody(department, role)).counts["missing"] == 1


@pytest.mark.parametrize(
    ("department", "role"),
    [("11321200TE00000999", Role.INTEGRATOR), (POLICE, Role.CLERK), (TAX, Role.REVIEWER), (HUB, Role.SECURITY)],
)
def test_nobody_else_may(town: Town, department: str, role: Role) -> None:
    with town.hub() as hub, pytest.raises(Denied):
        hub.oversight.reconcile(town.share, by=somebody(department, role))
    (event,) = logged(town, "AccessDenied")
    assert event.exchange == town.share
    assert logged(town, "ExchangeReconciled") == []


@pytest.mark.parametrize(("department", "role"), [(POLICE, Role.INTEGRATOR), (HUB, Role.AUDIT)])
def test_keys_in_clear_are_an_event(town: Town, department: str, role: Role) -> None:
    stolen(town)
    with town.hub() as hub:
        found = hub.oversight.reconcile(town.share, by=somebody(department, role), keys=True)
    assert {each.key["id_no"] for each in found.rows if each.key} == {person(1)["id_no"], person(3)["id_no"]}
    (event,) = logged(town, "KeysRevealed")
    assert (event.exchange, event.body) == (town.share, {"rows": 2})
    assert person(1)["id_no"] not in str([each.body for each in logged(town, "ExchangeReconciled")])


def test_the_recipient_is_shown_the_keys_it_holds_and_learns_nothing_by_them(town: Town) -> None:
    stolen(town)
    with town.hub() as hub:
        found = hub.oversight.reconcile(town.share, by=somebody(TAX, Role.INTEGRATOR), keys=True)
    told = {each.kind: each for each in found.rows}
    assert told["missing"].key is None
    assert told["surplus"].key == {"id_no": person(3)["id_no"]}
    assert told["surplus"].why == ()
    with town.hub() as hub:
        seen = hub.oversight.reconcile(town.share, by=somebody(POLICE, Role.INTEGRATOR))
    assert {each.kind: each.why for each in seen.rows}["surplus"] == ("withdrawn",)


def test_the_hubs_integrator_is_shown_no_keys_of_others(town: Town) -> None:
    stolen(town)
    with town.hub() as hub, pytest.raises(Denied, match="业务主键"):
        hub.oversight.reconcile(town.share, by=town.actor("integrator"), keys=True)
    assert len(logged(town, "AccessDenied")) == 1
    assert logged(town, "KeysRevealed") == logged(town, "ExchangeReconciled") == []


def test_without_a_grant_that_holds_nothing_is_compared(town: Town) -> None:
    stolen(town)
    town.change("suspend")
    with town.hub() as hub, pytest.raises(Denied, match="没有有效授权"):
        hub.oversight.reconcile(town.share, by=town.actor("integrator"))
    assert len(logged(town, "AccessDenied")) == 1


def test_reconciling_what_is_not_there(town: Town) -> None:
    with town.hub() as hub, pytest.raises(Unknown, match="share-G404"):
        hub.oversight.reconcile("share-G404", by=town.actor("integrator"))


def events_of(town: Town, run: str) -> list[EventRow]:
    return town.all(sa.select(EventRow).where(EventRow.run == run).order_by(EventRow.id))


def test_a_scheduled_run_is_a_rule_of_the_platform_in_the_log(town: Town) -> None:
    people(town)
    with town.hub() as hub:
        result = hub.oversight.carry_out(SYNC, scheduled=True)
        assert result.counts["written"] > 0
        assert hub.oversight.due() == [town.share]
    assert {(event.actor, event.established) for event in events_of(town, result.id)} == {("platform", "system")}


def test_who_ran_it_through_a_scheduler_is_named(town: Town) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        by = through_scheduler(" 值班员 ")
        again = hub.oversight.carry_out(town.share, by=by, scheduled=True, redeliver=True)
        assert again.plan.full
    assert {(event.actor, event.established) for event in events_of(town, again.id)} == {("值班员", "scheduler")}


@pytest.mark.parametrize("name", ["", "  ", "platform", "a\x00b"])
def test_a_scheduler_cannot_name_nobody_or_the_platform(name: str) -> None:
    with pytest.raises(Denied):
        through_scheduler(name)


def test_the_platform_never_delivers_again_by_itself_and_nobody_borrows_its_hand(town: Town) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        with pytest.raises(Denied, match="重新送达"):
            hub.oversight.carry_out(town.share, scheduled=True, redeliver=True)
        with pytest.raises(Denied, match="按时执行"):
            hub.oversight.carry_out(SYNC, by=town.actor("tax"), scheduled=True)
    refused = town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))
    assert [event.exchange for event in refused] == [town.share, SYNC]


def test_a_scheduled_run_notes_what_it_owed_and_a_couriers_leaves_that_to_him(town: Town) -> None:
    drops = Drops(town, 1)
    (share,) = drops.shares
    drops.collect(1, 2)
    with town.hub() as hub:
        assert hub.timetable.waiting().keys() == {share}
        hub.oversight.carry_out(share, scheduled=True)
        assert hub.timetable.waiting() == {}
        assert hub.engine.dispatches.counts()["done"] == 1
        drops.collect(3)
        drops.root(0).rename(drops.root(0).with_name("away"))
        with pytest.raises(HubError):
            hub.oversight.carry_out(share)
        (owed, _) = hub.engine.dispatches.listed()
        assert (owed.state, owed.error) == ("owed", None)
        with pytest.raises(HubError) as caught:
            hub.oversight.carry_out(share, scheduled=True)
        (noted, _) = hub.engine.dispatches.listed()
        assert (noted.state, noted.error) == ("dead", caught.value.message)
        assert share not in hub.timetable.lost(0)


def test_an_exchanges_own_schedule_says_when_it_is_due_next(town: Town) -> None:
    people(town)
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).settings = {"schedule": "0 4 1 1 *"}
        hub.oversight.carry_out(SYNC, scheduled=True)
        (found,) = (each for each in hub.oversight.status() if each.id == SYNC)
        assert found.due_at is not None
        assert found.due_at.astimezone(ZONE).strftime("%m-%d %H:%M") == "01-01 04:00"


def test_the_platform_verifies_the_log_by_itself(town: Town) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        assert hub.oversight.verify(by=PLATFORM).verified


def test_refused_rows_are_listed_page_by_page(town: Town) -> None:
    town.report(*map(person, range(6)), *(wrong(number) for number in (7, 8, 9)))
    town.run(SYNC)
    by = town.actor("police")
    with town.hub() as hub:
        every = [row.id for row in hub.oversight.quarantine(by=by)]
        first = hub.oversight.quarantine(by=by, most=2)
        assert [row.id for row in first] == [every[2], every[1]]
        second = hub.oversight.quarantine(by=by, most=2, before=first[-1].id)
        assert [row.id for row in second] == [every[0]]
        assert hub.oversight.quarantine(by=by, rule="no-such-rule") == []
        assert len(hub.oversight.quarantine(by=by, rule=first[0].rule)) == 3


def test_whether_somebody_may_run_it_is_told_before_it_runs(town: Town) -> None:
    with town.hub() as hub:
        hub.oversight.demand_may_run(SYNC, by=town.actor("integrator"))
        hub.oversight.demand_may_run(SYNC, by=town.actor("police"), replay=True)
        for who, options in (("police", {}), ("tax", {"replay": True}), ("auditor", {})):
            with pytest.raises(Denied):
                hub.oversight.demand_may_run(SYNC, by=town.actor(who), **options)
        with pytest.raises(Unknown):
            hub.oversight.demand_may_run("sync-none", by=town.actor("integrator"))
    assert town.runs(SYNC) == []
    assert len(town.all(sa.select(EventRow.id).where(EventRow.type == "AccessDenied"))) == 3
