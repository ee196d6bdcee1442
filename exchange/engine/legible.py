"""Strangers' words (对方说明): what recipients say, in a form that can be shown at a terminal."""

from __future__ import annotations

from adapters import ERROR_CHARACTERS


def legible(text: str | None) -> str | None:
    """A stranger's text in one line, in which nothing steers a terminal or turns the direction of writing."""
    if text is None:
        return None
    letters = (letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)
    return " ".join("".join(letters).split())[:ERROR_CHARACTERS] or None
