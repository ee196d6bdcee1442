"""Strangers' words are made one harmless line."""

from __future__ import annotations

import pytest

from exchange.engine.legible import legible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, None), ("", None), ("\x00\x1b", "\ufffd\ufffd"), (" a\r\n\tb\u3000c ", "a b c"),
        ("甲\u202e乙\u200b", "甲\ufffd乙\ufffd"), ("𠮷" * 2000, "𠮷" * 1000), ("\ud800", "\ufffd"),
    ],
)  # fmt: skip
def test_a_strangers_text_is_made_one_harmless_line(text: str | None, shown: str | None) -> None:
    assert legible(text) == shown
