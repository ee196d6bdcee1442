"""Work that outlasts the call that asked for it (后台办理): on few threads of this process, and looked at meanwhile.

What is begun here may die with the process, like everything: what it does is the hub's use cases, whose books say how
far it came. Nothing waits in a queue: who comes when all hands are busy is told so.
"""

from __future__ import annotations

import contextvars
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from exchange.errors import Busy, HubError
from exchange.messages import _

_logger = logging.getLogger(__name__)
REMEMBERED = 500
"""Pieces of work kept in mind after their end; what ended longest ago is forgotten first."""
WorkState = Literal["running", "done", "failed"]
Tell = Callable[[str, dict[str, Any]], None]
"""Told of a step and its figures, as the engine's observers are."""


@dataclass(frozen=True)
class Progress:
    """How a piece of work stands (进度).

    Attributes:
        id: What it is asked for by.
        key: What it is about; of one key no two are carried out at once.
        owner: Whose it is: the login of who asked for it.
        state: ``running``, ``done`` or ``failed``.
        step: The last step it told of.
        figures: What its steps told so far; what a later one tells takes the earlier one's place.
        changes: How often that changed: a reader who knows a number waits for a higher one.
        result: What came of it, once it is done.
        error: What kept it, if it failed.
    """

    id: str
    key: str
    owner: str
    began_at: datetime
    state: WorkState = "running"
    step: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    changes: int = 0
    ended_at: datetime | None = None
    result: Any = None
    error: Exception | None = None


class Work:
    """A piece of work, looked at from any thread."""

    def __init__(self, key: str, owner: str) -> None:
        self.id = "W" + secrets.token_hex(8)
        self.key = key
        self.owner = owner
        self._now = Progress(self.id, key, owner, datetime.now(UTC))
        self._changed = threading.Condition()

    def progress(self) -> Progress:
        """How it stands now."""
        with self._changed:
            return self._now

    def wait(self, seconds: float, until: Callable[[Progress], bool] | None = None) -> Progress:
        """How it stands once it has ended, or something holds of it, or so many seconds are over.

        Args:
            seconds: To wait at most.
            until: What is waited for; None: its end. An end ends every waiting.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._now.state == "running" and not (until is not None and until(self._now)):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._now

    def tell(self, step: str, figures: dict[str, Any]) -> None:
        """Note a step; an observer, as the engine's runs take one."""
        self._become(step=step, figures={**self._now.figures, **figures})

    def ended(self, *, result: Any = None, error: Exception | None = None) -> None:
        """Note the end."""
        state: WorkState = "done" if error is None else "failed"
        self._become(state=state, ended_at=datetime.now(UTC), result=result, error=error)

    def _become(self, **changed: Any) -> None:
        with self._changed:
            was = self._now
            self._now = Progress(**{**was.__dict__, "changes": was.changes + 1, **changed})
            self._changed.notify_all()


class Working:
    """The hands of a process.

    Args:
        most: Pieces of work carried out at once.
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Work, threading.Thread]] = {}
        self._known: OrderedDict[str, Work] = OrderedDict()

    def start(self, key: str, work: Callable[[Tell], Any], *, owner: str = "") -> Work:
        """Have something carried out; comes back at once.

        Args:
            key: What it is about.
            work: Does it, and tells its steps to what it is given.
            owner: Login of who asked.

        Raises:
            Busy: The same is being done already, or all hands are busy.
        """
        begun = Work(key, owner)
        context = contextvars.copy_context()  # lines it writes are of the call that asked
        thread = threading.Thread(
            target=lambda: context.run(self._carry, begun, work), name=f"work {begun.id}", daemon=True
        )
        with self._lock:
            if key in self._running:
                raise Busy(_("这件事正在办理"), remedy=_("等它办完；进度见正在办理的那一次"))
            if len(self._running) >= self._most:
                raise Busy(_("正在办理的已有 {many} 件，暂不再接").format(many=self._most), remedy=_("稍后再试"))
            self._running[key] = begun, thread
            self._known[begun.id] = begun
            self._forget()
            # With the lock held, so that nobody who closes misses it.
            thread.start()
        return begun

    def find(self, id: str) -> Work | None:
        """A piece of work by its id; None: there is none, or it ended long ago, or another process has it."""
        with self._lock:
            return self._known.get(id)

    def at(self, key: str) -> Work | None:
        """What is being done of a key now."""
        with self._lock:
            found = self._running.get(key)
            return found[0] if found is not None else None

    def close(self, seconds: float) -> int:
        """Wait so long for what is under way; how much of it goes on: it ends with the process."""
        until = time.monotonic() + seconds
        with self._lock:
            threads = [thread for _, thread in self._running.values()]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return sum(thread.is_alive() for thread in threads)

    def _carry(self, begun: Work, work: Callable[[Tell], Any]) -> None:
        error: Exception | None = None
        result = None
        try:
            result = work(begun.tell)
        except HubError as failure:
            error = failure
        except Exception as failure:
            _logger.exception("a defect in work under way")
            error = failure
        finally:
            # Its place is free before anybody is told that it has ended.
            with self._lock:
                del self._running[begun.key]
            begun.ended(result=result, error=error)

    def _forget(self) -> None:
        ended = [name for name, work in self._known.items() if work.progress().state != "running"]
        for name in ended[: max(0, len(self._known) - REMEMBERED)]:
            del self._known[name]
