"""Messages sent and carried out (投递): publishes what is owed, and delivers what messages ask for.

Any number of couriers may work at once, and any of them may die at any moment. One thread publishes; it also publishes
again what is overdue, so that a transport that loses everything loses nothing. One thread listens for all recipients,
with one message of each in hand; a pool of threads delivers, so that a slow recipient keeps nobody waiting. A message
is acknowledged when what it asks for is in the books: promoted, put off, dead or withdrawn. A queue that does not
answer is mended by a thread of its own, while all others are served.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Any

from adapters import AdapterError, Unanswered
from adapters.messaging import Message, Subscription, Taken, Transport
from exchange.engine.dispatch import Dispatches, DispatchState, Due
from exchange.engine.opening import translated
from exchange.engine.run import RunResult
from exchange.errors import HubError
from exchange.identity import PLATFORM
from exchange.secrets import open_secret
from exchange.settings import Settings

FILE = "messages.db"
"""The embedded transport's file in the hub's home."""
_POLL = 0.2
"""Seconds between two looks for what is owed."""
_DECLARE = 30.0
"""Seconds after which everything is declared anew, though nothing is known to have changed."""
_TIDY = 300.0
"""Seconds between two looks for dead letters of what has been delivered since."""
_BACK = (0.5, 15.0)
"""Seconds to wait for a transport that is away, at first and at most."""
_AGAIN = 3
"""Runs in a row for one message, where an earlier run had to be ended first."""
_MENDERS = 4
"""Queues that are looked after at once."""
_logger = logging.getLogger(__name__)

Carry = Callable[[str], RunResult]
"""Runs an exchange."""
Notify = Callable[[str, dict[str, Any]], None]
"""Told what happens: its name, and ids and figures."""


def open_transport(settings: Settings) -> Transport:
    """The transport that the settings name; nothing is connected yet.

    Raises:
        Invalid: The password is not to be found.
    """
    given = settings.messages
    if not given.url:
        from adapters.messaging.embedded import EmbeddedTransport

        path = settings.home / FILE
        return EmbeddedTransport(path, visible=given.visible_seconds, deliveries=given.deliveries)
    # The library is loaded only where there is a broker.
    from adapters.messaging.broker import BrokerAddress, BrokerTransport

    address = BrokerAddress(
        url=given.url,
        password=open_secret(given.password or "", settings.home),
        authorities=settings.home / given.tls_ca if given.tls_ca is not None else None,
        heartbeat=given.heartbeat,
    )
    return BrokerTransport(address, exchange=given.exchange, deliveries=given.deliveries)


def transport_errors() -> AbstractContextManager[None]:
    """Turns what goes wrong with the transport into the hub's errors."""
    return translated("消息中间件")


def _silent(_what: str, _about: dict[str, Any]) -> None:
    """Tell nobody."""


class Courier:
    """Publishes and delivers in this process.

    Args:
        settings: The hub's.
        dispatches: The books.
        carry: Runs an exchange as the platform.
        notify: Told what happens.
    """

    def __init__(self, settings: Settings, dispatches: Dispatches, carry: Carry, *, notify: Notify = _silent) -> None:
        self._settings = settings
        self._books = dispatches
        self._carry = carry
        self._notify = notify
        self._stopping = threading.Event()
        self._declared: tuple[float, Any] = (0.0, None)
        self._tidied = 0.0
        self._defect: Exception | None = None
        self._reminded: dict[str, float] = {}
        self._lost = threading.Event()
        """Somebody has noticed that a queue is gone."""
        self._mending: set[str | None] = set()
        """Queues that are looked after; None: the one for dead letters."""
        self._noting = threading.Lock()
        self._menders = threading.BoundedSemaphore(_MENDERS)
        self.counts: Counter[str] = Counter()

    def stop(self) -> None:
        """Take nothing more; :meth:`work` returns when what is in hand is done."""
        self._stopping.set()

    # --- publishing ----------------------------------------------------------------------------

    def sweep(self, transport: Transport) -> int:
        """Publish what is owed, and again what is overdue; how many rows.

        Raises:
            AdapterError: The transport is away, or does not let us in.
            HubError: The hub's database is not to be had.
        """
        self.counts["withdrawn"] += self._books.tend(by=PLATFORM)
        bound, loosed = self._books.queues()
        self._declare(transport, bound, loosed)
        many = 0
        for message, queue, rows in _letters(self._books.due()):
            to = {queue} if queue else {each for each, topics in bound.items() if message.topic in topics}
            if not self._mending.isdisjoint(to):
                # It would be waited for in vain, by everybody whose message comes after it.
                continue
            try:
                sent = transport.publish(message, queue=queue)
                if not sent:
                    # Somebody has deleted the queues.
                    self._notify("unroutable", {"resource": message.topic})
                    self._declare(transport, bound, loosed, anew=True)
                    sent = transport.publish(message, queue=queue)
            except Unanswered:
                # Which of them is broken is not said.
                for each in to:
                    self._look_after(each, bound.get(each, ()))
                continue
            if sent:
                self._books.published(rows)
                many += len(rows)
                self._notify("published", {"resource": message.topic, "rows": len(rows)})
        self.counts["published"] += many
        self._remind(transport, bound)
        if time.monotonic() - self._tidied > _TIDY:
            self._tidied = time.monotonic()
            try:
                forget(transport, self._books)
            except Unanswered:
                self._look_after(None)
        return many

    def _remind(self, transport: Transport, bound: Mapping[str, Collection[str]]) -> None:
        """Somebody died over a delivery that may be promoted already: it is to be ended all the same."""
        moment, known = time.monotonic(), self._reminded
        begun = self._books.begun()
        self._reminded = {exchange: known.get(exchange, 0.0) for exchange, _, _ in begun}
        for exchange, recipient, resource in begun:
            late = moment - self._reminded[exchange] > self._settings.messages.again_seconds
            if late and recipient not in self._mending:
                self._reminded[exchange] = moment
                try:
                    transport.publish(Message(resource), queue=recipient)
                except Unanswered:
                    self._look_after(recipient, bound.get(recipient, ()))

    def _declare(self, transport: Transport, bound: Any, loosed: Any, *, anew: bool = False) -> None:
        at, known = self._declared
        lost = self._lost.is_set()
        if anew or lost or known != (bound, loosed) or time.monotonic() - at > _DECLARE:
            transport.declare(bound, loosed)
            self._lost.clear()
            self._declared = time.monotonic(), (bound, loosed)

    def _publish(self) -> None:
        """The publishing thread; a defect ends the work, since nothing more would be published."""
        try:
            self._go_on_publishing()
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for the work
            self._defect = error
            self._stopping.set()

    def _go_on_publishing(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait or _POLL):
            try:
                with transport_errors(), open_transport(self._settings) as transport:
                    self._lost.set()
                    while True:
                        self.sweep(transport)
                        wait = 0.0
                        if self._stopping.wait(_POLL):
                            return
            except HubError as error:
                wait = min(max(wait * 2, _BACK[0]), _BACK[1])
                self._away(error)

    def _away(self, error: HubError) -> None:
        self.counts["away"] += 1
        self._notify("away", {"error": error.message})

    # --- mending -------------------------------------------------------------------------------

    def _look_after(self, queue: str | None, topics: Collection[str] = ()) -> None:
        """Have a queue that does not answer mended; None: that of the dead letters."""
        with self._noting:
            if queue in self._mending:
                return
            self._mending.add(queue)
        # It may wait long for a broken queue, and nobody has to wait for it.
        threading.Thread(target=self._mend, args=(queue, tuple(topics)), name="mender", daemon=True).start()

    def _mend(self, queue: str | None, topics: Collection[str]) -> None:
        try:
            with self._menders, transport_errors(), open_transport(self._settings) as transport:
                if transport.mend(queue, topics):
                    self.counts["remade"] += 1
                    self._notify(*(("remade", {"recipient": queue}) if queue else ("letters remade", {})))
        except HubError as error:
            self._away(error)
        finally:
            self._mending.discard(queue)

    # --- delivering ----------------------------------------------------------------------------

    def work(self, *, once: bool = False, seconds: float | None = None, workers: int | None = None) -> Counter[str]:
        """Publish and deliver until told to stop.

        Args:
            once: Until nothing is to be delivered any more.
            seconds: So long at most.
            workers: Deliveries to work at together, in the place of the settings' number.

        Returns:
            How often what happened.
        """
        end = None if seconds is None else time.monotonic() + seconds
        publisher = threading.Thread(target=self._publish, name="publisher", daemon=True)
        publisher.start()
        with ThreadPoolExecutor(workers or self._settings.messages.workers, thread_name_prefix="courier") as pool:
            wait = 0.0
            while not self._over(end):
                try:
                    with (
                        transport_errors(),
                        open_transport(self._settings) as transport,
                        self._subscribed(transport) as subscription,
                    ):
                        wait = 0.0
                        self._listen(subscription, pool, end, once=once)
                except HubError as error:
                    self._away(error)
                    if once:
                        self._stopping.set()
                        raise
                    self._lost.set()
                    wait = min(max(wait * 2, _BACK[0]), _BACK[1])
                    self._stopping.wait(wait)
            self._stopping.set()
        publisher.join()
        if self._defect is not None:
            raise self._defect
        return self.counts

    def _subscribed(self, transport: Transport) -> Subscription:
        # The queues are there before anybody listens to them.
        transport.declare(*self._books.queues())
        return transport.subscribe(prefetch=self._settings.messages.prefetch)

    def _over(self, end: float | None) -> bool:
        return self._stopping.is_set() or (end is not None and time.monotonic() >= end)

    def _listen(self, subscription: Subscription, pool: ThreadPoolExecutor, end: float | None, *, once: bool) -> None:
        """Take messages and have them carried out, until it is over or the transport is away."""
        busy: set[Future[None]] = set()
        silent: set[str] = set()
        looked = 0.0
        while not self._over(end):
            if time.monotonic() - looked >= 1.0:
                looked = time.monotonic()
                bound = self._books.queues()[0]
                for queue in subscription.silent():
                    self._look_after(queue, bound.get(queue, ()))
                silent = {each for each in silent | subscription.silent() if each in self._mending}
                subscription.watch(bound.keys() - silent)
            try:
                taken = subscription.take(_POLL)
            except Unanswered:
                self._look_after(None)
                raise
            if taken is not None:
                busy.add(pool.submit(self._serve, subscription, taken))
            for future in [each for each in busy if each.done()]:
                busy.discard(future)
                future.result()
            if once and taken is None and not busy and not self._books.open() and not self._books.begun():
                self._stopping.set()
        # What is in hand is brought to its end, and its holder shows that it lives; nothing more is taken.
        subscription.watch(())
        while busy:
            with suppress(AdapterError):
                if (more := subscription.take(_POLL)) is not None:
                    subscription.release(more)
            busy = {each for each in busy if not each.done()}

    def _serve(self, subscription: Subscription, taken: Taken) -> None:
        """Carry out what a message asks for, then acknowledge it, or make a dead letter of it that says why."""
        try:
            about = taken.queue, taken.message.topic
            begun = {exchange for exchange, *of in self._books.begun() if tuple(of) == about}
            wanted = sorted({*self._books.wanted(*about), *begun})
            dead = [reason for exchange in wanted if (reason := self.deliver(exchange)) is not None]
        except HubError as error:
            # The hub's own database is not to be had: nothing is known, so the message comes again.
            self._away(error)
            self._stopping.wait(1.0)
            subscription.release(taken)
            return
        self._notify("acknowledging", {"recipient": taken.queue})
        if dead:
            subscription.bury(taken, "；".join(dead))
        else:
            subscription.acknowledge(taken)

    def deliver(self, exchange: str) -> str | None:
        """Carry out what is owed by an exchange; the reason, if it is dead.

        Raises:
            HubError: The hub's own database is not to be had.
        """
        for _ in range(_AGAIN):
            rows = self._books.take(exchange, by=PLATFORM)
            if not rows and not any(each == exchange for each, *_ in self._books.begun()):
                return self._books.died(exchange)
            self._notify("delivering", {"exchange": exchange, "rows": len(rows)})
            try:
                result = self._carry(exchange)
            except HubError as error:
                self._told(exchange, self._books.ended(exchange, error, by=PLATFORM), error=error.message)
                break
            except Exception as error:
                # A defect shows in one delivery, and must not keep the others' waiting.
                _logger.exception("exchange %s", exchange)
                broken = HubError(f"程序出错：{type(error).__name__}", remedy="请查看日志并报告缺陷")
                self._told(exchange, self._books.ended(exchange, broken, by=PLATFORM), error=broken.message)
                break
            self._notify("promoted", {"exchange": exchange, "run": result.id})
            state = self._books.ended(exchange, result.state, result.reasons, by=PLATFORM)
            self._told(exchange, state, run=result.id)
            if state != DispatchState.OWED:
                break
            # What was ended is an older run: what is owed comes with the next.
        return self._books.died(exchange)

    def _told(self, exchange: str, state: str, **about: str) -> None:
        word = {DispatchState.DONE: "delivered", DispatchState.OWED: "put off"}.get(DispatchState(state), state)
        self.counts[word] += 1
        self._notify(word, {"exchange": exchange, **about})


def _letters(due: list[Due]) -> list[tuple[Message, str | None, list[int]]]:
    """Messages for rows: one for all recipients of a change, and one for each who is told again."""
    found: dict[tuple[str, str, str | None], list[int]] = {}
    for row in due:
        queue = row.recipient if row.again or not row.run else None
        found.setdefault((row.resource, row.run, queue), []).append(row.id)
    return [
        (Message(topic=resource, body={"run": run} if run else {}), queue, ids)
        for (resource, run, queue), ids in found.items()
    ]


def forget(transport: Transport, books: Dispatches) -> int:
    """Remove dead letters of what is not dead any more: requeued, withdrawn, or delivered by a later run.

    Raises:
        AdapterError: The transport is away.
    """
    dead = {(row.recipient, row.resource) for row in books.listed(state=DispatchState.DEAD.value)}
    letters = transport.dead_letters()
    past = [each.message.id for each in letters if each.message.topic and (each.queue, each.message.topic) not in dead]
    return transport.forget(past) if past else 0
