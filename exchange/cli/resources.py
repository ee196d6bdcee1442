"""``resource``: from a clerk's form to a published entry of the directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from exchange.cli import files
from exchange.cli.answers import Answer, Facts, Part, Table, Verbatim, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app

resources = group("resource", _("资源：登记、注册审核、发布审核、下架。"), panel=REGISTER, into=app)

Code = Annotated[str, typer.Argument(metavar="CODE", help=_("资源代码，如 101001001/0001"))]

COLUMNS = (_("资源代码"), _("名称"), _("提供部门"), _("共享类型"), _("更新周期"), _("版本"), _("状态"))


@command(
    resources,
    "list",
    help=_("列出资源：本部门的含草稿，其他部门的只列已发布的。"),
    example=_("shutong resource list --provider 市公安局 --state published"),
)
def list_resources(
    call: Call,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help=_("提供部门：信用代码、名称或简称"))
    ] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help=_("状态，如 draft、published"))] = None,
    record_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help=_("数据类别，如 natural_person"))
    ] = None,
    *,
    published: Annotated[bool, typer.Option("--published", help=_("只列已发布的版本"))] = False,
) -> Answer:
    """Resources by code."""
    found = call.hub.directory.resources(
        by=call.by, provider=provider, state=state, record_class=record_class, published=published
    )
    document = {"resources": [brief(entry) for entry in found]}
    return Answer(document, [entries(found, _("没有资源；用 shutong resource register 登记。"))])


@command(
    resources,
    "show",
    help=_("查看一个资源：元数据、信息项、挂接，以及流程的下一步。"),
    example=_("shutong resource show 101001001/0001\nshutong resource show 101001001/0001 --version 1"),
)
def show_resource(
    call: Call,
    code: Code,
    version: Annotated[int | None, typer.Option("--version", metavar="N", min=1, help=_("版本，默认最新"))] = None,
) -> Answer:
    """One resource, whole."""
    entry = call.hub.directory.resource(code, version, by=call.by)
    return Answer({**brief(entry), "resource": plain(entry.resource)}, _whole(entry))


@command(
    resources,
    "register",
    help=_(
        "登记资源，或登记它的新版本：所有错误一次列出，有错则不登记。\n"
        "文件是 YAML，或填好的登记表（CSV 或 XLSX）；登记后是草稿，还要提交审核。"
    ),
    example=_("shutong resource register 人口基本信息.yaml\nshutong resource register 登记表.csv"),
)
def register(call: Call, file: Annotated[Path, typer.Argument(metavar="FILE", help=_("YAML 文件或登记表"))]) -> Answer:
    """Register what a file holds."""
    from exchange.hub.drafts import checked

    hub, by = call.hub, call.by
    drafts = [checked(hub, given) for given in files.registrations(file)]
    told = [hub.registration.register(draft, by=by) for draft in drafts]
    parts: list[Part] = []
    notes: list[str] = []
    for each in told:
        entry = each.entry
        done = {
            "add": _("已登记资源 {code}（{name}），草稿"),
            "update": _("已修改资源 {code}（{name}），第 {version} 版，草稿"),
            "revise": _("已为资源 {code}（{name}）登记第 {version} 版，草稿"),
        }.get(each.action or "", _("资源 {code}（{name}）与已登记的相同，未作改动"))
        parts.append(Words(done.format(code=entry.code, name=entry.resource.name, version=entry.version)))
        parts += [Words(f"  • {change.words}") for change in each.changes]
        notes += [str(problem) for problem in each.warnings]
        if each.action is not None:
            parts.append(Words(_("下一步：shutong resource submit {code}").format(code=entry.code)))
    document = {
        "registered": [
            {
                **brief(each.entry),
                "action": each.action,
                "changes": [plain(change) for change in each.changes],
                "warnings": [plain(problem) for problem in each.warnings],
            }
            for each in told
        ]
    }
    return Answer(document, parts, notes=notes)


@command(
    resources,
    "from-table",
    help=_(
        "由端点的一张表生成资源草稿（YAML），字段成为信息项。\n"
        "草稿中猜测的内容请逐项核对；共享类型暂为不予共享，由经办人改定。"
    ),
    example=_(
        "shutong resource from-table police inf_person --class-code 101001001 > 人口.yaml\n"
        "shutong resource from-table police inf_person --code 101001001/0001 --name 人口基本信息"
    ),
)
def from_table(
    call: Call,
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help=_("端点名称"))],
    table: Annotated[str, typer.Argument(metavar="TABLE", help=_("表名"))],
    code: Annotated[str | None, typer.Option("--code", metavar="CODE", help=_("资源代码"))] = None,
    class_code: Annotated[
        str | None, typer.Option("--class-code", metavar="CODE", help=_("信息资源分类代码，取其下一个资源代码"))
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help=_("资源名称，默认用表的说明或表名"))
    ] = None,
) -> Answer:
    """A draft to be looked through."""
    import yaml

    from exchange.hub.drafts import proposed

    resource = proposed(call.hub, endpoint, table, by=call.by, code=code, under=class_code, name=name)
    content = resource.model_dump(mode="json", exclude_defaults=True)
    head = _("# 资源草稿，由端点 {endpoint} 的 {table} 生成。请逐项核对，改定共享类型和摘要，然后：\n").format(
        endpoint=endpoint, table=table
    )
    text = head + "#   shutong resource register FILE\n" + yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    return Answer({"resource": content}, [Verbatim(text)])


@command(
    resources,
    "form",
    help=_("输出空白登记表（CSV，表格软件可直接打开）；指明数据类别的，信息项已填好。"),
    example=_("shutong resource form > 登记表.csv\nshutong resource form --class legal_person > 法人登记表.csv"),
)
def form(
    call: Call,
    of_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help=_("数据类别，如 legal_person"))
    ] = None,
    table: Annotated[str | None, typer.Option("--table", metavar="TABLE", help=_("数据类别中的数据表"))] = None,
) -> Answer:
    """The form clerks fill in."""
    from exchange.hub.drafts import empty_sheet

    call.identify()
    text = empty_sheet(of_class, table).decode("utf-8")
    return Answer({"form": text}, [Verbatim(text)])


def brief(entry: Any) -> dict[str, Any]:
    """A line of the directory, for programs."""
    resource = entry.resource
    return {
        "code": entry.code,
        "name": resource.name,
        "provider": resource.provider_code,
        "share_type": resource.share_type,
        "share_ways": list(resource.share_ways),
        "update_cycle": resource.update_cycle,
        "class": resource.record_class,
        "version": entry.version,
        "version_in_force": entry.version_in_force,
        "state": entry.state,
        "label": entry.label,
        "changed_at": entry.changed_at,
        "published_at": entry.published_at,
    }


def entries(found: Any, empty: str) -> Table:
    """Entries of the directory as a table."""
    from catalog.vocabulary import SHARE_TYPES, UPDATE_CYCLES

    rows = [
        (
            entry.code,
            entry.resource.name,
            entry.resource.provider or entry.resource.provider_code,
            SHARE_TYPES[entry.resource.share_type],
            UPDATE_CYCLES[entry.resource.update_cycle],
            entry.version,
            entry.label,
        )
        for entry in found
    ]
    return Table(COLUMNS, rows, empty)


def _whole(entry: Any) -> list[Part]:
    from catalog import MOVES, Resource
    from catalog.vocabulary import SHARE_TYPES, SHARE_WAYS, UPDATE_CYCLES
    from schemas import ITEM_TYPES

    resource = entry.resource
    titles = {name: field.title or name for name, field in Resource.model_fields.items()}
    words: dict[str, Any] = {
        "share_type": SHARE_TYPES[resource.share_type],
        "share_ways": [SHARE_WAYS[way] for way in resource.share_ways],
        "update_cycle": UPDATE_CYCLES[resource.update_cycle],
    }
    facts = [
        (titles[name], words.get(name, getattr(resource, name))) for name in titles if name not in ("items", "offer")
    ]
    possible = [MOVES[action].label for action in entry.actions]
    standing = Facts([
        (_("版本"), entry.version),
        (_("状态"), entry.label),
        (_("发布中的版本"), entry.version_in_force),
        (_("流程的下一步"), possible),
    ])  # fmt: skip
    options: Any = resource.offer.options if resource.offer else {}
    children = options.get("children") or {}
    items: list[tuple[Any, ...]] = []
    for item in resource.items:
        bound = children.get(item.name) or {}
        items.append((
            item.name,
            item.label,
            ITEM_TYPES[item.type],
            item.length,
            item.mandatory,
            SHARE_TYPES[resource.shared_as(item)],
            item.name in resource.key,
            bound.get("table") or (resource.offer.columns.get(item.name) if resource.offer else None),
        ))  # fmt: skip
        items += [
            (
                f"{item.name}[].{row.name}",
                row.label,
                ITEM_TYPES[row.type],
                row.length,
                row.mandatory,
                "",
                False,
                (bound.get("columns") or {}).get(row.name),
            )
            for row in item.rows
        ]
    columns = (
        _("信息项"), _("名称"), _("类型"), _("长度"), _("必填"), _("共享类型"), _("业务主键"), _("来源字段"),
    )  # fmt: skip
    parts: list[Part] = [Facts(facts), standing, Table(columns, items, _("没有信息项。"))]
    if resource.offer is not None:
        offer = resource.offer
        parts.append(
            Facts(
                [
                    (_("端点"), offer.endpoint),
                    (_("表、操作或文件"), offer.object),
                    (_("变化获取方式"), offer.capture),
                    (_("前置库表族"), offer.profile),
                    (_("共享来源"), {"library": _("基础库"), "provider": _("提供方")}[offer.served]),
                ],
                title=_("资源挂接"),
            )
        )
    return parts
