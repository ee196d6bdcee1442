"""``exchange``: what it will do, how its tables changed, approving that, and what its recipient made of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app
from exchange.words import ANSWERS, SIDES, refresh_words, tolerance_words, word

exchanges = group(
    "exchange",
    _("交换任务：下一次怎样执行；两端的表结构变了没有，怎么办；送达的行接收方处理得怎样。"),
    panel=EXCHANGE,
    into=app,
)

Exchange = Annotated[str, typer.Argument(metavar="EXCHANGE", help=_("交换的编号，见 shutong status"))]


@command(
    exchanges,
    "diff",
    help=_(
        "比较两端现在的表结构与上次认可的：哪些列新增、删除、加宽、变窄、改名、改类型。\n"
        "有待批准的变化时退出状态为 5；只比较，不改动什么。"
    ),
    example=_("shutong exchange diff sync-101001001-0001\nshutong exchange diff share-G0123 --json"),
)
def diff(call: Call, exchange: Exchange) -> Answer:
    """How both ends differ from what was approved."""
    compared = call.hub.structures.diff(exchange, by=call.by)
    held = any(each.holds for each in compared)
    document = {"exchange": exchange, "held": held, "sides": _documents(compared)}
    parts: list[Part] = [_table(compared)]
    for each in compared:
        if each.before is None:
            text = _("{side} {where} 还没有记录：首次执行时记下现在的结构。")
            parts.append(Words(text.format(side=word(SIDES, each.look.side), where=_where(each))))
    if held:
        parts.append(Words(_("有待批准的变化，交换不会执行。"), "bold red"))
        parts.append(Words(_("批准：shutong exchange approve {name} --reason 理由").format(name=exchange)))
    return Answer(document, parts, status=5 if held else 0)


@command(
    exchanges,
    "approve",
    help=_(
        "批准两端现在的表结构，让交换接着执行；由集成工程师办理，不能批准本部门的变化。\n"
        "照现在的挂接执行不了的（例如挂接的列没有了）不能批准，须登记资源的新版本。"
    ),
    example=_("shutong exchange approve sync-101001001-0001 --reason 已与提供部门核实，旧值没有超长的"),
)
def approve(
    call: Call,
    exchange: Exchange,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("为什么可以接受，写入日志"))],
) -> Answer:
    """Accept what holds an exchange."""
    approved = call.hub.structures.approve(exchange, reason=reason, by=call.by)
    said = _("已批准交换 {name} 的表结构变化，下次执行以现在的为准。").format(name=exchange)
    return Answer(
        {"exchange": exchange, "approved": _documents(approved), "by": call.by.name},
        [Words(said, "bold green"), _table(approved)],
    )


@command(
    exchanges,
    "answers",
    help=_(
        "接收方处理结果：送达的行有多少未读、已处理、处理失败。写交换的编号，指它最近一次写入了行的交付。\n"
        "交换双方和管理员看得到数量；处理失败的行和原因只给接收部门的集成工程师看。查看本身记入日志。"
    ),
    example=_("shutong exchange answers share-G0123\nshutong exchange answers R0123456789abcdef01234567 --now --rows"),
)
def answers(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_("回执、批次或交换的编号"))],
    *,
    ask: Annotated[
        bool, typer.Option("--now", help=_("现在就去接收方的表或文件目录中读一次；由集成工程师或系统管理员办理"))
    ] = False,
    rows: Annotated[bool, typer.Option("--rows", help=_("列出处理失败的行和原因"))] = False,
    keys: Annotated[bool, typer.Option("--keys", help=_("连同业务主键的原值，另记入日志"))] = False,
) -> Answer:
    """What the recipient made of a delivery's rows."""
    if ask:
        call.hub.answers.ask(name, by=call.by)
    shown = call.hub.answers.show(name, by=call.by, rows=rows, keys=keys)
    parts: list[Part] = [
        Facts([
            (_("回执编号"), shown.receipt),
            (_("批次"), shown.run),
            (_("交换"), shown.exchange),
            (_("接收部门"), call.called(shown.recipient)),
            (_("送达的行"), None if shown.why else shown.written),
            (_("下次去问"), shown.due_at),
        ])
    ]  # fmt: skip
    if shown.why:
        parts.append(Words(shown.why, "yellow"))
    else:
        found = [
            (each.number, each.at, *(_("不详") if count is None else count for count in _counted(each.counts)))
            for each in shown.addenda
        ]
        parts.append(Table((_("附录"), _("时间"), *ANSWERS.values()), found, _("还没有读回过。")))
    if shown.failures:
        told = [(each.number, each.key_hash, *_key(each.key), each.text) for each in shown.failures]
        columns = (_("行号"), _("主键散列"), *((_("业务主键"),) if keys else ()), _("原因"))
        parts.append(Table(columns, told, "", title=_("处理失败的行")))
    elif rows or keys:
        parts.append(Words(_("没有保存处理失败的行。")))
    last = shown.addenda[-1] if shown.addenda else None
    notes = [*last.advice] if last else []
    if last and last.shared_with:
        notes.append(_("与同一秒内的其他交付合计：{runs}").format(runs=_("、").join(last.shared_with)))
    notes += [_("上一次没有读成：{error}").format(error=shown.error)] if shown.error else []
    return Answer({"answers": plain(shown)}, parts, notes=notes)


def _counted(counts: Mapping[str, int | None]) -> list[int | None]:
    return [counts[name] for name in ANSWERS]


def _key(key: Mapping[str, str | None] | None) -> list[str]:
    return [] if key is None else [_("，").join(f"{name}={value}" for name, value in key.items())]


@command(
    exchanges,
    "plan",
    help=_(
        "说明交换下一次怎样执行：怎样读、怎样写、容许拒收多少；不读数据，不改动什么。\n"
        "全量刷新的，还看目标表能不能换表，不能的说明为什么。"
    ),
    example=_("shutong exchange plan sync-101001001-0001\nshutong exchange plan share-G0123 --json"),
)
def plan(call: Call, exchange: Exchange) -> Answer:
    """What the next run will do."""
    planned, refreshing = call.hub.sharing.outlook(exchange, by=call.by)
    refresh = None if planned.refresh is None else planned.refresh.model_dump(mode="json")
    told = None if refreshing is None else {"how": refreshing.how, "why": list(refreshing.why)}
    document = {
        "exchange": exchange,
        "plan": planned.digest(),
        "resource": planned.resource,
        "grant": planned.grant,
        "source": {"endpoint": planned.source.endpoint, "object": planned.source.object},
        "target": {"endpoint": planned.target.endpoint, "object": planned.target.object},
        "capture": planned.source.capture,
        "full": planned.full,
        "guarantee": planned.guarantee,
        "tolerance": planned.tolerance.model_dump(mode="json"),
        "refresh": None if refresh is None else {**refresh, **(told or {})},
        "remarks": list(planned.remarks),
    }
    facts = Facts([
        (_("交换"), exchange),
        (_("授权编号"), planned.grant),
        (_("来源"), f"{planned.source.endpoint} › {planned.source.object}"),
        (_("目标"), f"{planned.target.endpoint} › {planned.target.object}"),
        (_("读取方式"), planned.source.capture),
        (_("保证"), planned.guarantee),
        (_("容错"), tolerance_words(planned.tolerance.model_dump())),
        (_("全量刷新"), refresh_words(told)),
        (_("方案"), planned.digest()),
    ])  # fmt: skip
    return Answer(document, [facts, *(Words(f"  • {remark}") for remark in planned.remarks)])


@command(
    exchanges,
    "preview",
    help=_(
        "查看交换最前面的几行送达后是什么样：只有授权的信息项，已按授权过滤、脱敏，并列出校验发现的问题。\n"
        "什么都不改动；查看本身记入日志。平台的人员看到的个人信息另按分级遮盖。"
    ),
    example=_("shutong exchange preview share-G0123\nshutong exchange preview share-G0123 --rows 5 --json"),
)
def preview(
    call: Call, exchange: Exchange, rows: Annotated[int, typer.Option("--rows", help=_("至多几行"), min=1)] = 20
) -> Answer:
    """The first rows, as they would be delivered."""
    found = call.hub.previewing.look(exchange, by=call.by, rows=rows)
    lines = [tuple(value or "" for value in row.values) for row in found.rows]
    said = _("读取 {read} 行，其中授权之外 {filtered} 行，会被拒收 {refused} 行")
    parts: list[Part] = [
        Table(tuple(each.label for each in found.items), lines, _("没有会送达的行。")),
        Words(said.format(read=found.read, filtered=found.filtered, refused=found.refused)),
    ]
    for each in found.findings:
        told = _("第 {row} 行 {item}：{title}，{reason}")
        parts.append(Words(told.format(row=each.row, item=each.item or "", title=each.title, reason=each.reason)))
    return Answer(plain(found), parts)


def _documents(compared: Iterable[Any]) -> list[dict[str, Any]]:
    return [
        {
            "side": each.look.side,
            "endpoint": each.look.end.endpoint,
            "object": each.look.end.object,
            "recorded": each.before is not None,
            "changes": [
                {
                    "kind": change.difference.kind,
                    "column": change.difference.column,
                    "before": change.difference.before,
                    "after": change.difference.after,
                    "guessed_from": list(change.difference.reasons),
                    "holds": change.holds,
                    "text": str(change.difference),
                    "why": change.why,
                }
                for change in each.changes
            ],
        }
        for each in compared
    ]


def _where(each: Any) -> str:
    return f"{each.look.end.endpoint} › {each.look.end.object}"


def _table(compared: Sequence[Any]) -> Table:
    rows = [
        (word(SIDES, each.look.side), _where(each), str(change.difference), change.holds, change.why)
        for each in compared
        for change in each.changes
    ]
    columns = (_("端"), _("位置"), _("变化"), _("待批准"), _("说明"))
    return Table(columns, rows, _("两端的表结构都没有变化。"))
