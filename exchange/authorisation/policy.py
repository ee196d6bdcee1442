"""Who may have what (共享规则): pure, from resource and application to an answer with its reasons.

After the three sharing types (共享类型), each item by its own where it has one:

======== ======== =====================================================================
type              answer
======== ======== =====================================================================
无条件   granted  by the platform at once; the provider is told
有条件   refer    the provider answers, with reasons
不予     refused  with its legal text; a single item of this type is left out
======== ======== =====================================================================

What shows less than was asked (a mask, an item left out) and what shows more (key and version item,
always part of a delivery) is said in the remarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from catalog import Resource
from catalog.vocabulary import SHARE_TYPES, SHARE_WAYS
from exchange.authorisation import expression, masks
from exchange.authorisation.application import Application
from exchange.authorisation.expression import Expression
from exchange.authorisation.literals import BEIJING
from exchange.authorisation.masks import Clear, Hmac, Mask
from exchange.authorisation.reading import near, quoted
from schemas import Item

Outcome = Literal["granted", "refer", "refused"]

CONDITIONAL: Final = 2
WITHHELD: Final = 3

LAW = "《政务数据共享条例》"

LONGEST_PERIOD = timedelta(days=3 * 366)
"""Longest period of use where the caller sets none: whoever still needs the data applies again."""


@dataclass(frozen=True)
class Assessment:
    """What the rules say to an application.

    Attributes:
        outcome: ``granted`` by the platform, ``refer`` to the provider, or ``refused``.
        reasons: Why, in sentences.
        remarks: In what the use differs from what was asked, in sentences.
        items: Items that would be handed over, in the order of the resource.
        masks: Item to mask.
        filter: Rows that would be handed over; None: all.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    filter: Expression | None = None


def assess(
    resource: Resource,
    application: Application,
    now: datetime,
    *,
    in_force: bool = True,
    digest: Literal["sha256", "sm3"] = "sha256",
    longest: timedelta = LONGEST_PERIOD,
) -> Assessment:
    """Answer an application by rule.

    Args:
        resource: The version in force.
        application: What is asked for.
        now: The moment of asking.
        in_force: The resource is published now.
        digest: Digest of keyed masks.
        longest: Longest period of use.
    """
    refusals = [
        *_against_resource(resource, application, in_force=in_force),
        *_missing(application),
        *_against_way(resource, application),
        *_against_period(application, now.astimezone(BEIJING).date(), longest),
        *_against_target(resource, application),
    ]
    share = _Share(resource, application, digest)
    refusals += share.refusals
    if refusals:
        return Assessment("refused", tuple(refusals), tuple(share.remarks))
    referrals = share.referrals()
    if referrals:
        outcome: Outcome = "refer"
        reasons = [f"须由提供部门{_provider(resource)}审核答复", *referrals]
    else:
        outcome = "granted"
        reasons = [f"所申请的信息项均为无条件共享，由平台直接授权，并告知提供部门{_provider(resource)}"]
    return Assessment(
        outcome, tuple(reasons), tuple(share.remarks), tuple(share.granted), share.masks, application.filter
    )


def lapsed(resource: Resource | None, code: str, kind: str, body: Mapping[str, Any]) -> list[str]:
    """Why a grant can no longer be used, whatever its own state: what the directory says today.

    Args:
        resource: The version in force, None if the resource is not published now.
        code: Code of the resource.
        kind: ``sharing`` or ``collection``.
        body: Body of the grant.
    """
    if resource is None:
        return [f"资源 {code} 已不在目录中发布"]
    if kind != "sharing":
        return []
    found = []
    for name in body["items"]:
        item = resource.item(name)
        if item is None:
            found.append(f"资源 {code} 的现行版本已没有信息项 {name}")
        elif resource.shared_as(item) == WITHHELD and not _hidden(body["masks"].get(name)):
            found.append(f"信息项 {_named(item)}现已改为不予共享，依据：{_legal_text(resource)}")
    return found


def collectable(resource: Resource) -> tuple[str, ...]:
    """Items the hub collects into the base library: all that may be shared, with key and version item.

    Empty where the whole resource is 不予共享: what nobody may be given is not collected either.
    """
    if all(resource.shared_as(item) == WITHHELD for item in resource.items):
        return ()
    needed = {*resource.key, resource.version_item}
    return tuple(item.name for item in resource.items if item.name in needed or resource.shared_as(item) != WITHHELD)


def _hidden(mask: Mapping[str, Any] | None) -> bool:
    return mask is not None and mask["mask"] in {"hmac", "null"}


def _provider(resource: Resource) -> str:
    return f"（{resource.provider or resource.provider_code}）"


def _legal_text(resource: Resource) -> str:
    return resource.legal_basis or resource.share_condition or "目录未载明依据"


def _named(item: Item) -> str:
    return f"{item.label}（{item.name}）"


def _against_resource(resource: Resource, application: Application, *, in_force: bool) -> list[str]:
    found = []
    if not in_force:
        found.append(f"资源 {resource.code} 未在目录中发布，不能申请")
    if application.department == resource.provider_code:
        found.append("申请部门就是提供部门，使用本部门的数据不需要申请")
    return found


def _missing(application: Application) -> list[str]:
    wanted = {
        "使用依据 basis": application.basis.strip(),
        "使用场景 scene": application.scene.strip(),
        "使用范围 scope": application.scope.strip(),
        "共享方式 way": application.way.strip(),
        "使用期限 until": application.until,
        "申请信息项 items": application.items,
    }
    missing = [name for name, given in wanted.items() if not given]
    if not missing:
        return []
    return [f"申请材料不全，请一次补齐：{'、'.join(missing)}（一次性告知，{LAW}第二十一条）"]


def _against_way(resource: Resource, application: Application) -> list[str]:
    way = application.way.strip()
    if not way or resource.share_type == WITHHELD or (way in resource.share_ways and way != "medium"):
        return []
    offered = "、".join(f"{each}（{SHARE_WAYS[each]}）" for each in resource.share_ways if each != "medium")
    return [f"资源 {resource.code} 不以 {quoted(way)} 方式共享，可选：{offered or '无'}"]


def _against_period(application: Application, today: date, longest: timedelta) -> list[str]:
    until = application.until
    if until is None:
        return []
    since = application.since or today
    if until < today:
        return [f"使用期限 {until} 已经过去"]
    if until < since:
        return [f"使用期限的止日 {until} 早于起日 {since}"]
    if until - since > longest:
        return [f"使用期限 {since} 至 {until} 超过 {longest.days} 天，到期仍需要的可再次申请"]
    return []


def _against_target(resource: Resource, application: Application) -> list[str]:
    columns = application.target.columns if application.target is not None else {}
    found = [f"接收端字段对应：资源没有信息项 {quoted(name)}" for name in columns if resource.item(name) is None]
    taken = list(columns.values())
    found += [f"接收端字段对应：{quoted(name)} 用了两次" for name in dict.fromkeys(taken) if taken.count(name) > 1]
    return found


class _Share:
    """What of a resource an application gets: items and masks, and what stands against it."""

    def __init__(self, resource: Resource, application: Application, digest: Literal["sha256", "sm3"]) -> None:
        self.resource = resource
        self.application = application
        self.digest = digest
        self.refusals: list[str] = []
        self.remarks: list[str] = []
        self.granted: list[str] = []
        self.masks: dict[str, Mask] = {}
        known = {item.name: item for item in resource.items}
        self.refusals += [
            f"资源 {resource.code} 没有信息项 {quoted(name)}{near(name, known)}"
            for name in dict.fromkeys(application.items)
            if name not in known
        ]
        self._choose_items()
        self._choose_masks()
        self._check_filter()

    def referrals(self) -> list[str]:
        """Why the provider has to answer; empty: it need not."""
        seen = expression.items_used(self.application.filter) if self.application.filter is not None else ()
        conditional = [
            item
            for item in self.resource.items
            if item.name in {*self.granted, *seen} and self.resource.shared_as(item) == CONDITIONAL
        ]
        found = []
        if conditional:
            condition = self.resource.share_condition
            found.append(
                f"{'、'.join(map(_named, conditional))}为有条件共享" + (f"，共享条件：{condition}" if condition else "")
            )
        found += [
            f"{_named(item)}是敏感个人信息，申请以原值提供"
            for item in self._items(self.granted)
            if item.grade == "sensitive" and isinstance(self.masks.get(item.name), Clear)
        ]
        for item in self._items(seen):
            mask = self.masks.get(item.name)
            shown = item.name in self.granted and (mask is None or isinstance(mask, Clear))
            if not shown and (mask is not None or item.grade != "none"):
                found.append(f"数据范围按{_named(item)}筛选，而该项不以原值提供：由筛选结果可推知原值")
        return found

    def _items(self, names: Any) -> list[Item]:
        return [item for item in self.resource.items if item.name in names]

    def _choose_items(self) -> None:
        asked = [item for item in self.resource.items if item.name in self.application.items]
        withheld = [
            item for item in asked if self.resource.shared_as(item) == WITHHELD and item.name not in self.resource.key
        ]
        text = _legal_text(self.resource)
        if asked and all(self.resource.shared_as(item) == WITHHELD for item in asked):
            self.refusals.append(f"所申请的信息项{SHARE_TYPES[WITHHELD]}，依据：{text}（{LAW}第十五条）")
            return
        for item in withheld:
            if item.name != self.resource.version_item:
                self.remarks.append(f"{_named(item)}{SHARE_TYPES[WITHHELD]}，不予提供，依据：{text}")
        version = self.resource.version_item
        names = {item.name for item in asked if item not in withheld}
        for item in self.resource.items:
            if item.name in self.resource.key and item.name not in names:
                self.remarks.append(f"{_named(item)}是业务主键，随数据提供其密钥散列，用于合并，不含原值")
            elif item.name == version and item.name not in names:
                self.remarks.append(f"{_named(item)}是版本项，随数据提供，用于判断先后")
        for item in self._items([version] if version else []):
            if self.resource.shared_as(item) == WITHHELD:
                self.refusals.append(f"版本项 {_named(item)}{SHARE_TYPES[WITHHELD]}，无法交付，依据：{text}")
        self.granted = [
            item.name
            for item in self.resource.items
            if item.name in names or item.name in self.resource.key or item.name == version
        ]

    def _choose_masks(self) -> None:
        asked = self.application.masks
        unknown = {name: mask for name, mask in asked.items() if self.resource.item(name) is None}
        self.refusals += [f"脱敏规则：没有信息项 {quoted(name)}" for name in unknown]
        for item in self._items(self.granted):
            mask = self._mask(item, asked.get(item.name))
            if mask is not None:
                self.masks[item.name] = mask
        if not self.granted:
            return
        self.refusals += masks.problems(
            self.masks, self._items(self.granted), self.resource.key, self.resource.version_item
        )

    def _mask(self, item: Item, asked: Mask | None) -> Mask | None:
        """The mask of one item that is handed over."""
        key = item.name in self.resource.key
        if key and (item.name not in self.application.items or self.resource.shared_as(item) == WITHHELD):
            if item.name in self.application.items:
                self.remarks.append(f"业务主键 {_named(item)}{SHARE_TYPES[WITHHELD]}，只提供其密钥散列")
            return Hmac(digest=self.digest)
        if asked is not None:
            if isinstance(asked, Clear):
                self.remarks.append(f"{_named(item)}按申请所述理由以原值提供")
            return asked
        if item.grade == "none":
            return None
        if item.name == self.resource.version_item:
            return Clear(justification="版本项须能比较先后")
        mask = masks.proposed(item, key=key or item.reference is not None, digest=self.digest)
        self.remarks.append(f"{_named(item)}是个人信息，脱敏提供：{masks.describe(mask)}")
        return mask

    def _check_filter(self) -> None:
        wanted = self.application.filter
        if wanted is None:
            return
        self.refusals += [f"数据范围：{text}" for text in expression.problems(wanted, self.resource.items)]
        self.refusals += [
            f"数据范围不能按{_named(item)}筛选：该项{SHARE_TYPES[WITHHELD]}，依据：{_legal_text(self.resource)}"
            for item in self._items(expression.items_used(wanted))
            if self.resource.shared_as(item) == WITHHELD
        ]
