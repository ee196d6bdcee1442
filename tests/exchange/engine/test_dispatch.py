"""The books of what is owed to recipients of files: when rows are written, done, put off, dead and withdrawn."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.db.tables import DispatchRow, EventRow, ExchangeRow
from exchange.engine import Dispatches, dispatch
from exchange.errors import Busy, Denied, Failed, Invalid, Misplaced, Unknown
from exchange.identity import PLATFORM
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import CODE, SYNC, Town, person


@pytest.fixture
def drops(town: Town) -> Drops:
    return Drops(town, 2)


def shift(drops: Drops, seconds: float) -> None:
    """Let so much time go by."""
    with drops.town.hub() as hub, hub.database.transaction() as session:
        for row in session.scalars(sa.select(DispatchRow)):
            row.due_at -= timedelta(seconds=seconds)


def test_rows_are_owed_when_the_library_changed_and_only_then(drops: Drops) -> None:
    run = drops.collect(1, 2)
    rows = drops.owed()
    assert {(row.recipient, row.exchange) for row in rows} == set(zip(drops.recipients, drops.shares, strict=True))
    assert {(row.resource, row.run, row.state, row.published) for row in rows} == {(CODE, run, "owed", 0)}
    drops.town.run(SYNC)
    assert len(drops.owed()) == 2, "nothing was written into the library"
    drops.collect(1, version=2)
    assert len(drops.owed()) == 4


def test_a_delivery_by_whomever_does_what_was_owed_when_it_began(drops: Drops) -> None:
    drops.collect(1)
    drops.collect(2)
    result = drops.town.run(drops.shares[0])
    rows = {row.state: row for row in drops.owed()}
    assert sorted(row.state for row in drops.owed()) == ["done", "done", "owed", "owed"]
    assert rows["done"].exchange == drops.shares[0]
    assert rows["done"].done_by == result.id
    assert rows["done"].done_at is not None


def test_tables_boxes_and_what_is_served_by_the_provider_are_told_of_nothing(town: Town) -> None:
    town.report(person(1))
    town.run(SYNC)
    assert town.all(sa.select(DispatchRow)) == [], "the tax office has a database"


def test_of_what_the_provider_serves_itself_nothing_is_owed(drops: Drops) -> None:
    with drops.town.hub() as hub, hub.database.transaction() as session:
        row = session.get_one(ExchangeRow, drops.shares[0])
        row.source = {**row.source, "endpoint": "police"}
    drops.collect(1)
    assert [row.exchange for row in drops.owed()] == [drops.shares[1]]


def test_an_endpoint_that_is_registered_wrongly_keeps_the_others_rows_coming(drops: Drops) -> None:
    with drops.town.hub() as hub, hub.database.transaction() as session:
        row = session.get_one(ExchangeRow, drops.shares[0])
        row.target = {**row.target, "endpoint": "no such endpoint"}
    drops.collect(1)
    assert [row.exchange for row in drops.owed()] == [drops.shares[1]]


def test_the_first_delivery_is_owed_only_where_there_is_something(drops: Drops) -> None:
    assert drops.owed() == [], "the library has nothing yet"
    drops.collect(1)
    drops.add(2)
    assert [row.run is None for row in drops.owed()] == [False, False, True]


def test_who_is_told_of_what(drops: Drops) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        books = hub.engine.dispatches
        assert books.queues() == ({code: {CODE} for code in drops.recipients}, {})
        hub.sharing.change(drops.grants[0], "revoke", reason="测试", by=drops.town.actor("chief"))
        first, second = drops.recipients
        assert books.queues() == ({first: set(), second: {CODE}}, {first: {CODE}})


def test_published_is_published_again_later_and_later(drops: Drops) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        books = hub.engine.dispatches
        due = books.due()
        assert [each.again for each in due] == [False, False]
        books.published([each.id for each in due])
        assert books.due() == []
        shift(drops, 2.1)
        again = books.due()
        assert [each.again for each in again] == [True, True]
        books.published([each.id for each in again])
        shift(drops, 2.1)
        assert books.due() == []
        shift(drops, 2.1)
        assert len(books.due()) == 2
        assert [row.published for row in drops.owed()] == [2, 2]


def test_who_runs_it_already_needs_no_message(drops: Drops) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        seen = []
        hub.oversight.run(
            drops.shares[0],
            by=drops.town.actor("integrator"),
            observe=lambda step, _: seen.append(len(hub.engine.dispatches.due())) if step == "3.read" else None,
        )
    assert seen[0] == 1


@pytest.mark.parametrize(
    ("outcome", "state", "attempts"),
    [
        (Failed("对方不在", retry=True), "owed", 1),
        (Failed("对方拒绝"), "dead", 0),
        (Invalid("登记有误"), "dead", 0),
        (Denied("超出上限"), "dead", 0),
        (Busy("在别人手里"), "owed", 0),
        ("stopped", "dead", 0),
        ("settled", "owed", 0),
    ],
)
def test_what_becomes_of_it_by_how_a_try_ended(
    drops: Drops, outcome: Exception | str, state: str, attempts: int
) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        books = hub.engine.dispatches
        [row] = books.take(drops.shares[0], by=PLATFORM)
        assert books.ended(drops.shares[0], outcome, ["多行被拒收"], by=PLATFORM) == state  # type: ignore[arg-type]
        [found] = books.listed(id=row)
    assert (found.state, found.attempts) == (state, attempts)
    buried = drops.town.all(sa.select(EventRow).where(EventRow.type == "DispatchBuried"))
    assert len(buried) == (state == "dead")
    if state == "dead":
        assert found.error == buried[0].body["reason"]
        assert found.error in ("对方拒绝", "登记有误", "超出上限", "多行被拒收")


def test_what_failed_waits_and_new_messages_do_not_hurry_it(drops: Drops) -> None:
    drops.set(retry_seconds=30)
    drops.collect(1)
    share, recipient = drops.shares[0], drops.recipients[0]
    with drops.town.hub() as hub:
        books = hub.engine.dispatches
        assert books.wanted(recipient, CODE) == [share]
        books.take(share, by=PLATFORM)
        books.ended(share, Failed("对方不在", retry=True), by=PLATFORM)
        assert books.wanted(recipient, CODE) == []
        drops.collect(2)
        assert books.wanted(recipient, CODE) == []
        assert books.open() == 2, "the other recipient's two"
        shift(drops, 31)
        assert books.wanted(recipient, CODE) == [share]


def test_what_so_many_died_over_is_dead(drops: Drops) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        books: Dispatches = hub.engine.dispatches
        for _ in range(hub.settings.messages.deliveries):
            assert books.take(drops.shares[0], by=PLATFORM)
        drops.collect(2)
        assert books.take(drops.shares[0], by=PLATFORM) == []
        assert books.died(drops.shares[0]) == "执行者连续 5 次在执行中死亡"
        assert books.died(drops.shares[1]) is None
        assert len(books.listed(state="dead")) == 2
        assert books.counts()["owed"] == 2


def test_ended_of_nothing_is_done(drops: Drops) -> None:
    with drops.town.hub() as hub:
        assert hub.engine.dispatches.ended(drops.shares[0], "settled", by=PLATFORM) == "done"


def test_withdrawn_with_its_grant_dead_or_not(drops: Drops) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        books = hub.engine.dispatches
        books.take(drops.shares[0], by=PLATFORM)
        books.ended(drops.shares[0], Invalid("登记有误"), by=PLATFORM)
        assert books.tend(by=PLATFORM) == 0
        for number in drops.grants:
            hub.sharing.change(number, "revoke", reason="测试", by=drops.town.actor("chief"))
        assert books.tend(by=PLATFORM) == 2
        assert books.tend(by=PLATFORM) == 0
        [one, _] = books.listed(state="withdrawn")
        with pytest.raises(Misplaced, match="已撤销"):
            books.requeue(one.id, by=PLATFORM)
    assert len(drops.town.all(sa.select(EventRow).where(EventRow.type == "DispatchWithdrawn"))) == 2


def test_by_people(drops: Drops) -> None:
    drops.collect(1)
    first, second = drops.owed()
    with drops.town.hub() as hub:
        books = hub.engine.dispatches
        books.withdraw(first.id, "暂停", by=PLATFORM)
        with pytest.raises(Misplaced):
            books.withdraw(first.id, "再来", by=PLATFORM)
        books.requeue(first.id, by=PLATFORM)
        drops.town.run(second.exchange)
        for act in (books.requeue, lambda number, by: books.withdraw(number, "x", by=by)):
            with pytest.raises(Misplaced):
                act(second.id, by=PLATFORM)
            with pytest.raises(Unknown):
                act(10_000, by=PLATFORM)
        assert [each.id for each in books.listed()] == [second.id, first.id]
        assert [each.id for each in books.listed(recipient=first.recipient)] == [first.id]
    types = drops.town.all(sa.select(EventRow.type).where(EventRow.type.like("Dispatch%")).order_by(EventRow.id))
    assert types == ["DispatchWithdrawn", "DispatchRequeued"]


def test_without_a_courier_what_is_owed_is_carried_out_with_what_is_due(drops: Drops) -> None:
    by = drops.town.actor("integrator")
    with drops.town.hub() as hub:
        list(hub.oversight.run_due(by=by))
        drops.town.report(person(1), person(2))
        assert [name for name, _ in hub.oversight.run_due(by=by)] == [], "nothing is due by its cycle"
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).due_at = None
        ran = [name for name, _ in hub.oversight.run_due(by=by)]
        assert ran[0] == SYNC
        assert sorted(ran[1:]) == sorted(drops.shares)
        assert {row.state for row in drops.owed()} == {"done"}
        assert [name for name, _ in hub.oversight.run_due(by=by)] == []
    assert [len(drops.rows(number)) for number in (0, 1)] == [2, 2]


def test_what_cannot_be_carried_out_is_tried_once(drops: Drops) -> None:
    by = drops.town.actor("integrator")
    drops.collect(1)
    with drops.town.hub() as hub:
        spec = EndpointSpec(
            name="drop0", department=drops.recipients[0], kind="files", options={"root": str(drops.root(7))}
        )
        hub.registration.put_endpoint(spec, by=by)
        first = dict(hub.oversight.run_due(by=by))
        assert isinstance(first[drops.shares[0]], Exception)
        assert sorted(row.state for row in drops.owed())[-1] in ("done", "owed")
        [bad] = [row for row in drops.owed() if row.exchange == drops.shares[0]]
        assert bad.state == "dead" or bad.attempts == 1
        assert drops.shares[0] not in dict(hub.oversight.run_due(by=by))


def test_nobody_without_the_right_to_run_changes_the_books(drops: Drops) -> None:
    drops.collect(1)
    with drops.town.hub() as hub:
        for _, result in hub.oversight.run_due(by=drops.town.actor("police")):
            assert isinstance(result, Denied)
    assert drops.states() == ["owed", "owed"]
    assert [row.taken for row in drops.owed()] == [0, 0]


def test_much_that_is_owed_under_a_revoked_grant_is_withdrawn_bit_by_bit(
    drops: Drops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row has its event: of very many, one transaction would keep everybody else from writing."""
    for number in range(7):
        drops.collect(number)
    monkeypatch.setattr(dispatch, "_SLICE", 2)
    monkeypatch.setattr(dispatch, "_SLICES", 2)
    owed = len([row for row in drops.owed() if row.exchange == drops.shares[0]])
    with drops.town.hub() as hub:
        hub.sharing.change(drops.grants[0], "revoke", reason="测试", by=drops.town.actor("chief"))
        books, transaction, began = hub.engine.dispatches, hub.database.transaction, []
        monkeypatch.setattr(hub.database, "transaction", lambda: began.append(1) or transaction())
        found = []
        while (many := books.tend(by=PLATFORM)) > 0:
            found.append((many, len(began)))
            began.clear()
    assert owed > 5
    assert found == [(4, 2)] * (owed // 4) + [(owed % 4, (owed % 4 + 1) // 2)] * (owed % 4 > 0)
    assert {row.state for row in drops.owed() if row.exchange == drops.shares[0]} == {"withdrawn"}
