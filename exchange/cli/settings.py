"""``setting``: settings that may change at run time."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli.answers import Answer, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app
from exchange.words import SETTINGS, word

setting = group("setting", _("可调设置：不停机就能变更的设置；其他的写在设置文件里。"), panel=REGISTER, into=app)

Name = Annotated[str, typer.Argument(metavar="NAME", help=_("设置的名称，见 shutong setting list"))]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))]


@command(
    setting,
    "list",
    help=_("列出可调设置和现在的值。由系统管理员和审计管理员查看。"),
    example="shutong setting list\nshutong setting list --json",
)
def list_settings(call: Call) -> Answer:
    """All of them, as they hold."""
    found = call.hub.overrides.settings(by=call.by)
    rows = [
        (each.name, word(SETTINGS, each.name), each.value, each.own, each.changed_by, each.changed_at, each.reason)
        for each in found
    ]
    columns = (_("名称"), _("说明"), _("现在的值"), _("设置文件的值"), _("变更人"), _("变更时间"), _("理由"))
    return Answer({"settings": [plain(each) for each in found]}, [Table(columns, rows, "")])


@command(
    setting,
    "set",
    help=_("变更一项设置，各进程在几秒内照办；由系统管理员办理，记入日志。"),
    example=_("shutong setting set accounts.idle_minutes 15 --reason 检查期间从严"),
)
def set_value(
    call: Call, name: Name, value: Annotated[str, typer.Argument(metavar="VALUE", help=_("新的值"))], reason: Reason
) -> Answer:
    """Change one."""
    made = call.hub.overrides.set(name, value, reason=reason, by=call.by)
    return Answer(plain(made), [Words(_("设置 {name} 现在是 {value}。").format(name=made.name, value=made.value))])


@command(
    setting,
    "reset",
    help=_("恢复一项设置为设置文件的值；由系统管理员办理，记入日志。"),
    example=_("shutong setting reset accounts.idle_minutes --reason 检查结束"),
)
def reset_value(call: Call, name: Name, reason: Reason) -> Answer:
    """Have the file's own value hold again."""
    made = call.hub.overrides.reset(name, reason=reason, by=call.by)
    return Answer(plain(made), [Words(_("设置 {name} 现在是 {value}。").format(name=made.name, value=made.value))])
