"""Texts that lie in a database as bytes it does not understand: decoded here, or shown to be none.

Arrow's text columns are handed over unvalidated: what is not UTF-8 in them is a refused row with its place, found
when the batch is typed, and never a value that somebody guessed.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from adapters.base import Binding
from adapters.errors import Malformed

NO_TEXT = b"\xff"
"""Stands before bytes that are no text, so that none of them can pass for one: no UTF-8 begins with it."""
_SETTLED = frozenset({"outbox", "batches"})


def as_text(raw: pa.Array) -> pa.Array:
    """Bytes as text, whether they are one or not."""
    return pa.Array.from_buffers(pa.string(), len(raw), raw.buffers(), raw.null_count, raw.offset)


def decoded(texts: pa.Array, encoding: str) -> pa.Array:
    """Texts of another encoding as Unicode; what cannot be decoded is no text."""
    raw = texts.cast(pa.binary())
    if not _beyond_ascii(raw):
        return texts
    coded = raw.dictionary_encode()
    made = [_decoded(each, encoding) for each in coded.dictionary.to_pylist()]
    return as_text(pa.array(made, pa.binary()).take(coded.indices))


def told(references: pa.Array, encoding: str | None) -> pa.Array:
    """References as text that can be kept and shown, whatever the keys in them are made of."""
    raw = references.cast(pa.binary())
    if not _beyond_ascii(raw) or (encoding is None and _valid(references)):
        return references
    return pa.array([_told(each, encoding or "utf-8") for each in raw.to_pylist()], pa.string())


def encoding_misfits(encoding: str | None, binding: Binding, *, sink: bool) -> list[str]:
    """What cannot be done where the texts are in an encoding that the database does not know."""
    if encoding is None:
        return []
    if sink:
        return [f"端点的文字按 {encoding} 解读（选项 encoding），只能作来源，不能作目标"]
    problems = []
    if binding.options.get("children"):
        problems.append(f"端点的文字按 {encoding} 解读（选项 encoding），不能带子表（选项 children）")
    if binding.capture in _SETTLED:
        problems.append(f"端点的文字按 {encoding} 解读（选项 encoding），不能以 {binding.capture} 方式读取和回写")
    if not "".join(binding.fixed.values()).isascii():
        problems.append(f"端点的文字按 {encoding} 解读（选项 encoding），固定值只能是 ASCII 字符")
    return problems


def _beyond_ascii(raw: pa.Array) -> bool:
    _, places, content = raw.buffers()
    if content is None or len(raw) == 0:
        return False
    bounds = np.frombuffer(places, np.int32)
    used = np.frombuffer(content, np.uint8)[bounds[raw.offset] : bounds[raw.offset + len(raw)]]
    return bool(used.max(initial=0) >= 128)


def _valid(texts: pa.Array) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _decoded(raw: bytes | None, encoding: str) -> bytes | None:
    if raw is None:
        return None
    try:
        return raw.decode(encoding).encode()
    except UnicodeDecodeError:
        return NO_TEXT + raw


def _told(raw: bytes, encoding: str) -> str:
    # Taken apart byte by byte: the second byte of a character may be the sign that JSON escapes with.
    try:
        parts = json.loads(raw.decode("latin-1"), strict=False)
    except ValueError:
        raise Malformed("行标识读不出来", remedy="检查业务主键列的文字编码") from None
    texts = [part and part.encode("latin-1", "ignore").decode(encoding, "backslashreplace") for part in parts]
    return json.dumps(texts, ensure_ascii=False)
