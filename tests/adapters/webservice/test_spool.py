from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.webservice.spool import CHUNK, Spool


@given(st.lists(st.binary(max_size=50)), st.integers(0, 200))
def test_what_is_written_is_read(parts: list[bytes], in_memory: int) -> None:
    with Spool(in_memory) as spool:
        for part in parts:
            spool.write(part)
        whole = b"".join(parts)
        for _ in range(2):
            assert b"".join(spool.chunks()) == whole
        assert spool.size == len(whole)
        assert spool.on_disk == (len(whole) > in_memory)


@pytest.mark.parametrize("in_memory", [1 << 30, 0])
def test_it_comes_in_pieces(in_memory: int) -> None:
    with Spool(in_memory) as spool:
        for _ in range(1000):
            spool.write(b"x" * 1000)
        sizes = [len(piece) for piece in spool.chunks()]
    assert sum(sizes) == 1_000_000
    assert set(sizes[:-1]) == {CHUNK}


def test_nothing_of_it_lies_on_the_disk_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    with Spool(0) as spool:
        spool.write("11010119900307 张三".encode() * 100)
        assert spool._file is not None
        spool._file.flush()
        stored = os.pread(spool._file.fileno(), 10_000, 0)
        assert len(stored) == spool.size
        assert b"11010119900307" not in stored
        assert os.fstat(spool._file.fileno()).st_nlink == 0


def test_two_spools_have_nothing_in_common() -> None:
    with Spool(0) as one, Spool(0) as other:
        stored = []
        for spool in (one, other):
            spool.write(b"\0" * 64)
            assert spool._file is not None
            spool._file.flush()
            stored.append(os.pread(spool._file.fileno(), 64, 0))
    assert stored[0] != stored[1]
