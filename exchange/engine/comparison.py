"""What two ends hold, compared range by range (对账比对): digests first, rows only where these differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from adapters import OPERATION, PUT, REFERENCE
from exchange.checks import Digest
from exchange.checks.buffers import mask
from exchange.engine.ordering import KEY, repeats
from exchange.engine.readback import ODD

Kind = Literal["missing", "surplus", "repeated", "older", "newer", "content"]
KINDS: tuple[Kind, ...] = ("missing", "surplus", "repeated", "older", "newer", "content")
"""How a row may differ at the recipient: not there (缺少), there without a reason (多出), there twice under one
key (重复), of a lower or higher version (版本旧, 版本新), of other content (内容不同)."""


@dataclass(frozen=True)
class FoundRow:
    """A row that differs.

    Attributes:
        kind: How.
        key: Its key as bytes in order, see :mod:`exchange.engine.ordering`.
        values: One row of the items of its key, personal data.
        items: Names of the items whose values differ.
        withdrawn: The source has the row, but marked as deleted or not among those granted.
        reference: The row's place at the source; empty for one that is not expected.
    """

    kind: Kind
    key: bytes
    values: pa.RecordBatch
    items: tuple[str, ...]
    withdrawn: bool = False
    reference: str = ""


@dataclass(frozen=True)
class FoundRange:
    """A range of keys in which the two ends differ.

    Attributes:
        number: Its number among all ranges, from 1.
        ends: The items of the first and last key of the range at either end, personal data.
        expected: Rows there should be.
        held: Rows there are.
        counts: How many rows differ in which way.
        digests: Digest of what should be there and of what is; empty for no rows.
    """

    number: int
    ends: tuple[pa.RecordBatch, pa.RecordBatch]
    expected: int
    held: int
    counts: dict[Kind, int]
    digests: tuple[str, str]


class Comparison:
    """Compares pairs of ranges and remembers where they differ.

    Args:
        names: Items delivered, in order.
        key: Items of the key.
        version: Item of the version, if there is one.
        algorithm: Of the digests.
        most_ranges: How many differing ranges to remember; all are counted.
        most_rows: How many differing rows to remember.
    """

    def __init__(
        self,
        names: Sequence[str],
        key: Sequence[str],
        version: str | None,
        *,
        algorithm: str,
        most_ranges: int,
        most_rows: int,
    ) -> None:
        self._names = list(names)
        self._key = list(key)
        self._version = version
        self._most = most_ranges, most_rows
        self.expected = Digest(algorithm)
        """Digest of what should be there."""
        self.held = Digest(algorithm)
        """Digest of what is there."""
        self.ranges = 0
        self.differing = 0
        """Ranges that differ."""
        self.counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.found_ranges: list[FoundRange] = []
        self.found_rows: list[FoundRow] = []

    def add(self, expected: pa.RecordBatch | None, held: pa.RecordBatch | None) -> None:
        """Compare the rows of one range; None: an end has none in it.

        Args:
            expected: What came through the passage, deletions too, with the rows' places at the source.
            held: What is there.
        """
        withdrawn = pa.array([], pa.binary())
        if expected is not None:
            put = pc.equal(expected.column(OPERATION), pa.scalar(PUT, pa.int8()))
            withdrawn = expected.column(KEY).filter(pc.invert(put))
            expected = expected.filter(put) if put.true_count else None
        if expected is None and held is None:
            return
        self.ranges += 1
        digests = "", ""
        if expected is not None:
            leaf = self.expected.add(expected.select(self._names))
            digests = leaf.digest if leaf else "", ""
        if held is not None:
            odd = held.column(ODD).null_count < held.num_rows
            leaf = self.held.add(held.select([*self._names, ODD] if odd else self._names))
            digests = digests[0], leaf.digest if leaf else ""
        if digests[0] == digests[1]:
            return
        self.differing += 1
        before = dict(self.counts)
        self._rows(expected, held, withdrawn)
        if len(self.found_ranges) < self._most[0]:
            counts = {kind: self.counts[kind] - before[kind] for kind in KINDS if self.counts[kind] > before[kind]}
            sizes = [end.num_rows if end is not None else 0 for end in (expected, held)]
            self.found_ranges.append(
                FoundRange(self.ranges, self._ends(expected, held), sizes[0], sizes[1], counts, digests)
            )

    def _ends(
        self, expected: pa.RecordBatch | None, held: pa.RecordBatch | None
    ) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        ends = [end.select([*self._key, KEY]) for end in (expected, held) if end is not None]
        first = min((end.slice(0, 1) for end in ends), key=_key_of)
        last = max((end.slice(end.num_rows - 1) for end in ends), key=_key_of)
        return first.select(self._key), last.select(self._key)

    def _rows(self, expected: pa.RecordBatch | None, held: pa.RecordBatch | None, withdrawn: pa.BinaryArray) -> None:
        if expected is None or held is None:
            if expected is not None:
                self._note("missing", expected)
            if held is not None:
                again = repeats(held.column(KEY))
                self._surplus(held.filter(pc.invert(again)), withdrawn)
                self._note("repeated", held.filter(again))
            return
        at = pc.index_in(expected.column(KEY), value_set=held.column(KEY))
        known = pc.is_in(held.column(KEY), value_set=expected.column(KEY))
        again = repeats(held.column(KEY))
        self._note("missing", expected.filter(pc.is_null(at)))
        self._surplus(held.filter(pc.invert(pc.or_(known, again))), withdrawn)
        self._note("repeated", held.filter(again))
        self._pairs(expected.filter(pc.is_valid(at)), held.take(at.drop_null()))

    def _pairs(self, expected: pa.RecordBatch, held: pa.RecordBatch) -> None:
        """Rows of one key each at both ends, side by side."""
        odd = held.column(ODD) if held.column(ODD).null_count < held.num_rows else None
        unlike: dict[str, pa.BooleanArray] = {}
        differs = pa.array([False] * expected.num_rows, pa.bool_())
        for name in self._names:
            one = _unlike(expected.column(name), held.column(name))
            if odd is not None:
                one = pc.or_(one, pc.fill_null(pc.match_substring(odd, f",{name},"), pa.scalar(value=False)))
            if one.true_count:
                unlike[name] = one
                differs = pc.or_(differs, one)
        if not unlike:
            return
        nowhere = pa.array([False] * expected.num_rows, pa.bool_())
        older = newer = nowhere
        if self._version in unlike:
            mine, theirs = expected.column(self._version), held.column(self._version)
            no = pa.scalar(value=False)
            older = pc.and_(unlike[self._version], pc.or_(pc.is_null(theirs), pc.fill_null(pc.less(theirs, mine), no)))
            newer = pc.and_not(unlike[self._version], older)
        content = pc.and_not(differs, pc.or_(older, newer))
        ways: tuple[tuple[Kind, pa.BooleanArray], ...] = (("older", older), ("newer", newer), ("content", content))
        for kind, chosen in ways:
            flags = {name: mask(one.filter(chosen)) for name, one in unlike.items()}
            items = [tuple(name for name, one in flags.items() if one[row]) for row in range(self._room(chosen))]
            self._note(kind, expected.filter(chosen), items)

    def _surplus(self, rows: pa.RecordBatch, withdrawn: pa.BinaryArray) -> None:
        away = pc.is_in(rows.column(KEY), value_set=withdrawn)
        self._note("surplus", rows.filter(away), withdrawn=True)
        self._note("surplus", rows.filter(pc.invert(away)))

    def _room(self, chosen: pa.BooleanArray) -> int:
        return min(int(chosen.true_count), max(self._most[1] - len(self.found_rows), 0))

    def _note(
        self, kind: Kind, rows: pa.RecordBatch, items: Sequence[tuple[str, ...]] = (), *, withdrawn: bool = False
    ) -> None:
        self.counts[kind] += rows.num_rows
        for row in range(min(rows.num_rows, self._most[1] - len(self.found_rows))):
            values = rows.slice(row, 1)
            named = items[row] if items else ()
            place = values.column(REFERENCE)[0].as_py() if REFERENCE in values.schema.names else ""
            self.found_rows.append(FoundRow(kind, _key_of(values), values.select(self._key), named, withdrawn, place))


def _key_of(row: pa.RecordBatch) -> bytes:
    return row.column(KEY)[0].as_py()  # type: ignore[no-any-return]


def _unlike(one: pa.Array, other: pa.Array) -> pa.BooleanArray:
    """Where two columns of one type differ; null is like null, and not a number like not a number."""
    like = pc.fill_null(pc.equal(one, other), pa.scalar(value=False))
    like = pc.or_(like, pc.and_(pc.is_null(one), pc.is_null(other)))
    if pa.types.is_floating(one.type):
        both = pc.and_(pc.is_nan(one), pc.is_nan(other))
        like = pc.or_(like, pc.fill_null(both, pa.scalar(value=False)))
    return pc.invert(like)
