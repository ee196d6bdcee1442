"""The root of all commands: options that hold for each of them, and the headings they are listed under."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exchange.cli.answers import Answer, Words
from exchange.cli.calling import As, Given, Home, Json, overview
from exchange.cli.messages import _
from exchange.cli.program import Program

START = _("起步")
REGISTER = _("登记")
SHARE = _("共享")
EXCHANGE = _("交换")
OVERSEE = _("监管")

HELP = _(
    "数通：政务数据共享交换枢纽。登记资源，申请和授权，搬运数据，留下凭证。\n"
    "时间一律以北京时间显示。退出状态：0 成功，2 填写有误，3 不允许，4 没有这个名称，5 状态不对，"
    "6 正忙，7 告警停止，8 端点不可用，9 记录被改动，1 其他。"
)
EXAMPLE = _("shutong demo\nshutong init --department-code … --department-name … --division 321200 --actor 张三")


ORDER = (
    "demo", "init", "up", "test", "bench",
    "account", "token", "setting", "department", "endpoint", "access", "resource", "plan", "apply", "export",
    "search", "responsibility", "demand", "application", "grant", "explain",
    "run", "reconcile", "status", "exchange", "messages", "airflow", "notices", "serve",
    "trace", "files", "quarantine", "audit",
)  # fmt: skip
"""The commands in the order in which people meet them."""


class Root(Program):
    """The root of all commands."""

    def list_commands(self, ctx: object) -> list[str]:
        """Words of the commands, in their order."""
        return [name for name in ORDER if name in self.commands]


app = typer.Typer(
    cls=Root,
    name="shutong",
    help=HELP,
    epilog=EXAMPLE,
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)


@app.callback()
def root(
    ctx: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help=_("显示版本"))] = False,
    as_json: Json = False,
    home: Home = None,
    as_name: As = None,
) -> Answer | None:
    """Keep the options written before the command, for whichever command follows."""
    ctx.obj = Given(as_json=as_json, home=home, as_name=as_name)
    if version:
        number = installed()
        return Answer({"version": number}, [Words(_("数通 {number}").format(number=number))])
    return overview(ctx)


def installed() -> str:
    """The version that runs: as installed, or as its source says where it is not."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of_package

    try:
        return of_package("shutong")
    except PackageNotFoundError:
        import tomllib

        text = Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
