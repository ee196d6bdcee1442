"""Business keys as one text: a JSON array of what is written in the key columns, in order.

It identifies a row bytewise whatever the collations of its columns are, and can be read back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from adapters.database.dialects.types import plain
from adapters.errors import Malformed, Misconfigured, Refused
from schemas.child_rows import quoted

KEY_LENGTH, SCOPE_LENGTH = 512, 120


def key_text(columns: Sequence[pa.Array], names: Sequence[str]) -> pa.Array:
    """The key text of each row, from the fitted values of its key columns.

    Raises:
        Malformed: a key value is null.
        Refused: a key is longer than the tables beside the target can hold.
    """
    for values, name in zip(columns, names, strict=True):
        if values.null_count:
            raise Malformed(f"业务主键 {name} 为空", remedy="在校验中拒收没有业务主键的行")
    if not columns:
        raise Misconfigured("挂接没有业务主键", remedy="写明业务主键")
    text = row_text(columns)
    longest = pc.max(pc.utf8_length(text)).as_py()
    if longest is not None and longest > KEY_LENGTH:
        raise Refused(f"业务主键超过 {KEY_LENGTH} 个字符", remedy="缩短业务主键，或换用流水号作主键")
    return text


def row_text(columns: Sequence[pa.Array]) -> pa.Array:
    """The values of each row as a JSON array of texts and nulls."""
    texts = [quoted(plain(values)) for values in columns]
    joined = pc.binary_join_element_wise(*texts, ",") if len(texts) > 1 else texts[0]
    return pc.binary_join_element_wise(pa.scalar("["), joined, pa.scalar("]"), "")


def key_values(texts: Iterable[str], names: Sequence[str]) -> Mapping[str, pa.Array]:
    """The texts of the key values again, by name."""
    rows = [json.loads(text) for text in texts]
    return {name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(names)}


def scope_text(fixed: Mapping[str, str]) -> str:
    """Constant columns that belong to the key, as one text."""
    return json.dumps(dict(sorted(fixed.items())), ensure_ascii=False, separators=(",", ":"))
