"""``airflow``: what a scheduler is told of the hub, and how that stands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Words, hour
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app

scheduling = group("airflow", _("排班：交给 Airflow 的排班快照，以及它是否如实"), panel=EXCHANGE, into=app)


@command(
    scheduling,
    "publish",
    help=_(
        "写排班快照：有哪些交换、何时执行、各端点同时执行几个。内容没有变化时不重写。\n"
        "第一次写过之后，交换、授权、端点或资源每有变更都自动重写。由平台管理单位的集成工程师或系统管理员办理。"
    ),
    example=_("shutong airflow publish\nshutong airflow publish --json"),
)
def publish(call: Call) -> Answer:
    """Write the snapshot."""
    published = call.hub.timetable.publish(by=call.by)
    said = _("已写排班快照 {path}") if published.changed else _("排班快照 {path} 没有变化")
    facts = Facts([
        (_("交换"), published.exchanges),
        (_("端点"), published.pools),
        (_("不能排班"), len(published.broken)),
    ])  # fmt: skip
    document = {
        "path": str(published.path),
        "changed": published.changed,
        "exchanges": published.exchanges,
        "pools": published.pools,
        "broken": published.broken,
        "by": call.by.name,
    }
    return Answer(document, [Words(said.format(path=published.path), "bold green"), facts, *_broken(published.broken)])


@command(
    scheduling,
    "status",
    help=_("排班快照是否存在、完整、与目录一致；哪些交换不能排班，哪些到期而无人办理。\n快照有误时退出状态为 5。"),
    example=_("shutong airflow status\nshutong airflow status --json"),
)
def status(call: Call) -> Answer:
    """How the snapshot stands."""
    found = call.hub.timetable.status(by=call.by)
    word = (
        _("没有启用：执行 shutong airflow publish 开始") if not found.wanted
        else found.problem or (_("与目录一致") if found.current else _("与目录不一致：执行 shutong airflow publish"))
    )  # fmt: skip
    good = found.wanted and found.problem is None and found.current
    facts = Facts([
        (_("排班快照"), str(found.path)),
        (_("写于"), hour(found.written_at)),
        (_("交换"), found.exchanges),
        (_("其中暂停"), found.paused),
        (_("不能排班"), len(found.broken)),
        (_("到期无人办理"), len(found.lost)),
    ])  # fmt: skip
    parts: list[Part] = [Words(word, "bold green" if good else "yellow"), facts, *_broken(found.broken)]
    parts += [Words(_("  {exchange} 已到期，无人办理").format(exchange=name), "yellow") for name in found.lost]
    document: dict[str, Any] = {
        "path": str(found.path),
        "wanted": found.wanted,
        "current": found.current,
        "problem": found.problem,
        "written_at": found.written_at,
        "exchanges": found.exchanges,
        "paused": found.paused,
        "broken": found.broken,
        "lost": list(found.lost),
    }
    return Answer(document, parts, status=0 if good or not found.wanted else 5)


def _broken(broken: dict[str, str]) -> list[Part]:
    rows = [(name, reason) for name, reason in sorted(broken.items())]
    return [Table((_("交换"), _("不能排班的原因")), rows, "")] if rows else []


@command(
    scheduling,
    "exec",
    help=_(
        "以内置 Airflow（shutong up）的设置执行 Airflow 自己的命令，写在 -- 之后。\n"
        "list-import-errors 列出不能排班的交换，一个交换一项；list 列出排了班的。"
    ),
    example=_(
        "shutong airflow exec -- dags list-import-errors --local\n"
        "shutong airflow exec -- dags list --local --columns dag_id"
    ),
)
def execute(
    call: Call, words: Annotated[list[str], typer.Argument(metavar="WORD", help=_("Airflow 的命令及其选项"))]
) -> int:
    """Airflow's own command line, on the embedded one."""
    from exchange.scheduling.embedded import Embedded
    from exchange.settings import load_settings

    return Embedded(load_settings(call.given.home)).command(words)
