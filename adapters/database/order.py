"""What is known of rows from having seen them go by: whether their keys rise, whether deletions are among them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION


class Order:
    """Looks at the rows of one delivery as they come.

    Args:
        key: The items of the business key.
    """

    def __init__(self, key: tuple[str, ...]) -> None:
        self._key = key
        self._last: list[pa.Array] | None = None
        self.ascending = False
        """Each key is higher than the one before, so that none comes twice."""
        self.deleting: bool | None = None
        """Deletions are among the rows; None: not all of them were seen."""

    def begun(self) -> None:
        """No row has come yet."""
        self.ascending, self.deleting = bool(self._key), False

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at the next rows."""
        if self.deleting is False:
            self.deleting = bool(pc.any(pc.equal(batch.column(OPERATION), DELETE)).as_py())
        if self.ascending and batch.num_rows:
            keys = [batch.column(item) for item in self._key]
            firsts, lasts = [key.slice(0, 1) for key in keys], [key.slice(len(key) - 1) for key in keys]
            self.ascending = (
                not any(key.null_count for key in keys)
                and (self._last is None or _rise(self._last, firsts))
                and _rise([key.slice(0, len(key) - 1) for key in keys], [key.slice(1) for key in keys])
            )
            self._last = lasts


def _rise(lower: list[pa.Array], higher: list[pa.Array]) -> bool:
    """Whether each key is below its counterpart, item by item."""
    below = pc.less(lower[-1], higher[-1])
    for one, other in zip(lower[-2::-1], higher[-2::-1], strict=True):
        below = pc.or_(pc.less(one, other), pc.and_(pc.equal(one, other), below))
    return pc.all(below).as_py() is not False
