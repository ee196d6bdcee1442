"""``shutong serve console`` (站点服务): the site under a real server, in one process or several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.errors import HubError, Invalid
from exchange.settings import Settings
from exchange.web.server import Listening, is_loopback, serve


def serve_site(
    settings: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    scheduler: str = "",
    announce: Callable[[str], None],
) -> None:
    """Serve until the process is told to stop.

    Args:
        settings: Of the hub.
        host: Address to listen on, in the place of the setting.
        port: Port, 0 for a free one, in the place of the setting.
        scheduler: Address of the Airflow that runs beside it; empty: none does.
        announce: Told the address once browsers can connect.

    Raises:
        Invalid: The address cannot be listened on, or a setting is wrong.
        Failed: It did not start.
    """
    found = listening(settings, host=host, port=port)
    serve(found, lambda address: _application(settings, address, scheduler), announce)


def listening(settings: Settings, *, host: str | None = None, port: int | None = None) -> Listening:
    """Where and how it listens.

    Raises:
        Invalid: A setting is wrong.
    """
    web = settings.web
    found = Listening(
        name="console",
        host=web.host if host is None else host,
        port=settings.port if port is None else port,
        workers=web.workers,
        certificate=_file(settings, web.tls_certificate),
        key=_file(settings, web.tls_key),
    )
    # Passwords go over the wire: others' machines may reach it through TLS, or a proxy that has it.
    if not (is_loopback(found.host) or found.certificate or web.proxies):
        raise Invalid(
            f"控制台监听 {found.host} 而没有加密",
            remedy="设置 web.tls_certificate 和 web.tls_key；或由反向代理加密，并在 web.proxies 写明它的地址",
        )
    # The provider sends people back to an address that is registered with it, whatever they asked us by.
    if settings.accounts.oidc.enabled and not (web.public_address or is_loopback(found.host)):
        raise Invalid(
            f"启用了统一身份认证，控制台监听 {found.host} 而没有写明对外地址",
            remedy="在 web.public_address 写明浏览器访问的地址，并把它加 /sign-in/unified/back 登记到统一身份认证",
        )
    return found


def _application(settings: Settings, address: str, scheduler: str) -> Any:
    from exchange.hub import open_hub
    from exchange.site.application import application
    from exchange.site.logs import configure

    configure()
    hub = open_hub(settings.home)
    return _Closing(application(hub, address=address, scheduler=scheduler), hub.close)


class _Closing:
    """Lets go of what an application stands on, when its server has ended the last call."""

    def __init__(self, app: ASGIApp, close: Callable[[], None]) -> None:
        self._app = app
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                # Whatever is left open now, somebody else closes: a database that is away keeps nobody from ending.
                with contextlib.suppress(HubError):
                    await run_in_threadpool(self._close)
            await send(message)

        await self._app(scope, receive, told)


def _file(settings: Settings, path: Path | None) -> Path | None:
    if path is None:
        return None
    file = settings.home / path.expanduser()
    try:
        file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} 不能读取", remedy="改正 [web] 中的路径或文件权限") from error
    return file
