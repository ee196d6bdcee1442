"""``files``: files followed from a provider's drop to the receipts, what waits there, what is tried or sent again."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli import progress
from exchange.cli.answers import Answer, Facts, Part, Table, Words, listed, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import OVERSEE, app
from exchange.cli.running import document, parts_of
from exchange.errors import Invalid
from exchange.words import BOOKS, FILE_STATES, HANDOVER_STATES, RECALL_STATES, RUN_STATES, RUN_STATUS, word

pickups = group(
    "files",
    _("文件：收了哪些，退回了哪些，还有哪些没收；一个文件从投放到回执的来龙去脉。"),
    panel=OVERSEE,
    into=app,
)

KINDS = {"data": _("数据"), "document": _("文档")}


@command(
    pickups,
    "list",
    help=_(
        "列出收取和退回的文件，最近的在前。提供部门、获得授权的部门和管理员各见与己有关的；\n"
        "文件名和退回原因可能含个人信息，只给提供部门和管理员看。查看本身记入日志。"
    ),
    example=_("shutong files list --exchange sync-101001001-0001 --state refused\nshutong files list --json"),
)
def list_files(
    call: Call,
    *,
    exchange: Annotated[str | None, typer.Option("--exchange", metavar="ID", help=_("交换的编号"))] = None,
    resource: Annotated[str | None, typer.Option("--resource", metavar="CODE", help=_("资源的代码"))] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help=_("状态：taken、refused、retry、again，或列表中的文字")),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help=_("文件名"))] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help=_("至多列出几个"))] = 200,
) -> Answer:
    """Files that were taken or refused."""
    found = call.hub.files.found(
        by=call.by, exchange=exchange, resource=resource, state=_state(state), name=name, most=most
    )
    rows = [
        (
            each.id,
            word(FILE_STATES, each.state),
            each.at,
            each.exchange,
            each.name or "—",
            each.size,
            each.rows,
            each.reason or _same(each.same_as),
        )
        for each in found
    ]
    columns = (_("编号"), _("状态"), _("时间"), _("交换"), _("文件"), _("字节"), _("行"), _("说明"))
    return Answer({"files": [plain(each) for each in found]}, [Table(columns, rows, _("没有文件。"))])


@command(
    pickups,
    "show",
    help=_(
        "一个文件从投放到回执：哪个批次收的、账目和回执，其后送给了谁、回执是哪个。写编号，或文件名（最近的一个）。\n"
        "附件（随数据送达的文件）再列出到了哪里、接收方怎样处理、有没有撤回。\n"
        "获得授权的部门只见送给自己的；文件名只给提供部门和管理员看。查看本身记入日志。"
    ),
    example=_("shutong files show 17\nshutong files show people_20260901.csv --json"),
)
def show(
    call: Call, name: Annotated[str, typer.Argument(metavar="FILE", help=_("文件的编号或名称，见 shutong files list"))]
) -> Answer:
    """One file from its drop to the receipts."""
    found = call.hub.files.show(name, by=call.by)
    file = found.file
    parts: list[Part] = [
        Facts([
            (_("编号"), file.id),
            (_("文件"), file.name or "—"),
            (_("状态"), word(FILE_STATES, file.state)),
            (_("种类"), word(KINDS, file.kind)),
            (_("字节"), file.size),
            (_("摘要"), file.digest),
            (_("行"), file.rows),
            (_("说明"), file.reason or _same(file.same_as)),
            (_("提供部门"), call.called(file.provider)),
            (_("资源"), file.resource),
            (_("交换"), file.exchange),
            (_("批次"), file.run),
            (_("批次状态"), word(RUN_STATES, found.run_state)),
            (_("时间"), file.at),
            (_("接收部门"), call.called(found.recipient)),
            (_("回执"), found.receipt),
        ]),
    ]  # fmt: skip
    if found.counts:
        parts.append(Words(_("那个批次的账目（其中可能还有别的文件）：")))
        parts.append(Table(tuple(BOOKS.values()), [tuple(found.counts.get(each) for each in BOOKS)], ""))
    if file.state == "taken":
        rows = [
            (
                call.called(each.recipient),
                each.exchange,
                word(RUN_STATES, each.state) if each.state else _("还没有送"),
                each.run,
                each.receipt,
                each.counts.get("written"),
                each.at,
            )
            for each in found.onward
        ]
        columns = (_("送给"), _("交换"), _("状态"), _("批次"), _("回执"), _("写入"), _("时间"))
        if rows:
            parts.append(Words(_("其后的送达：")))
            parts.append(Table(columns, rows, ""))
    if found.handovers:
        handed = [
            (
                call.called(each.recipient),
                each.run,
                each.receipt,
                each.name or "—",
                word(HANDOVER_STATES, each.state),
                each.reason,
                f"{each.recall} {word(RECALL_STATES, each.recall_state)}" if each.recall else None,
                each.at,
            )
            for each in found.handovers
        ]
        headings = (_("送给"), _("批次"), _("回执"), _("附件"), _("状态"), _("原因"), _("撤回"), _("时间"))
        parts.append(Words(_("送达的附件：")))
        parts.append(Table(headings, handed, ""))
        if found.more:
            parts.append(Words(_("另有更早的 {count} 个没有列出。").format(count=found.more)))
    if file.state == "refused":
        again = _("更正后重新放入会自动重收；原样再试：shutong files retry {exchange} {number}")
        parts.append(Words(again.format(exchange=file.exchange, number=file.id)))
    return Answer({"file": plain(found)}, parts)


@command(
    pickups,
    "waiting",
    help=_(
        "列出投放目录里还没有收的文件和原因：没有清单、刚有改动、被退回、须等前面的文件。只列目录，不读文件。\n"
        "写交换的编号，或端点的名称。提供部门和管理员可以查看；查看本身记入日志。"
    ),
    example=_("shutong files waiting sync-101001001-0001\nshutong files waiting police-drop --json"),
)
def waiting(
    call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help=_("交换的编号或端点的名称"))]
) -> Answer:
    """What lies in a drop and is not taken yet."""
    found = call.hub.files.waiting(name, by=call.by)
    rows = [
        (each.name, each.size, each.modified, _("已退回") if each.refused else _("等待"), each.reason, each.exchange)
        for each in found
    ]
    columns = (_("文件"), _("字节"), _("改动时间"), _("状态"), _("原因"), _("交换"))
    return Answer({"files": [plain(each) for each in found]}, [Table(columns, rows, _("没有待收的文件。"))])


@command(
    pickups,
    "retry",
    help=_(
        "让一个被退回的文件原样再试一次，下次执行时办理；改动过的文件会自动重收，不必用它。\n"
        "由提供部门的经办员、集成工程师或系统管理员办理。"
    ),
    example=_("shutong files retry sync-101001001-0001 people_20260901.csv"),
)
def retry(
    call: Call,
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help=_("交换的编号，见 shutong status"))],
    name: Annotated[str, typer.Argument(metavar="FILE", help=_("文件的名称或编号"))],
) -> Answer:
    """Try a refused file once more."""
    number = call.hub.files.retry(exchange, name, by=call.by)
    said = _("文件 {number} 下次执行时再试：shutong run {exchange}").format(number=number, exchange=exchange)
    return Answer({"file": number, "exchange": exchange, "state": "retry"}, [Words(said, "bold")])


@command(
    pickups,
    "resend",
    help=_(
        "重新送达一次文件交付：接收方丢了或读坏了那一个文件时用。行仍是那一次的行，内容和授权以现在为准，\n"
        "已删除的作为删除送达；新的文件有自己的交付编号、账目和回执，读取的位置不变。\n"
        "由双方或平台的集成工程师、系统管理员办理；没有办完的批次先办完，上次没有送完的同一次接着送完。\n"
        "目标端恢复过备份、要全部重新交付的，用 shutong run 交换编号 --redeliver。"
    ),
    example=_("shutong files resend 0123456789abcdef"),
)
def resend(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="RUN", help=_("送达的批次或回执的编号，见 shutong files show"))],
) -> Answer:
    """Make one delivery once more."""
    with progress.shown(name) as observe:
        watched = {"observe": observe} if observe else {}
        result = call.hub.files.resend(name, by=call.by, **watched)
    return Answer({"run": document(result)}, parts_of(result), status=RUN_STATUS.get(result.state, 1))


def _same(numbers: tuple[int, ...]) -> str | None:
    if not numbers:
        return None
    return _("内容与文件 {numbers} 相同").format(numbers=listed(map(str, numbers)))


def _state(text: str | None) -> str | None:
    """The state somebody wrote, by its name or in words."""
    if text is None or text in FILE_STATES:
        return text
    found = next((name for name, words in FILE_STATES.items() if words == text), None)
    if found is None:
        raise Invalid(_("没有这种状态"), remedy=_("可用：{names}").format(names=listed(FILE_STATES)))
    return found
