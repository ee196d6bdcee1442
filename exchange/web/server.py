"""A real server under an application (网络服务): processes that share a port, announced when callers can connect.

Each process makes an application of its own, and ends with whoever started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from exchange.errors import Failed, HubError, Invalid
from exchange.web.streams import EndingStreams

HEADER_SECONDS = 10
"""Within which the head of a request must be here."""
STOP_SECONDS = 10
"""Within which calls under way may end when the service stops."""
_PARENT_DIED = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Listening:
    """Where and how it listens.

    Attributes:
        name: What it is called in messages.
        host: Address.
        port: Port, 0 for a free one.
        workers: Processes.
        certificate: Certificate chain (PEM); None: without TLS.
        key: Its key (PEM).
        client_ca: Authorities (PEM) one of which must have signed a caller's certificate; None: callers show none.
        loggers: Names of further loggers that are told on standard error.
    """

    name: str
    host: str
    port: int
    workers: int
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    loggers: tuple[str, ...] = ()

    def address(self, port: int) -> str:
        """Where it is on a port, from this machine's point of view where it listens everywhere."""
        host = _reachable(self.host)
        return f"{'https' if self.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def free_port(self) -> int:
        """The port, or one that is free where it is 0.

        Raises:
            Invalid: The address cannot be listened on.
        """
        with _held(self.host, self.port) as port:
            return port

    def answers(self, port: int) -> bool:
        """Whether callers can connect."""
        try:
            with socket.create_connection((_reachable(self.host), port), timeout=1):
                return True
        except OSError:
            return False


def serve(listening: Listening, load: Callable[[str], Any], announce: Callable[[str], None]) -> None:
    """Serve until the process is told to stop.

    Args:
        listening: Where and how.
        load: Makes the application, in each process; told the address.
        announce: Told the address once callers can connect.

    Raises:
        Invalid: The address cannot be listened on.
        Failed: It did not start, or ended by itself.
    """
    host = listening.host
    # Closed when the server is to stop, or has died: the processes see the end of it.
    heard, told = os.pipe()
    with _held(host, listening.port) as taken, os.fdopen(heard, "rb"), os.fdopen(told, "wb") as life:
        scheme = "https" if listening.certificate else "http"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{taken}"

        def loaded(_: str) -> Any:
            _end_with_parent()
            life.close()
            try:
                app = EndingStreams(load(address))
            except HubError as error:
                sys.stderr.write(f"{error.message}（{error.remedy}）\n" if error.remedy else f"{error.message}\n")
                raise SystemExit(1) from error
            threading.Thread(target=_await_end, args=(heard, app.end), daemon=True).start()
            return app

        server = _Server(
            life.close,
            listening.name,
            address=host,
            port=taken,
            interface=Interfaces.ASGI,
            workers=listening.workers,
            http=HTTPModes.http1,
            websockets=False,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=64 << 10),
            log_level=LogLevels.warning,
            log_dictconfig=_log(listening.loggers),
            ssl_cert=listening.certificate,
            ssl_key=listening.key,
            ssl_ca=listening.client_ca,
            ssl_client_verify=listening.client_ca is not None,
            ssl_protocol_min=SSLProtocols.tls12,
            workers_kill_timeout=STOP_SECONDS,
            respawn_failed_workers=True,
            respawn_interval=0.5,
        )
        ended = threading.Event()
        server.on_startup(lambda: _announce_when_open(host, taken, lambda: announce(address), ended))
        try:
            server.serve(target_loader=loaded)
        except SystemExit as error:
            if error.code not in (0, None):
                raise Failed("服务没有启动或意外停止", remedy="查看上面的原因，改正后再启动") from error
        finally:
            ended.set()


class _Server(MPServer):
    """One that says so before it waits for its processes to end."""

    def __init__(self, ending: Callable[[], None], *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._ending = ending

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop."""
        self._ending()
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]  # it has no types


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log(loggers: tuple[str, ...]) -> dict[str, Any]:
    """Standard output is the command's; what a service has to say goes the other way."""
    said = {"handlers": ["console"], "level": "INFO", "propagate": False}
    return {
        "formatters": {"generic": {"format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {
            "console": {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
        },
        "loggers": {"_granian": {"handlers": ["console"], "propagate": False}, **dict.fromkeys(loggers, said)},
    }


@contextlib.contextmanager
def _held(host: str, port: int) -> Iterator[int]:
    """Find out that a port is free, and keep it from others until the processes have it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # The processes share the port; so would a stranger of the same user, if nobody looked first.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            taken = int(probe.getsockname()[1])
        with socket.socket(family) as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((host, taken))
            yield taken
    except (OSError, OverflowError) as error:
        raise Invalid(f"{host} 的端口 {port} 不能监听", remedy="换一个地址或端口，或用 0 自动选择") from error


def _announce_when_open(host: str, port: int, announce: Callable[[], None], ended: threading.Event) -> None:
    def wait() -> None:
        while not ended.wait(0.05):
            with contextlib.suppress(OSError), socket.create_connection((_reachable(host), port), timeout=1):
                announce()
                return

    threading.Thread(target=wait, daemon=True).start()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not listened on here


def _await_end(heard: int, then: Callable[[], None]) -> None:
    os.read(heard, 1)
    then()


def _end_with_parent() -> None:
    """Have this process told to stop when the one that started it is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGTERM)
