"""From what the rules would allow to what is granted: a reviewer may give less than was asked, never more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from catalog import Resource
from exchange.authorisation import expression, masks
from exchange.authorisation.application import PER_MINUTE, Application, Calls, Name, Rows, bounded, end_of, first_moment
from exchange.authorisation.expression import Expression
from exchange.authorisation.masks import Clear, Hmac, Mask
from exchange.authorisation.policy import Assessment
from exchange.authorisation.reading import near, quoted, read


class Narrowing(BaseModel):
    """Less than was asked for; what is not named stays as it was asked.

    Attributes:
        items: Items granted.
        filter: Rows granted, among those asked for.
        masks: Item to mask, hiding more than before.
        quota: Rows at most over the whole period.
        calls_per_minute: Calls in a minute at most.
        rows_per_minute: Rows in a minute at most.
        until: Last day of use.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: tuple[Name, ...] | None = None
    filter: Annotated[Expression | None, BeforeValidator(bounded)] = None
    masks: dict[Name, Mask] = Field(default_factory=dict)
    quota: Rows | None = None
    calls_per_minute: Calls | None = None
    rows_per_minute: Rows | None = None
    until: date | None = None


_adapter = TypeAdapter(Narrowing)


@dataclass(frozen=True)
class Terms:
    """What is granted (授权内容).

    Attributes:
        items: Items handed over, in the order of the resource.
        masks: Item to mask.
        filter: Rows handed over; None: all.
        quota: Rows at most over the whole period; None: no such limit.
        since: First day of use; None: at once.
        until: Last day of use.
        calls_per_minute: Calls at the hub's door in a minute at most; None: no limit but the department's.
        rows_per_minute: Rows handed over there in a minute at most; None: no limit but the department's.
    """

    items: tuple[str, ...]
    masks: Mapping[str, Mask]
    filter: Expression | None
    quota: int | None
    since: date | None
    until: date
    calls_per_minute: int | None = None
    rows_per_minute: int | None = None

    def body(self, application: Application) -> dict[str, Any]:
        """The body of the grant."""
        return {
            "items": list(self.items),
            "filter": None if self.filter is None else expression.dump(self.filter),
            "masks": {name: masks.dump(mask) for name, mask in self.masks.items()},
            "purpose": {"basis": application.basis, "scene": application.scene, "scope": application.scope},
            "way": application.way,
            "target": None if application.target is None else application.target.model_dump(mode="json"),
            **{name: limit for name in PER_MINUTE if (limit := getattr(self, name)) is not None},
        }

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """First moment of use, and the moment at which it is over."""
        since = now if self.since is None else max(now, first_moment(self.since))
        return since, end_of(self.until)


def parse(data: Mapping[str, Any]) -> Narrowing:
    """Read what a reviewer wrote.

    Raises:
        Invalid: With everything wrong in its form.
    """
    return read(_adapter, data, "审核意见")


def terms_of(assessment: Assessment, application: Application) -> Terms:
    """What is granted when nothing is taken away from what the rules allow."""
    if application.until is None:
        raise ValueError("a use without an end is never granted")
    return Terms(
        items=assessment.items,
        masks=assessment.masks,
        filter=assessment.filter,
        quota=application.quota_rows,
        since=application.since,
        until=application.until,
        calls_per_minute=application.calls_per_minute,
        rows_per_minute=application.rows_per_minute,
    )


def narrowed(terms: Terms, narrowing: Narrowing, resource: Resource, today: date) -> tuple[Terms, list[str]]:
    """What is granted, and every reason why the reviewer's wishes cannot be granted so.

    Args:
        terms: What the rules allow of what was asked.
        narrowing: What the reviewer wants it narrowed to.
        resource: The resource.
        today: The day of the answer.
    """
    against: list[str] = []
    terms = _with_items(terms, narrowing, resource, against)
    chosen = dict(terms.masks)
    for name, mask in narrowing.masks.items():
        if name not in terms.items:
            against.append(f"脱敏规则：{quoted(name)} 不在授权信息项内{near(name, terms.items)}")
        elif not masks.narrower(mask, chosen.get(name)):
            against.append(f"脱敏规则：{name} 由“{masks.describe(chosen[name])}”改为“{masks.describe(mask)}”不是收窄")
        else:
            chosen[name] = mask
    granted = [item for item in resource.items if item.name in terms.items]
    against += masks.problems(chosen, granted, resource.key, resource.version_item)
    if narrowing.filter is not None:
        against += [f"数据范围：{text}" for text in expression.problems(narrowing.filter, resource.items)]
    for what, given, asked in (
        ("行数上限", narrowing.quota, terms.quota),
        ("每分钟调用次数上限", narrowing.calls_per_minute, terms.calls_per_minute),
        ("每分钟行数上限", narrowing.rows_per_minute, terms.rows_per_minute),
    ):
        if given is not None and asked is not None and given > asked:
            against.append(f"{what} {given} 大于所申请的 {asked}")
    if narrowing.until is not None and not (terms.since or today) <= narrowing.until <= terms.until:
        against.append(f"使用期限 {narrowing.until} 不在所申请的 {terms.since or today} 至 {terms.until} 之内")
    return (
        replace(
            terms,
            masks=chosen,
            filter=expression.both(terms.filter, narrowing.filter),
            quota=narrowing.quota or terms.quota,
            calls_per_minute=narrowing.calls_per_minute or terms.calls_per_minute,
            rows_per_minute=narrowing.rows_per_minute or terms.rows_per_minute,
            until=narrowing.until or terms.until,
        ),
        against,
    )


def _with_items(terms: Terms, narrowing: Narrowing, resource: Resource, against: list[str]) -> Terms:
    """The terms with only the reviewer's items; key and version item stay, the key without its value."""
    if narrowing.items is None:
        return terms
    against += [
        f"信息项 {quoted(name)} 不在可以授权的范围内{near(name, terms.items)}"
        for name in dict.fromkeys(narrowing.items)
        if name not in terms.items
    ]
    kept = {*narrowing.items, *resource.key, resource.version_item}
    items = tuple(name for name in terms.items if name in kept)
    chosen = {name: mask for name, mask in terms.masks.items() if name in kept}
    for name in resource.key:
        if name not in narrowing.items and isinstance(chosen.get(name), Clear | None):
            chosen[name] = Hmac()
    return replace(terms, items=items, masks=chosen)
