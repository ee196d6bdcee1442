from __future__ import annotations

import os
from pathlib import Path

from adapters.files.aside import Aside


def test_what_is_small_stays_in_memory(tmp_path: Path) -> None:
    with Aside(tmp_path / "scratch", most=6) as aside:
        for chunk in (b"abc", b"", b"def"):
            aside.append(chunk)
        assert list(aside.chunks()) == list(aside.chunks()) == [b"abc", b"", b"def"]
        assert not (tmp_path / "scratch").exists()


def test_what_is_larger_lies_on_the_disk_encrypted_and_without_a_name(tmp_path: Path) -> None:
    with Aside(tmp_path / "scratch", most=6) as aside:
        for number in range(10):
            aside.append(f"secret{number}".encode())
            assert b"".join(aside.chunks()) == b"".join(f"secret{n}".encode() for n in range(number + 1))
        assert aside.size == 70
        assert list((tmp_path / "scratch").iterdir()) == []
        found = [
            os.pread(int(fd), 10_000, 0)
            for fd in os.listdir("/proc/self/fd")  # noqa: PTH208
            if os.path.realpath(f"/proc/self/fd/{fd}").startswith(str(tmp_path))
        ]
        assert len(found) == 1
        assert len(found[0]) == 70 + 16 * 10
        assert b"secret" not in found[0]
