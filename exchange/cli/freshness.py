"""``exchange freshness``: each resource against its update cycle."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli.answers import Answer, Table, hour
from exchange.cli.calling import Call, command
from exchange.cli.exchanges import exchanges
from exchange.cli.messages import _


@command(
    exchanges,
    "freshness",
    help=_(
        "更新时效：各资源上次更新于何时，是否超过登记的更新周期；逾期的在前。\n"
        "逾期时平台通知提供部门和平台管理单位一次，恢复之前不再提醒；暂停的不算逾期。\n"
        "有逾期的，退出状态为 5。当事部门和管理员各见与己有关的。"
    ),
    example=_("shutong exchange freshness\nshutong exchange freshness --overdue --json"),
)
def freshness(
    call: Call,
    *,
    overdue: Annotated[bool, typer.Option("--overdue", help=_("只列逾期的"))] = False,
) -> Answer:
    """How old everything is."""
    from catalog.vocabulary import UPDATE_CYCLES

    found = [each for each in call.hub.timetable.freshness(by=call.by) if each.overdue or not overdue]
    cycles = {str(name): word for name, word in UPDATE_CYCLES.items()}
    rows = [
        (
            _("逾期") if each.overdue else _("暂停") if each.resting else _("如期"),
            each.name,
            call.called(each.provider),
            cycles.get(each.cycle, each.cycle),
            hour(each.last),
            f"{each.age_hours:.1f}",
            hour(each.due),
            each.exchange,
        )
        for each in found
    ]
    columns = (
        _("时效"), _("资源"), _("提供部门"), _("更新周期"), _("上次更新"), _("距今（小时）"), _("最迟更新"), _("交换"),
    )  # fmt: skip
    late = any(each.overdue for each in found)
    return Answer({"freshness": found}, [Table(columns, rows, _("没有逾期的资源。"))], status=5 if late else 0)
