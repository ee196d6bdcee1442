"""A source batch as its items say it is: typed, and free of the noise of real sources.

What is changed, and nothing else:

- Characters (C): blanks around the value go, the full-width blank U+3000 among them. Remarks (M) stay as
  they are to the last blank: they hold whole forms and signed text.
- Codes (items with a code list or a check): full-width letters, digits and brackets become ASCII, empty
  text becomes null; where the list ignores case the code is written as the list writes it; letters of
  identity numbers (the final ``x``) become upper case. A code that its list knows as it stands is left so.
- Numbers, dates, times, truth values: read from text in the ways listed in :mod:`exchange.checks.numerals`
  and :mod:`exchange.checks.instants`; empty text becomes null, and so does a placeholder (暂无, 无, -,
  NULL…) where the item is not mandatory.
- Bytes (G): taken as they are; from text, read as Base64, as SOAP writes them.
- Documents (G with ``document``): the text that stands for a file, taken as it is; empty text becomes null.
- Child rows (子表行, items with items of their own): read from the JSON array that they come as, typed as rows
  of their own and written in the one form of :mod:`schemas.child_rows`; nothing at all becomes an empty array.
- Values that the source typed itself are converted exactly or not at all.

What cannot be read is a finding and a null in the typed batch; the source batch keeps the value.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks import instants, numerals, texts
from exchange.checks.buffers import blank, mask, plain, rows_where
from exchange.checks.child_rows import Children
from exchange.checks.findings import Fault, Finding, Mask, Sheet
from exchange.checks.numerals import Parsed
from exchange.errors import Invalid, Problem, Unknown
from schemas import ITEM_TYPES, CodeList, Item, SchemaError, arrow_schema, arrow_type, code_list
from schemas.child_rows import unpacked
from schemas.documents import PATTERN

OPERATION = "_operation"
REFERENCE = "_reference"
DELETE = 1
"""Value of ``_operation`` for a deletion (删除)."""
_KEPT = 64
"""Schemas that are kept."""
_DELETE = pa.scalar(DELETE, pa.int8())


@dataclass(frozen=True, slots=True)
class Normalised:
    """A typed batch and what could not be typed.

    Attributes:
        batch: The items in order with their registered types, then the two reserved columns as they came.
        findings: Values that could not be read, null in ``batch``.
        children: The child rows of each item that has any.
    """

    batch: pa.RecordBatch
    findings: list[Finding]
    children: Mapping[str, Children] = field(default_factory=dict)


def normalise(
    batch: pa.RecordBatch,
    items: Sequence[Item],
    zone: str,
    *,
    key: Collection[str],
    version: str | None = None,
    code_lists: Mapping[str, CodeList] | None = None,
    sure: Mapping[str, pa.Array] = MappingProxyType({}),
) -> Normalised:
    """Type a source batch by its items.

    Args:
        batch: Every item under its name, as text or as the source types it, and the two reserved columns.
        items: The items in the order of the resource.
        zone: IANA name of the zone of the source's zone-less times.
        key: Items of the business key. In a row marked as a deletion only these and the version count.
        version: Item of the version, if there is one.
        code_lists: Code lists by name; by default those of ``schemas``.
        sure: Columns that are typed already, see :mod:`exchange.checks.plainly`.

    Raises:
        Invalid: a column is missing, or the zone does not exist.
        Unknown: an item names a code list that does not exist.
    """
    _require_columns(batch, items)
    instants.require_zone(zone)
    lists = lists_of(items, code_lists)
    sheet = Sheet(batch.num_rows, deletions(batch), {*key, version})
    columns = []
    children: dict[str, Children] = {}
    for item in items:
        if item.name in sure:
            columns.append(sure[item.name])
            continue
        if item.rows:
            inner, values, faults = _children(plain(batch.column(item.name)), item, zone, code_lists)
            for fault in faults:
                sheet.add(item, fault)
            sheet.add_within(inner.told(inner.findings))
            children[item.name] = inner
            columns.append(values)
            continue
        listing = lists[item.code_list] if item.code_list else None
        values, faults = _typed(plain(batch.column(item.name)), item, zone, listing)
        for fault in faults:
            sheet.add(item, fault)
        columns.append(values)
    reserved = [OPERATION, REFERENCE]
    schema = _schema_of(items)
    for name in reserved:
        schema = schema.append(batch.schema.field(name))
    columns += [batch.column(name) for name in reserved]
    return Normalised(pa.RecordBatch.from_arrays(columns, schema=schema), sheet.findings(), children)


_schemas: dict[int, tuple[Sequence[Item], pa.Schema]] = {}


def _schema_of(items: Sequence[Item]) -> pa.Schema:
    """The schema of items; of the same items it is made once."""
    kept = _schemas.get(id(items))
    if kept is not None and kept[0] is items:
        return kept[1]
    schema = arrow_schema(items)
    # What can be changed is not the same for long; what cannot is kept alive here, so that its id stays its own.
    if isinstance(items, tuple):
        if len(_schemas) >= _KEPT:
            _schemas.clear()
        _schemas[id(items)] = items, schema
    return schema


def deletions(batch: pa.RecordBatch) -> Mask:
    """Which rows are marked as deletions."""
    return mask(pc.equal(batch.column(OPERATION), _DELETE))


def lists_of(items: Sequence[Item], code_lists: Mapping[str, CodeList] | None) -> dict[str, CodeList]:
    """The code lists that items name.

    Raises:
        Unknown: there is no such list.
    """
    named = dict.fromkeys(item.code_list for item in items if item.code_list)
    try:
        return {name: code_list(name) if code_lists is None else code_lists[name] for name in named}
    except (SchemaError, KeyError) as error:
        raise Unknown(f"没有所引用的代码表：{error}", remedy="在 schemas/ 中补充代码表，或修改信息项") from error


def _require_columns(batch: pa.RecordBatch, items: Sequence[Item]) -> None:
    names = set(batch.schema.names)
    missing = [item for item in items if item.name not in names]
    problems = [Problem(f"信息项 {item.name}", f"源数据中没有「{item.label}」这一列") for item in missing]
    problems += [Problem(name, "源数据中没有这一保留列") for name in (OPERATION, REFERENCE) if name not in names]
    if problems:
        raise Invalid(
            "源数据的列与登记的信息项不符：" + "；".join(str(problem) for problem in problems),
            problems,
            remedy="核对挂接的列对应关系",
        )


def _typed(source: pa.Array, item: Item, zone: str, listing: CodeList | None) -> Parsed:
    """A column with the type of its item, and what could not be typed."""
    kind = source.type
    if pa.types.is_null(kind):
        return source.cast(arrow_type(item)), []
    if item.document:
        return _documents(source)
    if item.type == "G":
        return _bytes(source)
    if item.type in "CM":
        return _characters(source, item, zone, listing)
    if pa.types.is_string(kind):
        return _from_text(source, item, zone)
    native = _from_native(source, item, zone)
    return native if native is not None else _unfit(source, item)


def _children(
    source: pa.Array, item: Item, zone: str, code_lists: Mapping[str, CodeList] | None
) -> tuple[Children, pa.Array, list[Fault]]:
    """Child rows typed by their own items, their canonical texts, and what are no child rows."""
    text, faults = _characters(source, Item(name=item.name, label=item.label, type="M"), zone, None)
    found = unpacked(text, [each.name for each in item.rows])
    many = len(found.owners)
    columns = {
        **found.columns,
        OPERATION: pa.array(np.zeros(many, np.int8)),
        REFERENCE: pa.nulls(many, pa.string()),
    }
    typed = normalise(pa.RecordBatch.from_pydict(columns), item.rows, zone, key=(), code_lists=code_lists)
    inner = Children(item, found.owners, found.places, typed.batch, typed.findings)
    wrong = np.array(sorted(found.wrong), np.int64)
    if len(wrong):
        faults = [*faults, Fault("type", wrong, [found.wrong[row] for row in wrong.tolist()])]
    return inner, blank(inner.canonical(len(text)), wrong), faults


def _characters(source: pa.Array, item: Item, zone: str, listing: CodeList | None) -> Parsed:
    kind = source.type
    faults: list[Fault] = []
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        text, faults = texts.representable(source)
    elif pa.types.is_temporal(kind):
        text = instants.written(source, zone)
    elif pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        text = source.cast(pa.string())
    elif pa.types.is_boolean(kind):
        text = source.cast(pa.int8()).cast(pa.string())
    else:
        return _unfit(source, item)
    if item.type == "C":
        text = pc.utf8_trim_whitespace(text)
    if listing is not None:
        text = texts.listed_codes(texts.nothing_as_null(text), listing)
    if item.check is not None:
        text = texts.half_width(texts.nothing_as_null(text))
    if item.check == "identity_number":
        text = pc.ascii_upper(text)
    return text, faults


def _from_text(source: pa.StringArray, item: Item, zone: str) -> Parsed:
    text, faults = texts.representable(source)
    text = texts.bare(text, mandatory=item.mandatory)
    kind = arrow_type(item)
    if pa.types.is_decimal(kind):
        values, more = numerals.decimals_from_text(text, kind.precision, kind.scale)
    elif item.type == "I":
        values, more = numerals.integers_from_text(text)
    elif item.type == "L":
        values, more = numerals.truths_from_text(text)
    elif item.type == "D":
        values, more = instants.dates_from_text(text)
    elif item.type == "T":
        values, more = instants.instants_from_text(text, zone)
    else:
        values, more = numerals.floats_from_text(text)
    return values, faults + more


def _from_native(source: pa.Array, item: Item, zone: str) -> Parsed | None:
    """Values that the source typed, or None where its type cannot mean what the item is."""
    kind = source.type
    if pa.types.is_boolean(kind) and item.type != "L":
        source = source.cast(pa.int8())
        kind = source.type
    exact = pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    number = exact or pa.types.is_floating(kind)
    moment = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    target = arrow_type(item)
    if item.type == "D" and moment:
        return instants.dates_from_native(source, zone)
    if item.type == "T" and moment:
        return instants.instants_from_native(source, zone)
    if item.type == "I" and exact:
        return numerals.integers_from_exact(source)
    if pa.types.is_decimal(target) and exact:
        return numerals.decimals_from_exact(source, target.precision, target.scale)
    if item.type in "BF" and number:
        return numerals.floats_from_numbers(source)
    if item.type == "L" and pa.types.is_boolean(kind):
        return source, []
    if number and not (item.type == "T" or (item.type == "D" and not exact)):
        # 1 for yes, 20250102 for a day, a float for an amount: read as the source would print it.
        return _from_text(source.cast(pa.string()), item, zone)
    return None


def _unfit(source: pa.Array, item: Item) -> Parsed:
    rows = rows_where(pc.is_valid(source))
    reason = f"来源列的类型 {source.type} 不能作为{ITEM_TYPES[item.type]}"
    faults = [Fault("type", rows, reason)] if len(rows) else []
    return pa.nulls(len(source), arrow_type(item)), faults


def _documents(source: pa.Array) -> Parsed:
    """References to files that the hub has taken; why one was not taken, its text says."""
    if not pa.types.is_string(source.type):
        return pa.nulls(len(source), pa.string()), [
            Fault("document", rows_where(pc.is_valid(source)), f"来源列的类型 {source.type} 不能作为附件")
        ]
    text, unreadable = texts.representable(source)
    text = texts.nothing_as_null(text)
    strange = mask(pc.invert(pc.fill_null(pc.match_substring_regex(text, PATTERN), fill_value=True)))
    faults = [Fault("document", fault.rows, fault.reasons) for fault in unreadable]
    rows = rows_where(strange)
    if len(rows):
        faults.append(Fault("document", rows, "不是平台收取的附件：附件应由提供方放入交换目录，随数据文件一并收取"))
    return blank(text, rows) if len(rows) else text, faults


def _bytes(source: pa.Array) -> Parsed:
    if pa.types.is_binary(source.type):
        return source, []
    if not pa.types.is_string(source.type):
        return pa.nulls(len(source), pa.binary()), [
            Fault("type", rows_where(pc.is_valid(source)), f"来源列的类型 {source.type} 不能作为通用型")
        ]
    # Attachments are few and large: one call each is what there is to do.
    decoded: list[bytes | None] = []
    strange = []
    for row, text in enumerate(source.cast(pa.binary()).to_pylist()):
        try:
            decoded.append(None if text is None else base64.b64decode(b"".join(text.split()), validate=True))
        except binascii.Error:
            decoded.append(None)
            strange.append(row)
    faults = [Fault("type", np.array(strange, np.int64), "应为 Base64 编码的内容")] if strange else []
    return pa.array(decoded, pa.binary()), faults
