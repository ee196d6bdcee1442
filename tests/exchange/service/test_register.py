"""Looks that wait together are one transaction, and each is still let through or refused by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from adapters.webservice.desk import Caller
from exchange.audit import events
from exchange.db.tables import CredentialRow, EventRow, ExchangeRow, GrantRow, RateRow, UsageRow
from exchange.errors import Denied, Failed
from exchange.hub import Hub
from exchange.plan import Plan
from exchange.service.rates import Exceeded, Measure, Rates
from exchange.service.register import Look, Register, Stale
from exchange.settings import Limits
from tests.exchange.engine.town import HERE, TAX, identity_number, person
from tests.exchange.service.callers import CALLER, CODE, Callers


@contextmanager
def registered(callers: Callers, limits: Limits | None = None) -> Iterator[tuple[Hub, Register, Look]]:
    """A register, and a look as the desk would write it."""
    callers.collected(person(1, district=HERE))
    found: list[Look] = []
    with callers.desk() as desk:
        written = desk._looks._written.write
        desk._looks._written.write = lambda look: (found.append(look), written(look))[1]  # type: ignore[method-assign]
        desk.lookup(CALLER, CODE, {"id_no": identity_number(1)})
        yield desk._hub, Register(desk._hub, Rates(lambda: limits or Limits())), found[0]


def another(look: Look, number: int, *, rows: int = 1, credential: str = CALLER.id, plan: Plan | None = None) -> Look:
    event = replace(look.event, look=f"L{number:024}", found=rows, credential=credential)
    return Look(plan or look.plan, look.source, look.department, event, rows)


def together(register: Register, looks: list[Look]) -> list[BaseException | None]:
    """Write looks that wait at the same moment."""
    told: dict[int, BaseException | None] = {}

    def write(number: int) -> None:
        try:
            register.write(looks[number])
            told[number] = None
        except Exception as error:
            told[number] = error

    # The lead is taken, so that all of them gather.
    register._led = True
    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(looks))]
    for number, thread in enumerate(threads):
        thread.start()
        while len(register._waiting) <= number:
            threading.Event().wait(0.001)
    register._waiting[0].ready.set()
    for thread in threads:
        thread.join(30)
    assert not register._led
    assert register._waiting == []
    return [told[number] for number in range(len(looks))]


def logged(hub: Hub) -> list[str]:
    with hub.database.reading() as session:
        wanted = sa.select(EventRow.run).where(EventRow.type == events.RowLookedUp.__name__).order_by(EventRow.id)
        return [str(run) for run in session.scalars(wanted)]


def used(hub: Hub) -> int:
    with hub.database.reading() as session:
        return int(session.scalar(sa.select(sa.func.sum(UsageRow.rows)).where(UsageRow.delivery.like("look-%"))) or 0)


def test_looks_that_wait_together_are_one_transaction(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    with registered(callers) as (hub, register, first):
        transactions = []
        begin = hub.database.transaction
        monkeypatch.setattr(hub.database, "transaction", lambda: (transactions.append(1), begin())[1])
        looks = [another(first, number) for number in range(20)]
        assert together(register, looks) == [None] * 20
        monkeypatch.undo()
        assert len(transactions) == 1
        assert logged(hub)[1:] == [look.event.look for look in looks]
        assert used(hub) == 21
        hub.audit.seal()
        assert hub.audit.verify().faults == ()


def test_the_quota_is_exact_among_them(callers: Callers) -> None:
    with registered(callers) as (hub, register, first):
        with hub.database.transaction() as session:
            session.get_one(GrantRow, callers.grant).quota_rows = 4
        looks = [another(first, number, rows=int(number != 1)) for number in range(6)]
        told = together(register, looks)
        assert [isinstance(each, Denied) for each in told] == [False, False, False, False, True, True]
        assert used(hub) == 4
        assert logged(hub)[1:] == [look.event.look for look in looks[:4]]
        with hub.database.reading() as session:
            # What was not let through is not counted: three rows here, and the desk's own before.
            assert session.scalar(sa.select(sa.func.sum(RateRow.calls))) == 5


def test_each_is_refused_by_itself(callers: Callers) -> None:
    with registered(callers) as (hub, register, first):
        issued = hub.access.issue(TAX, "token", purpose="x", by=callers.town.actor("integrator"))
        hub.access.revoke(issued.id, reason="x", by=callers.town.actor("integrator"))
        elsewhere = Look(first.plan, {**first.source, "object": "other"}, TAX, first.event, 1)
        outdated = first.plan.model_copy(update={"grant_version": first.plan.grant_version + 1})
        looks = [
            another(first, 1), another(first, 2, credential=issued.id), elsewhere,
            another(first, 4, plan=outdated), another(first, 5),
        ]  # fmt: skip
        told = together(register, looks)
        assert [type(each) for each in told] == [type(None), Denied, Stale, Denied, type(None)]
        assert logged(hub)[1:] == [looks[0].event.look, looks[4].event.look]
        assert used(hub) == 3


def test_a_credential_that_has_ended_ends_looks_at_once(callers: Callers) -> None:
    with registered(callers) as (hub, register, first):
        issued = hub.access.issue(TAX, "token", purpose="x", by=callers.town.actor("integrator"))
        register.write(another(first, 1, credential=issued.id))
        with hub.database.transaction() as session:
            session.get_one(CredentialRow, issued.id).expires_at = datetime(2020, 1, 1, tzinfo=UTC)
        with pytest.raises(Denied):
            register.write(another(first, 2, credential=issued.id))
        register.write(another(first, 3, credential=Caller("C1", TAX).id))


def test_the_limit_of_a_minute_holds_among_them(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    with registered(callers, Limits(calls_per_minute=3)) as (hub, register, first):
        monkeypatch.setattr("exchange.service.register.now", lambda _: datetime(2031, 1, 1, tzinfo=UTC))
        monkeypatch.setattr(hub.authorisation, "gate", lambda *_: [])
        told = together(register, [another(first, number) for number in range(5)])
        assert [isinstance(each, Exceeded) for each in told] == [False, False, False, True, True]


def test_what_cannot_be_written_is_told_to_all_and_handed_to_none(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registered(callers) as (hub, register, first):
        failure = Failed("磁盘已满")

        def full(*_: object) -> None:
            raise failure

        monkeypatch.setattr(hub.audit, "record_all", full)
        assert together(register, [another(first, number) for number in range(3)]) == [failure] * 3
        monkeypatch.undo()
        assert (len(logged(hub)), used(hub)) == (1, 1)
        register.write(another(first, 9))
        assert (len(logged(hub)), used(hub)) == (2, 2)


def test_more_than_one_transaction_takes_go_into_the_next(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.service.register.TOGETHER", 2)
    with registered(callers) as (hub, register, first):
        assert together(register, [another(first, number) for number in range(5)]) == [None] * 5
        assert used(hub) == 6
        with hub.database.reading() as session:
            assert session.get_one(ExchangeRow, first.plan.exchange).state == "active"


def test_the_limits_of_a_grant_are_exact_among_them(callers: Callers) -> None:
    with registered(callers) as (hub, register, first):
        looks = [another(first, number) for number in range(6)]
        for look in looks[:4]:
            look.measure = Measure(first.plan.grant, "授权", 3, None)
        with hub.database.transaction() as session:
            session.get_one(GrantRow, callers.grant).quota_rows = 5
        told = together(register, looks)
        # The fourth by its own limit, and the last by the quota: it is counted nowhere.
        assert [type(each).__name__ for each in told] == ["NoneType"] * 3 + ["Exceeded", "NoneType", "Denied"]
        with hub.database.reading() as session:
            counted = {row.department: row.calls for row in session.scalars(sa.select(RateRow))}
        assert counted == {TAX: 5, first.plan.grant: 3}
