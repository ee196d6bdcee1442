from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import schemas

Lay = Callable[[str, str], Path]


@pytest.fixture
def lay(tmp_path: Path) -> Iterator[Lay]:
    """Lays a file into a folder of data files; afterwards only what is shipped is read again."""

    def write(place: str, text: str) -> Path:
        target = tmp_path / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return tmp_path

    yield write
    schemas.use_folders([])
