"""How large a contract is when it is unfolded (展开): a few lines of a schema may stand for more than any memory holds.

A group that names another one twice, which names the next one twice, doubles with every line; so does a type whose
elements are of its own type, with every level. XML's own bombs do the same by entities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from adapters.errors import Malformed

LARGEST = 10_000
"""Elements and attributes that one type may have when its groups are written out."""
TOGETHER = 200_000
"""Those that all groups may bring into all types."""
TOLD = 5_000
"""Elements of one message that are told."""

_XS = "{http://www.w3.org/2001/XMLSchema}"
_GROUPS = (f"{_XS}group", f"{_XS}attributeGroup")
_HOLDERS = (*_GROUPS, f"{_XS}complexType")
_LEAVES = (f"{_XS}element", f"{_XS}attribute", f"{_XS}any", f"{_XS}anyAttribute")


class Expansion:
    """Adds up what the groups of a contract's schemas stand for, document by document."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], tuple[int, list[tuple[str, str]]]] = {}
        self._types: list[list[tuple[str, str]]] = []

    def add(self, document: etree._Element) -> None:
        """Take a document in.

        Raises:
            Malformed: What is known so far is larger than it may be.
        """
        for schema in document.iter(f"{_XS}schema"):
            target = schema.get("targetNamespace", "")
            for holder in schema.iter(*_HOLDERS):
                if holder.get("ref") is not None:
                    continue
                parts = list(_parts(holder))
                own = sum(each.tag in _LEAVES for each in parts)
                refers = [_named(each) for each in parts if each.tag in _GROUPS and each.get("ref") is not None]
                if holder.tag in _GROUPS:
                    self._groups[holder.tag, f"{{{target}}}{holder.get('name', '')}"] = own, refers
                elif refers:
                    self._types.append(refers)
        self._demand()

    def _demand(self) -> None:
        known: dict[tuple[str, str], int] = {}
        total = 0
        for refers in (*self._types, *(inner for _, inner in self._groups.values())):
            brought = sum(self._weight(each, known) for each in refers)
            total += brought
            if brought > LARGEST or total > TOGETHER:
                raise Malformed(
                    "服务描述（WSDL）里的结构展开后过大", remedy="由提供方改正；这可能是攻击，请告知安全管理员"
                )

    def _weight(self, group: tuple[str, str], known: dict[tuple[str, str], int]) -> int:
        """What a group stands for, without recursion: schemas may nest them as deep as they like."""
        waiting = {group: None}
        while waiting:
            one = next(reversed(waiting))
            own, refers = self._groups.get(one, (1, []))
            unknown = [each for each in refers if each not in known]
            if one in known or not unknown:
                known.setdefault(one, min(own + sum(known[each] for each in refers), LARGEST + 1))
                del waiting[one]
            elif any(each in waiting for each in unknown):
                raise Malformed("服务描述（WSDL）里有结构引用自身", remedy="由提供方改正")
            else:
                waiting[unknown[0]] = None
        return known[group]


def _parts(holder: etree._Element) -> Iterator[etree._Element]:
    """What stands in a holder itself; what its elements consist of is not unfolded into it."""
    waiting = list(holder)
    while waiting:
        part = waiting.pop()
        yield part
        if part.tag not in _LEAVES:
            waiting += part


def _named(reference: etree._Element) -> tuple[str, str]:
    prefix, _, name = reference.get("ref", "").rpartition(":")
    return str(reference.tag), f"{{{reference.nsmap.get(prefix or None, '')}}}{name}"


def levels(element: Any, deepest: int) -> int:
    """How many levels below an element of zeep's can be told, so that they are no more than :data:`TOLD` elements."""
    known: dict[tuple[int, int], int] = {}
    return next((depth for depth in range(deepest, 1, -1) if _size(element, depth, known) <= TOLD), 1)


def _size(element: Any, depth: int, known: dict[tuple[int, int], int]) -> int:
    kind = element.type
    about = (id(kind), depth)
    if about not in known:
        known[about] = 1 + len(getattr(kind, "attributes", ()))
        if depth:
            known[about] += sum(_size(each, depth - 1, known) for each in _inside(kind))
    return known[about]


def _inside(kind: Any) -> Iterator[Any]:
    return (part for _, part in getattr(kind, "elements", None) or () if hasattr(part, "type"))
