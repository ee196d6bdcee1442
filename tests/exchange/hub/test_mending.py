"""Refused rows are for their provider's clerk alone; every look, every correction and every refusal is an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow
from exchange.errors import Denied, Invalid, Unknown
from exchange.hub import Hub
from exchange.identity import Actor
from tests.exchange.engine.test_replay import refused
from tests.exchange.engine.town import POLICE, SYNC, Town, person, wrong

SECRET = "绝密姓名𠮷九"
Attempt = Callable[[Hub, int, Actor], object]
ATTEMPTS: dict[str, Attempt] = {
    "show": lambda hub, number, by: hub.mending.show(number, by=by),
    "repair": lambda hub, number, by: hub.mending.repair(number, {"name": SECRET}, by=by),
    "drop": lambda hub, number, by: hub.mending.drop(number, reason="重复", by=by),
}


def events(town: Town) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    wanted = ("QuarantineRowRead", "QuarantineRepaired", "QuarantineDropped", "AccessDenied")
    query = sa.select(EventRow).where(EventRow.type.in_(wanted)).order_by(EventRow.id)
    return [(row.type, row.actor, row.department, row.body) for row in town.all(query)]


def test_every_step_is_an_event_without_a_value(town: Town) -> None:
    first, second = refused(town, wrong(7), {**person(8), "name": None})
    (run,) = town.runs(SYNC)
    police = town.actor("police")
    with town.hub() as hub:
        hub.mending.show(first, by=police)
        hub.mending.repair(second, {"name": SECRET, "born": None}, reason="漏填", by=police)
        assert hub.mending.show(second, by=police).repair_reason == "漏填"
        hub.mending.drop(first, reason="重复登记", by=police)
    assert events(town) == [
        ("QuarantineRowRead", "公安经办", POLICE, {"row": first, "clear": ["id_no"]}),
        ("QuarantineRepaired", "公安经办", POLICE, {"row": second, "items": ["name", "born"]}),
        ("QuarantineRowRead", "公安经办", POLICE, {"row": second, "clear": ["name"]}),
        ("QuarantineDropped", "公安经办", POLICE, {"row": first, "reason": "重复登记"}),
    ]
    assert town.events(run.id)[-4:] == [kind for kind, *_ in events(town)]
    assert town.faults() == []


@pytest.mark.parametrize("who", ["tax", "chief", "integrator", "auditor", "security", "centre"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nobody_else_sees_or_touches_it(town: Town, who: str, attempt: str) -> None:
    (number,) = refused(town, wrong(7))
    by = town.actor(who)
    with town.hub() as hub, pytest.raises(Denied) as told:
        ATTEMPTS[attempt](hub, number, by)
    assert told.value.reasons
    assert [(kind, actor) for kind, actor, *_ in events(town)] == [("AccessDenied", by.name)]
    (row,) = town.quarantined(SYNC)
    assert (row.state, row.repair) == ("open", None)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_number_that_is_none(town: Town, attempt: str) -> None:
    with town.hub() as hub, pytest.raises(Unknown):
        ATTEMPTS[attempt](hub, 12345, town.actor("police"))


def test_what_fails_is_neither_kept_nor_said(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    police = town.actor("police")
    with town.hub() as hub:
        for changes in ({}, {"name": SECRET}, {"id_no": SECRET}, {"nought": SECRET}):
            with pytest.raises(Invalid) as told:
                hub.mending.repair(number, changes, by=police)
            assert SECRET not in repr((told.value, told.value.problems, told.value.remedy))
        with pytest.raises(Invalid):
            hub.mending.drop(number, reason=" ", by=police)
        with pytest.raises(Invalid):
            hub.mending.drop(number, reason="\x00", by=police)
    assert events(town) == []


def test_the_provider_may_replay_what_it_corrected_and_the_recipient_may_not(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    due = town.all(sa.text("SELECT due_at FROM exchange WHERE id = 'sync-101001001-0001'"))  # type: ignore[arg-type]
    with town.hub() as hub:
        hub.mending.repair(number, {"id_no": person(7)["id_no"]}, by=town.actor("police"))
        for who in ("tax", "auditor", "chief", "security"):
            with pytest.raises(Denied):
                hub.mending.replay(SYNC, by=town.actor(who))
        with pytest.raises(Denied):
            hub.oversight.run(SYNC, by=town.actor("police"))
        with pytest.raises(Denied):
            hub.mending.replay(town.share, by=town.actor("tax"))
        assert hub.mending.replay(SYNC, by=town.actor("police")).counts["written"] == 1
    assert person(7)["id_no"] in town.rows("library")
    # The source was not read: when that is due does not change.
    assert town.all(sa.text("SELECT due_at FROM exchange WHERE id = 'sync-101001001-0001'")) == due  # type: ignore[arg-type]


def test_the_integrator_may_replay(town: Town) -> None:
    (number,) = refused(town, wrong(7))
    with town.hub() as hub:
        hub.mending.repair(number, {"id_no": person(7)["id_no"]}, by=town.actor("police"))
        assert hub.mending.replay(SYNC, by=town.actor("integrator")).counts["written"] == 1


def test_the_list_says_how_rows_stand(town: Town) -> None:
    first, second = refused(town, wrong(7), {**person(8), "name": None})
    police = town.actor("police")
    with town.hub() as hub:
        hub.mending.drop(first, reason="重复", by=police)
        rows = hub.oversight.quarantine(by=police)
        assert [(row.id, row.state) for row in rows] == [(first, "dropped"), (second, "open")]
        assert [row.id for row in hub.oversight.quarantine(by=police, state="open")] == [second]
