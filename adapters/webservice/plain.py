"""Rows as most services write them, read all at once: ``<row><id>1</id><name>…</name></row><row>…``, and nothing else.

What is read here is only where the tags lie; that the piece is well-formed is for the parser to prove, without calls
into Python. A piece with anything unusual in it (attributes, elements in elements, comments, sections, character
references) is left to :class:`adapters.webservice.reader.RowReader`, which reads every element by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PIECE = 1 << 20
"""Bytes that are read at once, where rows are plain."""
_UNUSUAL = (b"<!", b"<?", b"/>", b"&#", b"\r")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))
_LONGEST_NAME = 256

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """What a piece held.

    Attributes:
        batch: The columns wanted, as texts, named by their places.
        foreign: Elements that nobody asked for, by name.
    """

    batch: pa.RecordBatch
    foreign: Counter[str]


def rows_of(piece: bytes, name: bytes, columns: Sequence[str], *, foreign: int, exact: bool = False) -> Rows | None:
    """The rows of a piece of a document.

    Args:
        piece: From the start of a row to the end of one.
        name: The element of a row as the document spells it, with its prefix.
        columns: Local names of the elements wanted; an attribute (``@id``) is never there.
        foreign: How many elements of one row may be of other names.
        exact: Elements have the row's own prefix, and between them there are blanks at most.

    Returns:
        None: it is no such piece.
    """
    if any(each in piece for each in _UNUSUAL):
        return None
    data = np.frombuffer(piece, np.uint8)
    opens, ends = np.flatnonzero(data == ord("<")), np.flatnonzero(data == ord(">"))
    if len(opens) != len(ends) or not len(opens) or not (np.all(opens < ends) and np.all(ends[:-1] < opens[1:])):
        return None
    closing = data[opens + 1] == ord("/")
    depth = np.cumsum(np.where(closing, -1, 1))
    if depth.min() < 0 or depth.max() != 2 or depth[-1] != 0:
        return None
    row = np.flatnonzero(~closing & (depth == 1))
    leaf = np.flatnonzero(~closing & (depth == 2))
    first, length = opens + 1, ends - opens - 1
    if len(_spelled(data, first, length, row, name)) != len(row) or length[leaf].max() > _LONGEST_NAME:
        return None
    if closing[row + 1].any():  # an element of that name that holds nothing
        return None
    prefix = name[: name.rfind(b":") + 1]
    number = np.searchsorted(row, leaf) - 1
    texts = _between(piece, ends[leaf] + 1, opens[leaf + 1])
    if exact and not _blank(piece, ends, opens, leaf):
        return None
    strange = np.ones(len(leaf), np.bool_)
    arrays = []
    for column in columns:
        spellings = set() if column.startswith("@") else {prefix + column.encode()}
        spellings |= {column.encode()} if spellings and not exact else set()
        found = [_spelled(data, first[leaf], length[leaf], None, spelling) for spelling in spellings]
        places = np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)
        strange[places] = False
        owners = number[places]
        if np.any(owners[1:] == owners[:-1]):
            return None
        arrays.append(_values(texts, places, owners, len(row), entities=b"&" in piece))
    others = _strange(piece, first[leaf], length[leaf], np.flatnonzero(strange))
    if others is None or not others.keys().isdisjoint(columns):
        return None
    if strange.any() and np.bincount(number[strange]).max() > foreign:
        return None
    return Rows(pa.record_batch(arrays, names=[str(place) for place in range(len(arrays))]), others)


def _spelled(
    data: npt.NDArray[np.uint8], first: _Places, length: _Places, among: _Places | None, name: bytes
) -> _Places:
    """Which tags have this very name."""
    found = np.flatnonzero(length == len(name)) if among is None else among[length[among] == len(name)]
    for place in reversed(range(len(name))):
        found = found[data[first[found] + place] == name[place]]
    return found


def _between(piece: bytes, starts: _Places, stops: _Places) -> pa.StringArray:
    """Texts from here to there as every other value of one array, without a copy; between them is the rest."""
    offsets = np.empty(2 * len(starts), np.int32)
    offsets[::2], offsets[1::2] = starts, stops
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(piece)])


def _blank(piece: bytes, ends: _Places, opens: _Places, leaf: _Places) -> bool:
    """Whether nothing but blanks stands between tags, the texts of the elements aside."""
    filled = opens[1:] - ends[:-1] > 1
    filled[leaf] = False
    places = np.flatnonzero(filled)
    if not len(places):
        return True
    gaps = _between(piece, ends[places] + 1, opens[places + 1]).take(pa.array(2 * np.arange(len(places))))
    return bool(pc.all(pc.equal(pc.ascii_trim_whitespace(gaps), "")).as_py())


def _values(texts: pa.StringArray, places: _Places, owners: _Places, rows: int, *, entities: bool) -> pa.Array:
    taken = np.full(rows, -1, np.int64)
    taken[owners] = 2 * places
    column = texts.take(pa.array(taken, mask=taken < 0))
    if entities and pc.any(pc.match_substring(column, "&")).as_py():
        for written, meant in _ENTITIES:
            column = pc.replace_substring(column, written, meant)
    return column


def _strange(piece: bytes, first: _Places, length: _Places, places: _Places) -> Counter[str] | None:
    """Elements of other spellings, by local name; None: what stands there is more than a name."""
    if not len(places):
        return Counter()
    names = _between(piece, first[places], first[places] + length[places]).take(pa.array(2 * np.arange(len(places))))
    told: Counter[str] = Counter()
    for each in pc.value_counts(names).to_pylist():
        if any(letter in each["values"] for letter in " \t\n=/\"'"):
            return None
        told[each["values"].rpartition(":")[2]] += each["counts"]
    return told
