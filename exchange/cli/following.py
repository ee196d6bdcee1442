"""``trace``, ``notices``: what became of what moved."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, cell
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, OVERSEE, app
from exchange.words import ANSWERS, BOOKS, EVENTS, RUN_STATES, refresh_words, tolerance_words, word


@command(
    app,
    "trace",
    panel=OVERSEE,
    help=_("追溯一次交付，从申请到回执：按批次、回执或交换的编号。\n写交换的编号，追溯它最近的批次。"),
    example=_("shutong trace R0123456789abcdef01234567\nshutong trace share-G0123"),
)
def trace(call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help=_("批次、回执或交换的编号"))]) -> Answer:
    """One delivery from application to receipt."""
    told = call.hub.oversight.trace(name, by=call.by)
    return Answer(told, _followed(call, told))


def _followed(call: Call, told: dict[str, Any]) -> list[Part]:
    plan, grant, receipt = told["plan"], told["grant"], told["receipt"]
    counts = told["counts"] or {}
    parts: list[Part] = [
        Facts([
            (_("批次"), told["run"]),
            (_("交换"), told["exchange"]),
            (_("状态"), word(RUN_STATES, told["state"])),
            (_("开始"), told["started_at"]),
            (_("结束"), told["ended_at"]),
            (_("错误"), told["error"]),
        ]),
        Facts([
            (_("资源"), _("{name}（{code}）").format(name=grant.resource_name, code=grant.resource)),
            (_("提供部门"), call.called(plan["provider"])),
            (_("使用部门"), call.called(plan["recipient"])),
            (_("申请编号"), grant.application),
            (_("授权编号"), grant.grant),
            (_("使用依据"), grant.purpose.get("basis")),
            (_("信息项"), list(plan["deliver"])),
            (_("数据范围"), grant.rows),
            (_("容错"), tolerance_words(plan["tolerance"])),
            (_("隔离重送"), sum(map(len, plan["replay"]["rows"].values())) if plan.get("replay") else None),
            (_("重新送达"), plan.get("resend")),
            (_("方案"), receipt["plan"] if receipt else None),
            (_("交付编号"), told["delivery"]),
        ], title=_("依据")),
    ]  # fmt: skip
    if counts:
        parts.append(Table(tuple(BOOKS.values()), [tuple(counts.get(name) for name in BOOKS)], "", title=_("账目")))
    if receipt:
        place, at = receipt["acknowledgement"]["place"], datetime.fromisoformat(receipt["acknowledgement"]["at"])
        parts.append(Facts([
            (_("回执编号"), receipt["id"]),
            (_("内容摘要"), f"{receipt['content']['algorithm']}:{receipt['content']['digest']}"),
            (_("目标端确认"), _("{at}，{place}").format(at=cell(at), place=place)),
            (_("保证"), receipt["guarantee"]),
            (_("全量刷新"), refresh_words(receipt.get("refresh"))),
            (_("日志链头"), receipt["audit_head"]),
        ], title=_("回执")))  # fmt: skip
    if told["answers"]:
        answers = [
            (each["at"], *(_("不详") if count is None else count for count in map(each["counts"].get, ANSWERS)))
            for each in told["answers"]
        ]
        parts.append(Table((_("时间"), *ANSWERS.values()), answers, "", title=_("接收方处理结果")))
    rows = [(event.at, word(EVENTS, event.type), event.actor) for event in reversed(told["events"])]
    parts.append(Table((_("时间"), _("事件"), _("操作人")), rows, _("没有事件。"), title=_("经过")))
    for notice in told["notices"]:
        said = _("通知 {department}：{text}").format(department=call.called(notice["department"]), text=notice["text"])
        parts.append(Words(said))
    return parts


@command(
    app,
    "notices",
    panel=EXCHANGE,
    help=_("列出给本部门的通知：有人申请、申请有了答复、数据已送达。"),
    example=_("shutong notices"),
)
def notices(call: Call) -> Answer:
    """Notifications to the actor's department."""
    found = call.hub.oversight.notices(by=call.by)
    rows = [(each.at, each.run, each.text) for each in found]
    document = {
        "notices": [
            {"id": each.id, "department": each.department, "run": each.run, "text": each.text, "at": each.at}
            for each in found
        ]
    }
    return Answer(document, [Table((_("时间"), _("批次"), _("内容")), rows, _("没有通知。"))])
