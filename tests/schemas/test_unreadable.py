from __future__ import annotations

import pytest

from schemas.unreadable import UNREADABLE, unreadable, why_unreadable


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_value_that_could_not_be_read_says_why(kind: str) -> None:
    assert why_unreadable(unreadable(kind, "11010119900307")) == UNREADABLE[kind]
    assert "11010119900307" not in UNREADABLE[kind]


@pytest.mark.parametrize("text", ["", "x", "\0", "\0x", "\0nothing\0x", "error", "x\0error\0"])
def test_any_other_text_says_nothing(text: str) -> None:
    assert why_unreadable(text) is None


def test_a_kind_nobody_knows() -> None:
    with pytest.raises(ValueError, match="kind"):
        unreadable("strange")
