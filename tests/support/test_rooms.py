from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rooms import no_file_longer_than


def test_what_is_longer_is_refused_and_then_not_any_more(tmp_path: Path) -> None:
    with no_file_longer_than(1 << 20):
        (tmp_path / "a").write_bytes(bytes(1 << 20))
        with pytest.raises(OSError, match="large"):
            (tmp_path / "b").write_bytes(bytes((1 << 20) + 1))
    (tmp_path / "b").write_bytes(bytes((1 << 20) + 1))
