"""One batch through all checks: what is accepted, what is refused, and that nothing is lost between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import indices, rows_where
from exchange.checks.findings import Finding
from exchange.checks.normalise import lists_of, normalise
from exchange.checks.plainly import plain_values
from exchange.checks.rules import check
from exchange.errors import Red
from schemas import CodeList, Item


@dataclass(frozen=True, slots=True)
class Examined:
    """A batch parted in two (校验结果).

    Attributes:
        accepted: Typed rows that break no rule, in their order, with the two reserved columns.
        refused: The other rows exactly as the source gave them, in their order.
        findings: Why they were refused, by row of the examined batch.
        accepted_rows: For each accepted row, its number in the examined batch.
        refused_rows: For each refused row, its number in the examined batch.
    """

    accepted: pa.RecordBatch
    refused: pa.RecordBatch
    findings: list[Finding]
    accepted_rows: pa.Int64Array
    refused_rows: pa.Int64Array


def examine(
    batch: pa.RecordBatch,
    items: Sequence[Item],
    key: Sequence[str],
    version: str | None,
    zone: str,
    today: date,
    *,
    code_lists: Mapping[str, CodeList] | None = None,
) -> Examined:
    """Normalise and check a source batch, and part it into accepted and refused rows.

    Args:
        batch: Every item under its name, as text or as the source types it, and the two reserved columns.
        items: The items in the order of the resource.
        key: Items of the business key.
        version: Item of the version, if there is one.
        zone: IANA name of the zone of the source's zone-less times.
        today: The last day on which somebody can have been born.
        code_lists: Code lists by name; by default those of ``schemas``.

    Raises:
        Invalid: a column is missing, or the zone does not exist.
        Unknown: an item names a code list that does not exist.
        Red: rows in are not accepted plus refused.
    """
    sure: dict[str, pa.Array] = {}
    if batch.num_rows == 1 and not {item.name for item in items} - set(batch.schema.names):
        lists = lists_of(items, code_lists)
        sure = plain_values(batch, items, key=key, version=version, today=today, code_lists=lists)
    typed = normalise(batch, items, zone, key=key, version=version, code_lists=code_lists, sure=sure)
    doubtful = [item for item in items if item.name not in sure] if sure else items
    checked = check(
        typed.batch,
        doubtful,
        key=key,
        version=version,
        today=today,
        code_lists=code_lists,
        found=typed.findings,
        children=typed.children,
    )
    if sure and not typed.findings and not checked.findings:
        whole = indices(np.zeros(1, np.int64))
        return Examined(typed.batch, batch.slice(0, 0), [], whole, whole.slice(0, 0))
    accepted = typed.batch.filter(checked.accepted)
    refused = batch.filter(pc.invert(checked.accepted))
    if accepted.num_rows + refused.num_rows != batch.num_rows:
        raise Red(
            f"校验前后行数不符：读入 {batch.num_rows} 行，接受 {accepted.num_rows} 行，拒收 {refused.num_rows} 行",
            remedy="停止本次交换并联系平台维护人员",
        )
    return Examined(
        accepted,
        refused,
        sorted(typed.findings + checked.findings, key=lambda finding: finding.row),
        indices(rows_where(checked.accepted)),
        indices(rows_where(pc.invert(checked.accepted))),
    )
