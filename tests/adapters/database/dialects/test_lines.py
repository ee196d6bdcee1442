from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from adapters.database.dialects import lines
from adapters.database.shapes import Reading
from adapters.errors import Malformed


def reading(kind: pa.DataType, name: str = "c") -> Reading:
    return Reading(sa.column(name), kind, kind, None, name)


TEXTS = st.lists(st.tuples(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"))), min_size=1)


@given(TEXTS, st.sampled_from(['"', "\x01"]))
def test_texts_pass_whatever_is_in_them(rows: list[tuple[str | None]], quote: str) -> None:
    def line(text: str | None) -> bytes:
        return b"5," + (b"" if text is None else f"{quote}{text.replace(quote, quote * 2)}{quote}".encode()) + b"\n"

    kinds = [reading(pa.int64()), reading(pa.string())]
    numbers, texts = lines.parsed([line(text) for (text,) in rows], kinds, quote)
    assert numbers.to_pylist() == [5] * len(rows)
    assert texts.to_pylist() == [text for (text,) in rows]


def test_nulls_empties_and_types() -> None:
    kinds = [reading(pa.string()), reading(pa.bool_()), reading(pa.decimal128(5, 2)), reading(pa.date32())]
    columns = lines.parsed([b'"",t,1.50,2024-02-29\n', b",,,\n", b"x,0,-0.01,0001-01-01\n"], kinds)
    assert [column.null_count for column in columns] == [1, 1, 1, 1]
    assert columns[0].to_pylist() == ["", None, "x"]
    assert columns[1].to_pylist() == [True, None, False]


def test_a_value_of_another_type_names_its_column() -> None:
    with pytest.raises(Malformed, match="列 born") as caught:
        lines.parsed([b"1,2024-01-01\n", b"2,secret\n"], [reading(pa.int64()), reading(pa.date32(), "born")])
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_lost_row_is_noticed() -> None:
    with pytest.raises(Malformed, match="行数"):
        lines.parsed([b"1\n", b"\n"], [reading(pa.int64())])


def test_batches_end_by_rows_or_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(group) for group in lines.batched([b"x"] * 7, 3)] == [3, 3, 1]
    assert list(lines.batched([], 3)) == []
    monkeypatch.setattr(lines, "ROW_BYTES", 10)
    assert [len(group) for group in lines.batched([b"1234"] * 7, 100)] == [3, 3, 1]


def test_finishing_takes_chunks() -> None:
    chunked = pa.chunked_array([[1], [2]])
    step = Reading(sa.column("c"), pa.int64(), pa.int64(), lambda values: pc.add(values, 1), "c")
    assert lines.finished(chunked, step).to_pylist() == [2, 3]
    assert lines.finished(chunked, reading(pa.int64())).to_pylist() == [1, 2]


def test_written_lines_tell_null_from_empty() -> None:
    arrays = {"a": pa.array(["", None, 'x"\n']), "b": pa.array([1, None, 3])}
    assert bytes(lines.written(arrays)) == b'"","1"\n,\n"x""\n","3"\n'


@given(st.lists(st.none() | st.binary()))
def test_bytes_go_and_come_in_hexadecimal(values: list[bytes | None]) -> None:
    array = pa.array(values, pa.binary())
    assert lines.unhexed(lines.hexed(array, "")).equals(array)
    assert lines.hexed(pa.array([b"\xff"]), "\\x").to_pylist() == ["\\xff"]
