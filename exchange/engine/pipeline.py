"""Reading ahead and writing behind: the source, the checks and the target work at the same time.

Each side has one thread and a queue of a few batches, so that memory stays what it was; what goes wrong
on a thread is raised where its work is waited for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 2
"""Batches that wait on either side."""
_SECONDS = 0.1
"""How long a thread waits for room before it looks whether anybody still wants its work."""


class _End:
    """The work is done, or went wrong."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Read on a thread of its own, a little ahead of who takes the items.

    Leaving the block ends the reading, wherever it stands, on the thread that began it.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(DEPTH)
    left = threading.Event()

    def put(item: T | _End) -> bool:
        while not left.is_set():
            try:
                waiting.put(item, timeout=_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            reading = iter(items)
            try:
                for item in reading:
                    if not put(item):
                        return
            finally:
                if isinstance(reading, Generator):
                    reading.close()
        except BaseException as error:  # noqa: BLE001
            put(_End(error))
        else:
            put(_End())

    def taken() -> Iterator[T]:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    thread = threading.Thread(target=read, name="shutong-reading", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        left.set()
        thread.join()


class Behind(Generic[T]):
    """Write on a thread of its own, a little behind who hands the items over.

    Args:
        write: What is done with each item, in order.
    """

    def __init__(self, write: Callable[[T], object]) -> None:
        self._write = write
        self._waiting: queue.Queue[T | _End] = queue.Queue(DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="shutong-staging", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over; raises what went wrong with an earlier one."""
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def finish(self) -> None:
        """Wait until everything is written; raises what went wrong."""
        self.close()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread. Repeatable."""
        if self._thread.is_alive():
            self._waiting.put(_End())
            self._thread.join()

    def _work(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is not None:
                continue  # nobody wants the rest, but whoever hands it over must not wait
            try:
                self._write(item)
            except BaseException as error:  # noqa: BLE001
                self._error = error
