"""``messages``: what is owed to recipients of files, the messages that say so, and the work at them."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, hour, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app
from exchange.errors import Invalid
from exchange.words import DISPATCH_STATES, word

messages = group("messages", _("消息投递：欠各接收方的文件、消息和死信"), panel=EXCHANGE, into=app)

Id = Annotated[int, typer.Argument(metavar="ID", help=_("待送编号，见 shutong messages list"))]
Recipient = Annotated[
    str | None, typer.Option("--recipient", metavar="NAME", help=_("只看一个接收方的：信用代码、名称或简称"))
]
SHOWN = 200
"""Rows shown to people at most."""


@command(
    messages,
    "work",
    help=_(
        "发布消息并投递，直到被停止（Ctrl-C 或 SIGTERM）；在办的办完才退出。\n"
        "可以同时开多个；任何一个随时被杀都不丢失、不重复。由平台管理单位的集成工程师或系统管理员启动。\n"
        "消息服务在 shutong.toml 的 [messages] 中设置，默认用内置的。"
    ),
    example=_("shutong messages work\nshutong messages work --once --json\nshutong messages work --workers 16"),
)
def work(
    call: Call,
    *,
    once: Annotated[bool, typer.Option("--once", help=_("把现在欠的办完就退出"))] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=64, metavar="N", help=_("同时办理多少个投递，代替设置"))
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, metavar="S", help=_("至多工作这么多秒"))] = None,
) -> Answer:
    """Publish and deliver until told to stop."""

    def notify(what: str, about: dict[str, Any]) -> None:
        line = told(what, about)
        if line:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    counts = call.hub.messages.work(by=call.by, once=once, workers=workers, seconds=seconds, notify=notify)
    figures = {name: counts.get(name, 0) for name in ("published", "delivered", "put off", "dead", "withdrawn", "away")}
    facts = Facts([
        (_("发布"), figures["published"]),
        (_("投递"), figures["delivered"]),
        (_("推迟"), figures["put off"]),
        (_("死信"), figures["dead"]),
        (_("撤回"), figures["withdrawn"]),
        (_("消息服务不可用"), figures["away"]),
    ])  # fmt: skip
    document = {name.replace(" ", "_"): number for name, number in figures.items()}
    return Answer(document, [facts])


def told(what: str, about: dict[str, Any]) -> str | None:
    """A line for what happens while somebody works; None: it is not worth one."""
    lines = {
        "delivered": _("{exchange}: 已送达，批次 {run}"),
        "put off": _("{exchange}: 推迟，{error}"),
        "dead": _("{exchange}: 死信，{error}"),
        "withdrawn": _("{exchange}: 撤回，{error}"),
        "away": _("{error}"),
        "unroutable": _("资源 {resource} 的队列不在了，已重建"),
        "remade": _("接收方 {recipient} 的队列没有应答，已重建；欠下的会重新发布"),
        "letters remade": _("死信队列没有应答，已重建"),
    }
    known = {"run": "", "error": "", **about}
    return lines[what].format(**known) if what in lines else None


@command(
    messages,
    "list",
    help=_(
        "列出欠各接收方的文件：何时因哪个批次欠下，消息发了没有，送达没有；并说明消息服务是否可用、各队列有多少消息。\n"
        "接收方只见本部门的。"
    ),
    example=_("shutong messages list\nshutong messages list --state dead --recipient 市税务局 --json"),
)
def list_dispatches(
    call: Call,
    *,
    recipient: Recipient = None,
    state: Annotated[
        Literal["owed", "published", "done", "dead", "withdrawn"] | None,
        typer.Option("--state", metavar="STATE", help=_("只看这一状态的")),
    ] = None,
) -> Answer:
    """What is and was owed, and how the transport stands."""
    code = _code(call, recipient)
    found = call.hub.messages.listed(by=call.by, recipient=code, state=state)
    counts = call.hub.messages.counts(by=call.by, recipient=code)
    status = call.hub.messages.status(by=call.by)
    document = {"dispatches": [plain(each) for each in found], "counts": counts, "transport": plain(status)}
    shown = found[:SHOWN]
    more = [Words(_("另有 {many} 条没有显示，用 --json 或条件查看").format(many=len(found) - SHOWN), "yellow")]
    return Answer(
        document, [*_standing(call, status, counts), _table(call, shown), *(more if len(found) > SHOWN else [])]
    )


@command(
    messages,
    "show",
    help=_("一条待送的全部：起因的批次，消息发布过几次，失败几次，为什么，由哪个批次送达。"),
    example=_("shutong messages show 12"),
)
def show(call: Call, id: Id) -> Answer:
    """One row."""
    row = call.hub.messages.show(id, by=call.by)
    facts = Facts([
        (_("待送编号"), row.id),
        (_("状态"), word(DISPATCH_STATES, row.state)),
        (_("交换"), row.exchange),
        (_("资源"), row.resource),
        (_("接收方"), call.called(row.recipient)),
        (_("起因批次"), row.run or _("新建交换的首次交付")),
        (_("欠下时间"), row.made_at),
        (_("下次办理"), row.due_at if row.state in ("owed", "published") else None),
        (_("消息发布"), row.published_at),
        (_("发布次数"), row.published),
        (_("失败次数"), row.attempts),
        (_("原因"), row.error),
        (_("送达时间"), row.done_at),
        (_("送达批次"), row.done_by),
    ])  # fmt: skip
    return Answer({"dispatch": plain(row)}, [facts])


@command(
    messages,
    "dead",
    help=_("列出死信：送不出去、要有人处理的，和各自的原因。处理后用 shutong messages requeue 重新排队。"),
    example=_("shutong messages dead\nshutong messages dead --recipient 市税务局 --json"),
)
def dead(call: Call, recipient: Recipient = None) -> Answer:
    """Dead letters with their reasons."""
    code = _code(call, recipient)
    found = call.hub.messages.listed(by=call.by, recipient=code, state="dead")
    status = call.hub.messages.status(by=call.by, letters=True)
    rows = [(row.id, row.exchange, call.called(row.recipient), row.made_at, row.error) for row in found]
    columns = (_("待送编号"), _("交换"), _("接收方"), _("欠下时间"), _("原因"))
    letters = [letter for letter in status.letters if code in (None, letter.recipient)]
    parts: list[Part] = [Table(columns, rows, _("没有死信。"))]
    if letters:
        of_service = [(call.called(each.recipient), each.resource, each.reason) for each in letters]
        title = _("消息服务的死信队列")
        parts.append(Table((_("接收方"), _("资源"), _("原因")), of_service, "", title))
    document = {"dispatches": [plain(each) for each in found], "letters": plain(letters), "transport": plain(status)}
    return Answer(document, parts, notes=_away(status))


@command(
    messages,
    "requeue",
    help=_("把死信、已撤回或等待重试的重新排队，立即再投递；--all 为全部死信。授权已撤销的不能重新排队。"),
    example=_("shutong messages requeue 12\nshutong messages requeue --all --recipient 市税务局"),
)
def requeue(
    call: Call,
    id: Annotated[int | None, typer.Argument(metavar="ID", help=_("待送编号，见 shutong messages dead"))] = None,
    *,
    all_dead: Annotated[bool, typer.Option("--all", help=_("全部死信"))] = False,
    recipient: Recipient = None,
) -> Answer:
    """Try again at once."""
    if all_dead == (id is not None) or (recipient is not None and not all_dead):
        remedy = _("写待送编号，或写 --all（可加 --recipient）")
        raise Invalid(_("不知道把哪些重新排队"), remedy=remedy)
    if id is not None:
        call.hub.messages.requeue(id, by=call.by)
        done = [id]
    else:
        done = call.hub.messages.requeue_dead(by=call.by, recipient=_code(call, recipient))
    said = _("{many} 条已重新排队。").format(many=len(done))
    return Answer({"requeued": done}, [Words(said, "bold green" if done else "")])


@command(
    messages,
    "withdraw",
    help=_("撤回一条待送：不再为它投递。交换本身仍按周期执行；要停止交换，请中止或撤销授权。"),
    example=_("shutong messages withdraw 12 --reason 接收方暂停接收"),
)
def withdraw(
    call: Call, id: Id, reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))]
) -> Answer:
    """Do not deliver."""
    call.hub.messages.withdraw(id, reason=reason, by=call.by)
    return Answer({"id": id, "state": "withdrawn"}, [Words(_("待送 {id} 已撤回。").format(id=id), "bold")])


def _code(call: Call, recipient: str | None) -> str | None:
    return call.hub.directory.department(recipient).code if recipient is not None else None


def _standing(call: Call, status: Any, counts: dict[str, int]) -> list[Part]:
    name = _("内置") if status.transport == "embedded" else _("消息服务器")
    if status.reachable:
        waiting = {queue: many for queue, many in status.depths.items() if many}
        queues = _("、").join(f"{call.called(queue)} {many}" for queue, many in waiting.items())
        said = _("消息中间件（{name}）：可用；队列中 {queues}").format(name=name, queues=queues or _("没有消息"))
        line = Words(said)
    else:
        said = _("消息中间件（{name}）：不可用，{error}；所欠的都在账上，恢复后照常投递")
        line = Words(said.format(name=name, error=status.error), "yellow")
    figures = _("，").join(f"{word(DISPATCH_STATES, state)} {many}" for state, many in counts.items() if many)
    return [line, *([Words(figures)] if figures else [])]


def _away(status: Any) -> list[str]:
    return [] if status.reachable else [_("消息服务不可用：{error}").format(error=status.error)]


def _table(call: Call, found: list[Any]) -> Table:
    rows = [
        (
            row.id,
            row.exchange,
            call.called(row.recipient),
            word(DISPATCH_STATES, row.state),
            hour(row.made_at),
            hour(row.published_at),
            hour(row.done_at),
            hour(row.due_at) if row.state in ("owed", "published") else "",
            row.error,
        )
        for row in found
    ]
    columns = (
        _("待送编号"), _("交换"), _("接收方"), _("状态"), _("欠下"), _("消息"), _("送达"), _("下次办理"), _("原因"),
    )  # fmt: skip
    return Table(columns, rows, _("什么都不欠。"))
