"""``audit``: searching, exporting and verifying the log."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, cell, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import OVERSEE, app
from exchange.errors import Invalid
from exchange.words import BEIJING, EVENTS, event_type, word

audit = group("audit", _("日志：检索、导出、核验；由审计管理员办理。"), panel=OVERSEE, into=app)

Department = Annotated[
    str | None, typer.Option("--department", metavar="NAME", help=_("与哪个部门有关：信用代码、名称或简称"))
]
Resource = Annotated[str | None, typer.Option("--resource", metavar="CODE", help=_("与哪个资源有关"))]
Exchange = Annotated[str | None, typer.Option("--exchange", metavar="ID", help=_("与哪个交换有关"))]
Run = Annotated[str | None, typer.Option("--run", metavar="ID", help=_("与哪个批次有关"))]
Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help=_("事件，如 授权撤销 或 GrantRevoked"))]
Actor = Annotated[str | None, typer.Option("--actor", metavar="NAME", help=_("操作人的姓名"))]
Way = Annotated[
    Literal["database", "webservice", "file", "medium"] | None,
    typer.Option("--way", metavar="WAY", help=_("经哪种方式交换：database、webservice、file 或 medium")),
]
Class = Annotated[str | None, typer.Option("--class", metavar="CLASS", help=_("与哪类数据有关，如 natural_person"))]
Outcome = Annotated[
    Literal["succeeded", "refused", "failed"] | None,
    typer.Option("--outcome", metavar="OUTCOME", help=_("结果：succeeded（成功）、refused（拒绝）或 failed（失败）")),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help=_("起，如 2026-01-31 或 2026-01-31T08:00，北京时间"))
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help=_("止，写日期的含当日；北京时间"))]
Text = Annotated[str | None, typer.Option("--text", metavar="TEXT", help=_("事件内容中的文字"))]


@command(
    audit,
    "search",
    help=_("检索日志，最近的在前：谁在何时对什么做了什么。检索本身也记入日志。"),
    example=_(
        "shutong audit search --department 市公安局 --since 2026-01-01\nshutong audit search --type AccessDenied --json"
    ),
)
def search(
    call: Call,
    department: Department = None,
    resource: Resource = None,
    exchange: Exchange = None,
    run: Run = None,
    type: Type = None,
    actor: Actor = None,
    way: Way = None,
    record_class: Class = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help=_("每页条数，默认 100"))] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor", metavar="MARK", help=_("上一页给出的翻页标记"))] = None,
) -> Answer:
    """Find events."""
    filters = _filters(
        call, department, resource, exchange, run, type, actor, way, record_class, outcome, since, until, text
    )
    found = call.hub.oversight.search(by=call.by, limit=limit, cursor=cursor, **filters)
    rows = [
        (
            event.number,
            event.at,
            word(EVENTS, event.type),
            event.actor,
            call.called(event.department),
            event.resource or event.exchange,
            _said(event.body),
        )
        for event in found.events
    ]
    columns = (_("编号"), _("时间"), _("事件"), _("操作人"), _("部门"), _("对象"), _("内容"))
    parts: list[Part] = [Table(columns, rows, _("没有符合的事件。"))]
    if found.cursor:
        parts.append(Words(_("还有更多，下一页加上：--cursor {mark}").format(mark=found.cursor)))
    return Answer({"events": [plain(event) for event in found.events], "cursor": found.cursor}, parts)


@command(
    audit,
    "export",
    help=_("导出日志到文件，最早的在前；条件与检索相同。导出本身也记入日志。"),
    example=_("shutong audit export 一月.csv --since 2026-01-01 --until 2026-01-31\nshutong audit export 全部.parquet"),
)
def export(
    call: Call,
    path: Annotated[Path, typer.Argument(metavar="PATH", help=_("写入的文件，不能已存在"))],
    format: Annotated[
        Literal["jsonl", "csv", "xlsx", "parquet"] | None,
        typer.Option("--format", metavar="FORMAT", help=_("格式，默认按文件扩展名")),
    ] = None,
    department: Department = None,
    resource: Resource = None,
    exchange: Exchange = None,
    run: Run = None,
    type: Type = None,
    actor: Actor = None,
    way: Way = None,
    record_class: Class = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
) -> Answer:
    """Write events to a file."""
    filters = _filters(
        call, department, resource, exchange, run, type, actor, way, record_class, outcome, since, until, text
    )
    count = call.hub.oversight.export(path, by=call.by, format=format, **filters)
    said = _("已导出 {count} 条到 {path}").format(count=count, path=path)
    return Answer({"path": path, "events": count}, [Words(said)])


@command(
    audit,
    "verify",
    help=_(
        "核验日志：逐条重算，与链头文件、各回执和目标端台账中留存的链头比对，并核对每个批次的事件。\n"
        "被改动、删除、插入、调换或截断的，指出位置，退出状态为 9。"
    ),
    example=_("shutong audit verify"),
)
def verify(call: Call) -> Answer:
    """Whether the log is as it was written."""
    found = call.hub.oversight.verify(by=call.by)
    verdict = _("日志完整，与写入时一致。") if found.verified else _("日志被改动过，见下。")
    parts: list[Part] = [
        Words(verdict, "bold green" if found.verified else "bold red"),
        Facts([(_("事件"), found.events), (_("已封存"), found.sealed), (_("待封存"), found.unsealed)]),
    ]
    if found.faults:
        rows = [(fault.place, fault.message) for fault in found.faults]
        parts += [
            Table((_("位置"), _("情况")), rows, ""),
            Words(_("请保全数据库和主目录现场，与备份及各方留存的回执核对。")),
        ]
    return Answer(plain(found), parts, notes=found.warnings, status=0 if found.verified else 9)


@command(
    audit,
    "acknowledge",
    help=_(
        "确认恢复备份：平台恢复过备份，日志末尾或链头文件因此有缺失的，写明理由，记入日志。\n"
        "此后核验只作提示。没有缺失的不受理，退出状态为 5；其他改动仍视为改动。"
    ),
    example=_("shutong audit acknowledge --reason 磁盘损坏，从前一日备份恢复"),
)
def acknowledge(
    call: Call,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由：何时、为何恢复"))],
) -> Answer:
    """Answer for what was lost with a restored backup."""
    call.hub.oversight.acknowledge(by=call.by, reason=reason)
    return Answer({"acknowledged": True, "reason": reason}, [Words(_("已记入日志：缺失的部分随恢复备份而失。"))])


def _filters(call: Call, department: str | None, *others: str | None) -> dict[str, Any]:
    """The filters given, times read and the department by its code."""
    names = ("resource", "exchange", "run", "type", "actor", "way", "record_class", "outcome", "since", "until", "text")
    given: dict[str, Any] = {name: value for name, value in zip(names, others, strict=True) if value is not None}
    if "type" in given:
        given["type"] = event_type(given["type"])
    if department is not None:
        given["department"] = call.hub.directory.department(department).code
    if "since" in given:
        given["since"] = moment(given["since"], "--since")
    if "until" in given:
        given["until"] = moment(given["until"], "--until", end=True)
    return given


def moment(text: str, option: str, *, end: bool = False) -> datetime:
    """The moment somebody wrote, in Beijing where no zone is given.

    Args:
        text: A date, or a date and a time.
        option: Where it was written.
        end: A date means its end, not its beginning.

    Raises:
        Invalid: It is neither.
    """
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text)
            return datetime.combine(day, time(), BEIJING) + timedelta(days=end)
        read = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            _("选项 {name} 的值不是日期或时间").format(name=option), remedy=_("如 2026-01-31 或 2026-01-31T08:00")
        ) from error
    return read if read.tzinfo is not None else read.replace(tzinfo=BEIJING)


def _said(body: dict[str, Any]) -> str:
    """What an event says, on one line."""
    texts = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else cell(value)
        for name, value in body.items()
    }
    return " ".join(f"{name}={text}" for name, text in texts.items())
