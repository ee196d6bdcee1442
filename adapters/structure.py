"""The structure of a table (表结构) in words of no product, and how two of them differ by name.

A structure is told by an endpoint (:meth:`adapters.base.Endpoint.structure`), kept by the hub as JSON, and compared
with what is found before the next run. A comparison says what is different; whether that loses anything depends on what
an exchange does with the table, and is judged there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Lies = Literal["table", "view", "absent"]
LIES: dict[str, str] = {"table": "表", "view": "视图", "absent": "没有"}

ARGUMENT = "→ "
"""What the name of a column begins with that is an argument of a service, and no item of a row."""

OF_SERVICE = "⇒ "
"""What the name of a column begins with that says how the service itself is called: where, and in which words."""

Kind = Literal[
    "gone", "lies", "service", "added", "dropped", "renamed", "widened", "narrowed", "type", "spelling",
    "nullable", "not null", "default", "no default", "computed", "characters", "collation", "key", "unique",
]  # fmt: skip
"""Sorts of difference: ``spelling`` is another word for what holds the same."""


@dataclass(frozen=True, kw_only=True)
class StructureColumn:
    """A column (列) as far as it matters to who reads or writes it.

    Attributes:
        name: Its name.
        family: What it holds, by the word people are shown (文本, 整数…).
        declared: The place's own word for its type.
        length: Characters or digits; None: as many as there may be.
        scale: Digits after the point.
        fraction: Digits of the second's fraction.
        nullable: It may be null.
        filled: The place fills it when nothing is written.
        computed: The place computes it.
        exact: Its comparison tells every two texts apart.
        unicode: It holds every character.
        charset: Its character set, empty where there is but one.
        collation: Its collation, empty where it cannot be told.
        label: Its comment.
    """

    name: str
    family: str
    declared: str = ""
    length: int | None = None
    scale: int | None = None
    fraction: int | None = None
    nullable: bool = True
    filled: bool = False
    computed: bool = False
    exact: bool = True
    unicode: bool = True
    charset: str = ""
    collation: str = ""
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A table or view as it lies at an endpoint, or that there is none.

    Attributes:
        name: What it is called.
        lies: Table, view, or nothing.
        columns: In order.
        key: Columns of the primary key, else of a unique index.
        unique: Every set of columns that some index keeps unique.
    """

    name: str
    lies: Lies = "table"
    columns: tuple[StructureColumn, ...] = ()
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()

    def document(self) -> dict[str, Any]:
        """The structure as JSON has it."""
        plain = asdict(self)
        plain["columns"] = [dict(column) for column in plain["columns"]]
        return plain | {"key": list(self.key), "unique": [list(names) for names in self.unique]}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Structure:
        """A structure from its JSON."""
        return cls(
            name=document["name"],
            lies=document["lies"],
            columns=tuple(StructureColumn(**column) for column in document["columns"]),
            key=tuple(document["key"]),
            unique=tuple(tuple(names) for names in document["unique"]),
        )


@dataclass(frozen=True)
class Difference:
    """One difference between two structures of a table (结构差异).

    Attributes:
        kind: Of which sort.
        column: The column concerned, by its earlier name if it had one; empty: the table.
        before: What it was, in words.
        after: What it is, in words; of a renamed column its new name.
        reasons: Why it is taken for this, where it is a guess.
    """

    kind: Kind
    column: str = ""
    before: str = ""
    after: str = ""
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _TEXTS[self.kind].format(
            column=self.column, before=self.before, after=self.after, reasons="、".join(self.reasons)
        )


_TEXTS: dict[str, str] = {
    "gone": "{before}已不存在",
    "lies": "原来是{before}，现在是{after}",
    "service": "服务的{column}：{before} → {after}",
    "added": "新增列 {column}（{after}）",
    "dropped": "删除了列 {column}（{before}）",
    "renamed": "列 {column} 可能改名为 {after}（推测，依据：{reasons}）",
    "widened": "列 {column} 加宽：{before} → {after}",
    "narrowed": "列 {column} 变窄：{before} → {after}",
    "type": "列 {column} 改了类型：{before} → {after}",
    "spelling": "列 {column} 的类型换了写法：{before} → {after}",
    "nullable": "列 {column} 改为可空",
    "not null": "列 {column} 改为不可为空",
    "default": "列 {column} 有了默认值",
    "no default": "列 {column} 没有默认值了",
    "computed": "列 {column} {after}",
    "characters": "列 {column} 的字符集：{before} → {after}",
    "collation": "列 {column} 的排序规则：{before} → {after}",
    "key": "主键：{before} → {after}",
    "unique": "唯一索引：{before} → {after}",
}
# What a type's word says beside its name is compared by itself.
_SIZES = re.compile(r"\([^)]*\)")
_BESIDE = re.compile(r" (character set|charset|collate) .*")


def differences(before: Structure, after: Structure) -> tuple[Difference, ...]:
    """How a table differs from what it was, by name; its order of columns and its comments do not count.

    A dropped and an added column of one type, in the same place or with the same comment, are told as probably renamed.
    """
    if before.lies != "absent" and after.lies == "absent":
        return (Difference("gone", before=LIES[before.lies]),)
    return tuple(_differences(before, after))


def _differences(before: Structure, after: Structure) -> Iterator[Difference]:
    if before.lies != after.lies:
        yield Difference("lies", before=LIES[before.lies], after=LIES[after.lies])
    old, new = ({column.name: column for column in each.columns} for each in (before, after))
    renamed = _renamed(before, after)
    for name, column in old.items():
        if name in renamed:
            yield Difference("renamed", name, _type(column), renamed[name][0], renamed[name][1])
            yield from _changed(name, column, new[renamed[name][0]])
        elif name in new:
            yield from _changed(name, column, new[name])
        elif not name.startswith(OF_SERVICE):
            yield Difference("dropped", name, _type(column))
    names = {to for to, _ in renamed.values()}
    for name, column in new.items():
        # A structure that was kept before it was told how the service is called says nothing of it.
        if name not in old and name not in names and not name.startswith(OF_SERVICE):
            yield Difference("added", name, after=_type(column))
    called = {name: to for name, (to, _) in renamed.items()}
    keys = [tuple(called.get(name, name) for name in before.key), after.key]
    if set(keys[0]) != set(keys[1]):
        yield Difference("key", before=_listed(keys[0]), after=_listed(keys[1]))
    sets = [{frozenset(called.get(name, name) for name in names) for names in before.unique}, _sets(after)]
    # A key is one of the sets, and told of already.
    if {*sets[0], frozenset(keys[0])} != {*sets[1], frozenset(keys[1])} and set(keys[0]) == set(keys[1]):
        yield Difference("unique", before=_all(sets[0]), after=_all(sets[1]))


def _renamed(before: Structure, after: Structure) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Names that are gone with the name each probably has now, and why."""
    places = [{column.name: place for place, column in enumerate(each.columns)} for each in (before, after)]
    gone = [column for column in before.columns if column.name not in places[1]]
    come = [column for column in after.columns if column.name not in places[0]]
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    taken: set[str] = set()
    for demanded in _GROUNDS:
        for old in gone:
            for new in come:
                if old.name in found or new.name in taken or not _alike(old, new):
                    continue
                holds = {
                    "说明相同": bool(old.label) and old.label == new.label,
                    "位置相同": places[0][old.name] == places[1][new.name],
                }
                if all(holds[reason] for reason in demanded):
                    found[old.name] = new.name, ("类型和长度相同", *demanded)
                    taken.add(new.name)
    return found


_GROUNDS = (("说明相同", "位置相同"), ("说明相同",), ("位置相同",))
"""What a renaming is guessed from, the best first; an equal type is not enough."""


def _alike(one: StructureColumn, other: StructureColumn) -> bool:
    return _size(one) == _size(other) and (one.family, _word(one)) == (other.family, _word(other))


def _size(column: StructureColumn) -> tuple[int | None, int | None, int | None]:
    return column.length, column.scale, column.fraction


def _changed(name: str, old: StructureColumn, new: StructureColumn) -> Iterator[Difference]:
    if name.startswith(OF_SERVICE):
        if old.declared != new.declared:
            yield Difference("service", name.removeprefix(OF_SERVICE), old.declared or "无", new.declared or "无")
        return
    kind = _type_change(old, new)
    if kind is not None:
        yield Difference(kind, name, _type(old), _type(new))
    if old.nullable != new.nullable:
        yield Difference("nullable" if new.nullable else "not null", name)
    if old.filled != new.filled:
        yield Difference("default" if new.filled else "no default", name)
    if old.computed != new.computed:
        yield Difference("computed", name, after="改为由数据库计算" if new.computed else "不再由数据库计算")
    if (old.charset, old.unicode) != (new.charset, new.unicode) and old.family == new.family:
        yield Difference("characters", name, old.charset or "其他", new.charset or "其他")
    if (old.collation, old.exact) != (new.collation, new.exact) and old.family == new.family:
        yield Difference("collation", name, old.collation or "其他", new.collation or "其他")


def _type_change(old: StructureColumn, new: StructureColumn) -> Kind | None:
    if old.family != new.family:
        return "type"
    pairs = [_pair(old.fraction, new.fraction), _pair(_whole(old), _whole(new)), _pair(old.scale, new.scale)]
    if any(after < before for before, after in pairs):
        return "narrowed"
    if any(after > before for before, after in pairs):
        return "widened"
    if _word(old) == _word(new):
        # Where no size says how much fits, the whole word must be the same.
        return None if old.length is not None or old.declared == new.declared or old.family in _SIZED else "type"
    return "spelling" if old.family in _SPELLED else "type"


_SIZED = frozenset({"文本", "二进制", "整数", "定点数", "日期时间", "带时区的日期时间"})
"""Families whose length, scale or fraction says all that the sizes in their words say."""
_SPELLED = frozenset({"文本", "二进制", "定点数", "逻辑"})
"""Families whose words, at one size, all hold the same."""


def _pair(before: int | None, after: int | None) -> tuple[float, float]:
    """Two sizes to be compared; none is more than any."""
    return (float("inf") if before is None else before, float("inf") if after is None else after)


def _whole(column: StructureColumn) -> int | None:
    return None if column.length is None else column.length - (column.scale or 0)


def _word(column: StructureColumn) -> str:
    return _BESIDE.sub("", " ".join(_SIZES.sub("", column.declared).split()))


def _type(column: StructureColumn) -> str:
    return column.declared or column.family


def _sets(structure: Structure) -> set[frozenset[str]]:
    return {frozenset(names) for names in structure.unique}


def _listed(names: tuple[str, ...]) -> str:
    return "、".join(names) or "无"


def _all(sets: set[frozenset[str]]) -> str:
    return "；".join(sorted("、".join(sorted(names)) for names in sets)) or "无"
