"""``plan``, ``apply``, ``export``: the hub described in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from exchange.cli.answers import Answer, Table, Verbatim, Words, plain
from exchange.cli.calling import Call, command
from exchange.cli.messages import _
from exchange.cli.root import REGISTER, app
from exchange.errors import Misplaced
from exchange.words import EFFECTS, word

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help=_("YAML 文件，或放这些文件的文件夹"))]


@command(
    app,
    "plan",
    panel=REGISTER,
    help=_("比对配置文件：应用之后会新增和变更什么；不作任何改动。"),
    example=_("shutong plan 配置/"),
)
def plan(call: Call, paths: Paths) -> Answer:
    """What would change."""
    changes = call.hub.configuration.plan(paths, by=call.by)
    return _changes(changes, _("将要"), _("没有差别，无需应用。"))


@command(
    app,
    "apply",
    panel=REGISTER,
    help=_(
        "应用配置文件：登记其中的部门、端点、资源和申请，设定交换的容错，全部成功或全部不动。\n审核和发布仍由人办理。"
    ),
    example=_("shutong apply 部门.yaml 端点.yaml 资源/"),
)
def apply(call: Call, paths: Paths) -> Answer:
    """Change it."""
    changes = call.hub.configuration.apply(paths, by=call.by)
    return _changes(changes, _("已经"), _("没有差别，未作改动。"))


@command(
    app,
    "export",
    panel=REGISTER,
    help=_("导出全部配置为 YAML；原样再应用，不会有任何改动。由集成工程师和管理员办理。"),
    example=_("shutong export > 配置.yaml\nshutong export 备份/配置.yaml"),
)
def export(
    call: Call,
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help=_("写入的文件；不写则到标准输出"))] = None,
) -> Answer:
    """Everything described, as YAML."""
    import yaml

    text = call.hub.directory.description(by=call.by)
    if path is None:
        return Answer(yaml.safe_load(text), [Verbatim(text)])
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise Misplaced(_("{path} 已存在，没有改动").format(path=path), remedy=_("换一个文件名")) from error
    except OSError as error:
        raise Misplaced(_("不能写入 {path}").format(path=path), remedy=_("核对文件夹和访问权限")) from error
    return Answer({"path": path}, [Words(_("已导出到 {path}").format(path=path))])


def _changes(changes: Sequence[Any], when: str, none: str) -> Answer:
    document = {
        "changes": [plain(change) for change in changes],
        "changed": sum(change.action != "same" for change in changes),
    }
    rows = [
        (word(EFFECTS, change.action), change.kind, change.name, "\n".join(change.details))
        for change in changes
        if change.action != "same"
    ]
    same = len(changes) - len(rows)
    table = Table((_("变化"), _("种类"), _("名称"), _("内容")), rows, none)
    if not rows:
        return Answer(document, [table])
    count = _("{when}改动 {changed} 项，{same} 项不变。").format(when=when, changed=len(rows), same=same)
    return Answer(document, [table, Words(count)])
