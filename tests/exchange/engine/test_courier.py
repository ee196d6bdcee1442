"""Messages published and delivered; whatever goes wrong, every file arrives, and once."""

from __future__ import annotations

import itertools
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.messaging import Message
from adapters.messaging.embedded import EmbeddedTransport
from catalog import EndpointSpec
from exchange.db.tables import EventRow
from exchange.engine import Courier, forget, open_transport
from exchange.errors import Failed, Invalid
from exchange.hub import Hub, open_hub
from tests.exchange.engine.couriers import BOOKS
from tests.exchange.engine.drops import Drops, code_of, courier, once
from tests.exchange.engine.town import CODE, Town, at
from tests.exchange.engine.worker import Workers
from tests.support.rabbitmq import RabbitMQServer

WORK = "tests.exchange.engine.couriers:work"


@pytest.fixture
def drops(town: Town) -> Drops:
    return Drops(town, 2)


def over_broker(drops: Drops, server: RabbitMQServer, **messages: Any) -> None:
    """From here on over a broker."""
    secret = drops.town.home / "broker.password"
    secret.touch(mode=0o600)
    secret.write_text(server.password)
    name = f"c{secrets.token_hex(4)}"
    drops.set(url=server.url, password="file:broker.password", exchange=name, **messages)


@pytest.fixture
def broker(drops: Drops, rabbitmq_server: RabbitMQServer) -> RabbitMQServer:
    over_broker(drops, rabbitmq_server)
    return rabbitmq_server


def work(drops: Drops, **options: Any) -> dict[str, int]:
    with drops.town.hub() as hub:
        return dict(courier(hub).work(once=True, seconds=40, **options))


def sweep(drops: Drops) -> int:
    """Publish what is owed, and deliver nothing."""
    with drops.town.hub() as hub, open_transport(hub.settings) as transport:
        return courier(hub).sweep(transport)


@contextmanager
def working(drops: Drops, prepare: Callable[[Hub], None] = lambda _: None, **options: Any) -> Iterator[Courier]:
    """A courier that works beside the test."""
    with closing(open_hub(drops.town.home)) as hub:
        prepare(hub)
        at_work = courier(hub, **options)
        thread = threading.Thread(target=at_work.work, kwargs={"seconds": 120})
        thread.start()
        try:
            yield at_work
        finally:
            at_work.stop()
            thread.join(60)
            assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def all_done(drops: Drops) -> bool:
    return set(drops.states()) == {"done"}


def arrived_once(drops: Drops, numbers: Any, version: int = 1) -> None:
    for number in range(len(drops.recipients)):
        found = [row for row in drops.rows(number) if row[1] == str(version)]
        assert sorted(found) == once(numbers, version), f"recipient {number}"


# --- the way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["embedded", "broker"])
def test_what_is_reported_is_delivered_to_every_recipient_once(
    drops: Drops, transport: str, request: pytest.FixtureRequest
) -> None:
    if transport == "broker":
        request.getfixturevalue("broker")
    drops.collect(*range(9))
    assert drops.states() == ["owed", "owed"]
    done = work(drops)
    # What takes long is told again, and delivered once all the same.
    assert (done["published"] >= 2, done["delivered"]) == (True, 2)
    assert drops.states() == ["done", "done"]
    arrived_once(drops, range(9))
    assert [len(drops.receipts(share)) for share in drops.shares] == [1, 1]
    assert drops.faults() == []
    assert work(drops).get("delivered", 0) == 0
    assert [len(drops.files(number)) for number in (0, 1)] == [1, 1]


def test_one_message_tells_all_recipients_of_a_change(drops: Drops) -> None:
    drops.collect(1)
    sweep(drops)
    with drops.town.hub() as hub, open_transport(hub.settings) as transport:
        assert transport.depths(drops.recipients) == dict.fromkeys(drops.recipients, 1)
        with transport.subscribe() as subscription:
            subscription.watch(drops.recipients)
            taken = [subscription.take(2), subscription.take(2)]
        assert len({each.message.id for each in taken if each}) == 1
    assert {(row.state, row.published) for row in drops.owed()} == {("published", 1)}
    assert sweep(drops) == 0


def test_several_changes_are_delivered_by_one_run(drops: Drops) -> None:
    for version in (1, 2, 3):
        drops.collect(*range(4), version=version)
    assert len(drops.owed("owed")) == 6
    assert work(drops)["delivered"] == 2
    assert drops.states() == ["done"] * 6
    for number, share in enumerate(drops.shares):
        assert len(drops.files(number)) == len(drops.town.runs(share)) == 1
        assert sorted(drops.rows(number)) == once(range(4), 3)


def test_a_message_that_is_repeated_finds_nothing_owed(drops: Drops) -> None:
    drops.collect(1)
    sweep(drops)
    with drops.town.hub() as hub, open_transport(hub.settings) as transport:
        for _ in range(3):
            transport.publish(Message(CODE))
        transport.publish(Message("999999999/0001"), queue=drops.recipients[0])
    with working(drops) as at_work:
        until(lambda: all_done(drops))
        with drops.town.hub() as hub, open_transport(hub.settings) as transport:
            until(lambda: transport.depths(drops.recipients) == dict.fromkeys(drops.recipients, 0))
    assert at_work.counts["delivered"] == 2
    assert [len(drops.files(number)) for number in (0, 1)] == [1, 1]


def test_what_changes_while_a_delivery_runs_is_delivered_after_it(drops: Drops) -> None:
    drops.collect(1)

    def change() -> None:
        drops.collect(2)

    observe = at("3.read", change)

    def slowly(hub: Hub) -> None:
        run = hub.engine.run
        hub.engine.run = lambda *a, **k: run(*a, **k, observe=observe)  # type: ignore[method-assign]

    with working(drops, slowly):
        until(lambda: len(drops.owed()) == 4 and all_done(drops))
    arrived_once(drops, (1, 2))


def test_an_older_run_is_ended_first_and_what_is_owed_comes_with_the_next(drops: Drops, workers: Workers) -> None:
    drops.town.hold_leases_for(0.3)
    drops.collect(1)
    work(drops)
    drops.collect(2)
    for share in drops.shares:
        assert workers.run(drops.town.home, share, "5.manifest") == -signal.SIGKILL
    drops.collect(4)
    time.sleep(0.4)
    work(drops)
    assert all_done(drops)
    arrived_once(drops, (1, 2, 4))
    assert [len(drops.town.runs(share)) for share in drops.shares] == [3, 3]


# --- death -----------------------------------------------------------------------------------------


def dies(drops: Drops, workers: Workers, point: str) -> None:
    drops.town.hold_leases_for(0.3)
    drops.collect(*range(5))
    status, _ = workers.do(WORK, home=str(drops.town.home), dies=point)
    assert status == -signal.SIGKILL, workers.said
    status, said = workers.do(WORK, home=str(drops.town.home))
    assert (status, said.get("error")) == (0, None), workers.said
    assert drops.states() == ["done", "done"]
    arrived_once(drops, range(5))
    assert [len(drops.receipts(share)) for share in drops.shares] == [1, 1]
    assert set(drops.town.owed()) <= {"answers"}, "recipients take their time"
    assert drops.faults() == []


@pytest.mark.long_with("owed", "sending", "marked", "delivered", "3.read", "8.promoted")
@pytest.mark.parametrize("point", [*BOOKS, "3.read", "7.committed", "8.promoted"])
def test_a_courier_killed_at_any_step_loses_and_repeats_nothing(drops: Drops, workers: Workers, point: str) -> None:
    dies(drops, workers, point)


@pytest.mark.long_with("sent", "acknowledging")
@pytest.mark.parametrize("point", ["sent", "7.committed", "acknowledging"])
@pytest.mark.usefixtures("broker")
def test_a_courier_killed_over_a_broker_loses_and_repeats_nothing(drops: Drops, workers: Workers, point: str) -> None:
    dies(drops, workers, point)


def test_what_kills_whoever_delivers_it_becomes_a_dead_letter(drops: Drops, workers: Workers) -> None:
    drops.set(deliveries=2)
    drops.town.hold_leases_for(0.3)
    drops.collect(1)
    # Which of the two messages a courier takes is nobody's to say: by the third one of them was taken twice.
    while max(row.taken for row in drops.owed()) < 2:
        status, _told = workers.do(WORK, home=str(drops.town.home), dies="delivering", workers=1)
        assert status == -signal.SIGKILL
    until(lambda: _quiet(drops), 10)
    work(drops)
    [dead] = drops.owed("dead")
    assert dead.error == "执行者连续 2 次在执行中死亡"
    events = drops.town.all(sa.select(EventRow.type).where(EventRow.type == "DispatchBuried"))
    assert len(events) == 1
    with drops.town.hub() as hub:
        hub.messages.requeue(dead.id, by=drops.town.actor("integrator"))
    work(drops)
    assert all_done(drops)
    arrived_once(drops, [1])


def _quiet(drops: Drops) -> bool:
    """No lease is held, and no message is in a dead hand."""
    time.sleep(1.2)
    return True


def test_many_at_once_deliver_everything_once(town: Town, workers: Workers) -> None:
    drops = Drops(town, 6)
    drops.collect(*range(12))
    orders = [{"work": WORK, "point": 0, "told": "/dev/null", "home": str(town.home)} for _ in range(3)]
    for _ in range(2):
        answers = workers._ask(do="start", orders=orders)
        assert [answer["status"] for answer in answers] == [0, 0, 0], workers.said
    assert all_done(drops)
    arrived_once(drops, range(12))
    assert all(len(drops.receipts(share)) == 1 for share in drops.shares)


# --- recipients ------------------------------------------------------------------------------------


def test_a_dead_recipient_keeps_nobody_waiting_and_gets_its_own_later(town: Town) -> None:
    drops = Drops(town, 11)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {
            "transport": "sftp", "root": "/drop", "host": "127.0.0.1", "port": silent.getsockname()[1], "user": "x",
            "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAUpVUjTIyaw5q8nJEYCg+vUzDh3v3T3HQDgHXJqSO",
            "password": "file:nobody.password", "connect": 90, "idle": 90,
        }  # fmt: skip
        secret = town.home / "nobody.password"
        secret.touch(mode=0o600)
        secret.write_text("x")
        with town.hub() as hub:
            by = town.actor("integrator")
            spec = EndpointSpec(name="drop3", department=drops.recipients[3], kind="files", options=options)
            hub.registration.put_endpoint(spec, by=by)
            drops.collect(*range(5))
            with working(drops) as at_work:
                until(lambda: at_work.counts["delivered"] == 10, 20)
                assert at_work.counts["put off"] == 0, "somebody waited for the dead one"
                silent.close()  # which resets the connection that nobody has answered
                until(lambda: at_work.counts["put off"] >= 1, 30)
                [row] = drops.owed("owed", "published")
                assert row.recipient == drops.recipients[3]
                assert row.attempts >= 1
                assert row.error
                spec = spec.model_copy(update={"options": {"root": str(drops.root(3))}})
                hub.registration.put_endpoint(spec, by=by)
                until(lambda: all_done(drops))
    arrived_once(drops, range(5))
    assert all(len(drops.receipts(share)) == 1 for share in drops.shares)


def test_a_delivery_that_fails_is_tried_again_later_and_later(drops: Drops) -> None:
    drops.collect(1)
    fails: list[float] = []

    def failing(hub: Hub) -> None:
        run = hub.engine.run

        def often(exchange: str, **options: Any) -> Any:
            if exchange == drops.shares[0] and len(fails) < 3:
                fails.append(time.monotonic())
                raise Failed("对方不在", retry=True)
            return run(exchange, **options)

        hub.engine.run = often  # type: ignore[method-assign,assignment]

    with working(drops, failing):
        until(lambda: all_done(drops))
    pauses = [later - sooner for sooner, later in itertools.pairwise(fails)]
    assert [round(pause, 1) >= least for pause, least in zip(pauses, (0.5, 1.0), strict=True)] == [True, True]
    arrived_once(drops, [1])


def test_what_cannot_be_delivered_is_dead_with_its_reason_and_holds_nobody_up(drops: Drops) -> None:
    drops.collect(1)

    def wrong_one(hub: Hub) -> None:
        run = hub.engine.run

        def refusing(exchange: str, **options: Any) -> Any:
            if exchange == drops.shares[0]:
                raise Invalid("端点登记有误")
            return run(exchange, **options)

        hub.engine.run = refusing  # type: ignore[method-assign,assignment]

    with working(drops, wrong_one):
        until(lambda: sorted(drops.states()) == ["dead", "done"])
        with drops.town.hub() as hub, open_transport(hub.settings) as transport:
            until(lambda: len(transport.dead_letters()) == 1)
            [letter] = transport.dead_letters()
            assert (letter.queue, letter.message.topic) == (drops.recipients[0], CODE)
            assert letter.reason == "端点登记有误"
            assert forget(transport, hub.engine.dispatches) == 0
    # The next change delivers what was dead too, and its letter is of no use any more.
    drops.collect(2)
    work(drops)
    assert all_done(drops)
    with drops.town.hub() as hub, open_transport(hub.settings) as transport:
        forget(transport, hub.engine.dispatches)
        assert transport.dead_letters() == []
    arrived_once(drops, (1, 2))


def test_a_defect_is_dead_and_the_courier_goes_on(drops: Drops, caplog: pytest.LogCaptureFixture) -> None:
    drops.collect(1)

    def broken(hub: Hub) -> None:
        run = hub.engine.run

        def breaking(exchange: str, **options: Any) -> Any:
            if exchange == drops.shares[0]:
                raise ZeroDivisionError
            return run(exchange, **options)

        hub.engine.run = breaking  # type: ignore[method-assign,assignment]

    with working(drops, broken):
        until(lambda: sorted(drops.states()) == ["dead", "done"])
    [dead] = drops.owed("dead")
    assert dead.error == "程序出错：ZeroDivisionError"
    assert "ZeroDivisionError" in caplog.text


# --- grants ----------------------------------------------------------------------------------------


def change(drops: Drops, number: int, action: str) -> None:
    with drops.town.hub() as hub:
        hub.sharing.change(drops.grants[number], action, reason="测试", by=drops.town.actor("chief"))


def test_a_queued_message_of_a_revoked_grant_delivers_nothing(drops: Drops) -> None:
    drops.collect(1)
    sweep(drops)
    change(drops, 0, "revoke")
    work(drops)
    assert drops.files(0) == []
    assert len(drops.files(1)) == 1
    assert {row.recipient: row.state for row in drops.owed()} == {
        drops.recipients[0]: "withdrawn", drops.recipients[1]: "done",
    }  # fmt: skip
    [row] = drops.owed("withdrawn")
    assert "已撤销" in str(row.error)
    [event] = drops.town.all(sa.select(EventRow).where(EventRow.type == "DispatchWithdrawn"))
    assert event.body["dispatch"] == row.id
    drops.collect(2)
    assert len(drops.owed()) == 3, "nothing is owed under a grant that is no more"


@pytest.mark.parametrize("step", ["1.planned", "5.manifest"])
def test_a_grant_revoked_while_its_delivery_runs_delivers_nothing(town: Town, step: str) -> None:
    drops = Drops(town, 1)
    drops.collect(1)
    observe = at(step, lambda: change(drops, 0, "revoke"))

    def slowly(hub: Hub) -> None:
        run = hub.engine.run
        hub.engine.run = lambda *a, **k: run(*a, **k, observe=observe)  # type: ignore[method-assign]

    with working(drops, slowly):
        until(lambda: drops.states() == ["withdrawn"])
    assert drops.files(0) == []


def test_a_suspended_grant_rests_and_is_delivered_when_it_is_resumed(drops: Drops) -> None:
    drops.collect(1)
    sweep(drops)
    change(drops, 0, "suspend")
    work(drops)
    assert drops.files(0) == []
    assert {row.state for row in drops.owed() if row.recipient == drops.recipients[0]} == {"owed"}
    drops.collect(2)
    work(drops)
    assert drops.files(0) == []
    change(drops, 0, "resume")
    work(drops)
    assert all_done(drops)
    arrived_once(drops, (1, 2))


def test_a_new_recipient_gets_what_is_there_already(drops: Drops) -> None:
    drops.collect(1)
    work(drops)
    drops.add(2)
    [row] = drops.owed("owed")
    assert (row.recipient, row.run) == (code_of(2), None)
    work(drops)
    arrived_once(drops, [1])


# --- brokers ---------------------------------------------------------------------------------------


def queues(drops: Drops) -> list[str]:
    with drops.town.hub() as hub:
        return [f"{hub.settings.messages.exchange}.to.{code}" for code in drops.recipients]


def test_a_broker_that_goes_away_and_comes_back_delays_and_loses_nothing(drops: Drops, broker: RabbitMQServer) -> None:
    away: list[str] = []
    with working(drops, notify=lambda what, about: away.append(about["error"]) if what == "away" else None):
        drops.collect(1)
        until(lambda: all_done(drops))
        try:
            broker.go_away()
            drops.collect(2)
            until(lambda: len(away) >= 2)
            assert len(drops.owed("owed")) == 2
        finally:
            broker.come_back()
        until(lambda: all_done(drops))
        broker.delete_queues(*queues(drops))
        drops.collect(4)
        until(lambda: all_done(drops))
    arrived_once(drops, (1, 2, 4))
    assert all(broker.password not in text for text in away)


def test_a_broker_that_loses_everything_loses_nothing(drops: Drops, broker: RabbitMQServer) -> None:
    drops.collect(1)
    assert sweep(drops) == 2
    broker.delete_queues(*queues(drops))
    work(drops)
    drops.collect(2)
    assert sweep(drops) == 2
    broker.go_away()
    broker.come_back(empty=True)
    work(drops)
    assert all_done(drops)
    arrived_once(drops, (1, 2))


@pytest.mark.long_with("crashed")
@pytest.mark.parametrize("how", ["silent", "crashed"])
def test_a_queue_that_nobody_serves_keeps_no_other_recipient_waiting(
    town: Town, rabbitmq_server: RabbitMQServer, how: str
) -> None:
    drops = Drops(town, 1)
    over_broker(drops, rabbitmq_server)
    drops.collect(1)
    work(drops)
    rabbitmq_server.break_queues(how)
    for number in (1, 2, 3):
        drops.add(number)
    drops.collect(2, 4)
    heard: list[tuple[str, Any]] = []
    began = time.monotonic()
    with working(drops, notify=lambda what, about: heard.append((what, about))):
        healthy = drops.recipients[1:]
        until(lambda: {row.state for row in drops.owed() if row.recipient in healthy} == {"done"}, 12)
        until(lambda: all_done(drops), 60 - (time.monotonic() - began))
        drops.collect(5)
        until(lambda: all_done(drops), 10)
    remade = [about for what, about in heard if what == "remade"]
    assert remade[0] == {"recipient": drops.recipients[0]}
    assert {about["recipient"] for about in remade} == {drops.recipients[0]}, "what answers stays"
    arrived_once(drops, (1, 2, 4, 5))


@pytest.mark.long
def test_letters_that_nobody_takes_stop_no_delivery(drops: Drops, broker: RabbitMQServer) -> None:
    with drops.town.hub() as hub, open_transport(hub.settings) as transport:
        transport.declare({})
        broker.break_queues()
    drops.collect(1)

    def wrong_one(hub: Hub) -> None:
        run = hub.engine.run

        def refusing(exchange: str, **options: Any) -> Any:
            if exchange == drops.shares[0]:
                raise Invalid("端点登记有误")
            return run(exchange, **options)

        hub.engine.run = refusing  # type: ignore[method-assign,assignment]

    heard: list[str] = []
    with working(drops, wrong_one, notify=lambda what, _: heard.append(what)):
        until(lambda: sorted(drops.states()) == ["dead", "done"], 20)
        until(lambda: "letters remade" in heard, 60)
        with drops.town.hub() as hub, open_transport(hub.settings) as transport:
            assert transport.dead_letters() == [], "the books say who is dead, and why"
            transport.bury(Message(CODE), drops.recipients[0], "why")
            assert [each.reason for each in transport.dead_letters()] == ["why"]


def test_a_broker_killed_while_a_delivery_runs_repeats_nothing(drops: Drops, broker: RabbitMQServer) -> None:
    drops.collect(1)
    observe = at("7.commit", broker.go_away)

    def slowly(hub: Hub) -> None:
        run = hub.engine.run
        hub.engine.run = lambda *a, **k: run(*a, **k, observe=observe)  # type: ignore[method-assign]

    try:
        with working(drops, slowly) as at_work:
            until(lambda: at_work.counts["away"] >= 1)
            broker.come_back()
            until(lambda: all_done(drops))
    finally:
        if broker._process is not None and broker._process.poll() is not None:
            broker.come_back()
    arrived_once(drops, [1])
    assert [len(drops.receipts(share)) for share in drops.shares] == [1, 1]


def test_an_embedded_file_that_is_lost_loses_nothing(drops: Drops) -> None:
    drops.collect(1)
    sweep(drops)
    for path in drops.town.home.glob("messages.db*"):
        path.unlink()
    work(drops)
    assert all_done(drops)
    arrived_once(drops, [1])


def test_the_work_ends_when_it_is_told_to_and_what_is_in_hand_is_done(drops: Drops) -> None:
    drops.collect(1)
    began = threading.Event()

    def slowly(hub: Hub) -> None:
        run = hub.engine.run

        def slow(*arguments: Any, **options: Any) -> Any:
            began.set()
            time.sleep(1)
            return run(*arguments, **options)

        hub.engine.run = slow  # type: ignore[method-assign,assignment]

    with working(drops, slowly) as at_work:
        assert began.wait(20)
        at_work.stop()
    assert "done" in drops.states()
    assert at_work.counts["away"] == 0


def test_a_defect_in_publishing_ends_the_work_and_is_told(drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> bool:
        raise ZeroDivisionError

    drops.collect(1)
    monkeypatch.setattr(EmbeddedTransport, "publish", broken)
    with drops.town.hub() as hub, pytest.raises(ZeroDivisionError):
        courier(hub).work(seconds=30)


def test_the_embedded_transport_keeps_its_file_in_the_home(drops: Drops) -> None:
    drops.collect(1)
    sweep(drops)
    file: Path = drops.town.home / "messages.db"
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"321202" not in file.read_bytes(), "a message holds nothing of a record"
