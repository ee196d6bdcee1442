from __future__ import annotations

import http.client
import logging
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import zeep
from lxml import etree

from exchange.errors import Invalid
from exchange.service import rows_service, serve


def _app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def _fail(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    raise RuntimeError("11010119900307")


def _get(url: str, path: str = "/x") -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_until_it_is_stopped() -> None:
    server = serve(_app)
    assert _get(server.url) == (200, b"/x")
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        _get(server.url)


def test_a_service_is_published_where_it_is_served() -> None:
    service = rows_service("S", "urn:example:s", ["a"], lambda cursor, limit: ([{"a": "甲"}], None))
    with serve(service) as server:
        assert zeep.Client(f"{server.url}?wsdl").service.Query().rows.Row[0].a == "甲"
        address = etree.fromstring(_get(server.url, "/?wsdl")[1]).find(".//{*}address")
        assert address is not None
        assert address.get("location") == server.url


def test_an_address_that_was_set_stays() -> None:
    service = rows_service(
        "S", "urn:example:t", ["a"], lambda cursor, limit: ([], None), address="https://hub.example/s"
    )
    with serve(service) as server:
        assert b"https://hub.example/s" in _get(server.url, "/?wsdl")[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "", "::1"])
def test_only_loopback(host: str) -> None:
    with pytest.raises(Invalid):
        serve(_app, host)


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Invalid, match="端口"):
        serve(_app, port=taken.getsockname()[1])
    with pytest.raises(Invalid):
        serve(_app, port=70_000)


def test_a_failure_is_a_fault_and_tells_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(_fail) as server:
        status, body = _get(server.url)
    assert status == 500
    assert etree.fromstring(body).findtext(".//faultstring") == "服务出错"
    assert "RuntimeError" in caplog.text
    out, err = capfd.readouterr()
    assert "11010119900307" not in caplog.text + out + err


def test_callers_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        both.wait()
        return _app(environ, start_response)

    with serve(meet) as server:
        answers: list[tuple[int, bytes]] = []
        callers = [threading.Thread(target=lambda: answers.append(_get(server.url))) for _ in range(2)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert answers == [(200, b"/x")] * 2


@pytest.mark.parametrize("request_", [b"", b"\r\n", b"GET / HTTP/1.1", b"GET " + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n"])
def test_half_a_request(request_: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with serve(_app) as server:
        parts = urllib.parse.urlsplit(server.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as caller:
            caller.sendall(request_)
            caller.shutdown(socket.SHUT_WR)
        assert _get(server.url) == (200, b"/x")
    assert "Traceback" not in capfd.readouterr().err
