"""What a recipient holds, read back in the types in which it was delivered (回读)."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from adapters import OPERATION
from exchange.checks import normalise
from exchange.engine.passage import delivered_schema
from exchange.plan import Plan
from schemas import Item, arrow_type

ODD = "_odd"
"""Column that names the items of a row whose values are not of their types, between commas; null: none."""


class Readback:
    """Types the rows of a target as the plan's delivery typed them.

    Text is taken as it stands, to the last blank: what came here was free of noise, and what is not as it
    came is what is looked for.

    Args:
        plan: What was delivered.
        zone: Zone of the target's zone-less times.
    """

    def __init__(self, plan: Plan, zone: str) -> None:
        self._zone = zone
        self._key = plan.key
        delivered = delivered_schema(plan)
        self._fields = [field for field in delivered if field.name != OPERATION]
        items = {item.name: item for item in plan.items}
        self._items = [_written(items[field.name], field.type) for field in self._fields]
        bare = [pa.field(field.name, field.type) for field in self._fields]
        self.schema = pa.schema([*bare, pa.field(ODD, pa.string())])

    def typed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The items of a batch; a value that is not of its type is null, and its item named beside."""
        found = normalise(batch, self._items, self._zone, key=self._key)
        columns = [found.batch.column(field.name).cast(field.type) for field in self._fields]
        odd = _odd(batch.num_rows, [(each.row, each.item or "") for each in found.findings])
        return pa.RecordBatch.from_arrays([*columns, odd], schema=self.schema)


def _written(item: Item, kind: pa.DataType) -> Item:
    if item.rows:
        rows = tuple(_written(each, arrow_type(each)) for each in item.rows)
        return item.model_copy(update={"mandatory": False, "rows": rows})
    if pa.types.is_string(kind):
        return Item(name=item.name, label=item.label, type="M", mandatory=True)
    # Mandatory: a word for nothing (暂无) is not what was delivered for nothing.
    return item.model_copy(update={"mandatory": True, "code_list": None, "check": None})


def _odd(rows: int, found: Sequence[tuple[int, str]]) -> pa.Array:
    if not found:
        return pa.nulls(rows, pa.string())
    names: dict[int, list[str]] = {}
    for row, item in found:
        names.setdefault(row, []).append(item)
    return pa.array([f",{','.join(names[row])}," if row in names else None for row in range(rows)], pa.string())
