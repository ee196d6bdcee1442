from __future__ import annotations

import io

import pyarrow as pa
import pytest

from adapters.errors import Malformed
from adapters.files.formats.base import (
    Drain,
    NamedReader,
    bare,
    closed_on_error,
    first_where,
    names_of,
    spooled,
)


def _reader(*pieces: list[dict[str, str | None]], expected: tuple[str, ...] = ()) -> NamedReader:
    places = iter(range(1, 100))
    return NamedReader(iter([([next(places) for _ in piece], piece) for piece in pieces]), "a.jsonl", expected)


def test_the_header_is_what_records_name() -> None:
    reader = _reader([{"a": "1"}, {"b": "2", "a": None}], [{"c": "3", "a": "4"}])
    assert reader.header == ("a", "b")
    found = [(places.to_pylist(), batch.to_pylist()) for places, batch in reader.batches([1, 0])]
    assert found == [
        ([1, 2], [{"1": None, "0": "1"}, {"1": "2", "0": None}]),
        ([3], [{"1": None, "0": "4"}]),
    ]
    assert reader.records == 3


def test_a_column_that_only_later_records_have() -> None:
    reader = _reader([{"a": "1"}], [{"c": "3"}], expected=("a", "c"))
    assert reader.header == ("a", "c")
    assert [batch.to_pylist() for _, batch in reader.batches([1])] == [[{"1": None}], [{"1": "3"}]]


def test_a_column_that_no_record_has() -> None:
    reader = _reader([{"a": "1"}], [{"a": "2"}], expected=("a", "姓名"))
    with pytest.raises(Malformed, match="姓名"):
        list(reader.batches([0, 1]))
    assert list(_reader([], expected=("a",)).batches([0])) == []


def test_blanks_in_names_do_not_make_another_column() -> None:
    assert _reader([{"证照\n编号 ": "1"}], expected=("证照编号",)).header == ("证照\n编号 ",)
    assert bare(" 证照\r\n编\u3000号\t") == "证照编号"


def test_half_a_character() -> None:
    with pytest.raises(Malformed, match=r"a\.jsonl 第 2 行") as caught:
        list(_reader([{"a": "x"}, {"a": "\ud800"}]).batches([0]))
    assert "ud800" not in caught.value.message


def test_a_spool_can_be_jumped_about_in() -> None:
    with spooled([b"ab", b"", b"c"]) as file:
        assert file.read() == b"abc"
        assert file.seek(1) == 1
        assert file.read() == b"bc"


def test_a_spool_is_closed_when_its_bytes_fail() -> None:
    file = io.BytesIO()
    with pytest.raises(KeyError), closed_on_error(file):
        raise KeyError
    assert file.closed
    with closed_on_error(kept := io.BytesIO()):
        pass
    assert not kept.closed


def test_a_drain_is_emptied_meanwhile() -> None:
    drain = Drain()
    assert drain.write(b"abc") == 3
    assert (drain.taken(), drain.tell()) == (b"abc", 3)
    assert drain.write(memoryview(b"de")) == 2
    assert (drain.tell(), drain.taken(), drain.taken()) == (5, b"de", b"")


def test_what_masks_and_fields_say() -> None:
    assert first_where(pa.array([False, True, True])) == 1
    schema = pa.schema([pa.field("a", pa.string()), pa.field("b", pa.string(), metadata={"rows": "[]"})])
    assert names_of(schema, b"rows") == {1: b"[]"}
