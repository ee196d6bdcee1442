"""``shutong serve soap`` (服务接口): the door of :mod:`adapters.webservice` under a real server.

Several processes share the port; each opens a desk of its own. The desk is named by its import path, so that the
door can be served with any: the hub's is the default.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from adapters.errors import AdapterError
from adapters.webservice.application import Application, Pace
from adapters.webservice.credentials import Trust
from adapters.webservice.desk import Desk
from adapters.webservice.door import Door
from adapters.webservice.reading import Limits
from exchange.errors import Failed, HubError, Invalid
from exchange.settings import Settings, Soap

# Standard output is the command's; what the service has to say goes the other way.
_LOG = {
    "formatters": {"generic": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {
        "console": {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
    },
    "loggers": {
        "_granian": {"handlers": ["console"], "propagate": False},
        "adapters.webservice": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}

DeskFactory = Callable[[Path], Desk]
"""Opens a desk for a hub's home."""

HEADER_SECONDS = 10
"""Within which the head of a request must be here."""
STOP_SECONDS = 10
"""Within which calls under way may end when the service stops."""
_PARENT_DIED = 1  # PR_SET_PDEATHSIG


def desk_factory(path: str) -> DeskFactory:
    """The desk's factory, by its import path ``module:name``.

    Raises:
        Invalid: There is none.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Invalid(f"soap.desk 所指的 {path} 不存在", remedy="删去这项设置，使用默认值") from error
    if not callable(found):
        raise Invalid(f"soap.desk 所指的 {path} 不能打开服务台", remedy="删去这项设置，使用默认值")
    factory: DeskFactory = found
    return factory


def application(settings: Settings, desk: Desk, public_address: str) -> Application:
    """The application that the settings describe.

    Args:
        settings: Of the hub.
        desk: Who knows departments, grants and rows.
        public_address: Where others reach it, if no setting says.
    """
    soap = settings.soap
    address = soap.public_address or public_address
    door = Door(
        desk,
        address,
        limits=Limits(body=soap.largest, rows=soap.rows, page=soap.page, usual_page=min(1000, soap.page)),
        trust=Trust(passwords=_covered(address), certificate_header=soap.certificate_header, proxies=soap.proxies),
        seconds=soap.call_seconds,
    )
    return Application(door, Pace(seconds=soap.seconds, rate=soap.rate, threads=soap.threads, spooled=soap.spooled))


def serve_soap(
    settings: Settings, *, host: str | None = None, port: int | None = None, announce: Callable[[str], None]
) -> None:
    """Serve until the process is told to stop.

    Args:
        settings: Of the hub.
        host: Address to listen on, in the place of the setting.
        port: Port, 0 for a free one, in the place of the setting.
        announce: Told the address once callers can connect.

    Raises:
        Invalid: The address cannot be listened on, or a setting is wrong.
        Failed: It did not start.
    """
    soap = settings.soap
    host = soap.host if host is None else host
    _demand_address(soap, host)
    factory = desk_factory(soap.desk)
    files = {name: _file(settings, name) for name in ("tls_certificate", "tls_key", "tls_client_ca")}
    with _held(host, soap.port if port is None else port) as taken:
        scheme = "https" if files["tls_certificate"] else "http"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{taken}"

        def load(_: str) -> Application:
            _end_with_parent()
            try:
                return application(settings, factory(settings.home), address)
            except (HubError, AdapterError) as error:
                sys.stderr.write(f"{error.message}（{error.remedy}）\n" if error.remedy else f"{error.message}\n")
                raise SystemExit(1) from error

        server = Server(
            "soap",
            address=host,
            port=taken,
            interface=Interfaces.ASGI,
            workers=soap.workers,
            http=HTTPModes.http1,
            websockets=False,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=64 << 10),
            log_level=LogLevels.warning,
            log_dictconfig=_LOG,
            ssl_cert=files["tls_certificate"],
            ssl_key=files["tls_key"],
            ssl_ca=files["tls_client_ca"],
            ssl_client_verify=files["tls_client_ca"] is not None,
            ssl_protocol_min=SSLProtocols.tls12,
            workers_kill_timeout=STOP_SECONDS,
            respawn_failed_workers=True,
            respawn_interval=0.5,
        )
        ended = threading.Event()
        server.on_startup(lambda: _announce_when_open(host, taken, lambda: announce(address), ended))
        try:
            server.serve(target_loader=load)
        except SystemExit as error:
            if error.code not in (0, None):
                raise Failed("服务接口没有启动或意外停止", remedy="查看上面的原因，改正后再启动") from error
        finally:
            ended.set()


def _covered(address: str) -> bool:
    """Whether a password in clear is safe on the way to an address: encrypted, or on this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or _loopback(parts.hostname or "")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _demand_address(soap: Soap, host: str) -> None:
    """Refuse to listen to others without an address of theirs: it stands in every service description."""
    if not _loopback(host) and not soap.public_address:
        raise Invalid(
            f"服务接口监听 {host} 而没有写明对外地址",
            remedy="在 soap.public_address 写明别人访问的地址；并设置 soap.tls_certificate 和 tls_key，或由代理加密",
        )


def _file(settings: Settings, name: str) -> Path | None:
    path = getattr(settings.soap, name)
    if path is None:
        return None
    file = settings.home / Path(path).expanduser()
    try:
        file.read_bytes()
    except OSError as error:
        raise Invalid(f"soap.{name} 所指的 {file} 不能读取", remedy="改正路径或文件权限") from error
    return file


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


def _end_with_parent() -> None:
    """Have this process told to stop when the one that started it is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGTERM)
