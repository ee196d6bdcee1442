"""``files recall`` and ``files recalls``: calling back what was delivered, and what became of that."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from exchange.cli.answers import Answer, Part, Table, Words, plain
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.pickups import pickups
from exchange.words import RECALL_STATES, word


@command(
    pickups,
    "recall",
    help=_(
        "撤回已经送达的文件：在接收方目录放撤回通知，等其答复。写交换或授权的编号，指它送达过的全部文件。\n"
        "由提供部门的经办员、审核员或安全管理员办理；现在放不到的，由 shutong run --due 接着放。"
    ),
    example=_(
        "shutong files recall 0123456789abcdef --reason 误发了停用的证照\n"
        "shutong files recall 0123456789abcdef --document licence_000012/3212.pdf --reason 附件有误"
    ),
)
def recall(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_("批次、回执、交换或授权的编号"))],
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("理由，接收方会读到"))],
    document: Annotated[
        str | None,
        typer.Option(
            "--document",
            metavar="NAME",
            help=_("只撤回这个附件，写交付清单中的名称；写交换或授权时，指送达过的同名附件"),
        ),
    ] = None,
) -> Answer:
    """Call back what was delivered."""
    made = set(call.hub.recalls.recall(name, document=document, reason=reason, by=call.by))
    found = [each for each in call.hub.recalls.entries(by=call.by) if each.id in made]
    said = _("已撤回 {count} 次交付。").format(count=len(made))
    return Answer({"recalls": plain(found)}, [Words(said, "bold"), *_parts(call, found)], notes=_errors(found))


@command(
    pickups,
    "recalls",
    help=_("列出撤回：通知放了没有，接收方怎样答复。双方和管理员各见与己有关的；接收方的说明只给双方看。"),
    example=_("shutong files recalls\nshutong files recalls --exchange share-G0123 --state unanswered"),
)
def recalls(
    call: Call,
    *,
    exchange: Annotated[str | None, typer.Option("--exchange", metavar="ID", help=_("交换的编号"))] = None,
    state: Annotated[
        Literal["owed", "notified", "unanswered", "destroyed", "partly", "kept", "void"] | None,
        typer.Option("--state", metavar="STATE", help=_("状态")),
    ] = None,
) -> Answer:
    """Recalls one may see."""
    found = call.hub.recalls.entries(by=call.by, exchange=exchange, state=state)
    return Answer({"recalls": plain(found)}, _parts(call, found), notes=_errors(found))


def _parts(call: Call, found: list[Any]) -> list[Part]:
    rows = [
        (
            each.id,
            each.ordered_at,
            call.called(each.recipient),
            each.place,
            list(each.documents),
            word(RECALL_STATES, each.state),
            each.until,
            each.reason,
            _said(each.words),
        )
        for each in found
    ]
    columns = (
        _("撤回"), _("时间"), _("接收部门"), _("文件"), _("附件"), _("状态"), _("应答复于"), _("理由"),
        _("接收方说明"),
    )  # fmt: skip
    return [Table(columns, rows, _("没有撤回。"))]


def _said(words: Any) -> str:
    if words is None:
        return ""
    return _("，").join(text for text in (words.reason, words.by) if text)


def _errors(found: list[Any]) -> list[str]:
    return [_("{id} 上一次没有办成：{error}").format(id=each.id, error=each.error) for each in found if each.error]
