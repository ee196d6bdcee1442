from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.database.keys import key_text, key_values, scope_text
from adapters.errors import Malformed, Misconfigured, Refused

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_keys_are_json_and_come_back(rows: list[tuple[str, str]]) -> None:
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    texts = key_text(columns, ["a", "b"]).to_pylist()
    assert [tuple(json.loads(text)) for text in texts] == rows
    assert len(set(texts)) == len(set(rows))
    again = key_values(texts, ["a", "b"])
    assert list(zip(*(again[name].to_pylist() for name in "ab"), strict=True)) == rows


@given(st.lists(TEXTS, min_size=1, max_size=5), st.lists(TEXTS, min_size=1, max_size=5))
def test_a_key_has_one_text_whatever_its_batch(first: list[str], second: list[str]) -> None:
    """A control character in a neighbour takes another road to the same text."""
    together = key_text([pa.array(first + second)], ["a"]).to_pylist()
    apart = key_text([pa.array(first)], ["a"]).to_pylist() + key_text([pa.array(second)], ["a"]).to_pylist()
    assert together == apart


def test_numbers_are_written_as_texts() -> None:
    assert key_text([pa.array([1, -2]), pa.array(["a", "b"])], ["n", "t"]).to_pylist() == ['["1","a"]', '["-2","b"]']
    assert key_text([pa.array([], pa.string())], ["a"]).to_pylist() == []


def test_what_cannot_be_a_key() -> None:
    with pytest.raises(Malformed, match="b 为空"):
        key_text([pa.array(["x"]), pa.array([None], pa.string())], ["a", "b"])
    with pytest.raises(Refused) as caught:
        key_text([pa.array(["秘" * 600])], ["a"])
    assert "秘" not in caught.value.message
    with pytest.raises(Misconfigured):
        key_text([], [])


def test_a_scope_does_not_depend_on_the_order_of_writing() -> None:
    assert scope_text({"b": "甲", "a": "1"}) == scope_text({"a": "1", "b": "甲"}) == '{"a":"1","b":"甲"}'
    assert scope_text({}) == "{}"
