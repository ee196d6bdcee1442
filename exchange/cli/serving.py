"""``serve``: interfaces that other programs call."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.cli import pages
from exchange.cli.answers import Answer, Part, Table, Words
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app

if TYPE_CHECKING:
    from exchange.settings import Settings

serve = group("serve", _("对外提供接口"), panel=EXCHANGE, into=app)


@command(
    serve,
    "console",
    help=_(
        "提供控制台和 REST 接口，直到被停止（Ctrl-C 或 SIGTERM）。\n"
        "控制台在 /，REST 接口在 /api/v1/，接口描述在 /openapi.json，健康检查在 /healthz、/readyz，指标在 /metrics。\n"
        "端口由 SHUTONG_PORT 或 shutong.toml 的 port 设置，地址、TLS、进程数、上限等在 [web] 中设置。"
    ),
    example=_("shutong serve console\nshutong serve console --port 0 --json"),
)
def console(
    call: Call,
    *,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help=_("监听的地址，代替设置"))] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="PORT", help=_("监听的端口，代替设置；0 为自动选择")),
    ] = None,
    scheduler: Annotated[
        str, typer.Option("--scheduler", metavar="URL", help=_("旁边的 Airflow 的地址，/readyz 也检查它"))
    ] = "",
) -> int:
    """Serve console and REST interface until the process is told to stop."""
    from exchange.settings import load_settings
    from exchange.site.serving import serve_site

    settings = load_settings(call.given.home)
    first = first_passwords(settings)

    def announce(address: str) -> None:
        public = settings.web.public_address or address
        told = {"address": address, "public_address": public, "first": first}
        parts = [Words(_("控制台：{address}").format(address=public), "bold green"), *told_passwords(first)]
        pages.write(Answer(told, parts), as_json=call.given.as_json)
        sys.stdout.flush()

    serve_site(settings, host=host, port=port, scheduler=scheduler, announce=announce)
    return 0


def first_passwords(settings: Settings) -> list[dict[str, str]]:
    """Logins, names and one-time passwords of the accounts that are made now because there was none."""
    from exchange.hub import open_hub

    with closing(open_hub(settings.home)) as hub:
        return [
            {"login": each.login, "name": each.name, "password": each.password.get_secret_value()}
            for each in hub.accounts.first()
            if each.password is not None
        ]


def told_passwords(first: list[dict[str, str]]) -> list[Part]:
    """The same for people, who see it this once."""
    if not first:
        return []
    rows = [(each["login"], each["name"], each["password"]) for each in first]
    said = _("首批账号的口令，只显示这一次；一次性的须在第一次登录时修改：")
    return [Words(said), Table((_("账号"), _("姓名"), _("口令")), rows, "")]


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
