from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.checks import buffers

TEXTS = ["a", None, "", "二字", "𠮷", "bb"]


@pytest.mark.parametrize(
    "encoded",
    [
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "numeric", "db"), pa.array(TEXTS)),
    ],
)
def test_every_encoding_of_text_becomes_plain(encoded: pa.Array) -> None:
    plain = buffers.plain(encoded)
    assert plain.type == pa.string()
    assert plain.to_pylist() == TEXTS


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)])
def test_every_encoding_of_bytes_becomes_plain(kind: pa.DataType) -> None:
    plain = buffers.plain(pa.array([b"ab", None], kind))
    assert plain.type == pa.binary()
    assert plain.to_pylist() == [b"ab", None]


def test_other_types_stay() -> None:
    assert buffers.plain(pa.array([1, None])).type == pa.int64()


def test_empty_columns_have_no_bytes() -> None:
    for column in (pa.array([], pa.string()), pa.array([None, None], pa.string()), pa.array(["", ""])):
        assert buffers.content(column).tolist() == []
    assert buffers.byte_lengths(pa.array([None, ""], pa.string())).tolist() == [-1, 0]


@given(st.lists(st.none() | st.text(max_size=5), max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_parts_of_a_slice_are_those_of_a_copy(values: list[str | None], start: int, length: int) -> None:
    column = pa.array(values, pa.string()).slice(min(start, len(values)), length)
    values = values[min(start, len(values)) :][:length]
    assert buffers.content(column).tobytes() == "".join(v or "" for v in values).encode()
    assert buffers.byte_lengths(column).tolist() == [-1 if v is None else len(v.encode()) for v in values]


def test_holds_only() -> None:
    digits = buffers.byte_set(b"0123456789")
    assert buffers.holds_only(pa.array(["12", None, ""]), digits)
    assert not buffers.holds_only(pa.array(["12", "1a"]), digits)
    assert buffers.holds_only(pa.array(["a", "12"])[1:], digits)


@given(st.lists(st.booleans(), max_size=20))
def test_flags_and_mask_undo_each_other(chosen: list[bool]) -> None:
    column = buffers.flags(np.array(chosen, np.bool_))
    assert column.to_pylist() == chosen
    assert buffers.mask(column).tolist() == chosen
    assert buffers.rows_where(column).tolist() == [row for row, flag in enumerate(chosen) if flag]


def test_null_is_false_in_a_mask() -> None:
    assert buffers.mask(pa.array([True, None, False])).tolist() == [True, False, False]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_column_from_numbers(values: list[int | None]) -> None:
    numbers = np.array([v or 0 for v in values], np.int64)
    column = buffers.column(numbers, pa.int64(), np.array([v is None for v in values], np.bool_))
    column.validate(full=True)
    assert column.to_pylist() == values


def test_blank_and_indices() -> None:
    column = pa.array(["a", "b", None])
    assert buffers.blank(column, np.zeros(0, np.int64)) is column
    assert buffers.blank(column, np.array([0], np.int64)).to_pylist() == [None, "b", None]
    assert column.take(buffers.indices(np.array([2, 1], np.int64))).to_pylist() == [None, "b"]


def test_matrix_takes_the_values_of_one_width() -> None:
    rows, lines = buffers.matrix(pa.array(["ab", None, "abc", "cd", "二"])[0:4], 2)
    assert rows.tolist() == [0, 3]
    assert [bytes(line) for line in lines] == [b"ac", b"bd"]
    rows, lines = buffers.matrix(pa.array([], pa.string()), 2)
    assert rows.tolist() == []
    assert lines.shape == (2, 0)
