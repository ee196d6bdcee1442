"""Names of delivered documents: safe everywhere, each once, the same for whoever makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.drop_names import LONGEST, DropNames, safe_name


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("营业执照.pdf", "营业执照.pdf"),
        ("a/b\\c.pdf", "a_b_c.pdf"),
        ("q\"uo'te?.pdf", "q_uo'te_.pdf"),
        ("con.pdf", "_con.pdf"),
        ("LPT1", "_LPT1"),
        ("..", "_"),
        (".hidden", "_.hidden"),
        ("end. ", "end"),
        ("line\nbreak.pdf", "line_break.pdf"),
        ("gpj.\u202efdp", "gpj._fdp"),
        ("", "_"),
        ("𠮷.ofd", "𠮷.ofd"),
    ],
)
def test_names_that_mean_something_somewhere(wanted: str, name: str) -> None:
    assert safe_name(wanted) == name


def test_long_names_keep_their_ending() -> None:
    assert safe_name("证" * 200 + ".pdf") == "证" * 83 + ".pdf"
    names = DropNames()
    first, second = (names.name("证" * 200 + ".pdf") for _ in range(2))
    assert first != second
    assert second.endswith("-2.pdf")
    assert len(second.encode()) <= LONGEST


def test_the_same_name_gets_a_number() -> None:
    names = DropNames()
    wanted = ["a.pdf", "A.PDF", "a-2.pdf", "a.pdf", "é.pdf", "e\u0301.pdf", "ﬁ.pdf", "fi.pdf"]
    assert [names.name(each) for each in wanted] == [
        "a.pdf", "A-2.PDF", "a-2-2.pdf", "a-3.pdf", "é.pdf", "é-2.pdf", "ﬁ.pdf", "fi-2.pdf",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=300), max_size=30))
def test_whatever_is_wanted(wanted: list[str]) -> None:
    first, second = DropNames(), DropNames()
    names = [first.name(each) for each in wanted]
    assert names == [second.name(each) for each in wanted]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name == safe_name(name)
        assert max(len(name.encode()), len(name.encode("gb18030"))) <= LONGEST
