"""What every transport must do: the same tests against both."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adapters.errors import Malformed
from adapters.messaging import Message, Subscription, Taken, Transport
from tests.adapters.messaging.conftest import Opening

ONE, TWO = "101001001/0001", "201.9*#/0002"
A, B = "11321200TE00000291", "11321200TE0000037U"


def message(topic: str = ONE, **body: str) -> Message:
    return Message(topic=topic, body=body)


@contextmanager
def subscribed(transport: Transport, *queues: str, prefetch: int = 1) -> Iterator[Subscription]:
    with transport.subscribe(prefetch=prefetch) as subscription:
        subscription.watch(queues)
        yield subscription


def take(subscription: Subscription, seconds: float = 5.0) -> Taken:
    taken = subscription.take(seconds)
    assert taken is not None
    return taken


def flush(subscription: Subscription) -> None:
    assert subscription.take(0.05) is None


def settled(transport: Transport, **expected: int | None) -> None:
    """Depths are counted a moment later at a broker."""
    deadline = time.monotonic() + 10
    while transport.depths(list(expected)) != expected:
        assert time.monotonic() < deadline, transport.depths(list(expected))
        time.sleep(0.05)


def test_a_message_comes_to_every_queue_of_its_topic_and_to_no_other(transport: Transport) -> None:
    transport.declare({A: [ONE], B: [ONE, TWO]})
    sent, other = message(run="r1"), message(TWO)
    assert transport.publish(sent)
    assert transport.publish(other)
    with subscribed(transport, A, B, prefetch=2) as subscription:
        found = {}
        for _ in range(3):
            taken = take(subscription)
            found.setdefault(taken.queue, []).append(taken.message)
            assert taken.before == 0
            subscription.acknowledge(taken)
        flush(subscription)
    assert found == {A: [sent], B: [sent, other]}
    settled(transport, **{A: 0, B: 0})


def test_a_message_to_one_queue_alone(transport: Transport) -> None:
    transport.declare({A: [ONE], B: [ONE]})
    assert transport.publish(message(), queue=B)
    settled(transport, **{A: 0, B: 1})


def test_what_no_queue_takes_is_noticed(transport: Transport) -> None:
    transport.declare({A: [ONE]})
    assert not transport.publish(message(TWO))
    assert not transport.publish(message(ONE), queue=B)
    assert transport.publish(message(ONE))
    assert transport.depths([A, B])[B] is None
    settled(transport, **{A: 1, B: None})


def test_a_topic_is_let_go_of(transport: Transport) -> None:
    transport.declare({A: [ONE, TWO]})
    transport.declare({A: [ONE]}, {A: [TWO]})
    assert not transport.publish(message(TWO))
    assert transport.publish(message(ONE))


def test_messages_last_until_they_are_taken(opening: Opening) -> None:
    first = opening()
    first.declare({A: [ONE]})
    sent = [message(number=str(number)) for number in range(5)]
    for each in sent:
        assert first.publish(each)
    first.close()
    with subscribed(opening(), A, prefetch=5) as subscription:
        assert [take(subscription).message for _ in sent] == sent


def test_what_is_not_acknowledged_comes_again(transport: Transport) -> None:
    transport.declare({A: [ONE]})
    transport.publish(message())
    with subscribed(transport, A) as subscription:
        first = take(subscription)
    with subscribed(transport, A) as subscription:
        again = take(subscription)
        assert again.message == first.message
        subscription.release(again)
        third = take(subscription)
        assert third.message == first.message
        subscription.acknowledge(third)
        flush(subscription)
    with subscribed(transport, A) as subscription:
        assert subscription.take(0.3) is None


def test_so_many_of_a_queue_are_in_hand_and_other_queues_go_on(transport: Transport) -> None:
    transport.declare({A: [ONE], B: [ONE]})
    for number in range(4):
        transport.publish(message(number=str(number)))
    with subscribed(transport, A, B, prefetch=1) as subscription:
        held = [take(subscription), take(subscription)]
        assert {taken.queue for taken in held} == {A, B}
        assert subscription.take(0.3) is None
        subscription.acknowledge(held[0])
        assert take(subscription).queue == held[0].queue


def test_a_message_is_in_one_hand(opening: Opening) -> None:
    one, two = opening(), opening()
    one.declare({A: [ONE]})
    sent = [message() for _ in range(20)]
    for each in sent:
        one.publish(each)
    got: list[str] = []
    with subscribed(one, A) as first, subscribed(two, A) as second:
        while len(got) < 20:
            for subscription in (first, second):
                taken = subscription.take(0.2)
                if taken is not None:
                    got.append(taken.message.id)
                    subscription.acknowledge(taken)
        flush(first)
        flush(second)
    assert sorted(got) == sorted(each.id for each in sent)


def test_what_is_in_hand_stays_there_as_long_as_its_holder_lives(opening: Opening) -> None:
    one, two = opening(), opening()
    one.declare({A: [ONE]})
    one.publish(message())
    with subscribed(one, A) as first, subscribed(two, A) as second:
        held = take(first)
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert first.take(0.1) is None
            assert second.take(0.1) is None
        first.acknowledge(held)
        flush(first)
        assert second.take(0.3) is None


def test_it_is_said_on_any_thread_what_became_of_a_message(transport: Transport) -> None:
    transport.declare({A: [ONE]})
    transport.publish(message())
    with subscribed(transport, A) as subscription:
        taken = take(subscription)
        thread = threading.Thread(target=subscription.acknowledge, args=(taken,))
        thread.start()
        thread.join()
        flush(subscription)
    settled(transport, **{A: 0})


def _die_holding(opening: Opening) -> None:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        return
    try:
        with subscribed(opening(), A) as subscription:
            take(subscription)
            os.kill(os.getpid(), signal.SIGKILL)
    finally:
        os._exit(3)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_message_whose_takers_die_comes_again_and_becomes_a_dead_letter_in_the_end(opening: Opening) -> None:
    transport = opening()
    transport.declare({A: [ONE]})
    sent = message()
    transport.publish(sent)
    transport.close()
    _die_holding(opening)
    with subscribed(transport, A) as subscription:
        taken = take(subscription)
        assert (taken.message, taken.before) == (sent, 1)
        subscription.release(taken)
        flush_is_taken = subscription.take(5)
        assert flush_is_taken is not None
    transport.close()
    for _ in range(4):
        if transport.dead_letters():
            break
        _die_holding_if_there(opening)
    with subscribed(transport, A) as subscription:
        subscription.take(3)
    [letter] = transport.dead_letters()
    assert letter.message == sent
    assert letter.queue == A
    assert letter.reason == "取走它的执行者一再中途死亡"
    assert transport.depths([A]) == {A: 0}


def _die_holding_if_there(opening: Opening) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        with subscribed(opening(), A) as subscription:
            if subscription.take(4) is not None:
                os.kill(os.getpid(), signal.SIGKILL)
    finally:
        os._exit(3)


def test_dead_letters_say_why_stay_and_are_forgotten_by_name(transport: Transport) -> None:
    transport.declare({A: [ONE]})
    sent = [message(), message(), message()]
    transport.publish(sent[0])
    with subscribed(transport, A) as subscription:
        subscription.bury(take(subscription), "配置有误")
        flush(subscription)
    transport.bury(sent[1], B, "授权不允许")
    transport.bury(sent[2], B, "账不平")
    expected = [(sent[0], A, "配置有误"), (sent[1], B, "授权不允许"), (sent[2], B, "账不平")]
    for _ in range(2):
        assert [(x.message, x.queue, x.reason) for x in transport.dead_letters()] == expected
        assert all(x.at is not None for x in transport.dead_letters())
    assert transport.forget([sent[1].id, "no such"]) == 1
    assert [x.message for x in transport.dead_letters()] == [sent[0], sent[2]]
    settled(transport, **{A: 0})


def test_declaring_again_changes_nothing(transport: Transport) -> None:
    transport.declare({A: [ONE]})
    transport.publish(message())
    transport.declare({A: [ONE]})
    settled(transport, **{A: 1})


def test_a_message_travels_as_it_is() -> None:
    sent = Message(topic="𠮷/1", body={"run": "r"})
    assert Message.decoded(sent.encoded()) == sent


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b'{"id":"a","topic":"b","body":[]}'])
def test_what_is_no_message_is_refused_without_saying_what_it_holds(raw: bytes) -> None:
    with pytest.raises(Malformed):
        Message.decoded(raw)
