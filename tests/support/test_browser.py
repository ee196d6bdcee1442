from __future__ import annotations

import pytest

from tests.support import browser
from tests.support.browser import HEIGHT, WIDTH, chromium, faults
from tests.support.packages import Program


def test_it_draws_chinese_and_finds_what_is_wrong() -> None:
    with chromium() as running:
        page = running.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_content("<html lang=zh><title>页</title><main><h1>资源目录</h1></main>")
        assert faults(page) == []
        page.set_content("<html lang=zh><title>页</title><main><h1>资源目录</h1><input><img src='data:,'></main>")
        found = faults(page)
        assert [each.split(": ")[1] for each in found] == ["image-alt", "label"]


def test_a_machine_without_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "CHROMIUM", Program("no-such-chromium", "chromium"))
    with pytest.raises(FileNotFoundError, match="apt-get install chromium"), chromium():
        pass
