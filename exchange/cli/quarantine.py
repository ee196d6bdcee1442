"""``quarantine``: refused rows listed, shown masked, corrected, given up and sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from exchange.cli import progress
from exchange.cli.answers import Answer, Facts, Part, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import OVERSEE, app
from exchange.cli.running import document, parts_of
from exchange.errors import Invalid, Problem
from exchange.words import ROW_STATES, RUN_STATUS, word

quarantine = group(
    "quarantine", _("隔离：被拒收的行，列出、查看、更正、弃送、重送；内容只给提供部门看。"), panel=OVERSEE, into=app
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help=_("隔离行的编号，见 shutong quarantine list"))]


@command(
    quarantine,
    "list",
    help=_(
        "列出被拒收的行：编号、状态、批次、行号、信息项、规则和原因，没有内容。\n"
        "一行不符几条规则的，有几个编号，写哪个都行。本部门提供的，和管理员可以查看；查看本身记入日志。"
    ),
    example=_("shutong quarantine list --exchange sync-101001001-0001\nshutong quarantine list --state open"),
)
def list_quarantine(
    call: Call,
    exchange: Annotated[str | None, typer.Option("--exchange", metavar="ID", help=_("交换的编号"))] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="ID", help=_("批次的编号"))] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=_("状态：open、repaired、replayed、again、dropped、stopped、expired、kept，或列表中的文字"),
        ),
    ] = None,
) -> Answer:
    """Refused rows with rule and reason."""
    found = call.hub.oversight.quarantine(by=call.by, exchange=exchange, run=run, state=_state(state))
    rows = [
        (
            each.id,
            word(ROW_STATES, each.state),
            each.at,
            each.exchange,
            each.run,
            each.number,
            each.item,
            each.rule,
            each.reason,
        )
        for each in found
    ]
    columns = (
        _("编号"), _("状态"), _("时间"), _("交换"), _("批次"), _("行号"), _("信息项"), _("规则"), _("原因"),
    )  # fmt: skip
    return Answer({"rows": [plain(each) for each in found]}, [Table(columns, rows, _("没有被拒收的行。"))])


def _state(text: str | None) -> str | None:
    """The state somebody wrote, by its name or in words."""
    if text is None or text in ROW_STATES:
        return text
    found = next((name for name, words in ROW_STATES.items() if words == text), None)
    if found is None:
        raise Invalid(_("没有这种状态"), remedy=_("可用：{names}").format(names=_("、").join(ROW_STATES)))
    return found


@command(
    quarantine,
    "show",
    help=_(
        "查看一个被拒收的行。只有提供部门的经办员可以查看：不符规则的信息项显示原值，供核对更正，\n"
        "其余个人信息按等级遮盖。每次查看都记入日志。"
    ),
    example=_("shutong quarantine show 17"),
)
def show(call: Call, number: Number) -> Answer:
    """A refused row, masked."""
    row = call.hub.mending.show(number, by=call.by)
    parts: list[Part] = [
        Facts([
            (_("编号"), row.id),
            (_("状态"), word(ROW_STATES, row.state)),
            (_("交换"), row.exchange),
            (_("批次"), row.run),
            (_("行号"), row.number),
            (_("拒收时间"), row.at),
            (_("更正人"), row.repaired_by),
            (_("更正时间"), row.repaired_at),
            (_("更正理由"), row.repair_reason),
        ]),
    ]  # fmt: skip
    if row.items:
        rows = [
            (
                item.name,
                item.label,
                item.value,
                _("遮盖") if item.masked else _("更正") if item.corrected else "",
                list(item.reasons),
            )
            for item in row.items
        ]
        parts.append(Table((_("信息项"), _("名称"), _("值"), _("说明"), _("不符之处")), rows, ""))
    else:
        parts.append(Words(_("没有保留内容。"), "yellow"))
    told = {reason for item in row.items for reason in item.reasons}
    parts += [Words(f"  • {reason}") for _rule, reason in row.findings if reason not in told]
    if row.state in ("open", "repaired") and row.items:
        parts.append(Words(_("更正：shutong quarantine repair {number} --set 信息项=值").format(number=row.id)))
    return Answer({"row": plain(row)}, parts)


@command(
    quarantine,
    "repair",
    help=_(
        "更正一个被拒收的行，立即按同样的规则校验，不符的一次说全。由提供部门的经办员办理。\n"
        "更正加密保存，连同何人、何时、何故；日志只记改了哪些信息项。值为空即置空。来源端的数据不会改动。"
    ),
    example=_("shutong quarantine repair 17 --set name=张三 --set district=321202 --reason 漏填，已核对档案"),
)
def repair(
    call: Call,
    number: Number,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="ITEM=VALUE", help=_("信息项=值，可写多个"))
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))] = "",
) -> Answer:
    """Correct items of a refused row."""
    given = _changes(changes or ())
    call.hub.mending.repair(number, given, reason=reason, by=call.by)
    said = _("隔离行 {number} 已更正，符合规则：{items}").format(number=number, items=_("、").join(given))
    following = _("重送：shutong quarantine replay 交换的编号")
    return Answer({"row": number, "items": list(given)}, [Words(said, "bold"), Words(following)])


def _changes(texts: Sequence[str]) -> dict[str, str | None]:
    """Items and the texts they are set to; what is wrong with the form is told without the values."""
    changes: dict[str, str | None] = {}
    problems = []
    for place, text in enumerate(texts, 1):
        name, equals, value = text.partition("=")
        where = _("第 {place} 个 --set").format(place=place)
        if not equals or not name.strip():
            problems.append(Problem(where=where, message=_("应为 信息项=值")))
        elif name.strip() in changes:
            problems.append(Problem(where=where, message=_("同一信息项写了两次")))
        else:
            changes[name.strip()] = value or None
    if problems:
        raise Invalid(_("--set 的写法不对"), problems)
    return changes


@command(
    quarantine,
    "drop",
    help=_("注明一个被拒收的行不再送，须写理由；理由记入日志，勿写个人信息。由提供部门的经办员办理。"),
    example=_("shutong quarantine drop 17 --reason 重复登记，已在业务系统中注销"),
)
def drop(
    call: Call,
    number: Number,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由"))],
) -> Answer:
    """Give a refused row up."""
    call.hub.mending.drop(number, reason=reason, by=call.by)
    return Answer({"row": number, "dropped": True}, [Words(_("隔离行 {number} 不再送。").format(number=number))])


@command(
    quarantine,
    "replay",
    help=_(
        "重送一个交换的隔离行：已更正的，和现行规则已能接受的，按一个批次送达，有账目和回执；不读来源端。\n"
        "由提供部门的经办员、集成工程师或系统管理员办理；没有办完的批次先办完。"
    ),
    example=_("shutong quarantine replay sync-101001001-0001"),
)
def replay(
    call: Call, exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help=_("交换的编号，见 shutong status"))]
) -> Answer:
    """Send corrected rows the way of all others."""
    with progress.shown(exchange) as observe:
        watched = {"observe": observe} if observe else {}
        result = call.hub.mending.replay(exchange, by=call.by, **watched)
    return Answer({"run": document(result)}, parts_of(result), status=RUN_STATUS.get(result.state, 1))
