"""``up``: everything on one machine; and ``airflow settings`` for more than one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from exchange.cli import pages
from exchange.cli.answers import Answer, Facts, Part, Table, Verbatim, Words
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.root import START, app
from exchange.cli.scheduling import scheduling
from exchange.cli.serving import first_passwords, told_passwords
from exchange.errors import Misplaced

if TYPE_CHECKING:
    from exchange.scheduling.embedded import Embedded
    from exchange.settings import Settings


@command(
    app,
    "up",
    panel=START,
    help=_(
        "在一台机器上启动全部，直到被停止（Ctrl-C 或 SIGTERM）：控制台、REST 接口，Airflow 的四个部件，\n"
        "设置了的服务接口。第一次启动时建立首批账号并生成口令，只显示一次。意外停止的部件会重新启动。\n"
        "控制台的端口由 SHUTONG_PORT 或 shutong.toml 的 port 设置；\n"
        "Airflow 的文件在主目录的 airflow/ 中，端口、并发等在 [airflow] 中设置。"
    ),
    example=_("shutong up\nshutong up --port 8095 --json\nshutong up --check"),
)
def up(
    call: Call,
    *,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="PORT", help=_("Airflow 的端口，代替设置；0 为自动选择")),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help=_("只说明会启动什么，什么也不启动"))] = False,
) -> Answer | int:
    """Start everything and keep it running until told to stop."""
    from exchange.scheduling.embedded import Embedded
    from exchange.scheduling.publishing import publish
    from exchange.settings import load_settings
    from exchange.settings.model import PREFIX
    from exchange.site.serving import listening

    settings = load_settings(call.given.home)
    site = listening(settings)
    door = settings.port if check else site.free_port()
    embedded = Embedded(
        settings,
        port=port,
        beside=lambda address: _doors(settings, door, address),
        # What the others tell of the console, Airflow's links above all, is where it really is.
        inherited={**os.environ, f"{PREFIX}PORT": str(door)},
        say=_say,
    )
    if check:
        return _planned(embedded, site.address(door) if door else None)
    fresh = embedded.prepare()
    first = first_passwords(settings)
    # What was committed while nobody scheduled is in it; from now on it is written whenever something changes.
    published = publish(settings.home)
    for exchange, reason in published.broken.items():
        _say(_("交换 {exchange} 不能排班：{reason}").format(exchange=exchange, reason=reason))
    heard: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        heard.append(number)
        embedded.halt()

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
    well = False
    try:
        embedded.start()
        while not site.answers(door):
            embedded.wait(0.25)
        running = _running(embedded, site.address(door), exchanges=published.exchanges, fresh=fresh, first=first)
        pages.write(running, as_json=call.given.as_json)
        sys.stdout.flush()
        well = True
        embedded.wait()
    except KeyboardInterrupt:
        if not well:
            raise
    finally:
        if not well:
            # Nobody is told them again.
            for made in first:
                _say(_("账号 {login}，口令 {password}").format(**made))
        if heard:
            _say(_("正在停止……"))
        embedded.stop()
    _say(_("已全部停止"))
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _doors(settings: Settings, port: int, scheduler: str) -> list[Any]:
    """What runs beside Airflow: console and REST interface, and the SOAP door where it was set up."""
    from exchange.scheduling.processes import Part

    program = (sys.executable, "-c", "from exchange.cli import main; main()", "serve")
    home = ("--home", str(settings.home))
    words = ("console", "--port", str(port), "--scheduler", scheduler)
    found = [Part("console", _("控制台"), (*program, *words, *home))]
    if "soap" in settings.model_fields_set:
        found.append(Part("soap", _("服务接口"), (*program, "soap", *home)))
    return found


def _planned(embedded: Embedded, console: str | None) -> Answer:
    """What would be started."""
    parts = embedded.parts
    document = {
        "console": console,
        "address": embedded.address if embedded.port else None,
        "folder": str(embedded.folder),
        "first": not embedded.password_file.exists(),
        "parts": [{"name": part.name, "title": part.title, "command": part.command} for part in parts],
    }
    facts = [
        (_("控制台的地址"), console or _("自动选择端口")),
        (_("Airflow 的地址"), document["address"] or _("自动选择端口")),
        (_("文件"), document["folder"]),
        (_("口令"), _("第一次启动时生成") if document["first"] else str(embedded.password_file)),
    ]
    rows = [(part.title, _shortly(part.command)) for part in parts]
    return Answer(document, [Facts(facts), Table((_("部件"), _("命令")), rows, "")])


def _shortly(command: tuple[str, ...]) -> str:
    """What is started, without what starts it."""
    module = command.index("-m") + 1 if "-m" in command else command.index("-c") + 2
    return " ".join(command[module:])


def _running(embedded: Embedded, console: str, *, exchanges: int, fresh: bool, first: list[dict[str, str]]) -> Answer:
    """Where it is; its passwords only if nobody can know them yet."""
    from exchange.scheduling.shapes import ADMINISTRATOR

    told: dict[str, Any] = {
        "console": console,
        "first": first,
        "address": embedded.address,
        "user": ADMINISTRATOR,
        "password_file": str(embedded.password_file),
    }
    parts: list[Part] = [
        Words(_("控制台：{address}").format(address=console), "bold green"),
        *told_passwords(first),
        Words(_("Airflow：{address}").format(address=embedded.address), "bold green"),
        Words(_("排班的交换：{number} 个").format(number=exchanges)),
        Words(_("用户：{user}").format(user=ADMINISTRATOR)),
    ]
    if fresh:
        told["password"] = embedded.password
        parts.append(Words(_("口令（只显示这一次）：{password}").format(password=embedded.password)))
    else:
        parts.append(Words(_("口令在 {file}").format(file=embedded.password_file)))
    parts.append(Words(_("按 Ctrl-C 停止")))
    return Answer({**told, "exchanges": exchanges, "pids": embedded.pids}, parts)


@command(
    scheduling,
    "settings",
    help=_(
        "写出一台服务器（LocalExecutor）或多台（CeleryExecutor、RabbitMQ）运行 Airflow 的环境文件，\n"
        "以及 systemd 单元的例子。密钥不在其中：每个文件写明密钥放在哪里。"
    ),
    example=_("shutong airflow settings --shape server\nshutong airflow settings --shape cluster --into ./deploy"),
)
def settings(
    call: Call,
    *,
    shape: Annotated[
        Literal["server", "cluster"], typer.Option("--shape", metavar="SHAPE", help=_("server 一台，cluster 多台"))
    ] = "server",
    into: Annotated[Path | None, typer.Option("--into", metavar="DIR", help=_("写进这个文件夹，不覆盖已有的"))] = None,
) -> Answer:
    """Environment files and units for servers."""
    from exchange.scheduling.shapes import files

    found = files(shape)
    if into is None:
        told = "\n".join(f"# ===== {name}\n{text}" for name, text in found.items())
        return Answer({"shape": shape, "files": found}, [Verbatim(told)])
    into.mkdir(parents=True, exist_ok=True)
    there = [name for name in found if (into / name).exists()]
    if there:
        raise Misplaced(
            _("{file} 已存在，没有改动").format(file=into / there[0]), remedy=_("换一个文件夹，或先移走已有的")
        )
    for name, text in found.items():
        (into / name).write_text(text, encoding="utf-8")
    rows = [(str(into / name),) for name in found]
    return Answer({"shape": shape, "files": found}, [Table((_("文件"),), rows, "")])
