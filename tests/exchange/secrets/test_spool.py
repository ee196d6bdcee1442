from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from exchange.secrets.spool import Spool


def test_chunks_come_back_in_any_order(tmp_path: Path) -> None:
    with Spool(tmp_path / "payload") as spool:
        numbers = [spool.append(chunk) for chunk in (b"one", b"", b"three" * 100_000)]
        assert spool.read(numbers[2]) == b"three" * 100_000
        assert spool.read(numbers[0]) == b"one"
        assert spool.append(b"four") == 3
        assert [spool.read(number) for number in (1, 3)] == [b"", b"four"]


def test_what_lies_there_has_no_name_and_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "payload"
    with Spool(folder) as spool:
        spool.append("张三".encode() * 100)
        assert list(folder.iterdir()) == []
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        descriptor = spool._file.fileno()
        spool._file.flush()
        lying = os.pread(descriptor, 1_000_000, 0)
    assert len(lying) == 616
    assert "张".encode() not in lying
    with pytest.raises(ValueError, match="closed"):
        spool.read(0)
