"""The port of message middleware (消息中间件).

A message is a notification and nothing else: what is owed stands in the hub's own books. So a transport may deliver a
message more than once, and may lose all it holds; what it must do is say truly whether it has a message, give each
message to one taker at a time, and give it again when the taker dies.

Topics are resource codes. Every queue receives the messages of the topics that it is bound to.
"""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from adapters.errors import Malformed

PREVIOUS = "killed"
"""Reason of a dead letter whose takers died one after the other."""
WORDS = {PREVIOUS: "取走它的执行者一再中途死亡", "": "没有写明原因"}
"""Reasons that a transport gives by itself, in words."""


@dataclass(frozen=True)
class Message:
    """A message (消息).

    Attributes:
        topic: Code of the resource it is about.
        body: Ids alone; never anything of a record.
        id: Its name; a repetition has one of its own.
    """

    topic: str
    body: Mapping[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def encoded(self) -> bytes:
        """As it travels."""
        return json.dumps({"id": self.id, "topic": self.topic, "body": dict(self.body)}, ensure_ascii=False).encode()

    @classmethod
    def decoded(cls, raw: bytes) -> Self:
        """From how it travelled.

        Raises:
            Malformed: It is no message of ours.
        """
        try:
            found = json.loads(raw)
            body = {str(name): str(value) for name, value in found["body"].items()}
            return cls(topic=str(found["topic"]), body=body, id=str(found["id"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            # What the message holds is no part of the complaint.
            raise Malformed("队列里有不是数通发出的消息", remedy="检查谁还向这个消息服务的同名交换机发消息") from None


@dataclass(frozen=True)
class Taken:
    """A message in hand (在办消息).

    Attributes:
        message: The message.
        queue: The queue it was taken from.
        before: How often it was taken before, by somebody who did not say what became of it.
        tag: What the transport knows it by.
    """

    message: Message
    queue: str
    before: int
    tag: Any


@dataclass(frozen=True)
class DeadLetter:
    """A message that is given to nobody any more (死信), with the reason."""

    message: Message
    queue: str
    reason: str
    at: datetime | None


class Subscription(ABC):
    """The hold of one process on the messages of some queues.

    :meth:`watch`, :meth:`take` and :meth:`close` belong to one thread, which calls :meth:`take` again and again also
    while messages are in hand: that keeps them in hand. What becomes of a message may be said on any thread; it takes
    effect by the next :meth:`take`, or :meth:`close`.
    """

    @abstractmethod
    def watch(self, queues: Collection[str]) -> None:
        """Take from these queues from now on, and from no others."""

    def silent(self) -> frozenset[str]:
        """Those of the watched queues that do not answer (无应答的队列), so that nothing is taken from them.

        Each is asked again when it is watched anew after it was not.
        """
        return frozenset()

    @abstractmethod
    def take(self, seconds: float) -> Taken | None:
        """The next message of any of the queues, waiting for it so long; None: there was none.

        Raises:
            Unavailable: The transport is away; all that was in hand comes again.
            Unanswered: It is there, but takes no dead letters.
        """

    @abstractmethod
    def acknowledge(self, taken: Taken) -> None:
        """It is done with (确认)."""

    @abstractmethod
    def release(self, taken: Taken) -> None:
        """Give it back, for somebody to take at once."""

    @abstractmethod
    def bury(self, taken: Taken, reason: str) -> None:
        """Make a dead letter of it."""

    @abstractmethod
    def close(self) -> None:
        """Say what is still to be said, and give back what is in hand."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport(ABC):
    """A message middleware (消息服务). It belongs to one thread at a time.

    Attributes:
        name: What people know it by.
    """

    name: str

    @abstractmethod
    def declare(
        self, queues: Mapping[str, Collection[str]], loosed: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """See to it that these queues are there and bound; repeatable.

        Args:
            queues: Queues with the topics they receive.
            loosed: Queues with topics that they receive no longer.

        Raises:
            Unavailable: The transport is away.
            Refused: It does not let us in.
            Misconfigured: A queue of that name is there and is another kind of queue.
        """

    @abstractmethod
    def publish(self, message: Message, *, queue: str | None = None) -> bool:
        """Send a message to every queue of its topic, or to one queue alone.

        Returns:
            Whether it lies, durable, in a queue at least; False: there is no queue for it.

        Raises:
            Unavailable: It is not known whether it was taken; publish it again.
            Unanswered: The same, though the transport is there: one of the queues does not answer.
            Refused: The transport does not let us in.
        """

    def mend(self, queue: str | None, topics: Collection[str] = ()) -> bool:
        """Make a queue that does not answer anew, empty and bound (重建队列); None: that of the dead letters.

        It is asked first, patiently: one that is only slow stays. What lay in it is gone, which costs hints alone.
        A transport whose queues cannot fail one by one has nothing to mend.

        Args:
            queue: The queue that is in doubt.
            topics: What it receives.

        Returns:
            Whether it was made anew.

        Raises:
            Unavailable: The transport is away.
        """
        return False

    @abstractmethod
    def subscribe(self, *, prefetch: int = 1) -> Subscription:
        """Begin to take messages, so many of each queue in hand at most.

        Raises:
            Unavailable: The transport is away.
        """

    @abstractmethod
    def depths(self, queues: Collection[str]) -> dict[str, int | None]:
        """How many messages wait in each queue, those in hand left out; None: there is no such queue."""

    @abstractmethod
    def bury(self, message: Message, queue: str, reason: str) -> None:
        """Write a dead letter of a message that nobody has in hand."""

    @abstractmethod
    def dead_letters(self, limit: int = 1000) -> list[DeadLetter]:
        """Dead letters, the oldest first; they stay."""

    @abstractmethod
    def forget(self, letters: Collection[str]) -> int:
        """Remove dead letters by the ids of their messages; how many there were."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the transport."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
