"""``department`` and ``endpoint``: who takes part, and where their data can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Facts, Part, Table, Verbatim, Words, plain
from exchange.cli.calling import Call, command, group
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app
from exchange.words import word

departments = group("department", _("部门：谁提供和使用数据。"), panel=REGISTER, into=app)
endpoints = group("endpoint", _("端点：部门的数据在哪里、怎样到达。"), panel=REGISTER, into=app)

EndpointName = Annotated[str, typer.Argument(metavar="NAME", help=_("端点名称"))]


@command(departments, "list", help=_("列出全部部门。"), example=_("shutong department list --json"))
def list_departments(call: Call) -> Answer:
    """All departments."""
    call.identify()
    found = call.hub.directory.departments()
    rows = [(each.code, each.name, each.short_name, each.division) for each in found]
    columns = (_("统一社会信用代码"), _("名称"), _("简称"), _("行政区划"))
    return Answer({"departments": found}, [Table(columns, rows, _("还没有部门；用 shutong apply 登记。"))])


@command(
    departments,
    "show",
    help=_("查看一个部门和它的端点。"),
    example=_("shutong department show 市公安局\nshutong department show 11321200TE00000291"),
)
def show_department(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_("统一社会信用代码、名称或简称"))],
) -> Answer:
    """One department and its endpoints."""
    found = call.hub.directory.department(name)
    places = call.hub.directory.endpoints(by=call.by, department=found.code)
    people = [f"{each.name}{f' {each.phone}' if each.phone else ''}" for each in found.contacts]
    facts = Facts([
        (_("名称"), found.name),
        (_("简称"), found.short_name),
        (_("统一社会信用代码"), found.code),
        (_("行政区划代码"), found.division),
        (_("联系人"), people),
    ])  # fmt: skip
    document = {**plain(found), "endpoints": [place.name for place in places]}
    return Answer(document, [facts, _endpoints(call, places)])


@command(endpoints, "list", help=_("列出端点。"), example=_("shutong endpoint list --department 市公安局"))
def list_endpoints(
    call: Call,
    department: Annotated[
        str | None, typer.Option("--department", metavar="NAME", help=_("只列一个部门的：信用代码、名称或简称"))
    ] = None,
) -> Answer:
    """Endpoints by name."""
    found = call.hub.directory.endpoints(by=call.by, department=department)
    rows: list[dict[str, str]] = [
        {"name": each.name, "department": each.department, "kind": each.kind, "zone": each.zone} for each in found
    ]
    return Answer({"endpoints": rows}, [_endpoints(call, found)])


@command(
    endpoints,
    "show",
    help=_("查看一个端点的登记；口令只显示引用。"),
    example=_("shutong endpoint show police"),
)
def show_endpoint(call: Call, name: EndpointName) -> Answer:
    """One endpoint with its options."""
    found = call.hub.directory.endpoint(name, by=call.by)
    facts = Facts([
        (_("名称"), found.name),
        (_("所属部门"), call.called(found.department)),
        (_("类型"), found.kind),
        (_("无时区时间所在时区"), found.zone),
    ])  # fmt: skip
    options = Facts([(option, plain(value)) for option, value in found.options.items()], title=_("选项"))
    return Answer(plain(found), [facts, options])


@command(
    endpoints,
    "test",
    help=_("测试端点：连接、读写权限、挂接在此的资源等，一次执行所需的都试一遍。\n有一项不通过，退出状态为 8。"),
    example=_("shutong endpoint test police"),
)
def test_endpoint(call: Call, name: EndpointName) -> Answer:
    """Try what a run will need."""
    probes = call.hub.registration.test_endpoint(name, by=call.by)
    passed = all(probe.passed for probe in probes)
    rows = [(probe.passed, probe.name, probe.detail, probe.remedy) for probe in probes]
    verdict = _("端点 {name} 全部通过。") if passed else _("端点 {name} 有未通过的测试项。")
    parts: list[Part] = [
        Table((_("通过"), _("测试项"), _("说明"), _("怎么办")), rows, _("没有测试项。")),
        Words(verdict.format(name=name), "bold green" if passed else "bold red"),
    ]
    document = {"endpoint": name, "passed": passed, "probes": [plain(probe) for probe in probes]}
    return Answer(document, parts, status=0 if passed else 8)


@command(
    endpoints,
    "inspect",
    help=_("探查端点：有哪些表、操作或文件，各有哪些字段，以及建议怎样读取。"),
    example=_("shutong endpoint inspect police\nshutong endpoint inspect police inf_person"),
)
def inspect_endpoint(
    call: Call,
    name: EndpointName,
    object: Annotated[str | None, typer.Argument(metavar="OBJECT", help=_("其中一张表、一个操作或一类文件"))] = None,
) -> Answer:
    """What lies there."""
    found = call.hub.registration.inspect_endpoint(name, object, by=call.by)
    document = {"endpoint": name, "objects": [plain(each) for each in found]}
    if object is None:
        rows = [(each.name, each.label, len(each.columns) or None, each.key) for each in found]
        columns = (_("名称"), _("说明"), _("字段数"), _("主键"))
        return Answer(document, [Table(columns, rows, _("这个端点没有可交换的内容。"))])
    told: list[Part] = [part for each in found for part in (_object(each), *_proposed(each))]
    return Answer(document, told or [Words(_("没有 {name}").format(name=object))])


@command(
    endpoints,
    "prepare",
    help=_("首次交付之前：核对交换与目标端是否相符，或取目标端管理员要执行的脚本。\n不相符时退出状态为 2。"),
    example=_("shutong endpoint prepare share-G0123\nshutong endpoint prepare share-G0123 --sql > 建表.sql"),
)
def prepare(
    call: Call,
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help=_("交换的编号，见 shutong status"))],
    *,
    sql: Annotated[bool, typer.Option("--sql", help=_("输出脚本，而不是核对"))] = False,
) -> Answer:
    """Whether an exchange fits its target, or the script that makes it fit."""
    call.hub.directory.explain(exchange, by=call.by)
    if sql:
        script = call.hub.sharing.prepare(exchange)
        text = script if script.endswith("\n") else script + "\n"
        return Answer({"exchange": exchange, "script": script}, [Verbatim(text)])
    problems = call.hub.sharing.check(exchange)
    document = {"exchange": exchange, "fits": not problems, "problems": [plain(problem) for problem in problems]}
    if not problems:
        return Answer(document, [Words(_("交换 {name} 与目标端相符，可以执行。").format(name=exchange), "bold green")])
    rows = [(problem.where, problem.message, problem.remedy) for problem in problems]
    advice = _("取脚本交目标端管理员执行：shutong endpoint prepare {name} --sql").format(name=exchange)
    table = Table((_("位置"), _("不符之处"), _("怎么办")), rows, "")
    return Answer(document, [table, Words(advice)], status=2)


def _endpoints(call: Call, found: Sequence[Any]) -> Table:
    rows = [(each.name, call.called(each.department), each.kind, each.zone) for each in found]
    return Table((_("端点"), _("所属部门"), _("类型"), _("时区")), rows, _("还没有端点；用 shutong apply 登记。"))


def _object(found: Any) -> Table:
    from schemas import ITEM_TYPES

    rows = [
        (
            column.name,
            column.label,
            word(ITEM_TYPES, column.type),
            column.length,
            column.scale,
            not column.nullable,
            column.name in found.key,
        )
        for column in found.columns
    ]
    columns = (_("字段"), _("说明"), _("类型"), _("长度"), _("小数位"), _("必填"), _("主键"))
    title = f"{found.name} {found.label}".rstrip()
    return Table(columns, rows, _("{name} 没有字段。").format(name=found.name), title=title)


def _proposed(found: Any) -> list[Part]:
    """How an object could be read, the best way first, as it is written into an offer."""
    if not found.proposals:
        return []
    rows = [(each.capture, _written(each), each.reasons) for each in found.proposals]
    return [Table((_("建议的读取方式"), _("写入挂接 offer"), _("理由")), rows, "")]


def _written(proposal: Any) -> str:
    parts = [f"capture: {proposal.capture}"]
    parts += [f"profile: {proposal.profile}"] if proposal.profile else []
    if proposal.options:
        parts.append(f"options: {{{', '.join(f'{name}: {value}' for name, value in proposal.options.items())}}}")
    return "; ".join(parts)
