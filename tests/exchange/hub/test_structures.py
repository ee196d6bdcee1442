"""Comparing and approving the structures of an exchange's tables: who may, and what it does."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from exchange.audit import events
from exchange.db.tables import EventRow
from exchange.errors import Denied, Held, HubError, Invalid, Misplaced, Unknown
from exchange.hub import Hub
from exchange.settings import ActorEntry, Role
from tests.exchange.engine.test_structures import redefined
from tests.exchange.engine.town import PEOPLE, POLICE, SYNC, Town, person

NARROWED = redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)")


@pytest.fixture
def changed(town: Town) -> Town:
    """Everything has moved once, and the police narrowed a column."""
    town.report(*(person(number) for number in range(4)))
    town.run_both()
    NARROWED(town)
    return town


def approve(town: Town, exchange: str = SYNC, *, by: str = "integrator", reason: str = "已核实没有超长的") -> Any:
    with town.hub() as hub:
        return hub.structures.approve(exchange, reason=reason, by=town.actor(by))


def diff(hub: Hub, town: Town, exchange: str = SYNC, by: str = "integrator") -> list[tuple[str, list[str]]]:
    compared = hub.structures.diff(exchange, by=town.actor(by))
    return [(each.look.side, [change.difference.kind for change in each.changes]) for each in compared]


def test_looking_changes_nothing(changed: Town) -> None:
    before = changed.all(sa.select(sa.func.count()).select_from(EventRow))
    with changed.hub() as hub:
        for who in ("integrator", "police", "chief"):
            assert diff(hub, changed, by=who) == [("source", ["narrowed"]), ("target", [])]
        assert diff(hub, changed, changed.share, by="tax") == [("source", []), ("target", [])]
    assert changed.all(sa.select(sa.func.count()).select_from(EventRow)) == before
    assert [each.state for each in changed.status()] == ["active", "active"]


def test_only_who_is_concerned_looks(changed: Town) -> None:
    with changed.hub() as hub:
        with pytest.raises(Denied):
            hub.structures.diff(SYNC, by=changed.actor("tax"))
        assert hub.structures.diff(SYNC, by=changed.actor("auditor"))
        with pytest.raises(Unknown):
            hub.structures.diff("sync-none", by=changed.actor("integrator"))


def test_what_is_approved_is_what_later_structures_are_compared_with(changed: Town) -> None:
    with pytest.raises(Held):
        changed.run(SYNC)
    (approved,) = approve(changed)
    assert [change.difference.kind for change in approved.holds] == ["narrowed"]
    with changed.hub() as hub:
        assert SYNC in hub.oversight.due()
        assert diff(hub, changed) == [("source", []), ("target", [])]
    stands = next(each for each in changed.status() if each.id == SYNC)
    assert (stands.state, stands.held) == ("active", ())
    changed.report(person(1, version=2))
    assert changed.run(SYNC).counts["written"] == 1
    (body,) = changed.all(sa.select(EventRow.body).where(EventRow.type == events.StructureApproved.__name__))
    assert (body["side"], body["endpoint"], body["reason"]) == ("source", "police", "已核实没有超长的")
    redefined("police", "inf_person", "name VARCHAR(20)", "name VARCHAR(10)")(changed)
    with pytest.raises(Held):
        changed.run(SYNC)
    assert changed.faults() == []


def test_it_may_be_approved_before_any_run_found_it(changed: Town) -> None:
    approve(changed)
    assert changed.run(SYNC).state == "settled"


@pytest.mark.parametrize("who", ["police", "chief", "auditor", "security", "centre", "tax"])
def test_only_an_integrator_approves(changed: Town, who: str) -> None:
    with pytest.raises(Denied):
        approve(changed, by=who)
    with pytest.raises(Held):
        changed.run(SYNC)


def test_nobody_approves_what_his_own_department_changed(changed: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ActorEntry(name="公安集成员", department=POLICE, roles=frozenset({Role.INTEGRATOR}))
    actor = changed.actor("integrator")
    as_police = type(actor)(**{**vars(actor), "name": own.name, "department": POLICE, "roles": own.roles})
    with changed.hub() as hub:
        with pytest.raises(Denied) as refused:
            hub.structures.approve(SYNC, reason="没事", by=as_police)
        assert "police" in refused.value.reasons[0]
        denied = hub.audit.search(by=changed.actor("auditor"), type="AccessDenied", exchange=SYNC).events
        assert len(denied) == 1
    # The library is the hub's own: what was done to it by hand, its own integrator does not wave through.
    redefined("police", "inf_person", "name VARCHAR(20)", "name VARCHAR(64)")(changed)
    changed.execute("library", "ALTER TABLE r_101001001_0001 RENAME TO hidden")
    changed.execute("library", "CREATE VIEW r_101001001_0001 AS SELECT * FROM hidden")
    with pytest.raises(Denied):
        approve(changed)
    assert set(PEOPLE) >= {"integrator"}


@pytest.mark.parametrize("reason", ["", "  ", "长" * 501])
def test_a_reason_is_given(changed: Town, reason: str) -> None:
    with pytest.raises(Invalid):
        approve(changed, reason=reason)


def test_there_must_be_something_to_approve(town: Town) -> None:
    with pytest.raises(Misplaced):
        approve(town)
    town.run(SYNC)
    town.execute("police", "ALTER TABLE inf_person ADD COLUMN phone VARCHAR(11)")
    with pytest.raises(Misplaced):
        approve(town)


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE inf_person RENAME COLUMN name TO full_name", "ALTER TABLE inf_person RENAME TO elsewhere"],
)
def test_what_the_exchange_could_not_run_with_is_not_approved(town: Town, statement: str) -> None:
    town.run(SYNC)
    town.execute("police", statement)
    with pytest.raises(Invalid) as refused:
        approve(town)
    assert refused.value.problems
    with pytest.raises(Held):
        town.run(SYNC)


def test_one_that_is_held_does_not_keep_the_others(changed: Town) -> None:
    changed.execute("police", "UPDATE inf_person SET sync_sign = '0'")
    with changed.hub() as hub:
        with hub.database.transaction() as session:
            session.execute(sa.text("UPDATE exchange SET due_at = NULL"))
        outcomes = dict(hub.oversight.run_due(by=changed.actor("integrator")))
    assert isinstance(outcomes[SYNC], Held)
    assert not isinstance(outcomes[changed.share], HubError)


def test_a_death_while_it_is_approved_approves_nothing(changed: Town) -> None:
    from tests.exchange.engine.test_structures import dying_at

    with dying_at(events.StructureApproved):
        approve(changed)
    with pytest.raises(Held):
        changed.run(SYNC)
    approve(changed)
    assert changed.run(SYNC).state == "settled"
