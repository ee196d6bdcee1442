"""Who may look at what is owed, try it again, withdraw it, and work at it."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow
from exchange.engine import open_transport
from exchange.errors import Denied, Invalid, Unknown
from tests.exchange.engine.drops import Drops, once
from tests.exchange.engine.town import CODE, Town


@pytest.fixture
def drops(town: Town) -> Drops:
    made = Drops(town, 2)
    made.collect(1)
    return made


@pytest.mark.parametrize("name", ["integrator", "auditor"])
def test_the_hub_s_people_see_everything(drops: Drops, name: str) -> None:
    with drops.town.hub() as hub:
        by = drops.town.actor(name)
        assert {row.recipient for row in hub.messages.listed(by=by)} == set(drops.recipients)
        assert [row.recipient for row in hub.messages.listed(by=by, recipient=drops.recipients[1])] == [
            drops.recipients[1]
        ]
        assert hub.messages.counts(by=by)["owed"] == 2


def test_a_recipient_sees_its_own_and_every_refusal_is_logged(drops: Drops) -> None:
    own, other = drops.recipients
    with drops.town.hub() as hub:
        by = drops.town.actor("clerk0")
        [row] = hub.messages.listed(by=by)
        assert row.recipient == own
        assert hub.messages.show(row.id, by=by) == row
        [strange] = [each for each in hub.messages.listed(by=drops.town.actor("integrator")) if each.recipient == other]
        with pytest.raises(Unknown):
            hub.messages.show(strange.id, by=by)
        for refused in (
            lambda: hub.messages.listed(by=by, recipient=other),
            lambda: hub.messages.counts(by=by, recipient=other),
            lambda: hub.messages.requeue(strange.id, by=by),
            lambda: hub.messages.withdraw(strange.id, reason="x", by=by),
            lambda: hub.messages.requeue_dead(by=by, recipient=other),
            lambda: hub.messages.work(by=by, once=True),
            lambda: hub.messages.work(by=drops.town.actor("auditor"), once=True),
            lambda: hub.messages.withdraw(row.id, reason="x", by=drops.town.actor("police")),
        ):
            with pytest.raises(Denied):
                refused()
    assert len(drops.town.all(sa.select(EventRow.id).where(EventRow.type == "AccessDenied"))) == 8
    assert drops.states() == ["owed", "owed"]


def test_a_recipient_s_integrator_withdraws_and_requeues_its_own(drops: Drops) -> None:
    with drops.town.hub() as hub:
        by = drops.town.actor("clerk0")
        [row] = hub.messages.listed(by=by)
        with pytest.raises(Invalid):
            hub.messages.withdraw(row.id, reason="", by=by)
        hub.messages.withdraw(row.id, reason="暂停接收", by=by)
        assert hub.messages.show(row.id, by=by).error == "暂停接收"
        assert hub.messages.requeue_dead(by=by) == []
        hub.messages.requeue(row.id, by=by)
        with pytest.raises(Unknown):
            hub.messages.requeue(12345, by=drops.town.actor("integrator"))


def test_how_the_transport_stands_and_its_dead_letters(drops: Drops) -> None:
    with drops.town.hub() as hub:
        by = drops.town.actor("integrator")
        before = hub.messages.status(by=by)
        assert (before.reachable, before.depths) == (True, dict.fromkeys(sorted(drops.recipients)))
        with open_transport(hub.settings) as transport:
            transport.declare({code: [CODE] for code in drops.recipients})
            from adapters.messaging import Message

            for code in drops.recipients:
                transport.bury(Message(CODE), code, "登记有误")
        assert len(hub.messages.status(by=by, letters=True).letters) == 2
        [own] = hub.messages.status(by=drops.town.actor("clerk1"), letters=True).letters
        assert (own.recipient, own.resource, own.reason) == (drops.recipients[1], CODE, "登记有误")
        assert list(hub.messages.status(by=drops.town.actor("clerk1")).depths) == [drops.recipients[1]]
        (hub.settings.home / "messages.db").write_bytes(b"x" * 5000)
        away = hub.messages.status(by=by)
        assert not away.reachable
        assert away.error


def test_what_is_delivered_is_delivered_by_the_platform(drops: Drops) -> None:
    with drops.town.hub() as hub:
        assert hub.messages.work(by=drops.town.actor("integrator"), once=True, seconds=30)["delivered"] == 2
    assert [sorted(drops.rows(number)) for number in (0, 1)] == [once([1])] * 2
    query = sa.select(EventRow.established).where(EventRow.type == "RunStarted", EventRow.exchange.in_(drops.shares))
    assert drops.town.all(query) == ["system", "system"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work_and_is_itself_again_afterwards(drops: Drops, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    timer = threading.Timer(1.5, os.kill, (os.getpid(), number))
    timer.start()
    began = time.monotonic()
    with drops.town.hub() as hub:
        done = hub.messages.work(by=drops.town.actor("integrator"), seconds=60)
    assert time.monotonic() - began < 30
    assert done["delivered"] == 2
    assert signal.getsignal(number) is before
