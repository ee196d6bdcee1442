"""``application``: asking for the use of a resource, and answering."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from exchange.cli import files
from exchange.cli.answers import Answer, Facts, Part, Table, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import SHARE, app

applications = group("application", _("共享申请：提出、审核、撤回。"), panel=SHARE, into=app)

Id = Annotated[str, typer.Argument(metavar="ID", help=_("申请编号"))]


@command(
    applications,
    "submit",
    help=_(
        "提出共享申请。无条件共享的当场授权，有条件共享的由提供部门答复，不予共享的当场答复理由。\n"
        "YAML 写明资源、依据、场景、范围、方式、信息项、期限和接收端；缺什么一次说清。"
    ),
    example=_("shutong application submit 申请.yaml"),
)
def submit(call: Call, file: Annotated[Path, typer.Argument(metavar="FILE", help=_("申请（YAML）"))]) -> Answer:
    """Apply."""
    from exchange.hub.drafts import asked

    hub, by = call.hub, call.by
    drafts = [asked(given) for given in files.described(file, "applications")]
    made = [hub.directory.application(hub.sharing.apply(draft, by=by), by=by) for draft in drafts]
    refused = any(entry.state == "refused" for entry in made)
    parts: list[Part] = []
    for entry in made:
        parts += [*_summary(call, entry), *_answers(entry)]
        if entry.state == "pending":
            parts.append(Words(_("等待提供部门答复，用 shutong application show {id} 查看。").format(id=entry.id)))
    return Answer({"applications": [plain(entry) for entry in made]}, parts, status=3 if refused else 0)


@command(
    applications,
    "list",
    help=_("列出本部门提出和收到的申请，最近的在前。"),
    example=_("shutong application list --state pending"),
)
def list_applications(
    call: Call,
    state: Annotated[
        Literal["pending", "granted", "refused", "withdrawn"] | None,
        typer.Option("--state", metavar="STATE", help=_("状态")),
    ] = None,
    resource: Annotated[str | None, typer.Option("--resource", metavar="CODE", help=_("资源代码"))] = None,
) -> Answer:
    """Applications one may see."""
    found = call.hub.directory.applications(by=call.by, state=state, resource=resource)
    rows = [
        (
            entry.id,
            entry.resource,
            entry.resource_name,
            call.called(entry.department),
            entry.label,
            entry.submitted_at,
            entry.grant,
        )
        for entry in found
    ]
    columns = (_("申请编号"), _("资源代码"), _("资源"), _("申请部门"), _("状态"), _("提出时间"), _("授权编号"))
    return Answer({"applications": [plain(entry) for entry in found]}, [Table(columns, rows, _("没有申请。"))])


@command(
    applications,
    "show",
    help=_("查看一份申请和对它的答复。"),
    example=_("shutong application show A0123456789abcdef"),
)
def show_application(call: Call, id: Id) -> Answer:
    """One application with its answers."""
    entry = call.hub.directory.application(id, by=call.by)
    asked = entry.asked
    facts = Facts([
        (_("使用依据"), asked.get("basis")),
        (_("使用场景"), asked.get("scene")),
        (_("使用范围"), asked.get("scope")),
        (_("共享方式"), asked.get("way")),
        (_("信息项"), asked.get("items")),
        (_("使用期限"), asked.get("until")),
        (_("行数上限"), asked.get("quota_rows")),
        (_("每分钟调用次数上限"), asked.get("calls_per_minute")),
        (_("每分钟行数上限"), asked.get("rows_per_minute")),
        (_("接收端"), (asked.get("target") or {}).get("endpoint")),
    ])  # fmt: skip
    return Answer(plain(entry), [*_summary(call, entry), facts, *_answers(entry)])


@command(
    applications,
    "decide",
    help=_(
        "答复申请：同意或不同意，不同意须写理由。由提供部门的审核员办理，不能是申请人。\n"
        "同意时可以给得比申请的少：更少的信息项、更短的期限、更小的行数上限和每分钟上限。"
    ),
    example=_(
        "shutong application decide A0123 --approve --reason 依法履职所需 --until 2026-12-31\n"
        "shutong application decide A0123 --refuse --reason 使用依据不足"
    ),
)
def decide(
    call: Call,
    id: Id,
    *,
    approve: Annotated[bool, typer.Option("--approve/--refuse", help=_("同意或不同意"))],
    reason: Annotated[list[str] | None, typer.Option("--reason", metavar="TEXT", help=_("理由，可写多条"))] = None,
    items: Annotated[
        str | None, typer.Option("--items", metavar="NAMES", help=_("只授权这些信息项，用逗号隔开"))
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help=_("使用期限，如 2026-12-31"))] = None,
    quota: Annotated[int | None, typer.Option("--quota", metavar="N", min=1, help=_("行数上限"))] = None,
    calls: Annotated[
        int | None, typer.Option("--calls-per-minute", metavar="N", min=1, help=_("每分钟调用次数上限"))
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows-per-minute", metavar="N", min=1, help=_("每分钟行数上限"))] = None,
) -> Answer:
    """Answer an application."""
    names = None if items is None else [name.strip() for name in items.replace("，", ",").split(",") if name.strip()]
    less: dict[str, Any] = {"items": names, "until": until, "quota": quota}
    less |= {"calls_per_minute": calls, "rows_per_minute": rows}
    narrower = {name: value for name, value in less.items() if value is not None}
    grant = call.hub.sharing.decide(id, approved=approve, reasons=reason or [], by=call.by, **narrower)
    entry = call.hub.directory.application(id, by=call.by)
    parts: list[Part] = [*_summary(call, entry), *_answers(entry)]
    if grant is not None:
        parts += _after_grant(grant)
    return Answer({**plain(entry), "grant": grant}, parts)


@command(
    applications,
    "withdraw",
    help=_("撤回还没有答复的申请。"),
    example=_("shutong application withdraw A0123456789abcdef"),
)
def withdraw(
    call: Call,
    id: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=_("原因"))] = "",
) -> Answer:
    """Take an application back."""
    call.hub.sharing.withdraw(id, reason=reason, by=call.by)
    entry = call.hub.directory.application(id, by=call.by)
    return Answer(plain(entry), _summary(call, entry))


def _summary(call: Call, entry: Any) -> list[Part]:
    tone = {"granted": "bold green", "refused": "bold red"}.get(entry.state, "bold")
    said = _("申请 {id}：{state}").format(id=entry.id, state=entry.label)
    facts = Facts([
        (_("资源"), _("{name}（{code}）").format(name=entry.resource_name, code=entry.resource)),
        (_("提供部门"), call.called(entry.provider)),
        (_("申请部门"), call.called(entry.department)),
        (_("申请人"), entry.applicant),
        (_("提出时间"), entry.submitted_at),
        (_("答复时间"), entry.decided_at),
        (_("授权编号"), entry.grant),
    ])  # fmt: skip
    return [Words(said, tone), facts]


def _answers(entry: Any) -> list[Part]:
    parts: list[Part] = []
    for answer in entry.decisions:
        verdict = _("同意") if answer.approved else _("不同意")
        parts.append(Words(_("{verdict}（{who}）：").format(verdict=verdict, who=answer.decider)))
        parts += [Words(f"  • {reason}") for reason in answer.reasons]
    return parts


def _after_grant(grant: str) -> list[Part]:
    return [
        Words(_("已授权，编号 {grant}。接下来：").format(grant=grant)),
        Words(f"  shutong endpoint prepare share-{grant}"),
        Words(f"  shutong run share-{grant}"),
    ]
