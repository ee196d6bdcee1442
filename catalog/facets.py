"""How many published resources there are of each kind (分面计数), beside what a search finds.

All resources are counted into a cube, a number for each combination that occurs; what a view with filters shows is
summed up in it without looking at resources again. With words, it is the first resources found that are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from catalog import search
from catalog.tables import HistoryRow, ResourceRow, ResourceVersionRow, ResourceWayRow

FACETS = ("record_class", "provider", "share_type", "way", "cycle")
SAMPLE = 1000
"""Resources found by words that are counted at most."""
_SLICE = 500
_REMEMBERED = 500

Counts = Mapping[str, Mapping[Any, int]]


@dataclass(frozen=True)
class Facets:
    """Numbers of resources by class, provider, sharing type, way and update cycle.

    Attributes:
        counts: By :data:`FACETS`, then by value. Each facet is counted under all filters but its own, so that one can
            change over.
        complete: Everything that fits was counted; else the first ``SAMPLE`` found.
    """

    counts: Counts
    complete: bool


@dataclass(frozen=True)
class Cube:
    """How many resources there are of each combination that occurs.

    Attributes:
        rows: Of each combination without ways.
        ways: Of each combination and way: a resource that is shared in two ways is in two of them.
        stamp: Of the directory when it was counted.
    """

    rows: Mapping[tuple[Any, ...], int]
    ways: Mapping[tuple[Any, ...], int]
    stamp: int
    _summed: dict[tuple[Any, ...], Facets] = field(default_factory=dict, repr=False, compare=False)

    def facets(self, wanted: search.Wanted) -> Facets:
        """The numbers under some filters."""
        asked = _asked(wanted)
        key = tuple(asked.get(name) for name in FACETS)
        found = self._summed.get(key)
        if found is None:
            if len(self._summed) >= _REMEMBERED:
                self._summed.clear()
            found = self._summed[key] = Facets(_summed(self.rows, self.ways, asked), complete=True)
        return found


def stamp(session: Session) -> int:
    """Grows with every move of a resource."""
    return session.scalar(select(func.max(HistoryRow.id))) or 0


def cube(session: Session) -> Cube:
    """Count all published resources."""
    version, keys = ResourceVersionRow, _keys()
    current = stamp(session)
    rows = session.execute(select(*keys, func.count()).join_from(ResourceRow, version, _in_force()).group_by(*keys))
    plain = {tuple(row[:-1]): row[-1] for row in rows}
    ways = session.execute(
        select(*keys, ResourceWayRow.way, func.count())
        .join_from(ResourceRow, version, _in_force())
        .join(ResourceWayRow, _of_version())
        .group_by(*keys, ResourceWayRow.way)
    )
    return Cube(plain, {tuple(row[:-1]): row[-1] for row in ways}, current)


def sampled(session: Session, wanted: search.Wanted, frequencies: search.Frequencies) -> Facets:
    """The numbers among what words find.

    Raises:
        Rejected: the text has no word of two characters.
    """
    codes = search.foremost(session, search.Wanted(text=wanted.text, under=wanted.under), frequencies, limit=SAMPLE + 1)
    if len(codes) <= SAMPLE:
        return Facets(_counted(session, codes, _asked(wanted)), complete=True)
    codes = search.foremost(session, wanted, frequencies, limit=SAMPLE + 1)
    return Facets(_counted(session, codes[:SAMPLE], _asked(wanted)), complete=len(codes) <= SAMPLE)


def _counted(session: Session, codes: list[str], asked: Mapping[str, Any]) -> Counts:
    version, keys = ResourceVersionRow, _keys()
    plain: Counter[tuple[Any, ...]] = Counter()
    ways: Counter[tuple[Any, ...]] = Counter()
    for start in range(0, len(codes), _SLICE):
        some = ResourceRow.code.in_(codes[start : start + _SLICE])
        query = select(*keys).join_from(ResourceRow, version, _in_force()).where(some)
        plain.update(tuple(row) for row in session.execute(query))
        query = query.join(ResourceWayRow, _of_version()).add_columns(ResourceWayRow.way)
        ways.update(tuple(row) for row in session.execute(query))
    return _summed(plain, ways, asked)


def _summed(
    rows: Mapping[tuple[Any, ...], int], ways: Mapping[tuple[Any, ...], int], asked: Mapping[str, Any]
) -> Counts:
    """Sums under the filters: what fails one of them alone counts for that facet only."""
    without = [name for name in FACETS if name != "way"]
    counts: dict[str, Counter[Any]] = {name: Counter() for name in FACETS}
    way = asked.get("way")
    # A resource is once in the rows of one way, and once in those without ways.
    chosen: Iterable[tuple[tuple[Any, ...], int]] = rows.items()
    if way is not None:
        chosen = ((key[:-1], many) for key, many in ways.items() if key[-1] == way)
    wanted = [asked.get(name) for name in without]
    for key, many in chosen:
        failed = [name for name, value, want in zip(without, key, wanted, strict=True) if want not in (None, value)]
        if len(failed) > 1:
            continue
        for name, value in zip(without, key, strict=True):
            if value is not None and failed in ([], [name]):
                counts[name][value] += many
    for key, many in ways.items():
        if all(want in (None, value) for value, want in zip(key[:-1], wanted, strict=True)):
            counts["way"][key[-1]] += many
    return counts


def _asked(wanted: search.Wanted) -> dict[str, Any]:
    return {name: value for name in FACETS if (value := getattr(wanted, name)) is not None}


def _keys() -> tuple[Any, ...]:
    version = ResourceVersionRow
    return version.record_class, ResourceRow.provider, version.share_type, version.update_cycle


def _in_force() -> Any:
    version = ResourceVersionRow
    return and_(version.resource == ResourceRow.code, version.version == ResourceRow.in_force)


def _of_version() -> Any:
    version, way = ResourceVersionRow, ResourceWayRow
    return and_(way.resource == version.resource, way.version == version.version)
