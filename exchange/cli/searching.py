"""``search``, ``responsibility``, ``demand``: finding what there is, and what is lacking."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Part, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.resources import brief, entries
from exchange.cli.root import SHARE, app

demands = group("demand", _("需求：部门需要而目录中没有的数据。"), panel=SHARE, into=app)

Department = Annotated[str, typer.Argument(metavar="DEPARTMENT", help=_("信用代码、名称或简称"))]


@command(
    app,
    "search",
    panel=SHARE,
    help=_("检索已发布的资源。每个词至少两个字，都要出现；不写词则列出全部。"),
    example=_("shutong search 人口\nshutong search 法人 登记 --share-type 有条件 --cycle 每日"),
)
def search(
    call: Call,
    words: Annotated[list[str] | None, typer.Argument(metavar="WORDS", help=_("检索词"))] = None,
    record_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help=_("数据类别，如 natural_person"))
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help=_("提供部门：信用代码、名称或简称"))
    ] = None,
    share_type: Annotated[
        str | None, typer.Option("--share-type", metavar="TYPE", help=_("共享类型：无条件、有条件、不予"))
    ] = None,
    way: Annotated[
        str | None, typer.Option("--way", metavar="WAY", help=_("共享方式：database、webservice、file、medium"))
    ] = None,
    cycle: Annotated[str | None, typer.Option("--cycle", metavar="CYCLE", help=_("更新周期，如 每日、每月"))] = None,
    under: Annotated[
        str | None, typer.Option("--under", metavar="CODE", help=_("信息资源分类代码，含其下各级"))
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help=_("每页条数，默认 20"))] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", metavar="MARK", help=_("上一页给出的翻页标记"))] = None,
) -> Answer:
    """Find published resources."""
    call.identify()
    found = call.hub.directory.search(
        " ".join(words or ()),
        provider=provider,
        record_class=record_class,
        share_type=share_type,
        way=way,
        cycle=cycle,
        under=under,
        limit=limit,
        cursor=cursor,
    )
    document = {
        "resources": [{**brief(hit.entry), "score": hit.score} for hit in found.hits],
        "cursor": found.cursor,
    }
    parts: list[Part] = [
        entries([hit.entry for hit in found.hits], _("没有找到；换一个词，或用 shutong demand 提出需求。"))
    ]
    if found.cursor:
        parts.append(Words(_("还有更多，下一页加上：--cursor {mark}").format(mark=found.cursor)))
    return Answer(document, parts)


@command(
    app,
    "responsibility",
    panel=SHARE,
    help=_("责任清单：一个部门要提供的资源，以及向它提出的需求。"),
    example=_("shutong responsibility 市公安局"),
)
def responsibility(call: Call, department: Department) -> Answer:
    """What a department has to provide."""
    found = call.hub.directory.responsibility(department, by=call.by)
    document = {
        "department": plain(found.department),
        "resources": [brief(entry) for entry in found.resources],
        "demands": [_demand(entry) for entry in found.demands],
    }
    title = Words(_("{name}的责任清单").format(name=found.department.name), "bold")
    parts: list[Part] = [
        title,
        entries(found.resources, _("没有登记资源。")),
        _table(call, found.demands, _("没有待响应的需求。")),
    ]
    return Answer(document, parts)


@command(
    demands,
    "list",
    help=_("需求清单，最早的在前。"),
    example=_("shutong demand list --state open"),
)
def list_demands(
    call: Call,
    department: Annotated[
        str | None, typer.Option("--department", metavar="NAME", help=_("需求部门：信用代码、名称或简称"))
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help=_("建议的提供部门：信用代码、名称或简称"))
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help=_("状态：open 待响应、met 已满足、declined 不予提供"))
    ] = None,
) -> Answer:
    """The list of demand."""
    call.identify()
    found = call.hub.directory.demands(department=department, provider=provider, state=state)
    return Answer({"demands": [_demand(entry) for entry in found]}, [_table(call, found, _("没有需求。"))])


def _demand(entry: Any) -> dict[str, Any]:
    return {**plain(entry), "label": entry.label}


def _table(call: Call, found: Any, empty: str) -> Table:
    rows = [
        (
            entry.id,
            entry.demand.title,
            call.called(entry.demand.department),
            call.called(entry.demand.provider_code),
            entry.label,
            entry.at,
        )
        for entry in found
    ]
    return Table((_("编号"), _("所需数据"), _("需求部门"), _("建议提供部门"), _("状态"), _("提出时间")), rows, empty)
