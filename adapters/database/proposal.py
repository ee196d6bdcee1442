"""How a table could be read (读取方式建议): guessed from its columns and indexes, with the reasons.

A person decides: whether every change really raises a column, only its writer knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlalchemy as sa

from adapters.base import Proposal
from adapters.database.shapes import Column, TableShape
from adapters.database.watermark import TIMES, unfit
from schemas import Profile, profiles

SMALL = 10_000
"""Rows that are read whole in less time than is worth a thought."""

_CHANGED = re.compile(
    r"(.*_)?(update|updated|upd|modify|modified|mod|change|changed|last|write|written|gx|xg|bg|gxsj|xgsj|bgsj)"
    r"(_?(update|updated|modify|modified|change|changed))?(_?(time|date|at|on|ts|stamp|timestamp|sj|rq))?(_.*)?",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"(.*_)?(ver|version|rev|revision|row_?version|scn|lsn|change_?(no|seq|id))", re.IGNORECASE)
_LABELS = re.compile(r"更新时间|更新日期|修改时间|修改日期|变更时间|变更日期|写入时间|时间戳|(数据|记录)版本")


def proposals(connection: sa.Connection, shape: TableShape) -> tuple[Proposal, ...]:
    """Every way that suits a table, the best first."""
    found = [*_families(shape), *_watermarks(shape)]
    few = _few(connection, shape)
    snapshot = Proposal(
        capture="snapshot",
        reasons=(f"不超过 {SMALL} 行，每次全部读取也很快" if few else "不需要任何列", "看不到提供方的物理删除"),
    )
    if not shape.key:
        return (*found, snapshot)
    about = "没有可用的状态列、版本列或更新时间列" if not found else "不依赖写入方的习惯"
    compared = Proposal(
        capture="diff",
        reasons=(
            about,
            "由来源库逐段计算摘要，只取有变化的行；物理删除也能送达",
            "每次都扫描全表，适合一天一次；资源不写版本项",
        ),
    )
    return (*found, *((snapshot, compared) if few else (compared, snapshot)))


def _families(shape: TableShape) -> Iterator[Proposal]:
    """Families of front-end tables whose state columns are all there, those with most of them first."""
    fitting = [(names, family) for family in profiles().values() if (names := _state_columns(family))]
    fitting = [(names, family) for names, family in fitting if names <= shape.columns.keys()]
    for names, family in sorted(fitting, key=lambda each: (-len(each[0]), each[1].name)):
        done = "按同步标志读取，读后回写" if family.capture == "outbox" else "按操作批次读取"
        yield Proposal(
            capture=family.capture,
            profile=family.name,
            reasons=(f"有{family.label}的列 {'、'.join(sorted(names))}：{done}",),
        )


def _state_columns(family: Profile) -> set[str]:
    if family.capture == "outbox":
        named = [family.state.column if family.state else None, family.version, family.read_at, family.error_text]
    else:
        named = [family.batch, family.time]
    named.append(family.delete.column if family.delete else None)
    return {name for name in named if name is not None}


def _watermarks(shape: TableShape) -> Iterator[Proposal]:
    """Columns that seem to be raised by every change; those that no index finds are a last choice."""
    columns = [column for column in shape.columns.values() if _raised(column) and column.name not in shape.key]
    for column in sorted(columns, key=lambda each: (each.name not in shape.leading, each.family not in TIMES)):
        kind = "更新时间" if column.family in TIMES else "版本号"
        indexed = column.name in shape.leading
        yield Proposal(
            capture="watermark",
            options={"watermark": column.name, **({"overlap": 600} if column.family in TIMES else {})},
            reasons=(
                f"列 {column.name} 像是{kind}" + ("，且有索引：每次只读有变化的行" if indexed else ""),
                *(() if indexed else ("它没有索引，每次都要扫描全表：请提供方先建索引",)),
                "须由提供方确认每次改动都会变大；物理删除看不到",
            ),
        )


def _raised(column: Column) -> bool:
    if unfit(column, column.name) is not None:
        return False
    if column.label and _LABELS.search(column.label):
        return True
    return bool((_CHANGED if column.family in TIMES else _COUNTED).fullmatch(column.name))


def _few(connection: sa.Connection, shape: TableShape) -> bool:
    some = sa.select(sa.literal(1).label("one")).select_from(shape.clause).limit(SMALL + 1).subquery("some")
    return int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()) <= SMALL
