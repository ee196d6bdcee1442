"""``token``: what programmes call the hub's interface with, in the name of an account."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli.answers import Answer, Facts, Table, Words, listed, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app
from exchange.words import TOKEN_SCOPES, TOKEN_STATES, word

token = group("token", _("令牌：程序以账号的名义调用平台接口。"), panel=REGISTER, into=app)


@command(
    token,
    "issue",
    help=_(
        "签发令牌；令牌只在这里显示一次。本人为自己的账号签发；程序的账号由系统管理员签发。\n"
        "令牌能做的不超出账号的角色和令牌的范围。"
    ),
    example=_(
        "shutong token issue --purpose 看板取数\nshutong token issue --login tax-sync --purpose 编目同步 --scope write"
    ),
)
def issue(
    call: Call,
    purpose: Annotated[str, typer.Option("--purpose", metavar="TEXT", help=_("用途"))],
    *,
    login: Annotated[
        str | None, typer.Option("--login", metavar="LOGIN", help=_("程序的账号；不写则为本人的账号"))
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help=_("范围，可写多个：read 查看，write 办理（含查看）；默认 read")),
    ] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", help=_("有效天数"))] = 90,
) -> Answer:
    """Issue a token, which is told here and nowhere else."""
    made = call.hub.tokens.issue(by=call.by, purpose=purpose, scopes=scope or ["read"], days=days, login=login)
    secret = made.secret.get_secret_value()
    facts = Facts([
        (_("令牌编号"), made.id),
        (_("账号"), made.account),
        (_("范围"), listed(word(TOKEN_SCOPES, name) for name in made.scopes)),
        (_("令牌"), secret),
        (_("到期"), made.expires_at),
    ])  # fmt: skip
    document = {
        "id": made.id, "account": made.account, "scopes": list(made.scopes), "secret": secret,
        "expires_at": plain(made.expires_at),
    }  # fmt: skip
    return Answer(document, [facts, Words(_("请立即妥善保存：以上内容只显示这一次。"), "bold yellow")])


@command(
    token,
    "list",
    help=_("列出令牌，不含其内容。各人见自己的；三位管理员见全部。"),
    example=_("shutong token list\nshutong token list --login tax-sync --json"),
)
def list_tokens(
    call: Call,
    login: Annotated[str | None, typer.Option("--login", metavar="LOGIN", help=_("只列一个账号的"))] = None,
) -> Answer:
    """Tokens one may see."""
    found = call.hub.tokens.tokens(by=call.by, login=login)
    rows = [
        (
            each.id,
            each.account,
            each.name,
            each.purpose,
            listed(word(TOKEN_SCOPES, name) for name in each.scopes),
            word(TOKEN_STATES, each.state),
            each.expires_at,
            each.used_at,
        )
        for each in found
    ]
    columns = (_("令牌编号"), _("账号"), _("姓名"), _("用途"), _("范围"), _("状态"), _("到期"), _("最近使用"))
    table = Table(columns, rows, _("还没有令牌；用 shutong token issue 签发。"))
    return Answer({"tokens": [plain(each) for each in found]}, [table])


@command(
    token,
    "revoke",
    help=_("吊销令牌：从此刻起不能再用，也不能恢复。本人、系统管理员或安全管理员办理。"),
    example=_("shutong token revoke T0123456789abcdef --reason 程序下线"),
)
def revoke(
    call: Call,
    id: Annotated[str, typer.Argument(metavar="ID", help=_("令牌编号，见 shutong token list"))],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))],
) -> Answer:
    """Revoke a token."""
    call.hub.tokens.revoke(id, reason=reason, by=call.by)
    return Answer({"id": id, "state": "revoked"}, [Words(_("令牌 {id} 已吊销。").format(id=id), "bold")])
