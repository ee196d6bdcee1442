"""Messages over a broker (消息服务): RabbitMQ, by AMQP 0-9-1. The one module that knows the messaging library.

One durable topic exchange; the routing key is the resource's code. One durable quorum queue for each recipient, bound
to the resources it is granted. Messages are persistent and each is confirmed before it counts as published; one that
no queue takes comes back. A queue gives a message that has killed its takers to the exchange of dead letters.

A broker that was killed may know a queue afterwards that nobody serves any more: whoever asks for it waits for ever, or
is thrown out. Such a queue is found out, left alone by whoever takes from the others, and made anew.
"""

from __future__ import annotations

import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kombu import Connection
from kombu.exceptions import KombuError
from kombu.transport.pyamqp import Transport as Amqp
from kombu.transport.pyamqp import amqp
from pydantic import SecretStr

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unanswered, Unavailable
from adapters.messaging.base import PREVIOUS, WORDS, DeadLetter, Message, Subscription, Taken, Transport

_PATIENCE = 10.0
"""Seconds to wait for a connection, and for a confirmation."""
_HESITATION = 3.0
"""Seconds to wait for a queue at first, while those that answer wait too; then twice as long, up to a minute."""
_ERRANDS = 2
"""How often a queue may throw out whoever asks for it until it counts as broken."""
_PERSISTENT = 2
_KEPT = 10_000
"""Dead letters that are kept; the oldest go first."""
_NOT_FOUND, _PRECONDITION_FAILED, _INTERNAL = 404, 406, 541
_SLICE = 0.1
"""How long at most what was said of a message waits to be passed on, while nothing comes."""
_DIED = {"delivery_limit": PREVIOUS, "rejected": ""}


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is, and how to be let in.

    Attributes:
        url: ``amqp://user@host:port/vhost``, or ``amqps://`` for TLS; without a password.
        password: The user's.
        authorities: Certificates (PEM) one of which must have signed the broker's; None: those the machine trusts.
        heartbeat: Seconds after which a connection without a sign of life is dead.
    """

    url: str
    password: SecretStr
    authorities: Path | None = None
    heartbeat: int = 20

    @property
    def place(self) -> str:
        """Host and port, for people."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"

    def connection(self, heartbeat: int) -> Connection:
        """A connection that is not open yet."""
        parts = urlsplit(self.url)
        tls: bool | dict[str, Any] = False
        if parts.scheme == "amqps":
            tls = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname}
            if self.authorities is not None:
                tls["ca_certs"] = str(self.authorities)
        host, _, port = self.place.rpartition(":")
        return Connection(
            hostname=host,
            port=int(port),
            userid=unquote(parts.username or "guest"),
            password=self.password.get_secret_value(),
            virtual_host=unquote(parts.path.removeprefix("/")) or "/",
            ssl=tls,
            connect_timeout=_PATIENCE,
            heartbeat=heartbeat,
            transport="pyamqp",
            # A broker that takes no more at the moment must not stop us for ever either.
            transport_options={
                "confirm_publish": True,
                "read_timeout": _PATIENCE * 2,
                "write_timeout": _PATIENCE,
            },
        )


def routing_key(topic: str) -> str:
    """A topic as one word of a routing key: what the broker gives a meaning to is escaped."""
    return quote(topic, safe="").replace(".", "%2E")


class BrokerTransport(Transport):
    """Messages over a broker.

    Args:
        address: Where it is.
        exchange: Name of the topic exchange; those of the queues begin with it.
        deliveries: After how many deaths of its takers a message is a dead letter.
    """

    name = "broker"

    def __init__(self, address: BrokerAddress, *, exchange: str = "shutong", deliveries: int = 5) -> None:
        self._address = address
        self._names = _Names(exchange)
        self._deliveries = deliveries
        self._link = _Link(address)

    def declare(
        self, queues: Mapping[str, Collection[str]], loosed: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Declare everything anew: what is there as it should be stays as it is."""
        with self._link.channel() as channel:
            self._declare(channel)
            for queue, topics in queues.items():
                name = self._names.queue(queue)
                channel.queue_declare(name, durable=True, auto_delete=False, arguments=self._arguments())
                for topic in topics:
                    channel.queue_bind(name, self._names.exchange, routing_key(topic))
            for queue, topics in (loosed or {}).items():
                for topic in topics:
                    channel.queue_unbind(self._names.queue(queue), self._names.exchange, routing_key(topic))

    def _declare(self, channel: Any) -> None:
        names = self._names
        channel.exchange_declare(names.exchange, "topic", durable=True, auto_delete=False)
        channel.exchange_declare(names.dead, "fanout", durable=True, auto_delete=False)
        kept = {"x-queue-type": "quorum", "x-max-length": _KEPT, "x-overflow": "drop-head"}
        channel.queue_declare(names.dead, durable=True, auto_delete=False, arguments=kept)
        channel.queue_bind(names.dead, names.dead)

    def _arguments(self) -> dict[str, Any]:
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": self._deliveries,
            "x-dead-letter-exchange": self._names.dead,
        }

    def publish(self, message: Message, *, queue: str | None = None) -> bool:
        """Publish as mandatory, and wait for the confirmation."""
        exchange, key = ("", self._names.queue(queue)) if queue else (self._names.exchange, routing_key(message.topic))
        with self._link.channel() as channel:
            return self._link.publish(channel, message.encoded(), exchange, key)

    def mend(self, queue: str | None, topics: Collection[str] = ()) -> bool:
        """Delete it and declare it anew, if it does not even take a hint on a connection of its own."""
        name = self._names.dead if queue is None else self._names.queue(queue)
        if self._answers(queue, name, topics):
            return False
        # Whoever dies after this leaves it to the next declaration.
        with self._link.channel() as channel:
            # Of a queue without servers the broker asks for some seconds before it is gone.
            channel.queue_delete(name)
        self.declare({} if queue is None else {queue: topics})
        return True

    def _answers(self, queue: str | None, name: str, topics: Collection[str]) -> bool:
        """Ask a queue for something that changes nothing: to take one hint more, or to show its oldest dead letter."""
        for errand in range(_ERRANDS):
            if errand:
                time.sleep(1.0)
            link = _Link(self._address)
            try:
                with link.channel() as channel:
                    if queue is None:
                        self._peek(link, channel)
                    else:
                        link.publish(channel, Message(next(iter(sorted(topics)), "")).encoded(), "", name)
            except Unanswered as error:
                if isinstance(error.__cause__, TimeoutError):
                    return False
            else:
                return True
            finally:
                link.drop()
        return False

    def _peek(self, link: _Link, channel: Any) -> None:
        self._declare(channel)
        with link.answering():
            raw = channel.basic_get(self._names.dead)
        if raw is not None:
            channel.basic_reject(raw.delivery_tag, requeue=True)

    def subscribe(self, *, prefetch: int = 1) -> Subscription:
        """Open a connection to consume on."""
        return _BrokerSubscription(self._address, self._names, prefetch)

    def depths(self, queues: Collection[str]) -> dict[str, int | None]:
        """Ask for each queue; asking for one that is not there costs the channel."""
        found: dict[str, int | None] = {}
        for queue in queues:
            with self._link.channel() as channel:
                found[queue] = _depth(channel, self._names.queue(queue))
                if found[queue] is None:
                    self._link.drop_channel()
        return found

    def bury(self, message: Message, queue: str, reason: str) -> None:
        """Publish a dead letter with its reason."""
        with self._link.channel() as channel:
            self._declare(channel)
            self._link.publish(channel, message.encoded(), self._names.dead, "", _told(queue, reason))

    def dead_letters(self, limit: int = 1000) -> list[DeadLetter]:
        """Take them and give them back: their order stays as it is."""
        return [letter for letter, _ in self._look_through(limit, frozenset())]

    def forget(self, letters: Collection[str]) -> int:
        """Take all, acknowledge those, give the others back."""
        return sum(gone for _, gone in self._look_through(_KEPT, frozenset(letters)))

    def _look_through(self, limit: int, gone: frozenset[str]) -> list[tuple[DeadLetter, bool]]:
        found: list[tuple[DeadLetter, bool]] = []
        kept = []
        with self._link.channel() as channel:
            self._declare(channel)
            while len(found) < limit:
                with self._link.answering():
                    raw = channel.basic_get(self._names.dead)
                if raw is None:
                    break
                letter = self._names.letter(raw)
                found.append((letter, letter.message.id in gone))
                if letter.message.id in gone:
                    channel.basic_ack(raw.delivery_tag)
                else:
                    kept.append(raw.delivery_tag)
            for tag in kept:
                channel.basic_reject(tag, requeue=True)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


class _Names:
    """What things are called at the broker."""

    def __init__(self, exchange: str) -> None:
        self.exchange = exchange
        self.dead = f"{exchange}.dead"
        self._to = f"{exchange}.to."

    def queue(self, queue: str) -> str:
        """The name of a queue."""
        return self._to + queue

    def letter(self, raw: Any) -> DeadLetter:
        """A dead letter as it is read: ours says why, the broker's own says so in its fashion."""
        headers = raw.headers
        reason, queue = headers.get("reason"), headers.get("queue")
        for death in headers.get("x-death") or ():
            reason = reason or _DIED.get(str(death.get("reason")), str(death.get("reason")))
            queue = queue or str(death.get("queue", "")).removeprefix(self._to)
        at = headers.get("at")
        try:
            message = Message.decoded(_bytes(raw))
        except Malformed as error:
            message, reason = Message(topic="", id=""), reason or error.message
        words = WORDS.get(reason or "", reason or "")
        return DeadLetter(message, queue or "", words, datetime.fromtimestamp(at, UTC) if at else None)


def _told(queue: str, reason: str) -> dict[str, Any]:
    return {"reason": reason, "queue": queue, "at": int(time.time())}


def _bytes(raw: Any) -> bytes:
    body = raw.body
    return body.encode() if isinstance(body, str) else bytes(body)


def _depth(channel: Any, queue: str) -> int | None:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except channel.connection.channel_errors as error:
        if getattr(error, "code", None) == _NOT_FOUND:
            return None
        raise


class _Link:
    """A connection that is opened when it is needed, and again when it was lost."""

    def __init__(self, address: BrokerAddress, *, heartbeat: int = 0) -> None:
        self._address = address
        self._heartbeat = heartbeat
        self._connection: Connection | None = None
        self._channel: Any = None
        self._returned = False
        self._blocked = False
        """The broker has too little memory or disk to take messages from us."""

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """An open channel whose publications are confirmed.

        Raises:
            Unavailable: The broker is away, or went away.
            Refused: It does not let us in.
            Misconfigured: It has something else under one of our names.
        """
        # Whether an idle connection still holds is told by using it, which would then fail in the middle.
        if self._connection is not None and not self._alive():
            self.close()
        with self.channel_unasked() as channel:
            yield channel

    @contextmanager
    def channel_unasked(self) -> Iterator[Any]:
        """The same, for whoever listens all the time anyway."""
        try:
            yield self._open()
        except AdapterError:
            raise
        except (OSError, KombuError, *_errors()) as error:
            # Whoever does not answer does not answer a farewell.
            self.drop() if isinstance(error, TimeoutError) else self.close()
            raise self._translated(error) from (None if _refuses(error) else error)

    def _alive(self) -> bool:
        """Take in what the broker has said meanwhile: that it closes, above all."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - asked only where there is one
        try:
            poll = select.poll()
            poll.register(connection.connection.sock, select.POLLIN | select.POLLHUP)
            while poll.poll(0):
                connection.drain_events(timeout=0.001)
        except TimeoutError:
            pass
        except (OSError, ValueError, KombuError, *_errors()):
            return False
        return bool(connection.connected)

    def _open(self) -> Any:
        if self._connection is None:
            connection = self._address.connection(self._heartbeat)
            # Whoever asked tries again in his own time.
            connection.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, interval_max=0, reraise_as_library_errors=False
            )
            self._connection, self._blocked = connection, False
            connection.connection.on_blocked = self._is_blocked
            connection.connection.on_unblocked = self._is_unblocked
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
            self._channel.events["basic_return"].add(self._comes_back)
        return self._channel

    def _comes_back(self, *_: Any) -> None:
        self._returned = True

    def _is_blocked(self, *_: Any) -> None:
        self._blocked = True

    def _is_unblocked(self, *_: Any) -> None:
        self._blocked = False

    @property
    def connection(self) -> Connection:
        """The open connection."""
        self._open()
        assert self._connection is not None  # noqa: S101 - it was just opened
        return self._connection

    def publish(self, channel: Any, raw: bytes, exchange: str, key: str, headers: Any = None) -> bool:
        """Publish persistently, wait for the confirmation; whether a queue took it."""
        self._returned = False
        message = channel.prepare_message(
            raw, content_type="application/json", headers=headers or {}, properties={"delivery_mode": _PERSISTENT}
        )
        # The broker answers in order: what comes back does so before it is confirmed.
        with self.answering():
            channel.basic_publish(message, exchange, key, mandatory=True, confirm_timeout=_PATIENCE)
        return not self._returned

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Only a queue is asked here, of a broker that answered just now.

        Raises:
            Unanswered: It did not answer, or the broker stumbled over it; the connection is dropped.
            Unavailable: The broker takes no messages at all.
        """
        try:
            yield
        except (TimeoutError, amqp.exceptions.MessageNacked, *_errors()) as error:
            silent = isinstance(error, TimeoutError)
            nacked = isinstance(error, amqp.exceptions.MessageNacked)
            if silent or nacked or getattr(error, "code", None) == _INTERNAL:
                blocked = self._blocked
                self.drop()
                if blocked:
                    said = f"消息服务 {self._address.place} 暂不接收消息：内存或磁盘不足"
                    raise Unavailable(said, remedy="请其管理员释放内存或磁盘；恢复后自动继续") from error
                why = "队列没有应答" if silent else "队列已损坏"
                raise Unanswered(
                    f"消息服务 {self._address.place} 的{why}", remedy="投递进程会重建该队列；长期如此请检查消息服务"
                ) from error
            raise

    def drop_channel(self) -> None:
        """The broker has closed the channel; the next one is another."""
        with suppress(OSError, KombuError, *_errors()):
            self._channel.close()
        self._channel = None

    def drop(self) -> None:
        """Let go of the connection without a word."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(OSError, AttributeError, *_errors()):
                connection.connection.collect()

    def close(self) -> None:
        """Close what is open, whatever state it is in."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(OSError, KombuError, *_errors()):
                connection.close()

    def _translated(self, error: BaseException) -> AdapterError:
        place = self._address.place
        code = getattr(error, "code", None)
        # What the broker says may name users and hosts, and never the password.
        if _refuses(error):
            return Refused(f"消息服务 {place} 拒绝登录或没有权限", remedy="核对用户、口令的引用、虚拟主机和权限")
        if isinstance(error, ssl.SSLCertVerificationError):
            return Refused(f"消息服务 {place} 的证书不能验证", remedy="核对 tls_ca 和地址中的主机名")
        if code == _PRECONDITION_FAILED:
            return Misconfigured(
                f"消息服务 {place} 上有同名而参数不同的队列或交换机",
                remedy="请其管理员删除旧队列（欠下的消息会由平台重新发布），或改 [messages] 的 exchange",
            )
        why = getattr(error, "strerror", None) or type(error).__name__
        return Unavailable(f"消息服务 {place} 不可用：{why}", remedy="稍后自动重试；长期如此请检查消息服务")


def _errors() -> tuple[type[BaseException], ...]:
    return (*Amqp.connection_errors, *Amqp.channel_errors)


def _refuses(error: BaseException) -> bool:
    return getattr(error, "code", None) in (403, 530)


class _BrokerSubscription(Subscription):
    def __init__(self, address: BrokerAddress, names: _Names, prefetch: int) -> None:
        self._names = names
        self._prefetch = prefetch
        self._link = _Link(address, heartbeat=address.heartbeat)
        self._queues: frozenset[str] = frozenset()
        self._silent: frozenset[str] = frozenset()
        self._silences: dict[str, int] = {}
        """How often in a row a queue did not answer."""
        self._consuming: dict[str, str] = {}
        """Queues by what the broker calls our taking from them."""
        self._came: deque[tuple[str, Any]] = deque()
        self._said: deque[tuple[Taken, str | None]] = deque()
        self._lock = threading.Lock()
        self._channel: Any = None
        self._beaten = time.monotonic()
        with self._link.channel():
            pass

    def watch(self, queues: Collection[str]) -> None:
        """Take from these."""
        self._queues = frozenset(queues)
        self._silent &= self._queues

    def silent(self) -> frozenset[str]:
        """Those that did not say that we take from them."""
        return self._silent

    def take(self, seconds: float) -> Taken | None:
        """Let the broker's messages in until there is one."""
        end = time.monotonic() + seconds
        while True:
            with self._link.channel_unasked() as channel:
                if channel is not self._channel:
                    self._begin(channel)
                self._say(channel)
                if not self._consume(channel):
                    continue
                if self._came:
                    if (taken := self._taken(channel, *self._came.popleft())) is not None:
                        return taken
                    continue
                left = end - time.monotonic()
                with suppress(TimeoutError):
                    self._link.connection.drain_events(timeout=max(min(left, _SLICE), 0.001))
                self._beat()
            if not self._came and time.monotonic() >= end:
                return None

    def acknowledge(self, taken: Taken) -> None:
        """Acknowledge."""
        self._tell(taken, None)

    def release(self, taken: Taken) -> None:
        """Requeue."""
        self._tell(taken, "")

    def bury(self, taken: Taken, reason: str) -> None:
        """Publish a copy with the reason, then acknowledge."""
        self._tell(taken, reason or "没有写明原因")

    def close(self) -> None:
        """Say the rest; closing gives back what is in hand."""
        with suppress(AdapterError), self._link.channel_unasked() as channel:
            if channel is self._channel:
                self._say(channel)
        self._link.close()

    def _tell(self, taken: Taken, what: str | None) -> None:
        with self._lock:
            self._said.append((taken, what))

    def _begin(self, channel: Any) -> None:
        """A new channel: what was in hand on the old one comes again."""
        self._channel = channel
        self._consuming.clear()
        self._came.clear()
        channel.basic_qos(0, self._prefetch, False)  # noqa: FBT003 - by position, as the protocol has it

    def _say(self, channel: Any) -> None:
        while self._said:
            with self._lock:
                taken, what = self._said.popleft()
            if taken.tag[0] is not channel:
                continue
            tag = taken.tag[1]
            if what == "":
                channel.basic_reject(tag, requeue=True)
                continue
            if what is not None:
                told = _told(taken.queue, what)
                self._link.publish(channel, taken.message.encoded(), self._names.dead, "", told)
            channel.basic_ack(tag)

    def _consume(self, channel: Any) -> bool:
        """Take from what is watched, also from a queue that was deleted and is there again; False: one is silent."""
        taking = set(self._consuming.values())
        for tag, queue in list(self._consuming.items()):
            if queue not in self._queues:
                channel.basic_cancel(tag)
                self._consuming.pop(tag, None)
        for queue in sorted(self._queues - taking - self._silent):
            try:
                with self._link.answering():
                    self._ask(channel, queue)
            except Unanswered:
                # It has stopped the channel, and all who are on it: they begin anew without it.
                self._silent |= {queue}
                self._silences[queue] = self._silences.get(queue, 0) + 1
                return False
            self._silences.pop(queue, None)
        return True

    def _ask(self, channel: Any, queue: str) -> None:
        """Begin to take from a queue.

        The library's own ``basic_consume`` waits for ever, and shows no sign of life meanwhile.
        """
        name = self._names.queue(queue)
        tag = f"{name}.{id(self):x}"
        self._consuming[tag] = queue
        channel.callbacks[tag] = lambda raw: self._came.append((queue, raw))
        channel.cancel_callbacks[tag] = self._cancelled
        patience = min(_HESITATION * 2 ** self._silences.get(queue, 0), 60.0)
        end = time.monotonic() + patience
        channel.send_method(amqp.spec.Basic.Consume, "BssbbbbF", (0, name, tag, False, False, False, False, None))
        while True:
            left = end - time.monotonic()
            try:
                channel.wait(amqp.spec.Basic.ConsumeOk, timeout=max(min(left, _SLICE), 0.001))
            except TimeoutError:
                if left <= 0:
                    raise
                self._beat()
            else:
                return

    def _cancelled(self, tag: str) -> None:
        """The queue is gone."""
        self._consuming.pop(tag, None)

    def _taken(self, channel: Any, queue: str, raw: Any) -> Taken | None:
        headers = raw.headers
        before = int(headers.get("x-delivery-count") or 0)
        try:
            message = Message.decoded(_bytes(raw))
        except Malformed as error:
            told = _told(queue, error.message)
            self._link.publish(channel, _bytes(raw), self._names.dead, "", told)
            channel.basic_ack(raw.delivery_tag)
            return None
        return Taken(message, queue, before, (channel, raw.delivery_tag))

    def _beat(self) -> None:
        moment = time.monotonic()
        if moment - self._beaten >= 1:
            self._beaten = moment
            self._link.connection.heartbeat_check()
