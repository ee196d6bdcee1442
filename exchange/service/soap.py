"""``shutong serve soap`` (服务接口): the door of :mod:`adapters.webservice` under a real server.

Several processes share the port; each opens a desk of its own. The desk is named by its import path, so that the
door can be served with any: the hub's is the default.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from adapters.errors import AdapterError
from adapters.webservice.application import Application, Pace
from adapters.webservice.credentials import Trust
from adapters.webservice.desk import Desk
from adapters.webservice.door import Door
from adapters.webservice.reading import Limits
from exchange.errors import Failed, Invalid
from exchange.settings import Settings, Soap
from exchange.web.server import Listening, is_loopback, serve

DeskFactory = Callable[[Path], Desk]
"""Opens a desk for a hub's home."""


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
    listening = Listening(
        name="soap",
        host=host,
        port=soap.port if port is None else port,
        workers=soap.workers,
        certificate=files["tls_certificate"],
        key=files["tls_key"],
        client_ca=files["tls_client_ca"],
        loggers=("adapters.webservice",),
    )

    def load(address: str) -> Application:
        try:
            return application(settings, factory(settings.home), address)
        except AdapterError as error:
            raise Failed(error.message, remedy=error.remedy) from error

    serve(listening, load, announce)


def _covered(address: str) -> bool:
    """Whether a password in clear is safe on the way to an address: encrypted, or on this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _demand_address(soap: Soap, host: str) -> None:
    """Refuse to listen to others without an address of theirs: it stands in every service description."""
    if not is_loopback(host) and not soap.public_address:
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
