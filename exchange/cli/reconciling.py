"""``reconcile``: whether the recipient holds what it should, and where it does not."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from exchange.cli import progress
from exchange.cli.answers import Answer, Facts, Part, Table, Words, listed
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.root import EXCHANGE, app
from exchange.words import DIFFERENCES, REASONS, word

DIFFERS = 7
"""Exit status where the two ends differ."""
SHOWN = 16
"""Characters of a keyed hash or digest that people are shown."""


@command(
    app,
    "reconcile",
    panel=EXCHANGE,
    help=_(
        "对账：接收方现在持有的，是否正好是授权允许其持有的；不一致时指出区间和行。\n"
        "只读两端，不交付任何数据。业务主键以密钥散列显示，与隔离清单一致；--keys 显示原值，只限交换双方的人员"
        "和审计管理员，并记入日志。一致时退出状态为 0，不一致为 7。"
    ),
    example=_("shutong reconcile share-G0123\nshutong reconcile share-G0123 --keys --limit 100 --json"),
)
def reconcile(
    call: Call,
    id: Annotated[str, typer.Argument(metavar="ID", help=_("交换的编号，见 shutong status"))],
    *,
    keys: Annotated[bool, typer.Option("--keys", help=_("显示业务主键的原值"))] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, max=10_000, help=_("最多列出多少个区间、多少行；总数照计"))
    ] = 20,
) -> Answer:
    """Compare both ends of an exchange."""
    with progress.shown(id) as observe:
        watched = {"observe": observe} if observe else {}
        found = call.hub.oversight.reconcile(id, by=call.by, keys=keys, most_rows=limit, most_ranges=limit, **watched)
    return Answer({"reconciliation": _document(found)}, _parts(found), status=0 if found.agrees else DIFFERS)


def _document(found: Any) -> dict[str, Any]:
    return {
        "exchange": found.exchange,
        "agrees": found.agrees,
        "read": found.read,
        "refused": found.refused,
        "expected": found.expected,
        "held": found.held,
        "counts": found.counts,
        "digests": {
            "algorithm": found.algorithm,
            "expected": found.expected_digest,
            "held": found.held_digest,
        },
        "ranges": {"compared": found.ranges, "differing": found.differing_ranges, "found": found.found_ranges},
        "rows": found.rows,
        "last_delivery": found.last_delivery,
        "remarks": found.remarks,
        "remedies": found.remedies,
        "seconds": round(found.seconds, 3),
    }


def _parts(found: Any) -> list[Part]:
    said = _("一致") if found.agrees else _("不一致")
    parts: list[Part] = [
        Words(
            _("交换 {exchange}：两端{said}").format(exchange=found.exchange, said=said),
            "bold green" if found.agrees else "bold red",
        ),
        Facts([
            (_("来源读取"), found.read),
            (_("其中拒收"), found.refused or None),
            (_("应当持有"), found.expected),
            (_("对方持有"), found.held),
            (_("应有摘要"), f"{found.algorithm} {found.expected_digest[:SHOWN]}"),
            (_("持有摘要"), f"{found.algorithm} {found.held_digest[:SHOWN]}"),
            (_("用时"), _("{seconds:.1f} 秒").format(seconds=found.seconds)),
        ]),
    ]  # fmt: skip
    if not found.agrees:
        parts += [_kinds(found), _ranges(found), _rows(found)]
    parts += [Words(f"  • {remark}", "yellow") for remark in found.remarks]
    parts += [Words(_("怎么办：{remedy}").format(remedy=remedy), "green") for remedy in found.remedies]
    return parts


def _kinds(found: Any) -> Table:
    rows = [(word(DIFFERENCES, kind), count) for kind, count in found.counts.items() if count]
    return Table((_("差异"), _("行数")), rows, "")


def _ranges(found: Any) -> Table:
    rows = [
        (
            each.number,
            _key(each.first),
            _key(each.last),
            each.expected,
            each.held,
            listed(
                _("{what} {number}").format(what=word(DIFFERENCES, kind), number=count)
                for kind, count in each.counts.items()
            ),
        )
        for each in found.found_ranges
    ]
    title = _("不一致的区间：{differing} 个，共 {ranges} 个").format(
        differing=found.differing_ranges, ranges=found.ranges
    )
    columns = (_("区间"), _("从"), _("到"), _("应有"), _("持有"), _("差异"))
    return Table(columns, rows, _("未列出区间。"), title=title)


def _rows(found: Any) -> Table:
    rows = [
        (
            word(DIFFERENCES, each.kind),
            _key(each.key or each.key_hash),
            listed(each.items),
            listed(word(REASONS, reason) for reason in each.why),
            listed(each.rules),
        )
        for each in found.rows
    ]
    title = _("不一致的行：列出 {shown} 行，共 {total} 行").format(
        shown=len(found.rows), total=sum(found.counts.values())
    )
    columns = (_("差异"), _("业务主键"), _("不同的信息项"), _("已知原因"), _("规则"))
    return Table(columns, rows, _("未列出行。"), title=title)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key[:SHOWN]
    return listed(f"{name}={value}" for name, value in key.items())
