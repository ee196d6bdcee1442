"""The rules a typed batch is held to: presence, length, code lists, check digits; and references.

A value outside its code list refuses the row. A reference (事项编码…) to something not yet registered does
not: the row is kept, and :func:`reference_states` says which rows those are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import byte_lengths, flags, indices, mask, rows_where
from exchange.checks.check_digits import Verdict, verdicts
from exchange.checks.child_rows import Children
from exchange.checks.findings import Fault, Finding, Sheet
from exchange.checks.normalise import deletions, lists_of
from schemas import CodeList, Item

_REASONS: dict[str, dict[Verdict, str]] = {
    "identity_number": {
        Verdict.SHAPE: "应为 18 位",
        Verdict.ALPHABET: "前 17 位应为数字，末位应为数字或大写 X",
        Verdict.DATE: "其中的出生日期不存在",
        Verdict.FUTURE: "其中的出生日期晚于今天",
        Verdict.CHECK_DIGIT: "校验码不符（MOD 11-2）",
    },
    "credit_code": {
        Verdict.SHAPE: "应为 18 位",
        Verdict.ALPHABET: "只用数字和大写字母，且不用 I、O、S、V、Z",
        Verdict.CHECK_DIGIT: "校验码不符（MOD 31-3）",
    },
    "project_code": {
        Verdict.SHAPE: "应为“年月-地区-部门-类型-随机码”形式，20 位数字和 4 个连字符",
        Verdict.ALPHABET: "各段应为数字",
        Verdict.DATE: "首段应为两位年份加月份，2020 年及以前的旧码为四位年份",
        Verdict.CHECK_DIGIT: "校验码不符（MOD 11,10）",
    },
    "licence_identifier": {
        Verdict.SHAPE: "应为“根标识.证照类型代码.颁发机构代码.流水号.版本号.校验位”形式，类型代码 21 位、版本号 3 位",
        Verdict.ALPHABET: "各段只用数字和大写字母",
        Verdict.CHECK_DIGIT: "校验位不符（MOD 37,36）",
    },
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a batch was found to be.

    Attributes:
        accepted: For each row, whether nothing refuses it, earlier findings included.
        findings: What was found now.
    """

    accepted: pa.BooleanArray
    findings: list[Finding]


def check(
    batch: pa.RecordBatch,
    items: Sequence[Item],
    *,
    key: Collection[str],
    version: str | None,
    today: date,
    code_lists: Mapping[str, CodeList] | None = None,
    found: Sequence[Finding] = (),
    children: Mapping[str, Children] = MappingProxyType({}),
) -> Checked:
    """Hold a typed batch to the rules of its items.

    Args:
        batch: What :func:`~exchange.checks.normalise.normalise` made.
        items: The items in the order of the resource.
        key: Items of the business key. In a row marked as a deletion only these and the version count.
        version: Item of the version, if there is one.
        today: The last day on which somebody can have been born.
        code_lists: Code lists by name; by default those of ``schemas``.
        found: Findings made before; a cell is not found twice.
        children: The child rows of each item that has any, as they were typed.

    Raises:
        Unknown: an item names a code list that does not exist.
    """
    lists = lists_of(items, code_lists)
    sheet = Sheet(batch.num_rows, deletions(batch), {*key, version})
    sheet.recall(found)
    for item in items:
        if item.rows:
            _look_into(sheet, children[item.name], batch.num_rows, today, code_lists)
            continue
        values = batch.column(item.name)
        missing = "key" if item.name in key else "version" if item.name == version else "mandatory"
        if missing != "mandatory" or item.mandatory:
            _require(sheet, item, values, missing)
        if item.length is not None and item.type in "CM":
            _limit(sheet, item, values, item.length)
        if item.code_list is not None:
            _list(sheet, item, values, lists[item.code_list])
        if item.check is not None:
            _verify(sheet, item, values, today)
    return Checked(flags(sheet.accepted), sheet.findings())


def reference_states(
    batch: pa.RecordBatch, items: Sequence[Item], known: Callable[[str, pa.Array], pa.BooleanArray]
) -> list[Finding]:
    """Rows that refer to something not registered: kept, with a state (待关联), never refused.

    Args:
        batch: Accepted rows.
        items: Their items; those with a ``reference`` are looked at.
        known: Given the name of an item and distinct values, says for each whether it is registered.
    """
    sheet = Sheet(batch.num_rows, deletions(batch), ())
    for item in items:
        if item.reference is None:
            continue
        values = batch.column(item.name)
        distinct = pc.unique(values.drop_null())
        if len(distinct) == 0:
            continue
        unknown = distinct.filter(pc.invert(known(item.name, distinct)))
        rows = rows_where(pc.and_(pc.is_valid(values), pc.is_in(values, value_set=unknown)))
        if len(rows):
            sheet.add(item, Fault("reference", rows, "所引用的编码尚未登记，本行保留待关联"))
    return sheet.findings()


def _look_into(
    sheet: Sheet, children: Children, parents: int, today: date, code_lists: Mapping[str, CodeList] | None
) -> None:
    """Hold child rows to the rules of their own items, and an item that must have any to that."""
    item = children.item
    inner = check(
        children.batch, item.rows, key=(), version=None, today=today, code_lists=code_lists, found=children.findings
    )
    sheet.add_within(children.told(inner.findings))
    if item.mandatory and len(rows := children.childless(parents)):
        sheet.add(item, Fault("mandatory", rows, "至少要有一个子表行"))


def _require(sheet: Sheet, item: Item, values: pa.Array, rule: str) -> None:
    textual = item.type in "CM"
    if textual:
        missing = (byte_lengths(values) <= 0) | mask(pc.fill_null(pc.utf8_is_space(values), fill_value=False))
    else:
        missing = mask(pc.is_null(values))
    rows = rows_where(missing)
    if len(rows):
        reasons = {"key": "业务主键不能为空", "version": "版本不能为空", "mandatory": "必填，现为空"}
        sheet.add(item, Fault(rule, rows, reasons[rule]))


def _limit(sheet: Sheet, item: Item, values: pa.StringArray, length: int) -> None:
    # No text has more characters than bytes: most columns are settled by their offsets alone.
    long = rows_where(byte_lengths(values) > length)
    if len(long) == 0:
        return
    characters = pc.utf8_length(values.take(indices(long))).to_numpy()
    rows, found = long[characters > length], characters[characters > length].tolist()
    if len(rows):
        sheet.add(item, Fault("length", rows, [f"{count} 个字符，最多 {length} 个" for count in found]))


def _list(sheet: Sheet, item: Item, values: pa.Array, listing: CodeList) -> None:
    codes = pa.array(list(listing.codes), pa.string())
    text = values if pa.types.is_string(values.type) else values.cast(pa.string())
    rows = rows_where(mask(pc.is_valid(text)) & ~mask(pc.is_in(text, value_set=codes)))
    if len(rows):
        sheet.add(item, Fault("code_list", rows, f"不在代码表「{listing.label}」中"))
    for code, reason in listing.barred.items():
        rows = rows_where(mask(pc.fill_null(pc.equal(text, code), fill_value=False)))
        if len(rows):
            sheet.add(item, Fault("original", rows, reason))


def _verify(sheet: Sheet, item: Item, values: pa.StringArray, today: date) -> None:
    rule = str(item.check)
    found = verdicts(rule, values, today)
    if not found.any():
        return
    for verdict, reason in _REASONS[rule].items():
        rows = np.flatnonzero(found == verdict).astype(np.int64)
        if len(rows) == 0:
            continue
        reasons: str | list[str] = reason
        if verdict is Verdict.SHAPE:
            lengths = pc.utf8_length(values.take(indices(rows))).to_pylist()
            reasons = [f"{reason}，现为 {length} 个字符" for length in lengths]
        sheet.add(item, Fault(rule, rows, reasons))
