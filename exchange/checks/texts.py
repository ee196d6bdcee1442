"""Text as it comes from real sources: what of it is noise, and what cannot be represented at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import blank, byte_lengths, content, flags, indices, mask, rows_where
from exchange.checks.findings import Fault, Rows
from schemas import CodeList
from schemas.unreadable import why_unreadable

_HALF_WIDTH = {0xFF01 + place: 0x21 + place for place in range(94)} | {0x3000: 0x20}

_PLACEHOLDERS = pa.array(["暂无", "无", "-", "--", "—", "——", "/", "NULL", "null", "Null"])
"""What people write into a number or a date that they do not have."""


def representable(values: pa.Array) -> tuple[pa.StringArray, list[Fault]]:
    """Text or bytes as text; what is not UTF-8 (a lone surrogate, a foreign charset) or holds NUL is a fault.

    No database of ours takes either, and one such value would stop a whole load.
    """
    foreign = _foreign(values)
    faults = []
    if len(foreign):
        values = blank(values, foreign)
        faults.append(Fault("text", foreign, "含有不是 UTF-8 编码的文字"))
    text = values.cast(pa.string())
    if not content(text).all():
        zeros = rows_where(pc.match_substring(text, "\0"))
        if len(zeros):
            # A source that could not read a value without loss says so in one.
            said = text.take(indices(zeros)).to_pylist()
            faults.append(Fault("text", zeros, [why_unreadable(one) or "含有空字符（NUL）" for one in said]))
            text = blank(text, zeros)
    return text, faults


def _foreign(values: pa.Array) -> Rows:
    """Rows that are not UTF-8, found by halving: Arrow says only whether a column as a whole is."""
    found: list[int] = []
    binary = values.cast(pa.binary())
    pending = [(0, len(binary))]
    while pending:
        start, length = pending.pop()
        try:
            binary.slice(start, length).cast(pa.string())
        except pa.ArrowInvalid:
            if length == 1:
                found.append(start)
            else:
                half = length // 2
                pending += [(start, half), (start + half, length - half)]
    return np.array(sorted(found), np.int64)


def half_width(text: pa.StringArray) -> pa.StringArray:
    """Full-width letters, digits and punctuation (全角) as ASCII."""
    if content(text).max(initial=0) < 128:
        return text
    wide = flags(mask(pc.invert(pc.string_is_ascii(text))))
    encoded = text.filter(wide).dictionary_encode()
    narrow = pa.array([value.translate(_HALF_WIDTH) for value in encoded.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(text, wide, narrow.take(encoded.indices))


def bare(text: pa.StringArray, *, mandatory: bool) -> pa.StringArray:
    """The text of a number, date or truth value without its noise.

    Blanks around it go, full-width characters become ASCII, nothing becomes null; so does a placeholder
    (暂无, 无, -, NULL…) unless the item is mandatory.
    """
    text = nothing_as_null(half_width(pc.utf8_trim_whitespace(text)))
    if mandatory:
        return text
    return blank(text, rows_where(pc.is_in(text, value_set=_PLACEHOLDERS)))


def nothing_as_null(text: pa.StringArray) -> pa.StringArray:
    """The same column with null for empty text."""
    return blank(text, rows_where(byte_lengths(text) == 0))


def listed_codes(text: pa.StringArray, listing: CodeList) -> pa.StringArray:
    """Codes as their list writes them: half-width and, where the list ignores case, in its case.

    A value that the list knows as it is stays as it is, and so does one that it does not know at all.
    """
    codes = pa.array(list(listing.codes), pa.string())
    known = mask(pc.is_in(text, value_set=codes))
    if known.all():
        return text
    text = pc.if_else(flags(known), text, half_width(text))
    if not listing.ignore_case:
        return text
    places = pc.index_in(pc.utf8_lower(text), value_set=pc.utf8_lower(codes))
    return pc.if_else(flags(known), text, pc.coalesce(codes.take(places), text))
