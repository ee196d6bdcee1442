"""Seals the log in the background while a process runs."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from exchange.audit.log import AuditLog
from exchange.errors import HubError

_logger = logging.getLogger(__name__)


class Sealer:
    """A thread that seals committed events, each within a second.

    Several may run at once, in one process or many: the database lets one at a time.

    Args:
        log: The log.
        interval: Seconds between two attempts.
    """

    def __init__(self, log: AuditLog, *, interval: float = 0.5) -> None:
        self._log = log
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; a sealer that runs already goes on."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, after sealing what is committed until now.

        Raises:
            HubError: That last sealing failed.
        """
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None
            self._log.seal()

    def __enter__(self) -> Sealer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self._log.seal()
            except HubError as error:
                # What is not sealed now is sealed at the next attempt, by whoever makes it.
                _logger.warning("暂时无法封存日志：%s", error.message)
