"""``exchange pause`` and ``endpoint pause``: letting things rest for a reason, and waking them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from exchange.cli.answers import Answer, Part, Words
from exchange.cli.auditing import moment
from exchange.cli.calling import Call, command
from exchange.cli.exchanges import Exchange, exchanges
from exchange.cli.messages import _
from exchange.cli.parties import EndpointName, endpoints

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由，写入日志；要执行它的人会看到"))]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help=_("到时自动恢复；北京时间，如 2026-01-31T08:00"))
]
KINDS = {"exchange": _("交换"), "endpoint": _("端点")}


@command(
    exchanges,
    "pause",
    help=_(
        "暂停一个交换：不再执行，直到恢复；正在执行的办完，没有办完而无人办理的等恢复后接着办。\n"
        "由提供部门、使用部门或平台管理单位的集成工程师办理。"
    ),
    example=_("shutong exchange pause share-G0123 --reason 对方核查数据 --until 2026-12-01T08:00"),
)
def pause_exchange(call: Call, exchange: Exchange, *, reason: Reason, until: Until = None) -> Answer:
    """Let an exchange rest."""
    return _paused(call, "exchange", exchange, reason, until)


@command(
    exchanges,
    "resume",
    help=_("恢复暂停的交换；由暂停它的部门或平台管理单位的集成工程师办理。"),
    example=_("shutong exchange resume share-G0123 --reason 核查完毕"),
)
def resume_exchange(call: Call, exchange: Exchange, *, reason: Reason) -> Answer:
    """Wake an exchange."""
    return _resumed(call, "exchange", exchange, reason)


@command(
    endpoints,
    "pause",
    help=_(
        "暂停一个端点：从它读取和向它交付的交换都不再执行，也不去问处理结果，直到恢复；正在执行的办完。\n"
        "由端点所属部门或平台管理单位的集成工程师办理。"
    ),
    example=_("shutong endpoint pause police --reason 前置机检修 --until 2026-12-01T08:00"),
)
def pause_endpoint(call: Call, name: EndpointName, *, reason: Reason, until: Until = None) -> Answer:
    """Let everything at an endpoint rest."""
    return _paused(call, "endpoint", name, reason, until)


@command(
    endpoints,
    "resume",
    help=_("恢复暂停的端点；由暂停它的部门或平台管理单位的集成工程师办理。另有原因暂停的交换不受影响。"),
    example=_("shutong endpoint resume police --reason 检修完毕"),
)
def resume_endpoint(call: Call, name: EndpointName, *, reason: Reason) -> Answer:
    """Wake an endpoint."""
    return _resumed(call, "endpoint", name, reason)


def _paused(call: Call, kind: Literal["exchange", "endpoint"], name: str, reason: str, until: str | None) -> Answer:
    ends = None if until is None else moment(until, "--until", end=True)
    found = call.hub.pausing.pause(kind, name, reason=reason, until=ends, by=call.by)
    said = _("已暂停{kind} {name}。").format(kind=KINDS[kind], name=name)
    return _told(call, kind, name, said, {"paused": list(found), "until": ends})


def _resumed(call: Call, kind: Literal["exchange", "endpoint"], name: str, reason: str) -> Answer:
    found = call.hub.pausing.resume(kind, name, reason=reason, by=call.by)
    said = _("已恢复{kind} {name}。").format(kind=KINDS[kind], name=name)
    return _told(call, kind, name, said, {"resumed": list(found)})


def _told(call: Call, kind: str, name: str, said: str, about: dict[str, Any]) -> Answer:
    listed = next(value for word, value in about.items() if word != "until")
    parts: list[Part] = [Words(said, "bold green"), *(Words(f"  • {exchange}") for exchange in listed)]
    return Answer({kind: name, **about, "by": call.by.name}, parts)
