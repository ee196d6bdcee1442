"""The hub's boxes: nobody reads another's, whatever is registered; and one message goes to one run."""

from __future__ import annotations

import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.db.tables import ExchangeRow, MailRow
from exchange.plan import Plan
from tests.exchange.engine.town import COLUMNS, POLICE, TAX, Town, grant, person, publish, resource

PUSHED = "101001001/0002"


def test_a_box_is_its_own(town: Town) -> None:
    with town.hub() as hub:
        one, other = (hub.engine.mailroom.post(name) for name in ("one", "other"))
        with one.write("message.1.x") as file:
            file.append(b"x")
        assert one.exists("message.1.x")
        assert list(one.read("message.1.x")) == [b"x"]
        assert list(one.names("message.")) == ["message.1.x"]
        assert not other.exists("message.1.x")
        assert list(other.names("")) == []
        other.remove("message.1.x")
        assert one.exists("message.1.x")
        one.remove("message.1.x")
        assert not one.exists("message.1.x")


def test_a_message_that_somebody_registered_is_not_read(town: Town) -> None:
    with town.hub() as hub:
        spec = EndpointSpec(name="police-box", department=POLICE, kind="mailbox", options={})
        hub.registration.put_endpoint(spec, by=town.actor("integrator"))
        offer = {"endpoint": "police-box", "object": "x", "columns": {c: c for c in COLUMNS}, "capture": "pushed"}
        publish(town, hub, resource(code=PUSHED, name="推送", offer=offer))
        with hub.database.transaction() as session:
            row = session.get_one(ExchangeRow, "sync-101001001-0002")
            row.source = {**row.source, "options": {"message": "message.1.x"}}
    result = town.run("sync-101001001-0002")
    assert result.counts["read"] == 0
    [run] = town.runs("sync-101001001-0002")
    assert "message" not in Plan(**run.plan).source.options


def test_a_run_without_a_desk_delivers_into_a_box_too(town: Town) -> None:
    town.report(*(person(number) for number in range(6)))
    with town.hub() as hub:
        spec = EndpointSpec(name="tax-box", department=TAX, kind="mailbox", options={})
        hub.registration.put_endpoint(spec, by=town.actor("integrator"))
        granted = grant(town, hub, target={"endpoint": "tax-box", "object": "inbox"})
        assert hub.sharing.prepare(f"share-{granted}") == ""
        assert hub.sharing.check(f"share-{granted}") == []
    town.run("sync-101001001-0001")
    result = town.run(f"share-{granted}")
    assert (result.state, result.counts["written"]) == ("settled", len(town.granted()))
    assert result.plan.way == "webservice"
    assert result.plan.guarantee == "exactly once"
    [letter] = town.all(sa.select(MailRow))
    assert (letter.state, letter.endpoint, sum(letter.parts)) == ("waiting", "tax-box", len(town.granted()))
    # Encrypted from the first row.
    for path in (town.home / "mail").iterdir():
        assert person(1)["id_no"].encode() not in path.read_bytes()
    assert town.faults() == []
