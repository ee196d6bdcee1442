"""``resource`` again: the way of a version through its reviews, and what it looks back on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Table, Words, plain
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.resources import Code, resources

Opinion = Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("意见"))]
NeededOpinion = Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))]


@command(
    resources,
    "submit",
    help=_("提交审核。草稿提交注册审核，已注册的提交发布审核，依现在的状态而定。"),
    example=_("shutong resource submit 101001001/0001"),
)
def submit(call: Call, code: Code, reason: Opinion = "") -> Answer:
    """Submit for the review that is next."""
    return _move(call, code, "submit", reason)


@command(
    resources,
    "agree",
    help=_(
        "审核通过。待注册审核的由提供部门的审核员通过，待发布审核的由平台管理单位的审核员通过。\n"
        "登记、注册审核、发布审核由三个不同的人办理。"
    ),
    example=_("shutong resource agree 101001001/0001"),
)
def agree(call: Call, code: Code, reason: Opinion = "") -> Answer:
    """Agree in the review that is on."""
    return _move(call, code, "agree", reason)


@command(
    resources,
    "reject",
    help=_("审核不通过，须写理由。不通过的由提供部门修改后重新提交。"),
    example=_(
        "shutong resource reject 101001001/0001 --reason 共享条件不具体\n"
        "shutong resource reject 101001001/0001 --return --reason 请补充信息项长度"
    ),
)
def reject(
    call: Call,
    code: Code,
    reason: NeededOpinion,
    *,
    back: Annotated[bool, typer.Option("--return", help=_("退回修改，而不是拒绝"))] = False,
) -> Answer:
    """Refuse in the review that is on, or give it back."""
    return _move(call, code, "return" if back else "reject", reason)


@command(
    resources,
    "recall",
    help=_("撤回还没有审核的提交。"),
    example=_("shutong resource recall 101001001/0001"),
)
def recall(call: Call, code: Code, reason: Opinion = "") -> Answer:
    """Take a submission back."""
    return _move(call, code, "recall", reason)


@command(
    resources,
    "withdraw",
    help=_("下架已发布的资源，须写理由；它的授权一并撤销。由平台管理单位办理。"),
    example=_("shutong resource withdraw 101001001/0001 --reason 数据来源停止更新"),
)
def withdraw(call: Call, code: Code, reason: NeededOpinion) -> Answer:
    """Take a published resource down."""
    return _move(call, code, "withdraw", reason)


@command(
    resources,
    "discard",
    help=_("作废没有发布的版本；资源代码不再使用。"),
    example=_("shutong resource discard 101001001/0001 --reason 重复登记"),
)
def discard(call: Call, code: Code, reason: Opinion = "") -> Answer:
    """Give a version up."""
    return _move(call, code, "discard", reason)


@command(
    resources,
    "history",
    help=_("查看资源的流转记录：谁在何时办了什么，意见如何。"),
    example=_("shutong resource history 101001001/0001"),
)
def history(call: Call, code: Code) -> Answer:
    """Every move of a resource."""
    from catalog import MOVES, STATES

    steps = call.hub.directory.history(code, by=call.by)
    rows = [
        (step.at, step.version, MOVES[step.action].label, STATES[step.to_state].label, step.actor, step.opinion)
        for step in steps
    ]
    columns = (_("时间"), _("版本"), _("办理"), _("办理后"), _("办理人"), _("意见"))
    return Answer({"resource": code, "history": steps}, [Table(columns, rows, "")])


@command(
    resources,
    "difference",
    help=_("比较资源的两个版本；默认比较已发布的和最新的。"),
    example=_("shutong resource difference 101001001/0001 --from 1 --to 2"),
)
def difference(
    call: Call,
    code: Code,
    old: Annotated[int | None, typer.Option("--from", metavar="N", min=1, help=_("旧版本"))] = None,
    new: Annotated[int | None, typer.Option("--to", metavar="N", min=1, help=_("新版本"))] = None,
) -> Answer:
    """What changed between two versions."""
    before, after, changes = call.hub.directory.difference(code, old, new, by=call.by)
    document = {
        "resource": code,
        "from": before.version,
        "to": after.version,
        "changes": [plain(change) for change in changes],
    }
    title = _("第 {old} 版与第 {new} 版：").format(old=before.version, new=after.version)
    told = [Words(f"  • {change.words}") for change in changes] or [Words(_("  没有差别"))]
    return Answer(document, [Words(title), *told])


ACTIONS: dict[str, tuple[str, str]] = {
    "submit": ("submit_registration", "submit_publication"),
    "agree": ("agree_registration", "agree_publication"),
    "reject": ("reject_registration", "reject_publication"),
    "return": ("return_registration", "return_publication"),
}
"""What a word means in the registration, and in the publication."""


def _move(call: Call, code: str, verb: str, opinion: str) -> Answer:
    """Make the move a word means in the present state, and say which it was."""
    from catalog import MOVES, STATES

    entry = call.hub.directory.resource(code, by=call.by)
    meant = ACTIONS.get(verb, (verb,))
    action = next((each for each in meant if each in entry.actions), meant[0])
    state: Any = call.hub.registration.move(code, action, opinion=opinion, by=call.by)
    document = {
        "resource": code,
        "version": entry.version,
        "action": action,
        "label": MOVES[action].label,  # type: ignore[index]
        "before": entry.state,
        "after": state,
    }
    said = _("资源 {code}：{action}，状态由“{before}”变为“{after}”。").format(
        code=code,
        action=MOVES[action].label,  # type: ignore[index]
        before=entry.label,
        after=STATES[state].label,
    )
    following = {
        "registering": _("等待提供部门的审核员审核：shutong resource agree {code}"),
        "registered": _("下一步：shutong resource submit {code}，提交发布审核"),
        "publishing": _("等待平台管理单位的审核员审核：shutong resource agree {code}"),
        "published": _("其他部门现在可以检索和申请这个资源"),
    }.get(state, "")
    return Answer(document, [Words(said, "bold"), *([Words(following.format(code=code))] if following else [])])
