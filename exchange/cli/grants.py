"""``grant`` and ``explain``: what may move, to whom, why, and whether it would pass now."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import SHARE, app
from exchange.words import GRANT_KINDS, word

grants = group("grant", _("授权：查看、中止、恢复、撤销。"), panel=SHARE, into=app)

Id = Annotated[str, typer.Argument(metavar="ID", help=_("授权编号"))]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))]


@command(
    grants,
    "list",
    help=_("列出本部门给出和得到的授权，最近的在前。"),
    example=_("shutong grant list --state active"),
)
def list_grants(
    call: Call,
    state: Annotated[
        Literal["active", "suspended", "revoked", "expired"] | None,
        typer.Option("--state", metavar="STATE", help=_("状态")),
    ] = None,
    kind: Annotated[
        Literal["collection", "sharing"] | None,
        typer.Option("--kind", metavar="KIND", help=_("种类：归集到基础库，或共享")),
    ] = None,
    resource: Annotated[str | None, typer.Option("--resource", metavar="CODE", help=_("资源代码"))] = None,
) -> Answer:
    """Grants one may see."""
    found = call.hub.directory.grants(by=call.by, state=state, kind=kind, resource=resource)
    rows = [
        (
            each.id,
            word(GRANT_KINDS, each.kind),
            each.resource,
            each.resource_name,
            call.called(each.department),
            each.label,
            each.valid_until,
        )
        for each in found
    ]
    columns = (_("授权编号"), _("种类"), _("资源代码"), _("资源"), _("使用部门"), _("状态"), _("到期"))
    return Answer({"grants": [plain(each) for each in found]}, [Table(columns, rows, _("没有授权。"))])


@command(
    grants,
    "show",
    help=_("查看一份授权：信息项与脱敏、数据范围、用途、期限、已用行数。"),
    example=_("shutong grant show G0123456789abcdef"),
)
def show_grant(call: Call, id: Id) -> Answer:
    """One grant, whole."""
    entry = call.hub.directory.grant(id, by=call.by)
    told = call.hub.directory.explain(entry.id, by=call.by)
    return Answer({**plain(entry), "used": told.used, "passes": told.passes}, _explained(call, told))


@command(
    grants,
    "suspend",
    help=_("中止授权：在恢复之前不再交付。由提供部门的审核员或安全管理员办理。"),
    example=_("shutong grant suspend G0123 --reason 数据质量核查"),
)
def suspend(call: Call, id: Id, reason: Reason) -> Answer:
    """Suspend a grant."""
    return _change(call, id, "suspend", reason)


@command(
    grants,
    "resume",
    help=_("恢复中止的授权。"),
    example=_("shutong grant resume G0123 --reason 核查完毕"),
)
def resume(call: Call, id: Id, reason: Reason) -> Answer:
    """Resume a grant."""
    return _change(call, id, "resume", reason)


@command(
    grants,
    "revoke",
    help=_("撤销授权：从此不再交付，不能恢复；正在放行的交付以放行的先后为准。"),
    example=_(
        "shutong grant revoke G0123 --reason 使用部门职责调整\nshutong grant revoke G0123 --reason 数据误发 --recall"
    ),
)
def revoke(
    call: Call,
    id: Id,
    reason: Reason,
    *,
    recall: Annotated[
        bool, typer.Option("--recall", help=_("一并撤回已经送达的文件：在接收方目录放撤回通知，等其答复"))
    ] = False,
) -> Answer:
    """Revoke a grant."""
    return _change(call, id, "revoke", reason, recall=recall)


@command(
    app,
    "explain",
    panel=SHARE,
    help=_("说明一份授权、申请或交换：谁可以得到什么、为什么、到何时、现在能否放行。"),
    example=_("shutong explain G0123456789abcdef\nshutong explain share-G0123456789abcdef"),
)
def explain(call: Call, id: Annotated[str, typer.Argument(metavar="ID", help=_("授权、申请或交换的编号"))]) -> Answer:
    """Who may have what, why, until when, and would it pass now."""
    told = call.hub.directory.explain(id, by=call.by)
    return Answer(plain(told), _explained(call, told))


def _change(call: Call, id: str, action: str, reason: str, *, recall: bool = False) -> Answer:
    recalls = call.hub.sharing.change(id, action, reason=reason, recall=recall, by=call.by)
    entry = call.hub.directory.grant(id, by=call.by)
    said = _("授权 {id}：{state}").format(id=entry.id, state=entry.label)
    parts: list[Part] = [Words(said, "bold")]
    if recall:
        following = _("撤回 {count} 次交付，进展见 shutong files recalls") if recalls else _("没有送达过文件，无需撤回")
        parts.append(Words(following.format(count=len(recalls))))
    return Answer({**plain(entry), **({"recalls": recalls} if recall else {})}, parts)


def _explained(call: Call, told: Any) -> list[Part]:
    purpose = told.purpose
    facts = Facts([
        (_("授权编号"), told.grant),
        (_("申请编号"), told.application),
        (_("种类"), word(GRANT_KINDS, told.kind)),
        (_("状态"), told.state),
        (_("资源"), _("{name}（{code}）").format(name=told.resource_name, code=told.resource)),
        (_("提供部门"), call.called(told.provider)),
        (_("使用部门"), call.called(told.department)),
        (_("使用依据"), purpose.get("basis")),
        (_("使用场景"), purpose.get("scene")),
        (_("使用范围"), purpose.get("scope")),
        (_("共享方式"), told.way),
        (_("接收端"), (told.target or {}).get("endpoint")),
        (_("数据范围"), told.rows),
        (_("生效"), told.valid_from),
        (_("到期"), told.valid_until),
        (_("行数上限"), told.quota),
        (_("已用行数"), told.used or None),
        (_("每分钟调用次数上限"), told.calls_per_minute),
        (_("每分钟行数上限"), told.rows_per_minute),
    ])  # fmt: skip
    rows = [(item.name, item.label, item.mask or _("原值")) for item in told.items]
    parts: list[Part] = [facts, Table((_("信息项"), _("名称"), _("交付内容")), rows, _("没有信息项。"))]
    for answer in told.decisions:
        verdict = _("同意") if answer.approved else _("不同意")
        parts.append(Words(_("{verdict}（{who}）：").format(verdict=verdict, who=answer.decider)))
        parts += [Words(f"  • {reason}") for reason in answer.reasons]
    if told.passes:
        return [*parts, Words(_("现在可以放行。"), "bold green")]
    return [*parts, Words(_("现在不能放行："), "bold red"), *(Words(f"  • {text}") for text in told.obstacles)]
