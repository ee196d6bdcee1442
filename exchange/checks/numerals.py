"""Numbers from text and from the sources' own types: exactly, or not at all.

Nothing passes through a binary floating-point number unless the item itself is one. A native float for a
decimal item is taken by its shortest decimal text, as its source would print it.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import blank, byte_set, content, flags, holds_only, indices, mask, rows_where
from exchange.checks.findings import Fault, Mask

Numbers = npt.NDArray[np.int64]
Parsed = tuple[pa.Array, list[Fault]]
"""Typed values, null where a fault says why."""

_WHOLE_BYTES = byte_set(b"0123456789-")
_PLAIN_BYTES = byte_set(b"0123456789-.")
_SEPARATED = r"^[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?$"
_PLAIN = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$"
_PARTS = r"^(?P<sign>[+-]?)0*(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*?)0*)?$"
_FLOATING = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?$"
_LARGEST = 2**63 - 1
_WIDEST_INTEGER = 19
"""Digits of the largest 64-bit integer."""
_WIDEST_DECIMAL = 76
"""Digits of the widest decimal Arrow has."""

_TRUE = pa.array(["1", "true", "y", "是"])
_FALSE = pa.array(["0", "false", "n", "否"])


def decimals_from_text(text: pa.StringArray, precision: int, scale: int) -> Parsed:
    """Decimals of so many digits; thousands separators are understood, exponents are not."""
    kind = pa.decimal128(precision, scale)
    if holds_only(text, _PLAIN_BYTES):
        try:
            return text.cast(kind), []
        except pa.ArrowInvalid:
            pass  # one of them does not fit: find out which
    text = _unseparated(text)
    plain = mask(pc.match_substring_regex(text, _PLAIN))
    strange = mask(pc.is_valid(text)) & ~plain
    length, point = _counts(pc.binary_length(text)), _counts(pc.find_substring(text, "."))
    whole = np.where(point < 0, length, point)
    part = np.where(point < 0, 0, length - point - 1)
    # Signs and zeros that mean nothing are counted so far: look closer at the few that seem too long.
    doubted = plain & ((whole > precision - scale) | (part > scale))
    doubtful = rows_where(doubted)
    if len(doubtful):
        parts = pc.extract_regex(text.take(indices(doubtful)), pattern=_PARTS)
        pieces = [pc.struct_field(parts, name) for name in ("sign", "whole", "part")]
        whole[doubtful], part[doubtful] = _counts(pc.binary_length(pieces[1])), _counts(pc.binary_length(pieces[2]))
        short = pc.binary_join_element_wise(pieces[0], "0", pieces[1], ".", pieces[2], "")
        text = pc.replace_with_mask(text, flags(doubted), short)
    faults = [
        Fault("type", rows_where(strange), "应为数字"),
        *_misfits(whole, part, plain, precision, scale),
    ]
    faults = [fault for fault in faults if len(fault.rows)]
    for fault in faults:
        text = blank(text, fault.rows)
    return text.cast(kind), faults


def _counts(counts: pa.Int32Array) -> Numbers:
    return np.asarray(pc.fill_null(counts, 0).to_numpy(), np.int64)


def _misfits(
    whole: Numbers,
    part: Numbers,
    looked_at: Mask,
    precision: int,
    scale: int,
) -> list[Fault]:
    long = rows_where(looked_at & (whole > precision - scale))
    fine = rows_where(looked_at & (whole <= precision - scale) & (part > scale))
    most = f"最多 {precision - scale} 位"
    finest = f"最多 {scale} 位小数" if scale else "应为整数"
    return [
        Fault("length", long, [f"整数部分 {digits} 位，{most}" for digits in whole[long].tolist()]),
        Fault("scale", fine, [f"有 {digits} 位小数，{finest}" for digits in part[fine].tolist()]),
    ]


def decimals_from_exact(values: pa.Array, precision: int, scale: int) -> Parsed:
    """Decimals from integers and decimals of the source."""
    kind = pa.decimal128(precision, scale)
    if pa.types.is_integer(values.type):
        values = values.cast(pa.decimal128(20, 0))
    try:
        return values.cast(kind), []
    except pa.ArrowInvalid:
        pass  # one of them does not fit: find out which
    own = values.type.scale
    values = values.cast(pa.decimal256(_WIDEST_DECIMAL, own))
    cut = values.cast(pa.decimal256(_WIDEST_DECIMAL, scale), safe=False) if own > scale else values
    fine = mask(pc.not_equal(cut.cast(values.type), values)) if own > scale else np.zeros(len(values), np.bool_)
    long = np.zeros(len(values), np.bool_)
    if precision - scale + own < _WIDEST_DECIMAL:
        long = mask(pc.greater_equal(pc.abs(values), pa.scalar(Decimal(10) ** (precision - scale), values.type)))
    faults = [
        Fault("length", rows_where(long), f"整数部分最多 {precision - scale} 位"),
        Fault("scale", rows_where(fine & ~long), f"最多 {scale} 位小数" if scale else "应为整数"),
    ]
    faults = [fault for fault in faults if len(fault.rows)]
    for fault in faults:
        values = blank(values, fault.rows)
    return values.cast(kind), faults


def integers_from_text(text: pa.StringArray) -> Parsed:
    """64-bit integers; ``12.00`` is one, ``12.5`` is not."""
    if holds_only(text, _WHOLE_BYTES):
        try:
            return text.cast(pa.int64()), []
        except pa.ArrowInvalid:
            pass  # one of them does not fit: find out which
    return _narrow(*decimals_from_text(text, _WIDEST_INTEGER, 0))


def integers_from_exact(values: pa.Array) -> Parsed:
    """64-bit integers from integers and decimals of the source."""
    try:
        return values.cast(pa.int64()), []
    except pa.ArrowInvalid:
        return _narrow(*decimals_from_exact(values, _WIDEST_INTEGER, 0))


def _narrow(values: pa.Decimal128Array, faults: list[Fault]) -> Parsed:
    bounds = [pa.scalar(Decimal(bound), values.type) for bound in (-_LARGEST - 1, _LARGEST)]
    beyond = rows_where(pc.or_(pc.less(values, bounds[0]), pc.greater(values, bounds[1])))
    if len(beyond):
        faults = [*faults, Fault("length", beyond, "超出 64 位整数的范围")]
    return blank(values, beyond).cast(pa.int64()), faults


def floats_from_text(text: pa.StringArray) -> Parsed:
    """Finite double-precision numbers."""
    text = _unseparated(text)
    strange = rows_where(mask(pc.is_valid(text)) & ~mask(pc.match_substring_regex(text, _FLOATING)))
    values, faults = floats_from_numbers(blank(text, strange))
    if len(strange):
        faults = [Fault("type", strange, "应为数字"), *faults]
    return values, faults


def floats_from_numbers(values: pa.Array) -> Parsed:
    """Finite double-precision numbers from any numbers, or from text that is known to be one."""
    values = values.cast(pa.float64(), safe=False)
    endless = rows_where(mask(pc.is_valid(values)) & ~mask(pc.is_finite(values)))
    if len(endless) == 0:
        return values, []
    return blank(values, endless), [Fault("type", endless, "不是有限的数")]


def truths_from_text(text: pa.StringArray) -> Parsed:
    """Truth values written 1/0, true/false, Y/N, 是/否."""
    folded = pc.utf8_lower(text)
    yes = pc.is_in(folded, value_set=_TRUE)
    known = mask(pc.or_(yes, pc.is_in(folded, value_set=_FALSE)))
    strange = rows_where(mask(pc.is_valid(text)) & ~known)
    values = pc.if_else(pc.is_valid(text), yes, pa.scalar(None, pa.bool_()))
    if len(strange) == 0:
        return values, []
    return blank(values, strange), [Fault("type", strange, "应为是/否（1/0、true/false、Y/N、是/否）")]


def _unseparated(text: pa.StringArray) -> pa.StringArray:
    """Numbers without their thousands separators; commas elsewhere stay."""
    if not (content(text) == ord(",")).any():
        return text
    separated = pc.match_substring_regex(text, _SEPARATED)
    if not mask(separated).any():
        return text
    return pc.if_else(separated, pc.replace_substring(text, ",", ""), text)
