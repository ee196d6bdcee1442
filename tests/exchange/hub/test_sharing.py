from __future__ import annotations

import pytest

from exchange.authorisation import Application
from exchange.errors import Denied, Misplaced, Unknown
from tests.exchange.engine.town import CODE, HERE, SYNC, TAX, Town, application, person


def asked(**changes: object) -> Application:
    return Application.model_validate(application(**changes))


def test_an_answer_brings_the_exchange_with_it_and_a_refusal_none(town: Town) -> None:
    with town.hub() as hub:
        before = {each.id for each in hub.oversight.status()}
        target = {"endpoint": "tax", "object": "person_two"}
        granted = hub.sharing.apply(asked(target=target), by=town.actor("tax"))
        refused = hub.sharing.apply(asked(target=target), by=town.actor("tax"))
        grant = hub.sharing.decide(granted, approved=True, reasons=["同意"], by=town.actor("chief"))
        none = hub.sharing.decide(refused, approved=False, reasons=["超出职责"], by=town.actor("chief"))
        assert none is None
        assert {each.id for each in hub.oversight.status()} - before == {f"share-{grant}"}
        assert hub.sharing.explain(refused, by=town.actor("tax")).decisions[0].reasons == ("超出职责",)


def test_rows_go_to_the_applicants_own_endpoint_alone(town: Town) -> None:
    with town.hub() as hub, pytest.raises(Denied, match="不能申请"):
        hub.sharing.apply(asked(target={"endpoint": "police", "object": "x"}), by=town.actor("tax"))


@pytest.mark.parametrize("who", ["tax", "police", "centre", "integrator"])
def test_only_the_providers_reviewer_answers(town: Town, who: str) -> None:
    with town.hub() as hub:
        name = hub.sharing.apply(asked(), by=town.actor("tax"))
        with pytest.raises(Denied):
            hub.sharing.decide(name, approved=True, reasons=["同意"], by=town.actor(who))
        assert hub.sharing.explain(name, by=town.actor("tax")).decisions == ()


def test_a_withdrawn_application_is_not_answered(town: Town) -> None:
    with town.hub() as hub:
        name = hub.sharing.apply(asked(), by=town.actor("tax"))
        with pytest.raises(Denied):
            hub.sharing.withdraw(name, by=town.actor("police"))
        hub.sharing.withdraw(name, reason="不再需要", by=town.actor("tax"))
        with pytest.raises(Misplaced):
            hub.sharing.decide(name, approved=True, reasons=["同意"], by=town.actor("chief"))


def test_a_grant_is_changed_by_those_in_charge_and_its_exchange_follows(town: Town) -> None:
    town.report(*(person(number, district=HERE) for number in range(5)))
    town.run(SYNC)
    with town.hub() as hub:
        for who in ("tax", "police"):
            with pytest.raises(Denied):
                hub.sharing.change(town.grant, "revoke", reason="x", by=town.actor(who))
        hub.sharing.change(town.grant, "suspend", reason="核查", by=town.actor("chief"))
        states = {each.id: each.state for each in hub.oversight.status()}
        assert states[town.share] == "paused"
        assert town.share not in hub.oversight.due()
        hub.sharing.change(town.grant, "resume", reason="查毕", by=town.actor("chief"))
        assert town.share in hub.oversight.due()
        hub.sharing.change(town.grant, "revoke", reason="到此为止", by=town.actor("security"))
        assert {each.id: each.state for each in hub.oversight.status()}[town.share] == "ended"
    with pytest.raises(Denied) as refused:
        town.run(town.share)
    assert any("撤销" in reason for reason in refused.value.reasons)
    assert town.rows("tax") == {}


def test_nothing_under_that_name(town: Town) -> None:
    with town.hub() as hub:
        for attempt in (
            lambda: hub.sharing.plan("share-none"),
            lambda: hub.sharing.decide("none", approved=True, reasons=[], by=town.actor("chief")),
            lambda: hub.sharing.change("none", "revoke", reason="x", by=town.actor("chief")),
        ):
            with pytest.raises(Unknown):
                attempt()


def test_the_script_is_for_whoever_has_a_table_to_prepare(town: Town) -> None:
    with town.hub() as hub:
        assert "shutong_ledger" in hub.sharing.prepare(town.share)
        assert "shutong_ledger" not in hub.sharing.prepare(SYNC)
        assert hub.sharing.check(town.share) == []
        assert hub.sharing.plan(town.share).recipient == TAX


def test_what_the_rules_would_say_is_asked_without_a_trace(town: Town) -> None:
    with town.hub() as hub:
        tax, before = town.actor("tax"), len(hub.directory.applications(by=town.actor("tax")))
        assert hub.sharing.begin(CODE, by=tax).code == CODE
        assert hub.sharing.assess(asked(), by=tax).outcome == "refer"
        assert hub.sharing.assess(asked(until="2000-01-01"), by=tax).outcome == "refused"
        for attempt in (
            lambda: hub.sharing.begin(CODE, by=town.actor("chief")),
            lambda: hub.sharing.assess(asked(), by=town.actor("chief")),
            lambda: hub.sharing.assess(asked(), by=town.actor("police")),
            lambda: hub.sharing.assess(asked(target={"endpoint": "police", "object": "x"}), by=tax),
        ):
            with pytest.raises(Denied):
                attempt()
        assert len(hub.directory.applications(by=tax)) == before
