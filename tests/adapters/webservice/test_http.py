from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from adapters.errors import Malformed, Misconfigured, Refused, Unavailable
from adapters.webservice.errors import Later
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


def test_an_answer_of_two_lengths(peer: Peer) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"
    with pytest.raises(Malformed, match="应答不是正确的 HTTP") as caught:
        Line(Limits()).get(peer.url(lambda caller: caller.sendall(answer)))
    assert "提供方" in caught.value.remedy


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


def test_when_to_come_again_is_told(peer: Peer) -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(Later) as caught:
        Line(Limits()).get(peer.url(lambda caller: caller.sendall(answer)))
    assert caught.value.after == 7.0


def test_an_answer_as_it_comes_and_time_that_is_not_the_peers(peer: Peer) -> None:
    def behave(caller: socket.socket) -> None:
        caller.sendall(b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n" + b"x" * 200_000)

    with Line(Limits(seconds=1.0)).open("GET", peer.url(behave), None, {}) as incoming:
        assert incoming.date == "Thu, 01 Jan 2026 00:00:00 GMT"
        chunks = incoming.chunks()
        size = len(next(chunks))
        with incoming.away():
            time.sleep(1.5)
        size += sum(map(len, chunks))
    assert size == 200_000


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    line = Line(Limits(), certificate=(tmp_path / "none.crt", tmp_path / "none.key"))
    with pytest.raises(Misconfigured, match="证书文件"):
        line.get("https://127.0.0.1:1/")


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    built = built.add_extension(address, critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (tmp_path / "own.crt").write_bytes(built.sign(key, SHA256()).public_bytes(Encoding.PEM))
    (tmp_path / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return tmp_path


def test_mutual_tls(authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "own.crt", authority / "own.key")
    context.load_verify_locations(authority / "own.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    shown: list[Any] = []

    def serve(listening: socket.socket) -> None:
        for _ in range(3):
            plain, _ = listening.accept()
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as caller:
                shown.append(caller.getpeercert())
                caller.recv(65536)
                caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
        own = (authority / "own.crt", authority / "own.key")
        assert Line(Limits(5), ca=authority / "own.crt", certificate=own).get(url).body == b"ok"
        assert shown[0]["subject"] == ((("commonName", "127.0.0.1"),),)
        with pytest.raises(Refused, match="证书"):
            Line(Limits(5), certificate=own).get(url)
        with pytest.raises((Refused, Unavailable)):
            Line(Limits(5), ca=authority / "own.crt").get(url)


_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_line_that_is_kept_is_one_connection_and_still_ends_at_the_deadline(peer: Peer) -> None:
    def behave(caller: socket.socket) -> None:
        for _ in range(3):
            caller.sendall(_SHORT)
            caller.recv(65536)
        _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x")(caller)

    url = peer.url(behave)
    line = Line(Limits(1.0, 1 << 20), kept=True)
    with contextlib.closing(line):
        for _ in range(3):
            assert line.get(url).body == b"ok"
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            line.get(url)
        assert time.monotonic() - begun < 3
    assert len(peer.heard) == 1
    assert b"connection: keep-alive" in peer.heard[0].lower()


def test_a_line_that_the_peer_gave_up_meanwhile_is_opened_anew(peer: Peer) -> None:
    url = peer.url(lambda caller: caller.sendall(_SHORT))
    with contextlib.closing(Line(Limits(5.0, 1 << 20), kept=True)) as line:
        for _ in range(2):
            assert line.get(url).body == b"ok"
            time.sleep(0.05)
    assert len(peer.heard) == 2


def _kept(peer: Peer, *answers: bytes) -> str:
    def behave(caller: socket.socket) -> None:
        for answer in answers:
            caller.sendall(answer)
            peer.heard.append(caller.recv(65536))

    return peer.url(behave)


def test_over_a_kept_line_a_request_goes_again_as_it_went(peer: Peer) -> None:
    url = _kept(peer, _SHORT, _SHORT, _SHORT)
    with contextlib.closing(Line(Limits(5.0), ("hub", "pass"), kept=True)) as line:
        for body in (b"one", b"three", b"two"):
            assert line.post(url, body, {"SOAPAction": '"x"', "Content-Type": "text/xml"}).body == b"ok"
    first, second, third, *_ = peer.heard
    # Head and body come together, and the head is the same but for the length.
    assert first.endswith(b"\r\n\r\none")
    assert second.endswith(b"\r\n\r\nthree")
    told = [sorted(head.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")) for head in (first, second, third)]
    assert told[0] == told[2]
    assert [each for each in told[1] if each != b"content-length: 5"] == [
        each for each in told[0] if each != b"content-length: 3"
    ]


def test_over_a_kept_line_other_headers_are_sent_too(peer: Peer) -> None:
    url = _kept(peer, _SHORT, _SHORT)
    with contextlib.closing(Line(Limits(5.0), kept=True)) as line:
        line.post(url, b"one", {"X-Sign": "a"})
        line.post(url, b"two", {"X-Sign": "b"})
    assert b"x-sign: a" in peer.heard[0].lower()
    assert b"x-sign: b" in peer.heard[1].lower()


def test_a_cookie_given_later_is_shown_from_then_on(peer: Peer) -> None:
    setting = b"HTTP/1.1 200 OK\r\nSet-Cookie: route=7\r\nContent-Length: 2\r\n\r\nok"
    url = _kept(peer, _SHORT, setting, _SHORT, _SHORT)
    with contextlib.closing(Line(Limits(5.0), kept=True)) as line:
        for _ in range(4):
            line.post(url, b"x", {})
    assert [b"Cookie: route=7" in heard for heard in peer.heard[:4]] == [False, False, True, True]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", Misconfigured),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf", Unavailable),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Later),
        (b"nonsense\r\n\r\n", Unavailable),
    ],
)
def test_a_kept_line_tells_what_is_wrong_as_any_other_does(
    peer: Peer, answer: bytes, expected: type[Exception]
) -> None:
    def behave(caller: socket.socket) -> None:
        caller.sendall(_SHORT)
        caller.recv(65536)
        caller.sendall(answer)

    url = peer.url(behave)
    with contextlib.closing(Line(Limits(5.0), kept=True)) as line:
        line.post(url, b"x", {})
        with pytest.raises(expected):
            line.post(url, b"x", {})


def test_a_chunk_of_less_than_nothing(peer: Peer) -> None:
    url = peer.url(_drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n", b"x"))
    with pytest.raises(Malformed, match="HTTP"):
        Line(Limits(seconds=5)).get(url)


def test_cookies_do_not_pile_up(peer: Peer) -> None:
    """One is sent back, as balancers need it; of a service that sets ever new ones none."""
    replies: list[list[str]] = [["route=a"], [], [f"k{each}={'v' * 3000}" for each in range(9)], []]

    def behave(caller: socket.socket) -> None:
        cookies = "".join(f"Set-Cookie: {each}\r\n" for each in replies.pop(0))
        caller.sendall(f"HTTP/1.1 200 OK\r\n{cookies}Connection: close\r\nContent-Length: 2\r\n\r\nok".encode())

    url, line = peer.url(behave), Line(Limits(seconds=5))
    for _ in range(4):
        assert line.get(url).body == b"ok"
    assert [b"Cookie: route=a" in each for each in peer.heard] == [False, True, True, False]
    assert b"Cookie" not in peer.heard[3]
