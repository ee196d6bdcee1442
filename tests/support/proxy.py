"""A proxy between the hub and a server, that can cut a connection exactly where a word goes by."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Literal, Self

Moment = Literal["before", "after"]


class CuttingProxy:
    """Passes bytes on between a loopback port of its own and a server's; use as a context manager.

    Args:
        port: The server's port.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._word = b""
        self._moment: Moment = "before"
        self._skip = 0
        self.cuts = 0
        """How many connections were cut."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def cut(self, word: bytes, moment: Moment, *, skip: int = 0) -> None:
        """Cut the next connection on which a word goes to the server.

        Args:
            word: What is looked for.
            skip: How often it may go by before.
            moment: ``before`` the server gets it, or ``after`` it has answered and before the answer is passed on.
        """
        self._moment, self._skip, self._word = moment, skip, word

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                pair = (client, server, threading.Event())
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self._word and self._word in data:
                    self._skip -= 1
                    if self._skip < 0:
                        self._word = b""
                        self.cuts += 1
                        if self._moment == "before":
                            break
                        doomed.set()
                server.sendall(data)
        if not doomed.is_set():
            _close(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            first = True
            while data := server.recv(1 << 16):
                data, first = _without_tls(data) if first else data, False
                if doomed.is_set():
                    break
                client.sendall(data)
        _close(client, server)


def _without_tls(greeting: bytes) -> bytes:
    """MariaDB's greeting without the offer of TLS, under which no word could be seen."""
    if len(greeting) < 6 or greeting[4] != 10:
        return greeting
    flags = greeting.index(b"\0", 5) + 1 + 4 + 8 + 1
    return greeting[: flags + 1] + bytes([greeting[flags + 1] & ~0x08]) + greeting[flags + 2 :]


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Line:
    """A line to a server of which only bytes are seen: cut at once or after so many, or gone silent; a context manager.

    Args:
        port: The server's port.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._left: int | None = None
        self._open: list[socket.socket] = []
        self._guard = threading.Lock()
        self.silent = threading.Event()
        """While it is set nothing that the server says comes through."""
        self.opened = 0
        """How many connections were made."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections there are."""
        with self._guard:
            ends, self._open = self._open, []
        _close(*ends)

    def cut_after(self, size: int) -> None:
        """Cut all connections once so many bytes have gone by, in both directions taken together."""
        with self._guard:
            self._left = size

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.opened += 1
                try:
                    server = socket.create_connection(self._server)
                except OSError:
                    client.close()
                    continue
                with self._guard:
                    self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    pair = (source, target, source is server)
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                while answers and self.silent.is_set():
                    time.sleep(0.01)
                if target.fileno() < 0:
                    return  # What comes too late goes by nobody, and no cut is spent on it.
                with self._guard:
                    due = self._left is not None and self._left <= len(data)
                    if self._left is not None:
                        self._left = None if due else self._left - len(data)
                if due:
                    self.cut()
                    return
                target.sendall(data)
        _close(source, target)
