"""``run`` and ``status``: carrying exchanges out, and how they stand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from exchange.cli import progress
from exchange.cli.answers import Answer, Facts, Part, Table, Words, hour, plain
from exchange.cli.calling import Call, command
from exchange.cli.failures import Failure, of_hub
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app
from exchange.errors import HubError, Invalid
from exchange.words import BOOKS, EXCHANGE_STATES, RUN_STATES, RUN_STATUS, tolerance_words, word


@command(
    app,
    "run",
    panel=EXCHANGE,
    help=_(
        "立即执行一个交换，或全部到期的交换（--due）；没有办完的批次接着办完。\n"
        "--due 还清除过了留存期限的隔离内容。\n"
        "到期的一个失败不影响其他的；退出状态取第一个没有成功的。"
    ),
    example=_(
        "shutong run sync-101001001-0001\nshutong run --due --json\nshutong run share-G0123 --redeliver\n"
        "shutong run sync-101001001-0001 --parts 4"
    ),
)
def run(
    call: Call,
    id: Annotated[str | None, typer.Argument(metavar="ID", help=_("交换的编号，见 shutong status"))] = None,
    *,
    due: Annotated[bool, typer.Option("--due", help=_("执行全部到期的交换"))] = False,
    redeliver: Annotated[bool, typer.Option("--redeliver", help=_("目标端恢复过备份：全部重新交付"))] = False,
    after_restore: Annotated[
        bool, typer.Option("--after-restore", help=_("平台恢复过备份：放弃没有办完的批次，从目标端已有的之后继续"))
    ] = False,
    accept_fall: Annotated[
        int | None,
        typer.Option("--accept-fall", metavar="ROWS", min=0, help=_("全量刷新：接受这一次刷新后至少剩这么多行")),
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(
            "--parts", metavar="N", min=2, max=64, help=_("大表全量读取：按主键切分，由 N 个进程同时暂存，一次交付")
        ),
    ] = None,
) -> Answer:
    """Run one exchange, or all that are due."""
    if due == (id is not None):
        raise Invalid(
            _("不知道执行哪个交换"), remedy=_("写交换的编号，或写 --due 执行全部到期的；编号见 shutong status")
        )
    if due and (redeliver or after_restore or accept_fall is not None):
        raise Invalid(
            _("--due 不能与 --redeliver、--after-restore 或 --accept-fall 同用"),
            remedy=_("逐个交换确认，写交换的编号执行；编号见 shutong status"),
        )
    options: dict[str, Any] = {
        name: True for name, wanted in (("redeliver", redeliver), ("after_restore", after_restore)) if wanted
    }
    if accept_fall is not None:
        options["accept_fall"] = accept_fall
    if parts is not None:
        if due or options:
            raise Invalid(
                _("--parts 不能与 --due、--redeliver、--after-restore 或 --accept-fall 同用"),
                remedy=_("写交换的编号，分开执行；编号见 shutong status"),
            )
        options["parts"] = parts
    if id is not None:
        result = _run(call, id, options)
        return Answer({"run": document(result)}, parts_of(result), status=RUN_STATUS.get(result.state, 1))
    return _run_due(call)


def _run(call: Call, exchange: str, options: dict[str, Any]) -> Any:
    with progress.shown(exchange) as observe:
        watched: dict[str, Any] = {"observe": observe} if observe else {}
        return call.hub.oversight.run(exchange, by=call.by, **watched, **options)


def _run_due(call: Call) -> Answer:
    told: list[dict[str, Any]] = []
    rows: list[tuple[Any, ...]] = []
    troubles: list[Words] = []
    status = 0
    by = call.by
    for exchange, result in call.hub.oversight.run_due(by=by, watch=progress.shown):
        if isinstance(result, HubError):
            failure = of_hub(result)
            told.append({"exchange": exchange, **failure.document()})
            troubles += _trouble(exchange, failure)
            status = status or failure.status
            rows.append((exchange, _("未执行"), *[None] * len(BOOKS), None, None))
            continue
        told.append(document(result))
        status = status or RUN_STATUS.get(result.state, 1)
        troubles += [Words(f"{exchange}: {reason}", "yellow") for reason in result.reasons]
        counts = [result.counts.get(name) for name in BOOKS]
        rows.append((exchange, word(RUN_STATES, result.state), *counts, f"{result.seconds:.1f}", result.receipt))
    columns = (_("交换"), _("结果"), *BOOKS.values(), _("用时（秒）"), _("回执"))
    table = Table(columns, rows, _("没有到期的交换。"))
    return Answer({"runs": told, "by": by.name}, [table, *troubles], status=status)


def _trouble(exchange: str, failure: Failure) -> list[Words]:
    return [Words(f"{exchange}: {text.strip()}", tone) for text, tone in failure.lines()]


def document(result: Any) -> dict[str, Any]:
    """A run's result for programs."""
    plan = result.plan
    return {
        "id": result.id,
        "exchange": plan.exchange,
        "kind": plan.kind,
        "way": plan.way,
        "class": plan.record_class,
        "resource": plan.resource,
        "grant": plan.grant,
        "provider": plan.provider,
        "recipient": plan.recipient,
        "guarantee": plan.guarantee,
        "state": result.state,
        "counts": dict(result.counts),
        "files": dict(result.files),
        "refresh": plan.refresh.model_dump(mode="json") if plan.refresh else None,
        "replayed": plan.replay.size if plan.replay else 0,
        "seconds": round(result.seconds, 3),
        "receipt": result.receipt,
        "reasons": list(result.reasons),
        "owed": list(result.owed),
    }


def parts_of(result: Any) -> list[Part]:
    """A run's result for people."""
    good = RUN_STATUS.get(result.state, 1) == 0
    said = _("交换 {exchange}：{state}").format(exchange=result.plan.exchange, state=word(RUN_STATES, result.state))
    counts = tuple(result.counts.get(name) for name in BOOKS)
    parts: list[Part] = [
        Words(said, "bold green" if good else "bold red"),
        Facts([
            (_("批次"), result.id),
            (_("回执"), result.receipt),
            (_("用时"), _("{seconds:.1f} 秒").format(seconds=result.seconds)),
        ]),
    ]  # fmt: skip
    if result.counts:
        parts.append(Table(tuple(BOOKS.values()), [counts], ""))
    parts += [Words(f"  • {reason}") for reason in result.reasons]
    if refused := result.files.get("refused"):
        told = _("  退回文件 {count} 个，见 shutong files waiting {exchange}")
        parts.append(Words(told.format(count=refused, exchange=result.plan.exchange), "yellow"))
    parts += [Words(_("  待办：{owed}，下次执行时再办").format(owed=owed), "yellow") for owed in result.owed]
    if result.receipt:
        parts.append(Words(_("追溯：shutong trace {run}").format(run=result.id)))
    return parts


@command(
    app,
    "status",
    panel=EXCHANGE,
    help=_("列出交换：两端、状态、上一批次的结果、表结构的变化、何时到期、容许拒收多少。双方和管理员各见与己有关的。"),
    example=_("shutong status\nshutong status --json"),
)
def status(call: Call) -> Answer:
    """The exchanges and how the last run of each ended."""
    found = call.hub.directory.exchanges(by=call.by)
    rows = [
        (
            each.id,
            f"{call.called(each.provider)} → {call.called(each.recipient)}",
            word(RUN_STATES, each.run_state) if each.state == "active" else word(EXCHANGE_STATES, each.state),
            each.counts.get("read"),
            each.counts.get("written"),
            each.counts.get("refused"),
            hour(each.ended_at),
            hour(each.due_at) if each.state == "active" else "",
            tolerance_words(plain(each.tolerance)),
        )
        for each in found
    ]
    columns = (
        _("交换"), _("提供 → 使用"), _("状态"), _("读取"), _("写入"), _("拒收"), _("结束时间"), _("下次到期"),
        _("容错"),
    )  # fmt: skip
    troubles = [
        Words(f"{each.id}: {text}", "yellow")
        for each in found
        for text in (*([each.error] if each.error else []), *each.held, *each.noted, *each.resting)
    ]
    table = Table(columns, rows, _("还没有交换；资源发布后有归集，申请获准后有共享。"))
    return Answer({"exchanges": found}, [table, *troubles])
