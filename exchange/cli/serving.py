"""``serve``: interfaces that other programs call."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from exchange.cli import pages
from exchange.cli.answers import Answer, Words
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app

serve = group("serve", _("对外提供接口"), panel=EXCHANGE, into=app)


@command(
    serve,
    "soap",
    help=_(
        "提供 Web Service 接口，直到被停止（Ctrl-C 或 SIGTERM）。\n"
        "通用的服务描述在 /soap/exchange?wsdl，每个资源的在 /soap/r/资源代码/版本?wsdl；SOAP 1.2 在 /soap12/ 下。\n"
        "监听的地址、TLS、上限等在 shutong.toml 的 [soap] 中设置。"
    ),
    example=_("shutong serve soap\nshutong serve soap --port 0 --json"),
)
def soap(
    call: Call,
    *,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help=_("监听的地址，代替设置"))] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="PORT", help=_("监听的端口，代替设置；0 为自动选择")),
    ] = None,
) -> int:
    """Serve SOAP until the process is told to stop."""
    from exchange.service.soap import serve_soap
    from exchange.settings import load_settings

    def announce(address: str) -> None:
        public = settings.soap.public_address or address
        told = {"address": address, "public_address": public, "wsdl": f"{public}/soap/exchange?wsdl"}
        parts = [
            Words(_("服务接口：{address}").format(address=address), "bold green"),
            Words(_("服务描述：{wsdl}").format(wsdl=told["wsdl"])),
        ]
        pages.write(Answer(told, parts), as_json=call.given.as_json)
        sys.stdout.flush()

    settings = load_settings(call.given.home)
    serve_soap(settings, host=host, port=port, announce=announce)
    return 0
