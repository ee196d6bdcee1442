"""What an application's form holds (申请表单): items and how each is to be seen, which rows, what for, until when."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from catalog import Resource
from exchange.authorisation import masks
from exchange.console.views import Form
from exchange.messages import _
from schemas import Item

PLAIN = (
    "id", "basis", "scene", "scope", "way", "since", "until", "quota_rows", "calls_per_minute", "rows_per_minute",
    "endpoint", "object", "joined",
)  # fmt: skip
NUMBERS = ("quota_rows", "calls_per_minute", "rows_per_minute")
TITLES = {
    "basis": _("使用依据"),
    "scene": _("使用场景"),
    "scope": _("使用范围"),
    "way": _("共享方式"),
    "items": _("申请信息项"),
    "filter": _("数据范围"),
    "masks": _("脱敏"),
    "since": _("开始日期"),
    "until": _("截止日期"),
    "quota_rows": _("行数上限"),
    "quota": _("行数上限"),
    "calls_per_minute": _("每分钟调用次数上限"),
    "rows_per_minute": _("每分钟行数上限"),
    "target": _("接收端"),
    "endpoint": _("接收端点"),
    "object": _("表、操作或文件"),
    "columns": _("接收字段"),
    "justification": _("理由"),
}
"""Fields of an application as people call them."""
OPERATORS = {
    "is": _("等于"),
    "is_not": _("不等于"),
    "starts_with": _("以…开头"),
    "in": _("属于（分号隔开）"),
    "between": _("介于（分号隔开）"),
    "at_least": _("不小于"),
    "at_most": _("不大于"),
    "more": _("大于"),
    "less": _("小于"),
    "is_null": _("为空"),
    "not_null": _("不为空"),
}
SEVERAL = ("in", "between")
MOST = 40
"""Conditions of a form."""
_CONDITION = re.compile(r"cond-(\d{1,3})-item")
_PERIODS = {"period-year": "year", "period-month": "month"}
_OFFERED = (
    masks.Name, masks.IdentityNumber, masks.Mobile, masks.BankCard, masks.Address, masks.CreditCode, masks.Hmac,
    masks.Null,
)  # fmt: skip


@dataclass
class Asked:
    """A form as it is filled in.

    Attributes:
        fields: Its fields of one value.
        items: Names of the items that are ticked.
        masks: Item to what is chosen of it.
        why: Item to why its own value is needed.
        columns: Item to its name at the target.
        conditions: Item, operator and value of each.
    """

    fields: dict[str, str] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)
    masks: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    conditions: list[dict[str, str]] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")

    def add_condition(self) -> None:
        """Room for one more."""
        if len(self.conditions) < MOST:
            self.conditions.append({"item": "", "op": "is", "value": ""})


def of_form(form: Form, resource: Resource) -> Asked:
    """What was sent."""
    names = [item.name for item in resource.items]
    asked = Asked({name: form[name] for name in PLAIN}, [name for name in form.all("items") if name in names])
    for name in names:
        for kind, kept in (("mask", asked.masks), ("why", asked.why), ("to", asked.columns)):
            if form[f"{kind}-{name}"]:
                kept[name] = form[f"{kind}-{name}"]
    numbers = sorted({int(found[1]) for each in form.names() if (found := _CONDITION.fullmatch(each))})[:MOST]
    for number in numbers:
        given = {part: form[f"cond-{number}-{part}"] for part in ("item", "op", "value")}
        if given["item"]:
            asked.conditions.append(given)
    return asked


def given_of(asked: Asked, resource: Resource, department: str) -> dict[str, Any]:
    """What a form says, as an application is made.

    Args:
        asked: The form.
        resource: What it is for.
        department: Credit code of the department that asks: nobody writes another's into a form.
    """
    given: dict[str, Any] = {"resource": resource.code, "department": department, "items": asked.items}
    given |= {name: asked[name] for name in ("id", "basis", "scene", "scope", "way") if asked[name]}
    given |= {name: asked[name] for name in ("since", "until") if asked[name]}
    given |= {name: whole(asked[name]) for name in NUMBERS if asked[name]}
    chosen = {name: _mask(kind, asked.why.get(name, "")) for name, kind in asked.masks.items() if name in asked.items}
    given |= {"masks": chosen} if chosen else {}
    types = {item.name: item.type for item in resource.items}
    parts = [_condition(each, types.get(each["item"], "")) for each in asked.conditions]
    if len(parts) == 1:
        given["filter"] = parts[0]
    elif parts:
        given["filter"] = {"any" if asked["joined"] == "any" else "all": parts}
    if asked["endpoint"] or asked["object"]:
        columns = {name: column for name, column in asked.columns.items() if name in asked.items}
        given["target"] = {"endpoint": asked["endpoint"], "object": asked["object"], "columns": columns}
    return given


def whole(text: str) -> Any:
    """A number as it is typed; what is none stays as it was, to be told so."""
    plain = text.replace(",", "").replace("，", "")
    return int(plain) if plain.isascii() and plain.isdecimal() and len(plain) < 20 else text


def mask_options(item: Item, resource: Resource) -> list[tuple[str, str]]:
    """How an item may be asked for: by the rules, as it is, or with less to be seen."""
    fits = [each for each in _OFFERED if item.type in each.types and (not item.rows or each is masks.Null)]
    less = [(each.model_fields["mask"].default, each.label) for each in fits]
    if item.type in "DT":
        less += [("period-year", _("日期只到年")), ("period-month", _("日期只到月"))]
    if item.grade == "none":
        return [("", _("原值")), *less]
    key = item.name in resource.key or item.reference is not None
    proposed = masks.describe(masks.proposed(item, key=key))
    return [("", _("按规则脱敏：{mask}").format(mask=proposed)), ("clear", _("原值（说明理由）")), *less]


def place(where: str) -> tuple[str, str]:
    """The field a problem is about, and where it is in words."""
    parts = where.split(" › ")
    if len(parts) < 2:
        return next((name for name, title in TITLES.items() if title == where), ""), where
    name = parts[1]
    words = " › ".join(TITLES.get(part, part) for part in parts[1:] if part not in ("mask", *_KINDS))
    if name == "masks" and len(parts) > 2:
        return f"why-{parts[2]}" if "justification" in parts else f"mask-{parts[2]}", words
    if name == "target":
        return (parts[2] if len(parts) > 2 and parts[2] in ("endpoint", "object") else "endpoint"), words
    return {"filter": "conditions"}.get(name, name), words


_KINDS = frozenset(each.model_fields["mask"].default for each in (*_OFFERED, masks.Clear, masks.Period))


def _mask(kind: str, why: str) -> dict[str, Any]:
    if kind == "clear":
        return {"mask": "clear", "justification": why}
    return {"mask": "period", "unit": _PERIODS[kind]} if kind in _PERIODS else {"mask": kind}


def _condition(given: dict[str, str], letter: str) -> dict[str, Any]:
    item, operator, text = given["item"], given["op"], given["value"]
    if operator in ("is_null", "not_null"):
        return {"item": item, "is_null": operator == "is_null"}
    if operator in SEVERAL:
        return {"item": item, operator: [part.strip() for part in re.split(r"[;；]", text) if part.strip()]}
    value: Any = {"是": True, "否": False}.get(text, text) if letter == "L" else text
    return {"item": item, operator: value}
