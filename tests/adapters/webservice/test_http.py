from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.errors import Malformed, Misconfigured, Refused, Unavailable
from adapters.webservice.http import Limits, Line

Behaviour = Callable[[socket.socket], None]


class Peer:
    """A server that does to each caller what it is told, byte for byte."""

    def __init__(self, listening: socket.socket) -> None:
        self.heard: list[bytes] = []
        self._listening = listening

    def url(self, behave: Behaviour, scheme: str = "http") -> str:
        threading.Thread(target=self._run, args=(behave,), daemon=True).start()
        return f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}/x?secret=1"

    def _run(self, behave: Behaviour) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            with caller, contextlib.suppress(OSError):
                self.heard.append(caller.recv(65536))
                behave(caller)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Peer(listening)
        listening.shutdown(socket.SHUT_RDWR)


def _drip(head: bytes, piece: bytes) -> Behaviour:
    def behave(caller: socket.socket) -> None:
        caller.sendall(head)
        for _ in range(200):
            caller.sendall(piece)
            time.sleep(0.05)

    return behave


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"", b""),
    ],
    ids=["length", "chunked", "until closed", "headers", "silence"],
)
def test_an_answer_that_drips_ends_at_the_deadline(peer: Peer, head: bytes, piece: bytes) -> None:
    line = Line(Limits(seconds=0.5))
    begun = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        line.get(peer.url(_drip(head, piece)))
    assert time.monotonic() - begun < 3
    assert "secret" not in caught.value.message


def test_an_answer_that_is_too_large(peer: Peer) -> None:
    def behave(caller: socket.socket) -> None:
        caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000)

    with pytest.raises(Malformed, match="200000"):
        Line(Limits(largest=200_000)).get(peer.url(behave))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["short", "short chunk", "nonsense", "nothing"],
)
def test_an_answer_that_is_cut(peer: Peer, answer: bytes) -> None:
    with pytest.raises(Unavailable):
        Line(Limits()).get(peer.url(lambda caller: caller.sendall(answer)))


def test_a_compressed_answer_is_not_unpacked(peer: Peer) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"
    with pytest.raises(Malformed, match="压缩"):
        Line(Limits()).get(peer.url(lambda caller: caller.sendall(answer)))


def test_a_redirect_is_not_followed(peer: Peer) -> None:
    calls: list[int] = []

    def behave(caller: socket.socket) -> None:
        calls.append(1)
        caller.sendall(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(Misconfigured, match="302"):
        Line(Limits()).get(peer.url(behave))
    assert calls == [1]


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable):
        Line(Limits()).get(f"http://127.0.0.1:{port}/")


def test_no_tls_there(peer: Peer) -> None:
    with pytest.raises(Refused, match="TLS"):
        Line(Limits(seconds=5)).get(peer.url(lambda caller: caller.sendall(b"plainly not TLS"), "https"))


def test_the_environment_has_no_say(peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stranger password stranger\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: Text/XML; charset="GBK"\r\n\r\nok'
    reply = Line(Limits()).get(peer.url(lambda caller: caller.sendall(answer)))
    assert (reply.status, reply.media, reply.charset, reply.body) == (200, "text/xml", "GBK", b"ok")
    assert b"authorization" not in peer.heard[0].lower()


def test_credentials_are_sent_where_registered(peer: Peer) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    Line(Limits(), ("hub", "pass")).post(peer.url(lambda caller: caller.sendall(answer)), b"x", {})
    assert b"Authorization: Basic aHViOnBhc3M=" in peer.heard[0]
