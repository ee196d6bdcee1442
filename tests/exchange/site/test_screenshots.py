from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.exchange.site import screenshots
from tests.exchange.site.pages.base import Shown
from tests.exchange.site.screenshots import take
from tests.support.browser import HEIGHT, WIDTH


def test_every_page_has_a_picture_as_wide_as_a_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Shown("sign-in", "", "/sign-in"), Shown("home", "police", "/")]
    monkeypatch.setattr(screenshots, "all_pages", lambda: pages)
    taken = take(tmp_path / "pictures")
    assert [path.name for path in taken] == ["sign-in.png", "home.png"]
    for path in taken:
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        assert width == WIDTH
        assert height >= HEIGHT
