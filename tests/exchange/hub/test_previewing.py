"""Who may look at rows before they are delivered, and what the log says of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow
from exchange.errors import Denied
from exchange.identity import ACCOUNT, Actor
from exchange.settings import Role
from tests.exchange.engine.town import POLICE, SYNC, TAX, Town, person


def integrator(department: str) -> Actor:
    return Actor(name="某集成员", department=department, roles=frozenset({Role.INTEGRATOR}), established=ACCOUNT)


def test_integrators_of_both_parties_and_of_the_hub_look_and_nobody_else(town: Town) -> None:
    town.report(person(1))
    town.run(SYNC)
    with town.hub() as hub:
        own = hub.previewing.look(SYNC, by=integrator(POLICE))
        granted = hub.previewing.look(town.share, by=integrator(TAX))
        hubs = hub.previewing.look(town.share, by=town.actor("integrator"), rows=1)
        for by, exchange in ((integrator(TAX), SYNC), (town.actor("police"), SYNC), (town.actor("auditor"), SYNC)):
            with pytest.raises(Denied):
                hub.previewing.look(exchange, by=by)
    name = person(1)["name"]
    assert name in own.rows[0].values, "the provider's own"
    assert name not in granted.rows[0].values, "masked by the grant"
    assert person(1)["id_no"] in granted.rows[0].values, "granted as it is"
    assert not {person(1)["id_no"], name} & set(hubs.rows[0].values)
    events = town.all(
        sa.select(EventRow).where(EventRow.type.in_(("ExchangePreviewed", "AccessDenied"))).order_by(EventRow.id)
    )
    assert [(each.type, each.exchange) for each in events] == [
        ("ExchangePreviewed", SYNC), ("ExchangePreviewed", town.share), ("ExchangePreviewed", town.share),
        ("AccessDenied", SYNC), ("AccessDenied", SYNC), ("AccessDenied", SYNC),
    ]  # fmt: skip
    assert [each.body for each in events[:3]] == [{"rows": 1, "read": 1}] * 3
    told = "".join(f"{each.body}" for each in town.all(sa.select(EventRow)))
    assert name not in told
    assert person(1)["id_no"] not in told
