"""The SOAP door (服务接口): rows offered to others over HTTP, on this machine only.

It has neither TLS nor accounts of its own; so it listens on a loopback address and nowhere else, for
programs of the same machine or a proxy that stands in front of it.
"""

from __future__ import annotations

import ipaddress
import logging
import socketserver
import sys
import threading
from types import TracebackType
from typing import IO, Self, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from adapters.base import DELETE, OPERATION
from adapters.errors import Refused
from adapters.webservice import xml
from adapters.webservice.desk import (
    Caller,
    Desk,
    Direction,
    Offer,
    Page,
    Password,
    Pushed,
    ReceiptAnswer,
    RefusedPush,
    Shown,
)
from adapters.webservice.server import RowsService, rows_service
from exchange.errors import Invalid

# What whoever opens a desk of their own needs of the port, besides the servers.
__all__ = [
    "DELETE",
    "OPERATION",
    "Caller",
    "Desk",
    "Direction",
    "Offer",
    "Page",
    "Password",
    "Pushed",
    "ReceiptAnswer",
    "Refused",
    "RefusedPush",
    "RowsService",
    "RunningServer",
    "Shown",
    "rows_service",
    "serve",
]

_log = logging.getLogger(__name__)

SECONDS = 30
"""How long a caller may keep silent."""


class RunningServer:
    """A server on a thread of its own.

    Attributes:
        url: Where it answers; the service description is at ``url?wsdl``.
    """

    def __init__(self, server: WSGIServer, url: str) -> None:
        self.url = url
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and let go of the port. Repeatable."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(app: WSGIApplication, host: str = "127.0.0.1", port: int = 0) -> RunningServer:
    """Answer calls with an application, on a thread of its own.

    A service of :func:`rows_service` that has no address yet is published under the server's.

    Args:
        app: What answers.
        host: A loopback address.
        port: A port, 0 for a free one.

    Raises:
        Invalid: The address is not a loopback address, or the port is taken.
    """
    try:
        local = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise Invalid(f"服务接口不能监听 {host}", remedy="只监听本机地址，例如 127.0.0.1；对外由反向代理转发")
    try:
        server = _Server((host, port), _Request)
    except (OSError, OverflowError) as error:
        raise Invalid(f"端口 {port} 不能监听", remedy="换一个端口，或用 0 自动选择") from error
    url = f"http://{host}:{server.server_port}/"
    if isinstance(app, RowsService) and not app.published:
        app.publish(url)
    server.set_app(app)
    return RunningServer(server, url)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer asks the name service for the machine's name; there may be none to ask.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        _log.warning("a call ended early: %s", type(sys.exception()).__name__)


class _Answer(ServerHandler):
    """Answers with a SOAP fault when the application fails, and tells the log no more than the kind of error."""

    error_status = "500 Internal Server Error"
    error_headers = [("Content-Type", "text/xml; charset=utf-8")]  # noqa: RUF012 - as the base class has it
    error_body = xml.fault("Server", "服务出错")

    def log_exception(self, exc_info: object) -> None:
        kind = exc_info[0] if isinstance(exc_info, tuple) else None
        _log.error("the service failed: %s", getattr(kind, "__name__", "unknown"))


class _Request(WSGIRequestHandler):
    timeout = SECONDS

    def handle(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65537)
        except TimeoutError:
            return
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return
        if not self.parse_request():
            return
        answer = _Answer(
            self.rfile, cast("IO[bytes]", self.wfile), self.get_stderr(), self.get_environ(), multithread=True
        )
        answer.request_handler = self  # type: ignore[attr-defined]  # as the base class does
        answer.run(self.server.get_app())  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a cursor in a request line may be somebody's number."""
