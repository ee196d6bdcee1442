"""Values as the texts that XML Schema gives them (规范文本)."""

from __future__ import annotations

import base64

import pyarrow as pa
import pyarrow.compute as pc


def texts(column: pa.Array, *, hexadecimal: bool = False) -> pa.Array:
    """A column as text: ISO dates, instants in UTC with ``Z``, plain decimals, true and false, base64.

    A time without zone stays without one: what zone it is of, whoever types it says.

    Args:
        column: Values of one type.
        hexadecimal: Bytes as ``xs:hexBinary`` has them.
    """
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        written = (
            (lambda value: value.hex().upper()) if hexadecimal else (lambda value: base64.b64encode(value).decode())
        )
        return pa.array([None if value is None else written(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    text = pc.cast(column, pa.string())
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        return pc.replace_substring_regex(text, r"\.0+(Z?)$", r"\1")
    if pa.types.is_decimal(kind) and pc.any(pc.match_substring(text, "E")).as_py():
        return pa.array([None if value is None else format(value, "f") for value in column.to_pylist()], pa.string())
    if pa.types.is_floating(kind):
        for ours, theirs in (("inf", "INF"), ("nan", "NaN")):
            text = pc.replace_substring(text, ours, theirs)
    return text
