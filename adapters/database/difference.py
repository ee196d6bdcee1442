"""Reading by difference (逐段比对): what changed in a table that says nothing about its changes.

The rows lie in ranges of their business key, whose order is that of the key columns' texts by their bytes, whatever
types and collations they have. The database computes a digest of each row and adds those of a range up; where sum
and count are those of the last pass, the range is left alone. The others are read, and their rows compared one by
one with the digests that the notebook kept: changed rows are handed over, and keys that are gone, as deletions.

The notebook holds a header and, for each range, a page with its first key, count and sum, and one with its rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import Binding, Notebook
from adapters.database.capture import Window
from adapters.database.dialects import Dialect
from adapters.database.shapes import Column, Expression, TableShape
from adapters.errors import Malformed

RANGE_ROWS = 4_096
_RANGES = 2_000
"""Ranges of a table at most, as the database looks each row's up in one expression."""
_SPANS = 8
"""Differing stretches that are named one by one; of more, each row is looked up."""
_KEPT = 16
"""Bytes of a row's digest that are remembered."""
_SUMMED = 15
"""Hexadecimal digits of a row's digest that are added up, see the dialects' tally."""
KEYLESS = -1
"""Number of the range of rows without a whole key: nothing is remembered of them."""
_ROWS = pa.schema([pa.field("key", pa.string()), pa.field("digest", pa.binary(_KEPT))])


@dataclass(frozen=True)
class Range:
    """Rows of neighbouring keys: the texts of the first one, how many, and the sum of their digests."""

    first: tuple[str, ...]
    rows: int
    tally: str


class Notes:
    """What a notebook says of the last pass.

    Args:
        notebook: Where it stands.
        about: What the notes must be about to be of use.
    """

    def __init__(self, notebook: Notebook, about: Mapping[str, Any]) -> None:
        self._notebook = notebook
        self.ranges: list[Range] = []
        pages = notebook.earlier()
        header = next(pages, b"")
        self.comparable = header == _header(about)
        """Its digests are of what is read now; else it still tells which keys there were."""
        if header[:1] == b"H" and _keys(json.loads(header[1:])) == _keys(about):
            self.ranges = [_range(page) for page in pages if page[:1] == b"I"]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """The two pages of each range."""
        if not self.ranges:
            return iter(())
        pages = self._notebook.earlier()
        next(pages)
        return zip(pages, pages, strict=True)


class Difference:
    """The questions put to the database about ranges and rows.

    Args:
        dialect: The product.
        binding: The table.
        shape: The table as it lies there.
        window: Its rows.
    """

    def __init__(self, dialect: Dialect, binding: Binding, shape: TableShape, window: Window) -> None:
        self._dialect = dialect
        self._window = window
        self._columns = [shape.columns[binding.columns[item]] for item in binding.key]
        read = {*binding.columns.values()}
        if binding.profile is not None and binding.profile.delete is not None:
            read.add(binding.profile.delete.column)
        self._digested = [shape.columns[name] for name in sorted(read)]
        self._axis = [self._text(column) for column in self._columns]
        self.about = {
            "object": binding.object,
            "key": [column.name for column in self._columns],
            "fixed": dict(sorted(binding.fixed.items())),
            "read": sorted(read),
        }

    def order(self) -> list[Expression]:
        """Rows without a key first, then by key."""
        return [*([sa.case((self._keyless, 0), else_=1)] if self._nullable else []), *self._axis]

    def digest(self) -> Expression:
        """Of all that is read of a row."""
        table = self._window.table
        return self._dialect.digest([self._dialect.as_text(table.c[each.name], each) for each in self._digested])

    def number(self, ranges: Sequence[Range]) -> Expression:
        """The number of a row's range."""
        inner = self._looked_up(ranges, list(range(len(ranges))))
        if not self._nullable:
            return inner
        return sa.case((self._keyless, sa.literal_column(str(KEYLESS))), else_=inner)

    def differing(self, connection: sa.Connection, ranges: Sequence[Range]) -> tuple[list[int], bool]:
        """The ranges that are not as they were, and whether there are rows without a key."""
        number = self.number(ranges).label("shutong_range")
        query = sa.select(number, sa.func.count(), self._dialect.tally(self.digest()))
        found = {
            int(place): (int(rows), str(int(tally)))
            for place, rows, tally in connection.execute(
                query.select_from(self._window.table).where(*self._window.standing()).group_by("shutong_range")
            )
        }
        if any(tally.startswith("-") for _, tally in found.values()):
            raise Malformed("有一行大到数据库算不出摘要", remedy="请对方调大 max_allowed_packet，或不交换大的附件列")
        keyless = found.pop(KEYLESS, None) is not None
        return [
            place for place, known in enumerate(ranges) if found.get(place, (0, "0")) != (known.rows, known.tally)
        ], keyless

    def within(self, ranges: Sequence[Range], wanted: Sequence[int]) -> Expression:
        """A row lies in one of these ranges, or has no key."""
        spans = _spans(wanted)
        if len(spans) <= _SPANS:
            parts = [self._span(ranges, first, last) for first, last in spans]
            inside = sa.or_(sa.false(), *parts)
        else:
            marked = set(wanted)
            inside = self._looked_up(ranges, [int(place in marked) for place in range(len(ranges))]) == 1
        return sa.or_(self._keyless, inside) if self._nullable else inside

    def _span(self, ranges: Sequence[Range], first: int, last: int) -> Expression:
        parts = [] if first == 0 else [sa.not_(self._below(ranges[first].first))]
        parts += [] if last + 1 == len(ranges) else [self._below(ranges[last + 1].first)]
        return sa.and_(sa.true(), *parts)

    def _looked_up(self, ranges: Sequence[Range], answers: Sequence[int]) -> Expression:
        """The answer for a row's range, found by halving."""

        def among(low: int, high: int) -> Expression:
            if len(set(answers[low:high])) <= 1:
                return sa.literal_column(str(answers[low]) if low < high else "0")
            middle = (low + high) // 2
            return sa.case((self._below(ranges[middle].first), among(low, middle)), else_=among(middle, high))

        return among(0, len(answers))

    def _below(self, key: Sequence[str]) -> Expression:
        """A row's key comes before this one."""
        *others, last = zip(self._axis, map(sa.literal, key), strict=True)
        below: Expression = last[0] < last[1]
        for here, value in reversed(others):
            below = sa.or_(here < value, sa.and_(here == value, below))
        return below

    def _text(self, column: Column) -> Expression:
        text = self._dialect.as_text(self._window.table.c[column.name], column)
        return self._dialect.bytewise(text, replace(column, family="text", exact=False))

    @property
    def _nullable(self) -> bool:
        return any(column.nullable for column in self._columns)

    @property
    def _keyless(self) -> Expression:
        return sa.or_(*(self._window.table.c[column.name].is_(None) for column in self._columns))


class Compared:
    """One pass: rows as they come, in the order of their ranges, against what the notebook says of them.

    Args:
        notebook: Takes the notes of this pass; None: none are taken.
        notes: Those of the last pass.
        about: What they are about.
        differing: Numbers of the ranges that are read; the others are taken over.
        everything: Rows that are as they were are handed over too.
    """

    def __init__(
        self,
        notebook: Notebook | None,
        notes: Notes | None,
        about: Mapping[str, Any],
        differing: Sequence[int],
        *,
        everything: bool,
    ) -> None:
        self._notebook = notebook
        self._everything = everything
        self._differing = set(differing)
        self._pages = enumerate(notes or ())
        self._known: pa.Table | None = None
        self._seen = pa.chunked_array([], pa.bool_())
        self._current = KEYLESS
        total = sum(each.rows for each in notes.ranges) if notes else 0
        self._size = max(RANGE_ROWS, total // _RANGES)
        self._fresh: list[pa.Table] = []
        if notebook is not None:
            notebook.write(_header(about))

    def through(self, number: int, keys: pa.Array, digests: pa.Array) -> tuple[pa.BooleanArray, list[str]]:
        """Rows of one range; which of them changed, and keys of ranges before it that are gone."""
        if number == KEYLESS:
            return pa.array([True] * len(keys), pa.bool_()), []
        gone = self._advance(number)
        rows = pa.table([keys, _shortened(digests)], schema=_ROWS)
        self._fresh.append(rows)
        changed = pa.array([True] * len(keys), pa.bool_())
        if self._known is not None:
            present = pc.is_in(self._known["key"], value_set=keys)
            self._seen = present if len(self._seen) == 0 else pc.or_(self._seen, present)
            if not self._everything:
                changed = pc.invert(pc.is_in(_whole(rows), value_set=_whole(self._known)))
        self._write(whole_only=True)
        return _one(changed), gone

    def end(self) -> list[str]:
        """Keys that are gone from the last ranges."""
        gone = self._advance(None)
        self._write(whole_only=False)
        return gone

    def _advance(self, number: int | None) -> list[str]:
        """Go on to a range, over those between; keys that are gone from the differing ones."""
        if number is not None and number == self._current:
            return []
        gone = self._missing()
        for place, (index, page) in self._pages:
            self._current = place
            if place in self._differing:
                self._known, self._seen = pa.ipc.open_stream(page[1:]).read_all(), pa.chunked_array([], pa.bool_())
                if place == number:
                    return gone
                gone += self._missing()
            else:
                self._write(whole_only=False)
                if self._notebook is not None:
                    self._notebook.write(index)
                    self._notebook.write(page)
        self._current = KEYLESS if number is None else number
        return gone

    def _missing(self) -> list[str]:
        known, self._known = self._known, None
        if known is None:
            return []
        if len(self._seen):
            known = known.filter(pc.invert(self._seen))
        return list(dict.fromkeys(known["key"].to_pylist()))

    def _write(self, *, whole_only: bool) -> None:
        """Write rows down as ranges; with ``whole_only`` as long as there are enough for one."""
        waiting = sum(part.num_rows for part in self._fresh)
        # Never in pieces much smaller than a range: a row that comes into a full one halves it.
        if waiting == 0 or (whole_only and waiting < 2 * self._size):
            return
        rows = pa.concat_tables(self._fresh).combine_chunks()
        start = 0
        while waiting - start >= 2 * self._size:
            self._note(rows.slice(start, self._size))
            start += self._size
        self._fresh = [rows.slice(start)]
        if not whole_only:
            rest = waiting - start
            part = rest if rest <= self._size * 3 // 2 else (rest + 1) // 2
            for place in range(start, waiting, part):
                self._note(rows.slice(place, part))
            self._fresh = []

    def _note(self, rows: pa.Table) -> None:
        if self._notebook is not None:
            for page in _pages(rows):
                self._notebook.write(page)


def runs(numbers: pa.Array) -> Iterator[tuple[int, int, int]]:
    """Stretches of one number: the number, where it starts and how long it is."""
    encoded = pc.run_end_encode(numbers)
    start = 0
    for value, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        yield value, start, end - start
        start = end


def _spans(places: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers as first and last."""
    spans: list[tuple[int, int]] = []
    for place in places:
        if spans and spans[-1][1] + 1 == place:
            spans[-1] = (spans[-1][0], place)
        else:
            spans.append((place, place))
    return spans


def _header(about: Mapping[str, Any]) -> bytes:
    return b"H" + json.dumps({"form": 1, **about}, ensure_ascii=False, sort_keys=True).encode()


def _keys(about: Mapping[str, Any]) -> list[Any]:
    """What decides whose keys they are."""
    return [about.get(name) for name in ("object", "key", "fixed")]


def _range(page: bytes) -> Range:
    written = json.loads(page[1:])
    return Range(tuple(written["first"]), written["rows"], written["tally"])


def _pages(rows: pa.Table) -> tuple[bytes, bytes]:
    first = tuple(json.loads(rows["key"][0].as_py()))
    index = Range(first, rows.num_rows, _tally(rows["digest"]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return b"I" + json.dumps(asdict(index), ensure_ascii=False).encode(), b"R" + sink.getvalue().to_pybytes()


def _shortened(digests: pa.Array) -> pa.Array:
    """Hexadecimal digests as the bytes that are remembered."""
    size = _KEPT * 2
    if len(digests) == 0:
        return pa.array([], pa.binary(_KEPT))
    if digests.null_count or pc.min(pc.utf8_length(digests)).as_py() < size:
        raise Malformed("有一行大到数据库算不出摘要", remedy="不交换大的附件列")
    text = pc.utf8_slice_codeunits(digests, 0, size)
    letters = np.frombuffer(b"".join(text.cast(pa.binary()).to_pylist()), np.uint8)
    digits = np.where(letters >= ord("a"), letters - (ord("a") - 10), letters - ord("0")).astype(np.uint8)
    raw = (digits[0::2] << 4) | digits[1::2]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_KEPT), len(digests), [None, pa.py_buffer(raw.tobytes())])


def _tally(digests: pa.ChunkedArray) -> str:
    """What the database adds up of the same rows."""
    whole = _one(digests)
    raw = np.frombuffer(b"".join(whole.to_pylist()), ">u8").reshape(-1, _KEPT // 8)[:, 0]
    values = raw.astype(np.uint64) >> np.uint64(64 - 4 * _SUMMED)
    low, high = values & np.uint64(2**30 - 1), values >> np.uint64(30)
    return str(int(low.sum()) + (int(high.sum()) << 30))


def _whole(rows: pa.Table) -> pa.Array:
    """Key and digest as one value."""
    return pc.binary_join_element_wise(
        _one(rows["key"]).cast(pa.binary()), _one(rows["digest"]).cast(pa.binary()), pa.scalar(b"\0")
    )


def _one(values: Any) -> Any:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
