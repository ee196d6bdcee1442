"""The format of encrypted files: what was made comes out, and nothing else."""

from __future__ import annotations

import io

import pytest

from exchange.errors import Tampered
from exchange.secrets.frames import Frames

KEY = b"k" * 32


def _made(*chunks: bytes, name: str = "one", key: bytes = KEY) -> bytes:
    framing = Frames(key).begin(name)
    parts = [framing.header]
    for chunk in chunks:
        parts += framing.add(chunk)
    return b"".join([*parts, *framing.end()])


def _read(sealed: bytes, name: str = "one", key: bytes = KEY) -> list[bytes]:
    return list(Frames(key).read(name, io.BytesIO(sealed), len(sealed)))


@pytest.mark.parametrize("chunks", [(), (b"1",), (b"1", b"2" * 100_000, b"3")])
def test_what_was_made_comes_out(chunks: tuple[bytes, ...]) -> None:
    assert _read(_made(*chunks)) == list(chunks)


def test_twice_the_same_is_not_the_same() -> None:
    assert _made(b"1") != _made(b"1")


@pytest.mark.parametrize(
    "spoiled",
    [
        _made(b"1", name="two"),
        _made(b"1", key=b"x" * 32),
        _made(b"1")[:-1],
        _made(b"1", b"2")[:-20],
        _made(b"1") + b"0",
        b"STV2" + _made(b"1")[4:],
        b"",
    ],
    # Their bytes are others every time, and so would their names be.
    ids=["other name", "other key", "cut", "without its end", "extended", "other form", "empty"],
)
def test_nothing_else_does(spoiled: bytes) -> None:
    with pytest.raises(Tampered, match="one"):
        _read(spoiled)


def test_a_length_that_lies_is_not_believed() -> None:
    sealed = bytearray(_made(b"1"))
    sealed[20:24] = (1 << 30).to_bytes(4)
    with pytest.raises(Tampered):
        _read(bytes(sealed))


def test_the_key_is_not_shown() -> None:
    assert "kkk" not in repr(Frames(KEY)) + repr(vars(Frames(KEY)))
