"""Runs that were begun from a page (在办执行): carried out on threads of the site's process, followed while they last.

What a run has come to is in the hub's books, as of any other; here is only what this process may tell of it while it
goes on, and why it ended where it never became a run. All of it is gone with the process, and the run is taken over as
any other that lost its worker.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from exchange.console.terms import step_share, step_words
from exchange.engine import RunResult
from exchange.errors import HubError
from exchange.hub import Hub
from exchange.identity import Actor
from exchange.messages import _
from exchange.web.working import Work, Working

REMEMBERED = 200
"""Exchanges whose last attempt is kept in mind."""
STEPS = 200
"""Steps of an attempt that are kept in mind."""


@dataclass
class Attempt:
    """One run that somebody began from a page.

    Attributes:
        exchange: Id of the exchange.
        by: Who began it.
        replay: Refused rows are run again, and nothing else.
        at: When it was begun, in seconds since 1970.
        step: Its last step in words; empty: none yet.
        share: How many of its steps it has made; None: that is not known.
        steps: Steps with their time, each as it was told last.
        work: What carries it out.
    """

    exchange: str
    by: str
    replay: bool
    at: float = field(default_factory=time.time)
    step: str = ""
    share: float | None = None
    steps: list[tuple[float, str]] = field(default_factory=list)
    work: Work | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.work is not None and self.work.progress().state != "running"

    @property
    def result(self) -> RunResult | None:
        """What it came to."""
        found: RunResult | None = self.work.progress().result if self.work is not None else None
        return found

    @property
    def error(self) -> HubError | None:
        """Why it came to nothing; a defect says nothing of itself."""
        found = self.work.progress().error if self.work is not None else None
        if found is None or isinstance(found, HubError):
            return found
        return HubError(_("平台出错，这一步没有完成"), remedy=_("请系统管理员查看日志"))

    def observe(self, step: str, figures: dict[str, Any]) -> None:
        """Be told of a step."""
        told = step_words(step, figures)
        again = self.steps and self.step and step_share(step) == self.share
        self.step, self.share = told, step_share(step)
        if again:
            self.steps[-1] = (time.time(), told)
        elif len(self.steps) < STEPS:
            self.steps.append((time.time(), told))


class Attempts:
    """The runs begun from pages of one process.

    Args:
        hub: The hub.
        working: What carries them out, beside what programmes asked for.
    """

    def __init__(self, hub: Hub, working: Working) -> None:
        self._hub = hub
        self._working = working
        self._lock = Lock()
        self._known: OrderedDict[str, Attempt] = OrderedDict()

    def of(self, exchange: str) -> Attempt | None:
        """The last attempt at an exchange in this process."""
        with self._lock:
            return self._known.get(exchange)

    def start(self, exchange: str, *, by: Actor, replay: bool = False, **options: Any) -> Attempt:
        """Begin a run, and do not wait for it; that the actor may is asked before.

        Raises:
            Denied: The actor may not run it.
            Busy: It is being run from here, or as much else is under way as there may be.
        """
        self._hub.oversight.demand_may_run(
            exchange,
            by=by,
            replay=replay,
            accept_fall=options.get("accept_fall") is not None,
            resend=options.get("resend"),
        )
        attempt = Attempt(exchange, by.name, replay)
        if replay:
            options["replay"] = True
        attempt.work = self._working.start(
            f"run {exchange}",
            lambda _tell: self._hub.oversight.run(exchange, by=by, observe=attempt.observe, **options),
        )
        with self._lock:
            self._known[exchange] = attempt
            self._known.move_to_end(exchange)
            self._forget()
        return attempt

    def _forget(self) -> None:
        """Forget the oldest that are over."""
        for name in [name for name, each in self._known.items() if each.ended]:
            if len(self._known) <= REMEMBERED:
                return
            del self._known[name]
