"""What changed between two versions of a resource, in words and in machine form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalog import vocabulary
from catalog.model import Offer, Resource
from catalog.reading import CHECKS, ITEM_TITLES, title
from schemas import GRADES, ITEM_TYPES, Item

_LABELS: Mapping[str, Mapping[Any, str]] = {
    "share_type": vocabulary.SHARE_TYPES,
    "share_ways": vocabulary.SHARE_WAYS,
    "update_cycle": vocabulary.UPDATE_CYCLES,
    "type": ITEM_TYPES,
    "grade": GRADES,
    "check": CHECKS,
}
_APART = frozenset({"items", "offer", "published_on"})
_SHOWN = 60


@dataclass(frozen=True)
class Change:
    """One difference between two versions.

    Attributes:
        path: Field in machine form: ``share_type``, ``items.user_name.length``.
        old: Value before, as JSON; None if there was none.
        new: Value after, as JSON; None if there is none.
        words: The same in a sentence.
    """

    path: str
    old: Any
    new: Any
    words: str

    def __str__(self) -> str:
        return self.words

    def as_json(self) -> dict[str, Any]:
        """As kept in the history."""
        return {"path": self.path, "old": self.old, "new": self.new, "words": self.words}


def difference(old: Resource, new: Resource) -> tuple[Change, ...]:
    """What changed from one version to another; empty: nothing did.

    The date of publication is set by publishing and does not count.
    """
    return (*_elements(old, new), *_items(old, new), *_offer(old.offer, new.offer))


def in_words(path: str, value: Any) -> Any:
    """A value of a change with its codes as people read them; what is none stays as it is (取值说明).

    Args:
        path: Where it is, as a change says it.
        value: What was or is there.
    """
    if isinstance(value, list):
        return [in_words(path, part) for part in value]
    if isinstance(value, dict) or path.startswith("offer."):
        return value
    return _LABELS.get(path.rpartition(".")[2], {}).get(value, value)


def _elements(old: Resource, new: Resource) -> Iterator[Change]:
    before, after = old.model_dump(mode="json", exclude=set(_APART)), new.model_dump(mode="json", exclude=set(_APART))
    for name, value in after.items():
        if value != before[name]:
            yield _changed(name, title(Resource, name), name, before[name], value)


def _items(old: Resource, new: Resource) -> Iterator[Change]:
    before = {item.name: item for item in old.items}
    after = {item.name: item for item in new.items}
    for name, item in before.items():
        if name not in after:
            yield Change(f"items.{name}", item.model_dump(mode="json"), None, f"删去信息项 {name}（{item.label}）")
    for name, item in after.items():
        if name not in before:
            yield Change(f"items.{name}", None, item.model_dump(mode="json"), f"增加信息项 {name}（{item.label}）")
        else:
            yield from _item(before[name], item)
    kept = [name for name in before if name in after]
    order = [name for name in after if name in before]
    if kept != order:
        yield Change("items", kept, order, "信息项顺序改变")


def _item(old: Item, new: Item) -> Iterator[Change]:
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    for name in dict.fromkeys((*before, *after)):
        if name == "rows":
            continue
        # Some attributes are written only where they say something.
        left, right = before.get(name), after.get(name)
        if left != right:
            where = f"信息项 {new.name}（{new.label}）的{ITEM_TITLES[name]}"
            yield _changed(f"items.{new.name}.{name}", where, name, left, right)
    yield from _rows(old, new)


def _rows(old: Item, new: Item) -> Iterator[Change]:
    before, after = ({item.name: item for item in each.rows} for each in (old, new))
    for name in dict.fromkeys((*before, *after)):
        left, right = before.get(name), after.get(name)
        if left == right:
            continue
        words = "增加" if left is None else "删去" if right is None else "修改"
        label = next(each.label for each in (right, left) if each is not None)
        where = f"信息项 {new.name}（{new.label}）"
        words = f"{where}{words}子信息项 {name}（{label}）"
        yield Change(f"items.{new.name}.rows.{name}", _written(left), _written(right), words)


def _written(item: Item | None) -> Any:
    return None if item is None else item.model_dump(mode="json")


def _offer(old: Offer | None, new: Offer | None) -> Iterator[Change]:
    if old is None or new is None:
        if old != new:
            words = f"增加资源挂接：{new.endpoint} 的 {new.object}" if new else "删去资源挂接"
            yield Change("offer", _dumped(old), _dumped(new), words)
        return
    for name in ("endpoint", "object", "capture", "profile", "served"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield _changed(f"offer.{name}", f"资源挂接的{title(Offer, name)}", name, before, after)
    for group in ("columns", "options"):
        left, right = getattr(old, group), getattr(new, group)
        for name in dict.fromkeys((*left, *right)):
            if left.get(name) != right.get(name):
                where = f"资源挂接的{title(Offer, group)} {name}"
                yield _changed(f"offer.{group}.{name}", where, group, left.get(name), right.get(name))


def _dumped(offer: Offer | None) -> Any:
    return offer.model_dump(mode="json") if offer else None


def _changed(path: str, where: str, field: str, old: Any, new: Any) -> Change:
    return Change(path, old, new, f"{where}由{_shown(field, old)}改为{_shown(field, new)}")


def _shown(field: str, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "空"
    if isinstance(value, bool):
        return "“是”" if value else "“否”"
    text = _words(field, value)
    return f"“{text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}”"


def _words(field: str, value: Any) -> str:
    if isinstance(value, list):
        return "、".join(_words(field, part) for part in value)
    if isinstance(value, dict):
        return "、".join(f"{name}={_words(field, part)}" for name, part in value.items())
    return _LABELS.get(field, {}).get(value, str(value))
