"""Ctrl-C (中断): what somebody interrupts ends and says so, whatever was in hand when the keys were pressed."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN_SECONDS = 0.05


class Interruption:
    """Whether somebody pressed Ctrl-C.

    Attributes:
        heard: Somebody did; what fails from then on fails because of it.
    """

    def __init__(self) -> None:
        self.heard = False

    @contextmanager
    def listening(self) -> Iterator[Interruption]:
        """Hear it, for as long as this lasts.

        Python raises KeyboardInterrupt wherever it happens to be. In a callback of a library's (a weak reference
        that died, a finaliser) nobody can catch it and it is lost: it is raised again, a moment later. In a callback
        of a library that is not written in Python it comes out as that library's own error.

        Where Ctrl-C is ignored, as in a shell's background, or is somebody else's already, nothing is changed.
        """
        free = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if not free or threading.current_thread() is not threading.main_thread():
            yield self
            return
        before, level = sys.unraisablehook, logging.root.manager.disable
        signal.signal(signal.SIGINT, self._hear)
        sys.unraisablehook = _again_or(before)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = before
            logging.disable(level)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.heard = True
        # Libraries log with tracebacks what being torn away does to them; whoever pressed the keys knows why.
        logging.disable()
        raise KeyboardInterrupt


def _again_or(before: Any) -> Any:
    main = threading.main_thread().ident or 0

    def lost(what: Any) -> None:
        if what.exc_type is KeyboardInterrupt:
            # By another thread: raised here and now it would be lost here. A real signal, as it ends waiting too.
            again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            before(what)

    return lost
