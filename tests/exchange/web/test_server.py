"""A real server, as callers and whoever stops it find it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from exchange.errors import Failed, Invalid
from exchange.web.server import Listening, is_loopback, serve
from tests.exchange.web.served import LARGEST

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def served(workers: int = 1) -> Iterator[tuple[subprocess.Popen[str], httpx.URL]]:
    command = [sys.executable, "-m", "tests.exchange.web.served", str(workers)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, httpx.URL(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[httpx.URL]:
    with served() as (_, found):
        yield found


def spoken(address: httpx.URL, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Say something to it by hand; what it says until it hangs up."""
    with socket.create_connection((address.host, address.port or 0), timeout=20) as plug:
        for piece in pieces:
            try:
                plug.sendall(piece)
            except OSError:
                break
            time.sleep(pause)
        heard = b""
        try:
            while more := plug.recv(65536):
                heard += more
        except OSError:
            pass
        return heard


def head(*lines: str) -> bytes:
    return ("\r\n".join(["POST /take HTTP/1.1", "Host: hub", *lines]) + "\r\n\r\n").encode()


def test_a_code_with_a_slash_arrives_as_it_was_written(address: httpx.URL) -> None:
    told = spoken(address, b"GET /codes/a%2Fb%252Fc HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
    assert told.endswith(b'"a/b%2Fc"')
    assert spoken(address, b"GET /codes/a%00b HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 404"
    )


def test_one_gigabyte_is_refused_before_it_has_come(address: httpx.URL) -> None:
    told = spoken(address, head(f"Content-Length: {1 << 30}"), bytes(1 << 16))
    assert told.startswith(b"HTTP/1.1 413")


def test_one_gigabyte_without_a_length_is_refused_while_it_comes(address: httpx.URL) -> None:
    sent = 0

    def gigabyte() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 18
            yield bytes(1 << 18)

    # It may hang up while we are still talking, which is as good.
    with contextlib.suppress(httpx.TransportError):
        assert httpx.post(f"{address}/take", content=gigabyte(), timeout=30).status_code == 413
    assert sent < 64 * LARGEST


def test_who_says_too_little_too_slowly_is_not_waited_for(address: httpx.URL) -> None:
    began = time.monotonic()
    told = spoken(address, head("Content-Length: 100", "Connection: close"), b"x")
    assert told.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("length", ["-1", "x", "1, 2"])
def test_a_length_that_is_none_is_refused(address: httpx.URL, length: str) -> None:
    told = spoken(address, head(f"Content-Length: {length}", "Connection: close"), b"x")
    assert told[9:12] in (b"400", b"413")


def test_a_call_of_two_minds_is_refused(address: httpx.URL) -> None:
    """One that a proxy and we might understand differently."""
    both = head("Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close") + b"0\r\n\r\n"
    told = spoken(address, both)
    assert told.count(b"HTTP/1.1") == 1


def test_a_head_that_never_ends_is_refused(address: httpx.URL) -> None:
    told = spoken(address, head(*(f"X-{number}: {'x' * 1000}" for number in range(200))))
    assert told[9:10] == b"4" or told == b""


def test_a_stream_ends_and_a_call_under_way_is_answered_when_it_is_stopped() -> None:
    with served(2) as (process, address), httpx.Client(timeout=20) as client:
        answers: list[str] = []
        waiting = threading.Thread(target=lambda: answers.append(httpx.get(f"{address}/slow", timeout=20).text))
        with client.stream("GET", f"{address}/steps", headers={"Accept": "text/event-stream"}) as steps:
            heard = steps.iter_lines()
            assert next(heard) == "data: step"
            waiting.start()
            time.sleep(0.5)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            # Its end is no end of its content: browsers ask again.
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in heard:
                    pass
            assert time.monotonic() - began < 5
        waiting.join()
        assert answers == ['"done"']
        assert process.wait(10) == 0
        assert time.monotonic() - began < 8


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_process_that_dies_is_started_again_and_none_outlives_the_first() -> None:
    with served(2) as (process, address):
        until = time.monotonic() + 20
        while len(before := children(process.pid)) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        os.kill(before[0], signal.SIGKILL)
        while len(after := children(process.pid)) < 2 or before[0] in after:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert httpx.get(f"{address}/codes/a", timeout=20).json() == "a"
        process.kill()
        while any(Path(f"/proc/{each}/exe").exists() for each in after):
            assert time.monotonic() < until
            time.sleep(0.1)


def test_an_address_that_is_taken_is_said_at_once() -> None:
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        plug.listen()
        with pytest.raises(Invalid, match="不能监听"):
            serve(Listening("probe", "127.0.0.1", plug.getsockname()[1], 1), lambda _: None, lambda _: None)


def test_one_that_cannot_make_its_application_says_so() -> None:
    script = (
        "from exchange.errors import Invalid\nfrom exchange.web.server import Listening, serve\n"
        "def load(_):\n    raise Invalid('没有数据库', remedy='建一个')\n"
        "serve(Listening('probe', '127.0.0.1', 0, 1), load, lambda address: None)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "没有数据库（建一个）" in done.stderr
    assert Failed.__name__ in done.stderr


def test_where_it_is_as_this_machine_says() -> None:
    everywhere = Listening("probe", "0.0.0.0", 80, 1)
    assert everywhere.address(80) == "http://127.0.0.1:80"
    assert Listening("probe", "::1", 0, 1, certificate=Path("c")).address(443) == "https://[::1]:443"
    free = Listening("probe", "127.0.0.1", 0, 1).free_port()
    assert free > 0
    assert not Listening("probe", "127.0.0.1", 0, 1).answers(free)
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "10.0.0.1", "hub")] == [
        True, True, True, False, False,
    ]  # fmt: skip
