"""What starts an exchange when something arrives for it (触发器): files at rest, pushed messages, what is owed.

The trigger says that something waits, and says it again while it does; what it is, and that none of it is lost, stands
in the hub's books and in the drop. So a trigger that died, or an event that Airflow stored without starting a run,
costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from exchange.errors import HubError
from exchange.scheduling.connections import open_hub

if TYPE_CHECKING:
    from exchange.hub import Hub

Look = Mapping[str, str]
"""What waits: exchanges, each with a mark that changes when something new does."""

EVERY = 1.0
"""Seconds between two looks."""
AGAIN = 60.0
"""Seconds after which something that still waits is told again; sooner at first."""
SOON = 5.0
"""Seconds after which it is told again for the first time: the run of something before may just have been over it."""
SLOWEST = 30.0
"""Seconds between two looks at a hub that does not answer, at most."""
SILENT = 5.0
"""Seconds after which a look is handed on though it shows nothing new."""

_logger = logging.getLogger(__name__)


class WaitingTrigger(BaseEventTrigger):
    """Fires for an exchange while something waits for it (到达触发).

    All triggers of one hub share one look at it. Nothing of it is secret: what is stored of it are its arguments.

    Args:
        home: The hub's home; None: what ``SHUTONG_HOME`` names where the triggerer runs.
        exchange: Id of the exchange.
        every: Seconds between two looks.
        again: Seconds after which what still waits is told again.
    """

    def __init__(self, home: str | None, exchange: str, every: float = EVERY, again: float = AGAIN) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.home = home
        self.exchange = exchange
        self.every = every
        self.again = again

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where the class is and what it was made with."""
        arguments = {"home": self.home, "exchange": self.exchange, "every": self.every, "again": self.again}
        return f"{__name__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look and fire, alone."""
        _, arguments = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(arguments)):
            yield event

    def shared_stream_key(self) -> Hashable:
        """One look for all exchanges of a hub."""
        from exchange.settings import default_home

        home = Path(self.home) if self.home else default_home()
        return "shutong", str(home), self.every

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Look]:
        """What waits at the hub: now, whenever it changes, and every few seconds.

        A hub that cannot be looked at is said in the log and looked at again.
        """
        home, every = kwargs["home"], kwargs["every"]
        loop = asyncio.get_running_loop()
        # One thread: the hub's connections stay where they were made, and Airflow's other triggers are not held up.
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shutong-waiting")
        window = _Window(Path(home) if home else None)
        shown: Look | None = None
        shown_at, pause = 0.0, every
        try:
            while True:
                try:
                    look = await loop.run_in_executor(thread, window.look)
                    pause = every
                except Exception as error:
                    told = None if isinstance(error, HubError) else error
                    _logger.warning("cannot see what waits at %s: %s", home or "SHUTONG_HOME", error, exc_info=told)
                    thread.submit(window.close)
                    pause = min(2 * pause, SLOWEST)
                else:
                    if look != shown or loop.time() - shown_at >= SILENT:
                        shown, shown_at = look, loop.time()
                        yield look
                await asyncio.sleep(pause)
        finally:
            thread.submit(window.close)
            thread.shutdown(wait=False)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Look]) -> AsyncIterator[TriggerEvent]:
        """Fire when something new waits for the exchange, and again while it does."""
        loop = asyncio.get_running_loop()
        told: str | None = None
        due, pause = 0.0, SOON
        async for look in shared_stream:
            mark = look.get(self.exchange)
            if mark is None:
                told = None
            elif mark != told or loop.time() >= due:
                pause = min(SOON if mark != told else 2 * pause, self.again)
                told, due = mark, loop.time() + pause
                told_of = {"exchange": self.exchange, "waiting": mark}
                yield TriggerEvent(told_of)  # type: ignore[no-untyped-call]


class _Window:
    """A hub that is looked at from one thread; it is opened at the first look, and again after a failure."""

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self._held = ExitStack()
        self._hub: Hub | None = None

    def look(self) -> Look:
        """What waits there now."""
        if self._hub is None:
            self._hub = self._held.enter_context(closing(open_hub(self._home)))
        return self._hub.timetable.waiting()

    def close(self) -> None:
        """Let go of the hub."""
        self._hub = None
        self._held.close()
