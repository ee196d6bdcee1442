"""Administrative divisions (行政区划, GB/T 2260), from the data of python-stdnum.

The data knows abolished codes as well, with the years of their validity. A code of an abolished
division, or one the data does not know, is no fault of a record: an identity number keeps the
division of its first registration for life. Nothing here is a reason to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from stdnum import numdb

Level = Literal["province", "city", "county"]

_NAMED = re.compile(r"(?:\[(?P<since>\d{4})?-(?P<until>\d{4})?\])?(?P<name>[^,]+)")
_COLLECTIVE = re.compile("市辖区|县|市|林区|.*直辖.*")
"""Names that gather what lies below and are no place themselves."""
_STEPS = (2, 4, 6, 9, 12)
"""Digits that name a province, city, county, township (乡镇街道) and village (村)."""


@dataclass(frozen=True)
class Division:
    """One division.

    Attributes:
        code: Six digits.
        name: Its name now, or its last one.
        level: ``province`` (省), ``city`` (市) or ``county`` (县).
        parents: Names of the divisions it lies in, the widest first.
        since: Year since which it bears the name, if the data says.
        until: Year in which the code was abolished, None: in force.
    """

    code: str
    name: str
    level: Level
    parents: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    @property
    def abolished(self) -> bool:
        """The code is no longer in force; records may still carry it."""
        return self.until is not None

    @property
    def full_name(self) -> str:
        """Its name with those of its parents, as it is written: 江苏省泰州市海陵区, 北京市东城区."""
        return "".join((*(parent for parent in self.parents if not _COLLECTIVE.fullmatch(parent)), self.name))


def division(code: str) -> Division | None:
    """The division of a code, in force or abolished; None if the data does not know it.

    Args:
        code: Six digits, or twelve, whose first six are looked up.
    """
    return _all().get(code[:6]) if _digits(code) in (6, 12) else None


def is_division(code: str) -> bool:
    """Whether the data knows a code, in force or abolished."""
    return division(code) is not None


def children(code: str, *, abolished: bool = False) -> tuple[Division, ...]:
    """The divisions directly below one, by code: cities of a province, counties of a city, provinces of 000000.

    Counties that lie directly in a province (省直辖县) are among its children.

    Args:
        code: The division above.
        abolished: Include those no longer in force.
    """
    above = code[:6].ljust(6, "0")
    return tuple(below for below in descendants(code, abolished=abolished) if _parent(below.code) == above)


def descendants(code: str, *, abolished: bool = False) -> tuple[Division, ...]:
    """All divisions below one, by code.

    Args:
        code: The division above.
        abolished: Include those no longer in force.
    """
    return tuple(
        below
        for below in _all().values()
        if within(below.code, code) and not same_area(below.code, code) and (abolished or not below.abolished)
    )


def within(code: str, area: str) -> bool:
    """Whether a code lies in an area or is it, compared by level: 321283 lies in 321200 and 320000000000.

    Args:
        code: Two, four, six, nine or twelve digits.
        area: The same; zeros alone mean the whole country.

    Returns:
        False also if either is no such code.
    """
    inner, outer = _significant(code), _significant(area)
    return inner is not None and outer is not None and inner.startswith(outer)


def same_area(one: str, other: str) -> bool:
    """Whether two codes mean the same area, however wide they are written: 370800 and 370800000000."""
    left, right = _significant(one), _significant(other)
    return left is not None and left == right


def _digits(code: str) -> int:
    return len(code) if code.isascii() and code.isdigit() else 0


def _significant(code: str) -> str | None:
    """The code without the levels that are zero; None if it is no code."""
    width = _digits(code)
    if width not in _STEPS:
        return None
    for shorter, longer in reversed([*zip((0, *_STEPS), _STEPS, strict=False)]):
        if longer <= width and int(code[shorter:longer]):
            return code[:longer]
    return ""


def _parent(code: str) -> str:
    """Code of the nearest known division above; zeros alone: the country."""
    known = (above for above in (f"{code[:4]}00", f"{code[:2]}0000") if above != code and above in _all())
    return next(known, "000000")


@cache
def _all() -> Mapping[str, Division]:
    named: dict[str, tuple[str, int | None, int | None]] = {}
    for _, province, _, _, counties in numdb.get("cn/loc").prefixes:
        for _, rest, _, properties, _ in counties:
            named[province + rest] = _last_name(properties["county"])
    found = {}
    for code, (name, since, until) in sorted(named.items()):
        level: Level = "county"
        above = [f"{code[:2]}0000", f"{code[:4]}00"]
        if code.endswith("00"):
            level, above = ("province", []) if code.endswith("0000") else ("city", above[:1])
        parents = tuple(named[parent][0] for parent in above if parent in named)
        found[code] = Division(code, name, level, parents, since, until)
    return MappingProxyType(found)


def _last_name(text: str) -> tuple[str, int | None, int | None]:
    """Of ``[1983-1985]青龙县,[1986-]青龙满族自治县`` the last, with its years."""
    last = [*_NAMED.finditer(text)][-1]
    since, until = last["since"], last["until"]
    return last["name"], int(since) if since else None, int(until) if until else None
