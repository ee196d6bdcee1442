"""When to ask again, and when to leave a service alone for a while (重试与熔断).

Only :class:`~adapters.errors.Unavailable` is tried again, and only what may be repeated: reading, and messages that
carry their own id.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from adapters.errors import Unavailable
from adapters.webservice.errors import Later

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often one thing is asked, and how long it is waited in between.

    Attributes:
        attempts: Attempts in all.
        pause: Seconds before the second attempt; doubled each time, and a random half of it is taken off.
        longest: Seconds to wait at most, also where the service asks for more.
    """

    attempts: int = 1
    pause: float = 0.5
    longest: float = 30.0

    def seconds(self, failed: int, error: Unavailable) -> float:
        """How long to wait after so many failures."""
        wait = self.pause * 2.0 ** (failed - 1) * random.uniform(0.5, 1.0)  # noqa: S311  # jitter is no secret
        if isinstance(error, Later):
            wait = max(wait, error.after)
        return min(wait, self.longest)


ONCE = Patience()


class Breaker:
    """Knows how a service has been lately, for all threads of this process (熔断器).

    Closed while it answers; open after so many failures in a row: nobody asks it for a while; then one may try, and
    that one's answer decides.

    Args:
        failures: Failures in a row that open it.
        pause: Seconds it stays open.
        clock: Seconds that only grow.
    """

    def __init__(self, *, failures: int = 5, pause: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._until = 0.0
        self._trying = False

    def enter(self, place: str) -> None:
        """Ask to ask.

        Raises:
            Unavailable: It is open.
        """
        with self._lock:
            if self._failed < self._limit:
                return
            left = self._until - self._clock()
            if left > 0 or self._trying:
                raise Unavailable(
                    f"{place} 连续 {self._failed} 次不可用，暂停访问，{max(1, round(left))} 秒后再试",
                    remedy="等待，或请对方恢复服务",
                )
            self._trying = True

    def succeeded(self) -> None:
        """It answered, be it that it refused."""
        with self._lock:
            self._failed, self._trying = 0, False

    def failed(self) -> None:
        """It was unavailable."""
        with self._lock:
            self._failed += 1
            self._trying = False
            if self._failed >= self._limit:
                self._until = self._clock() + self._pause

    def left(self) -> None:
        """Whoever asked went away without an answer, for reasons of its own."""
        with self._lock:
            self._trying = False


_breakers: dict[str, Breaker] = {}
_breakers_lock = threading.Lock()


def breaker_of(address: str, *, failures: int, pause: float) -> Breaker:
    """The breaker of an address in this process; the first who asks says how it is set."""
    with _breakers_lock:
        return _breakers.setdefault(address, Breaker(failures=failures, pause=pause))


def repeated(
    ask: Callable[[], Answer],
    patience: Patience,
    breaker: Breaker,
    place: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Ask until there is an answer, the patience ends, or the breaker opens.

    Raises:
        AdapterError: The last one.
    """
    failed = 0
    while True:
        breaker.enter(place)
        try:
            answer = ask()
        except Unavailable as error:
            breaker.failed()
            failed += 1
            if failed >= patience.attempts:
                raise
            sleep(patience.seconds(failed, error))
        except Exception:
            # Whatever it said, it is there.
            breaker.succeeded()
            raise
        except BaseException:
            breaker.left()
            raise
        else:
            breaker.succeeded()
            return answer
