"""Ranges of keys whose bounds the keys themselves decide (主键区间), the same for both ends.

A range ends at a key whose keyed hash is low: a row more or less moves no other bound, and the bounds are
decided without a look at the other rows. What either end takes for a bound is one for both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from exchange.checks.buffers import text_parts
from exchange.engine.ordering import KEY, rows_up_to

LARGEST = 64 * 1024 * 1024
"""Bytes after which a range ends anyway, so that attachments beside rows do not fill the memory."""
_WEIGHTS = 1024


class Bounds:
    """Which keys end a range.

    Args:
        secret: Decides which, so that nobody can place bounds by his choice of keys.
        rows: Rows of a range, on average.
    """

    def __init__(self, secret: bytes, rows: int) -> None:
        self._weights = np.frombuffer(hashlib.shake_256(b"shutong bounds 1\n" + secret).digest(8 * _WEIGHTS), "<u8")
        self._below = np.uint64((1 << 64) // max(rows, 1) - 1)

    def ends(self, keys: pa.BinaryArray) -> npt.NDArray[np.int64]:
        """Numbers of the rows whose keys end a range."""
        return np.flatnonzero(self._hashes(keys) <= self._below)

    def _hashes(self, keys: pa.BinaryArray) -> npt.NDArray[np.uint64]:
        offsets, data = text_parts(keys)
        starts = offsets.astype(np.int64) - int(offsets[0])
        content = data[offsets[0] : offsets[-1]].astype(np.uint64) + np.uint64(1)
        places = (np.arange(len(content)) - np.repeat(starts[:-1], np.diff(starts))) % _WEIGHTS
        sums = np.zeros(len(content) + 1, np.uint64)
        np.cumsum(content * self._weights[places], out=sums[1:])
        mixed = sums[starts[1:]] - sums[starts[:-1]]
        for shift, factor in ((33, 0xFF51AFD7ED558CCD), (29, 0xC4CEB9FE1A85EC53)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return mixed ^ (mixed >> np.uint64(32))


def paired(
    one: Iterable[pa.RecordBatch],
    other: Iterable[pa.RecordBatch],
    bounds: Bounds,
    *,
    largest: int = LARGEST,
) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """The rows of both ends range by range, both reads going on side by side.

    Args:
        one: Keyed batches in order and in whole groups.
        other: The same of the other end.
        bounds: Where ranges end.
        largest: Bytes after which one ends anyway.

    Yields:
        The rows of one range at each end, None where an end has none in it.
    """
    ends = _End(one), _End(other)
    while True:
        for end in ends:
            end.read()
        reading = [end.last for end in ends if end.last is not None]
        bound = min(reading) if reading else None
        for key in sorted({key for end in ends for key in end.bounds(bound, bounds)}):
            yield ends[0].cut(key), ends[1].cut(key)
        if bound is None:
            rest = ends[0].cut(None), ends[1].cut(None)
            if rest != (None, None):
                yield rest
            return
        if sum(end.size for end in ends) > largest:
            cut = ends[0].cut(bound), ends[1].cut(bound)
            if cut != (None, None):
                yield cut
        for end in ends:
            end.wants_more = end.last == bound


class _End:
    """What is read of one end and not yet given."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._rows: pa.RecordBatch | None = None
        self._looked_at = 0
        self.last: bytes | None = None
        """The last key read; None: there are no more to read."""
        self.wants_more = True

    @property
    def size(self) -> int:
        return self._rows.nbytes if self._rows is not None else 0

    def read(self) -> None:
        """Read on, where that is wanted."""
        if not self.wants_more:
            return
        self.wants_more = False
        batch = next((batch for batch in self._batches if batch.num_rows), None)
        if batch is None:
            self.last = None
            return
        self._rows = batch if self._rows is None else pa.concat_batches([self._rows, batch])
        self.last = batch.column(KEY)[-1].as_py()

    def bounds(self, bound: bytes | None, bounds: Bounds) -> list[bytes]:
        """The keys up to ``bound`` that end a range and have not been looked at."""
        if self._rows is None:
            return []
        count = self._count(bound) - self._looked_at
        keys = self._rows.column(KEY)[self._looked_at :][:count]
        self._looked_at += count
        return [keys[row].as_py() for row in bounds.ends(keys)] if count else []

    def cut(self, bound: bytes | None) -> pa.RecordBatch | None:
        """Give the rows up to ``bound``."""
        if self._rows is None or (count := self._count(bound)) == 0:
            return None
        given, rest = self._rows.slice(0, count), self._rows.slice(count)
        self._rows = rest if rest.num_rows else None
        self._looked_at = max(self._looked_at - count, 0)
        return given

    def _count(self, bound: bytes | None) -> int:
        if self._rows is None:
            return 0
        return int(self._rows.num_rows) if bound is None else rows_up_to(self._rows.column(KEY), bound)
