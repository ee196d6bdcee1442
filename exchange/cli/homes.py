"""``init``: a home for a new hub."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from exchange.cli.answers import Answer, Facts, Words, listed
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.root import START, app
from exchange.errors import HubError, Invalid, Problem
from exchange.words import ROLES, word


@command(
    app,
    "init",
    panel=START,
    help=_(
        "建立枢纽的主目录：设置文件、密钥、平台数据库和基础库。\n"
        "执行命令的操作系统用户登记为第一位人员；其他人员写入主目录的 shutong.toml。"
    ),
    example=_(
        "shutong init --department-code 11321200TE00000104 --department-name 某市行政审批局 \\\n"
        "             --division 321200 --actor 张三 --role integrator --role system"
    ),
)
def init(
    call: Call,
    department_code: Annotated[
        str, typer.Option("--department-code", metavar="CODE", help=_("平台管理单位的统一社会信用代码"))
    ],
    department_name: Annotated[str, typer.Option("--department-name", metavar="NAME", help=_("平台管理单位的名称"))],
    division: Annotated[str, typer.Option("--division", metavar="CODE", help=_("平台管理单位的行政区划代码"))],
    actor: Annotated[str, typer.Option("--actor", metavar="NAME", help=_("当前操作系统用户的姓名"))],
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help=_("其角色，可写多个，默认 integrator 和 system")),
    ] = None,
    digest: Annotated[
        Literal["sha256", "sm3"], typer.Option("--digest", metavar="NAME", help=_("摘要算法，默认 sha256"))
    ] = "sha256",
) -> Answer:
    """Make a home, and say what comes next."""
    from exchange.hub import create_home
    from exchange.hub.drafts import described_department
    from exchange.identity import current_actor
    from exchange.settings import ActorEntry, Role, default_home, load_settings, write_default

    home = (call.given.home or default_home()).expanduser().absolute()
    wrong = [name for name in role or () if name not in ROLES]
    if wrong:
        remedy = _("可选：{choices}").format(choices=listed(ROLES))
        problems = [Problem("--role", _("没有角色 {name}").format(name=name[:40]), remedy) for name in wrong]
        raise Invalid(_("不能建立枢纽"), problems)
    given = {"code": department_code, "name": department_name, "division": division}
    department = described_department(given)
    roles = frozenset(Role(name) for name in role or ("integrator", "system"))
    user = _user()
    # As it is written, even if it is wrong: reading the settings says what is, in the user's terms.
    person = ActorEntry.model_construct(name=actor, department=department_code, roles=roles)
    file = write_default(home, hub_department=department_code, actors={user: person}, digest=digest)
    try:
        by = current_actor(load_settings(home))
        hub = create_home(home, department, by=by)
    except HubError as error:
        _undo(file)
        if isinstance(error, Invalid) and error.problems:
            again = _("改正后重新执行 shutong init")
            raise Invalid(_("不能建立枢纽"), error.problems, remedy=again) from error
        raise
    hub.close()
    document = {
        "home": home,
        "settings": file,
        "actor": {"user": user, "name": actor, "department": department_code, "roles": roles},
    }
    held = listed(word(ROLES, name) for name in sorted(roles))
    return Answer(document, [
        Words(_("枢纽已建立：{home}").format(home=home), "bold green"),
        Facts([
            (_("设置"), str(file)),
            (_("人员"), _("{name}（操作系统用户 {user}）：{roles}").format(name=actor, user=user, roles=held)),
        ]),
        *_next_steps(home),
    ])  # fmt: skip


def _undo(file: Path) -> None:
    """Take back what was written, so that the same command can be given again."""
    file.unlink(missing_ok=True)
    with suppress(OSError):
        # Only a folder that holds nothing else.
        file.parent.rmdir()


def _next_steps(home: Path) -> list[Words]:
    from exchange.settings import default_home

    named = [] if home == default_home().expanduser().absolute() else [f"export SHUTONG_HOME={home}"]
    steps = [
        *named,
        _("编辑 {file} 登记其他人员：经办、审核、安全管理、审计管理").format(file=home / "shutong.toml"),
        _("备份 {folder}：密钥遗失后，隔离数据和日志封存无法恢复").format(folder=home / "keys"),
        _("shutong apply 部门.yaml 端点.yaml：登记部门和端点"),
        _("shutong resource form > 登记表.csv：取空白登记表"),
        _("shutong demo：看一遍完整的过程"),
    ]
    return [Words(""), Words(_("接下来：")), *(Words(f"  {number}. {step}") for number, step in enumerate(steps, 1))]


def _user() -> str:
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
