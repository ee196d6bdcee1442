from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.checks import texts
from schemas.unreadable import UNREADABLE, unreadable
from tests.exchange.checks.rows import code_lists

UTF8 = st.text(max_size=4).map(lambda text: text.replace("\0", "").encode())
FOREIGN = st.sampled_from([b"\xed\xa0\x80", "姓名".encode("gbk"), b"ab\xff", b"\xf4\x90\x80\x80"])


@given(st.lists(st.none() | UTF8 | FOREIGN, max_size=30))
def test_what_is_not_utf8_is_found_row_by_row(values: list[bytes | None]) -> None:
    foreign = []
    for row, value in enumerate(values):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            foreign.append(row)
    text, faults = texts.representable(pa.array(values, pa.binary()))
    text.validate(full=True)
    assert [row for fault in faults for row in fault.rows.tolist()] == foreign
    assert text.to_pylist() == [
        None if value is None or row in foreign else value.decode() for row, value in enumerate(values)
    ]


def test_text_that_only_claims_to_be_utf8_is_found() -> None:
    offsets = pa.py_buffer(b"\0\0\0\0\3\0\0\0\6\0\0\0")
    column = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xed\xa0\x80abc")])
    text, faults = texts.representable(column)
    assert text.to_pylist() == [None, "abc"]
    assert [(fault.rule, fault.rows.tolist()) for fault in faults] == [("text", [0])]


def test_nul_is_found() -> None:
    text, faults = texts.representable(pa.array(["a\0b", "c", None, "\0", b"\xff\0"[:0].decode()]))
    assert text.to_pylist() == [None, "c", None, None, ""]
    assert [(fault.rule, fault.rows.tolist()) for fault in faults] == [("text", [0, 3])]


def test_a_nul_in_a_neighbouring_slice_concerns_nobody() -> None:
    text, faults = texts.representable(pa.array(["a\0b", "c"])[1:])
    assert (text.to_pylist(), faults) == (["c"], [])


def test_half_width() -> None:
    column = pa.array(["ＡＢ１２（Ｘ）", None, "abc", "张三", "　", "－"])
    assert texts.half_width(column).to_pylist() == ["AB12(X)", None, "abc", "张三", " ", "-"]
    assert texts.half_width(column[2:3]).to_pylist() == ["abc"]


@pytest.mark.parametrize("placeholder", ["暂无", "无", "-", "－", "--", "—", "——", "/", "NULL", "null", " 暂无　"])
def test_placeholders_are_null_unless_mandatory(placeholder: str) -> None:
    assert texts.bare(pa.array([placeholder]), mandatory=False).to_pylist() == [None]
    assert texts.bare(pa.array([placeholder]), mandatory=True).to_pylist() != [None]


def test_bare_takes_blanks_away_and_leaves_the_rest() -> None:
    column = pa.array([" 1 ", "　２　", "", " ", None, "nil", "\u00a03\t"])
    assert texts.bare(column, mandatory=True).to_pylist() == ["1", "2", None, None, None, "nil", "3"]


def test_listed_codes_are_written_as_the_list_writes_them() -> None:
    plain = code_lists(codes=["A1", "b2", "（3）"])["codes"]
    column = pa.array(["A1", "a1", "Ａ１", "（3）", "(3)", "x", None])
    assert texts.listed_codes(column, plain).to_pylist() == ["A1", "a1", "A1", "（3）", "(3)", "x", None]
    folded = code_lists(ignore_case=True, codes=["A1", "b2", "B2"])["codes"]
    column = pa.array(["a1", "ａ１", "b2", "B2", "x", None])
    assert texts.listed_codes(column, folded).to_pylist() == ["A1", "A1", "b2", "B2", "x", None]
    assert texts.listed_codes(pa.array(["A1"]), folded).to_pylist() == ["A1"]


def test_a_nul_under_a_null_concerns_nobody() -> None:
    offsets = pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0")
    column = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\1"), offsets, pa.py_buffer(b"a\0")])
    text, faults = texts.representable(column)
    assert (text.to_pylist(), faults) == (["a", None], [])


def test_a_value_its_source_could_not_read_says_why() -> None:
    text, faults = texts.representable(pa.array([unreadable("digits", "123"), "a", "\0", unreadable("error")]))
    assert text.to_pylist() == [None, "a", None, None]
    [fault] = faults
    assert (fault.rule, fault.rows.tolist()) == ("text", [0, 2, 3])
    assert fault.reasons == [UNREADABLE["digits"], "含有空字符（NUL）", UNREADABLE["error"]]
