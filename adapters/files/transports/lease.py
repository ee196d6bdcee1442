"""A lock made of files (租约锁), for a place that has no lock of its own to offer.

What it promises
    Of those who take it, one at a time is inside. Whoever wants in makes a file of a name that nobody else uses
    and then looks who else has one: only if nobody has is he in, else he takes his back and waits. As each makes
    before he looks, of two at least one sees the other. Nothing depends on two clocks being alike: a holder adds
    a beat to his file every sixth of the lease, and one whose file has not changed for a whole lease, by the clock
    of him who waits, counts as dead, and his file is removed.
What it needs
    A server that shows a file to everybody once it has answered that it is made. Several machines behind one name
    that share a directory lazily are none.
What it does not promise
    A holder who is stopped for a whole lease and then goes on. Before each change that he makes he looks at his own
    clock: when his last beat is older than half a lease he makes none and ends as Unavailable. What is left is
    a stop of half a lease between that look and the server's carrying out one single change. That change is then
    one of a ledger's steps, each of which finds its file gone or is the same when done again, but for the number
    of an exchange's last file, which the exchange's own lease at the hub guards.
After a death
    The next one waits for a lease, once.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime

from adapters.errors import AdapterError, Misconfigured, Unavailable

POLL = 0.05
"""Seconds between two looks at who is inside, at first; it doubles up to a second."""
BEATS = 6
"""Beats in a lease."""


class Folder(ABC):
    """What a lease needs of a directory that nobody else writes to."""

    @abstractmethod
    def names(self) -> list[str]:
        """All names."""

    @abstractmethod
    def content(self, name: str) -> bytes | None:
        """A file's content; None: it is not there."""

    @abstractmethod
    def make(self, name: str, content: bytes) -> None:
        """Make a file."""

    @abstractmethod
    def change(self, name: str, content: bytes) -> None:
        """Change a file that is there.

        Raises:
            Misconfigured: It is not there.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a file, if it is there."""


class Lease:
    """One holder's hold, or his wish for it.

    Args:
        folder: Where the files are.
        seconds: How long a holder may be silent.
        place: What is locked, for messages.
    """

    def __init__(self, folder: Folder, seconds: float, place: str) -> None:
        self._folder = folder
        self._seconds = seconds
        self._place = place
        self._name = secrets.token_hex(8)
        self._beats = 0
        self._last = 0.0
        self._ousted = False
        self._ended = threading.Event()

    def check(self) -> None:
        """Whether the lock is surely still held.

        Raises:
            Unavailable: It may not be.
        """
        if self._ousted or time.monotonic() - self._last > self._seconds / 2:
            raise Unavailable(f"{self._place} 的锁已失去", remedy="稍后会自动重试；若反复出现，检查到服务器的连接")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside.

        Raises:
            Unavailable: Others have been inside for longer than a lease.
        """
        self._take()
        beating = threading.Thread(target=self._beat, name="sftp-lease", daemon=True)
        beating.start()
        try:
            yield
        finally:
            self._ended.set()
            beating.join()
            # What was done inside is done; a file that stays is a dead one's.
            with contextlib.suppress(AdapterError):
                self._folder.drop(self._name)

    def _take(self) -> None:
        seen: dict[str, tuple[bytes, float]] = {}
        deadline = time.monotonic() + self._seconds * 1.5 + 5
        pause = POLL
        while True:
            if not self._others(seen):
                self._last = time.monotonic()
                if self._alone(seen):
                    return
            if time.monotonic() > deadline:
                raise Unavailable(f"{self._place} 正被另一个任务占用", remedy="稍后再试")
            # Two who saw each other must not meet again and again.
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - nothing secret
            pause = min(pause * 2, 1.0, self._seconds / BEATS)

    def _alone(self, seen: dict[str, tuple[bytes, float]]) -> bool:
        alone = False
        try:
            self._folder.make(self._name, self._content())
            alone = not self._others(seen)
        finally:
            if not alone:
                with contextlib.suppress(AdapterError):
                    self._folder.drop(self._name)
        return alone

    def _others(self, seen: dict[str, tuple[bytes, float]]) -> bool:
        """Whether anybody else is there who is not known to be dead."""
        found = False
        for name in self._folder.names():
            if name == self._name:
                continue
            content = self._folder.content(name)
            if content is None:
                continue
            before = seen.get(name)
            if before is None or before[0] != content:
                seen[name] = (content, time.monotonic())
            elif time.monotonic() - before[1] > self._seconds:
                self._folder.drop(name)
                continue
            found = True
        return found

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds / BEATS):
            begun = time.monotonic()
            try:
                self._folder.change(self._name, self._content())
            except Misconfigured:
                self._ousted = True
                return
            except AdapterError:
                # The next beat may get through; until then check() counts the seconds.
                continue
            self._last = begun

    def _content(self) -> bytes:
        self._beats += 1
        about = {
            "owner": f"{socket.gethostname()}/{os.getpid()}",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "beat": f"{self._beats:08d}",
        }
        return json.dumps(about).encode()
