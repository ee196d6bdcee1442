"""``account``: who may sign in to the console and the interface, and with which roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, listed, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app
from exchange.errors import Invalid, Problem
from exchange.words import ACCOUNT_KINDS, ACCOUNT_STATES, ROLES, word

if TYPE_CHECKING:
    from exchange.hub.accounts import Handed

account = group("account", _("账号：谁可以登录管理台和接口，担任什么角色。"), panel=REGISTER, into=app)

Login = Annotated[str, typer.Argument(metavar="LOGIN", help=_("登录名，见 shutong account list"))]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))]


@command(
    account,
    "first",
    help=_(
        "还没有任何账号时，建立最初的账号：三位管理员各有一次性口令，[actors] 中的人员各有账号；由系统管理员办理。\n"
        "口令只在这里显示一次；非演示环境须在首次登录时修改。"
    ),
    example="shutong account first",
)
def first(call: Call) -> Answer:
    """Make the first accounts."""
    made = call.hub.accounts.first(by=call.by)
    if not made:
        return Answer({"accounts": []}, [Words(_("已经有账号，没有改动。"))])
    return Answer({"accounts": [_handed(each) for each in made]}, [_passwords(call, made), _once()])


@command(
    account,
    "list",
    help=_("列出账号及其角色和状态。由三位管理员查看。"),
    example=_("shutong account list\nshutong account list --department 市税务局 --json"),
)
def list_accounts(
    call: Call,
    department: Annotated[
        str | None, typer.Option("--department", metavar="NAME", help=_("只列一个部门的：信用代码、名称或简称"))
    ] = None,
) -> Answer:
    """The accounts there are."""
    code = call.hub.directory.department(department).code if department is not None else None
    found = call.hub.accounts.accounts(by=call.by, department=code)
    rows = [
        (
            each.login,
            each.name,
            word(ACCOUNT_KINDS, each.kind),
            call.called(each.department),
            listed(word(ROLES, role) for role in sorted(each.roles)),
            word(ACCOUNT_STATES, each.state),
            each.signed_in_at,
        )
        for each in found
    ]
    columns = (_("登录名"), _("姓名"), _("种类"), _("部门"), _("角色"), _("状态"), _("最近登录"))
    table = Table(columns, rows, _("还没有账号；用 shutong account first 建立最初的账号。"))
    return Answer({"accounts": [plain(each) for each in found]}, [table])


@command(
    account,
    "create",
    help=_("建立账号；由系统管理员办理。新账号没有角色，由安全管理员用 shutong account assign 授予。"),
    example=_(
        "shutong account create zhangsan --name 张三 --department 市税务局\n"
        "shutong account create tax-sync --name 税务同步程序 --department 市税务局 --programme"
    ),
)
def create(
    call: Call,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help=_("登录名：小写字母、数字、点、下划线、连字符"))],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help=_("姓名或程序名称，不能与他人相同"))],
    department: Annotated[str, typer.Option("--department", metavar="NAME", help=_("部门：信用代码、名称或简称"))],
    *,
    programme: Annotated[bool, typer.Option("--programme", help=_("程序的账号：没有口令，只用令牌"))] = False,
    password: Annotated[
        bool, typer.Option("--password/--no-password", help=_("是否给一次性口令；否则由统一身份认证登录"))
    ] = True,
) -> Answer:
    """Make an account, whose one-time password is told here and nowhere else."""
    code = call.hub.directory.department(department).code
    made = call.hub.accounts.create(login, name, code, by=call.by, programme=programme, password=password)
    return _told(call, made)


@command(
    account,
    "assign",
    help=_("授予账号角色，原有角色一律取代；由安全管理员办理，不能授予自己。其会话随之终止。"),
    example=_(
        "shutong account assign zhangsan --role clerk --role integrator --reason 岗位任命\n"
        "shutong account assign zhangsan --reason 调离 --none"
    ),
)
def assign(
    call: Call,
    login: Login,
    reason: Reason,
    role: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help=_("角色，可写多个"))] = None,
    *,
    none: Annotated[bool, typer.Option("--none", help=_("收回全部角色"))] = False,
    department: Annotated[
        str | None, typer.Option("--department", metavar="NAME", help=_("改属的部门：信用代码、名称或简称"))
    ] = None,
) -> Answer:
    """Give an account roles."""
    from exchange.settings import Role

    given = role or []
    wrong = [name for name in given if name not in ROLES]
    problems = [
        Problem(
            "--role", _("没有角色 {name}").format(name=name[:40]), _("可选：{choices}").format(choices=listed(ROLES))
        )
        for name in wrong
    ]
    if bool(given) == none:
        problems.append(Problem("--role", _("写明角色，或用 --none 收回全部角色")))
    if problems:
        raise Invalid(_("不能授予角色"), problems)
    code = call.hub.directory.department(department).code if department is not None else None
    call.hub.accounts.assign(login, [Role(name) for name in given], reason=reason, department=code, by=call.by)
    held = listed(word(ROLES, name) for name in sorted(given)) or _("无")
    said = _("账号 {login} 的角色：{roles}。").format(login=login, roles=held)
    return Answer({"login": login, "roles": sorted(given)}, [Words(said, "bold")])


@command(
    account,
    "disable",
    help=_("停用账号：会话立即终止，令牌一律吊销；由系统管理员办理。"),
    example=_("shutong account disable zhangsan --reason 离职"),
)
def disable(call: Call, login: Login, reason: Reason) -> Answer:
    """Disable an account."""
    call.hub.accounts.disable(login, reason=reason, by=call.by)
    return _done(login, "disabled", _("账号 {login} 已停用。").format(login=login))


@command(
    account,
    "enable",
    help=_("启用停用了的账号；由系统管理员办理。"),
    example=_("shutong account enable zhangsan --reason 返岗"),
)
def enable(call: Call, login: Login, reason: Reason) -> Answer:
    """Enable an account."""
    call.hub.accounts.enable(login, reason=reason, by=call.by)
    return _done(login, "active", _("账号 {login} 已启用。").format(login=login))


@command(
    account,
    "reset",
    help=_("给账号一个一次性口令：会话终止，令牌吊销，锁定解除；由系统管理员办理。"),
    example="shutong account reset zhangsan",
)
def reset(call: Call, login: Login) -> Answer:
    """Reset a password."""
    return _told(call, call.hub.accounts.reset(login, by=call.by))


@command(
    account,
    "unlock",
    help=_("提前解除登录失败过多造成的锁定；由系统管理员办理。"),
    example="shutong account unlock zhangsan",
)
def unlock(call: Call, login: Login) -> Answer:
    """Unlock an account."""
    call.hub.accounts.unlock(login, by=call.by)
    return _done(login, "active", _("账号 {login} 已解锁。").format(login=login))


@command(
    account,
    "unlink",
    help=_("解除账号与统一身份的绑定；由系统管理员办理。"),
    example=_("shutong account unlink zhangsan --reason 绑定有误"),
)
def unlink(call: Call, login: Login, reason: Reason) -> Answer:
    """Untie an account from its unified identity."""
    call.hub.accounts.unlink(login, reason=reason, by=call.by)
    return _done(login, "active", _("账号 {login} 已解除绑定。").format(login=login))


@command(
    account,
    "sessions",
    help=_("列出谁在线、从何处登录；由安全管理员和审计管理员查看，记入日志。"),
    example=_("shutong account sessions\nshutong account sessions zhangsan --json"),
)
def sessions(
    call: Call, login: Annotated[str | None, typer.Argument(metavar="[LOGIN]", help=_("只列一个账号的"))] = None
) -> Answer:
    """Who is signed in."""
    found = call.hub.accounts.sign_ins(by=call.by, login=login)
    rows = [(each.account, each.name, each.address, each.created_at, each.seen_at, each.expires_at) for each in found]
    columns = (_("登录名"), _("姓名"), _("地址"), _("登录时间"), _("最近操作"), _("到期"))
    return Answer({"sessions": [plain(each) for each in found]}, [Table(columns, rows, _("没有人在线。"))])


@command(
    account,
    "out",
    help=_("终止一个账号的全部会话；由安全管理员办理。"),
    example=_("shutong account out zhangsan --reason 设备遗失"),
)
def out(call: Call, login: Login, reason: Reason) -> Answer:
    """Sign somebody out everywhere."""
    ended = call.hub.accounts.end_sessions(login, reason=reason, by=call.by)
    said = _("已终止 {number} 个会话。").format(number=ended)
    return Answer({"login": login, "ended": ended}, [Words(said, "bold")])


def _done(login: str, state: str, said: str) -> Answer:
    return Answer({"login": login, "state": state}, [Words(said, "bold")])


def _handed(made: Handed) -> dict[str, Any]:
    secret = made.password.get_secret_value() if made.password is not None else None
    return {
        "login": made.login, "name": made.name, "department": made.department,
        "roles": sorted(made.roles), "password": secret,
    }  # fmt: skip


def _once() -> Words:
    return Words(_("请立即妥善保存：以上内容只显示这一次。"), "bold yellow")


def _told(call: Call, made: Handed) -> Answer:
    document = _handed(made)
    facts: list[Part] = [
        Facts([
            (_("登录名"), made.login),
            (_("姓名"), made.name),
            (_("部门"), call.called(made.department)),
            (_("一次性口令"), document["password"]),
        ])
    ]  # fmt: skip
    return Answer(document, [*facts, *([_once()] if made.password is not None else [])])


def _passwords(call: Call, made: list[Handed]) -> Table:
    rows = [
        (
            each.login,
            each.name,
            call.called(each.department),
            listed(word(ROLES, role) for role in sorted(each.roles)),
            each.password.get_secret_value() if each.password is not None else _("无，由系统管理员重置"),
        )
        for each in made
    ]
    return Table((_("登录名"), _("姓名"), _("部门"), _("角色"), _("口令")), rows, "")
