"""Small batches and items for the tests of checks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from schemas import CodeList, Item

TODAY = date(2026, 3, 1)
SHANGHAI = "Asia/Shanghai"


def item(name: str = "value", type: str = "C", **rest: Any) -> Item:
    return Item.model_validate({"name": name, "label": f"标签{name}", "type": type, **rest})


def code_lists(ignore_case: bool = False, **lists: Sequence[str]) -> dict[str, CodeList]:
    return {
        name: CodeList(
            name=name, label=f"{name}代码", source="test", codes=dict.fromkeys(codes, "…"), ignore_case=ignore_case
        )
        for name, codes in lists.items()
    }


def batch(operations: Sequence[int] | None = None, **columns: Any) -> pa.RecordBatch:
    """A source batch; plain lists of text become text columns."""
    arrays = {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in columns.items()}
    rows = len(next(iter(arrays.values())))
    fields = [pa.field(name, array.type) for name, array in arrays.items()]
    fields += [pa.field("_operation", pa.int8(), nullable=False), pa.field("_reference", pa.string(), nullable=False)]
    return pa.RecordBatch.from_arrays(
        [
            *arrays.values(),
            pa.array([0] * rows if operations is None else operations, pa.int8()),
            pa.array([f"r{row}" for row in range(rows)]),
        ],
        schema=pa.schema(fields),
    )
