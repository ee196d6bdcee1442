"""Child rows (子表行) held to the rules of their own items: all of a batch side by side, as any other rows are.

What is wrong with a child row refuses its parent; the reason names it as ``ITEM[n].SUBITEM``, n being the row's place
among those of its parent as they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from exchange.checks.findings import Finding, Rows
from schemas import Item
from schemas.child_rows import packed, texts_of

MOST = 20
"""Findings about the child rows of one parent that are told."""


@dataclass(frozen=True, slots=True)
class Children:
    """The child rows of one item in a batch.

    Attributes:
        item: The item.
        owners: For each child row, the number of its parent's row in the batch.
        places: For each child row, its place among those of its parent, from 1.
        batch: The child rows, typed by their items.
        findings: What could not be typed, by child row.
    """

    item: Item
    owners: pa.Int64Array
    places: pa.Int64Array
    batch: pa.RecordBatch
    findings: list[Finding]

    def canonical(self, parents: int) -> pa.StringArray:
        """The value of the item for each of so many parents."""
        columns = {item.name: texts_of(self.batch.column(item.name)) for item in self.item.rows}
        return packed(self.owners, parents, columns)

    def told(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Findings about child rows as findings about their parents, not all of very many."""
        many: dict[int, int] = {}
        for finding in findings:
            owner = self.owners[finding.row].as_py()
            many[owner] = many.get(owner, 0) + 1
            if many[owner] > MOST:
                continue
            place = self.places[finding.row].as_py()
            where = f"{self.item.name}[{place}].{finding.item}"
            yield Finding(owner, self.item.name, finding.rule, f"{self.item.label}：{where} {finding.reason}")

    def childless(self, parents: int) -> Rows:
        """Which of so many parents have no child row."""
        many = np.bincount(self.owners.to_numpy(), minlength=parents)
        return np.flatnonzero(many == 0).astype(np.int64, copy=False)
