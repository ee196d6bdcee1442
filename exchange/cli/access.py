"""``access``: what the programmes of departments sign in with when they call the hub."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from exchange.cli.answers import Answer, Facts, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app
from exchange.errors import Invalid
from exchange.words import CREDENTIAL_KINDS, CREDENTIAL_STATES, word

access = group("access", _("接入凭据：部门的程序凭什么调用平台。"), panel=REGISTER, into=app)

Id = Annotated[str, typer.Argument(metavar="ID", help=_("凭据编号，见 shutong access list"))]


@command(
    access,
    "issue",
    help=_(
        "签发一个接入凭据；令牌、口令或密钥只在这里显示一次，平台不再给出。\n"
        "由部门或平台的集成工程师、系统管理员办理。password 用于 HTTP basic 和 WS-Security，"
        "gateway 用于国家网关的签名头，certificate 只登记证书主题。"
    ),
    example=_(
        "shutong access issue token --department 市税务局 --until 2027-06-30\n"
        "shutong access issue password --department 市税务局 --name tax-app --purpose 个税核验"
    ),
)
def issue(
    call: Call,
    kind: Annotated[
        Literal["token", "password", "gateway", "certificate"], typer.Argument(metavar="KIND", help=_("种类"))
    ],
    department: Annotated[
        str, typer.Option("--department", metavar="NAME", help=_("哪个部门的：信用代码、名称或简称"))
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help=_("用户名、请求方标识或证书主题；令牌没有"))
    ] = None,
    purpose: Annotated[str, typer.Option("--purpose", metavar="TEXT", help=_("用途"))] = "",
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help=_("最后一天，年-月-日；不写则长期有效"))
    ] = None,
) -> Answer:
    """Issue a credential, whose secret is told here and nowhere else."""
    code = call.hub.directory.department(department).code
    made = call.hub.access.issue(code, kind, name=name, purpose=purpose, until=_end(until), by=call.by)
    secret = made.secret.get_secret_value() if made.secret is not None else None
    facts = Facts([
        (_("凭据编号"), made.id),
        (_("种类"), word(CREDENTIAL_KINDS, made.kind)),
        (_("部门"), call.called(made.department)),
        (_("名称"), made.name),
        (_("令牌、口令或密钥"), secret),
        (_("到期"), made.expires_at),
    ])  # fmt: skip
    document: dict[str, Any] = {**plain(replace(made, secret=None)), "secret": secret}
    warning = [Words(_("请立即妥善保存：以上内容只显示这一次。"), "bold yellow")] if secret is not None else []
    return Answer(document, [facts, *warning])


@command(
    access,
    "list",
    help=_("列出接入凭据，不含令牌和口令。部门的人员只见本部门的。"),
    example=_("shutong access list\nshutong access list --department 市税务局 --json"),
)
def list_credentials(
    call: Call,
    department: Annotated[
        str | None, typer.Option("--department", metavar="NAME", help=_("只列一个部门的：信用代码、名称或简称"))
    ] = None,
) -> Answer:
    """Credentials one may see."""
    code = call.hub.directory.department(department).code if department is not None else None
    found = call.hub.access.credentials(by=call.by, department=code)
    rows = [
        (
            each.id,
            call.called(each.department),
            word(CREDENTIAL_KINDS, each.kind),
            each.name,
            each.purpose,
            word(CREDENTIAL_STATES, each.state),
            each.expires_at,
        )
        for each in found
    ]
    columns = (_("凭据编号"), _("部门"), _("种类"), _("名称"), _("用途"), _("状态"), _("到期"))
    table = Table(columns, rows, _("还没有接入凭据；用 shutong access issue 签发。"))
    return Answer({"credentials": [plain(each) for each in found]}, [table])


@command(
    access,
    "revoke",
    help=_("吊销一个接入凭据：从此刻起不能再用，也不能恢复。"),
    example=_("shutong access revoke C0123456789abcdef --reason 人员调离"),
)
def revoke(
    call: Call, id: Id, reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))]
) -> Answer:
    """Revoke a credential."""
    call.hub.access.revoke(id, reason=reason, by=call.by)
    return Answer({"id": id, "state": "revoked"}, [Words(_("接入凭据 {id} 已吊销。").format(id=id), "bold")])


def _end(until: str | None) -> datetime | None:
    """The end of a day in Beijing."""
    if until is None:
        return None
    try:
        day = date.fromisoformat(until)
    except ValueError as error:
        raise Invalid(
            _("{until} 不是日期").format(until=until[:40]), remedy=_("写成 年-月-日，如 2027-06-30")
        ) from error
    return datetime.combine(day, time(), ZoneInfo("Asia/Shanghai")) + timedelta(days=1)
