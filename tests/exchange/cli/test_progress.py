from __future__ import annotations

import io
import sys

import pytest

from exchange.cli.progress import description, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_watches_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with shown("sync-1") as observe:
        assert observe is None


def test_the_steps_are_shown_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    with shown("sync-[red]1[/]") as observe:
        assert observe is not None
        observe("3.read", {"read": 16384, "refused": 2, "staged": 16382})
    assert "sync-[red]1[/]  读取与检查  读取 16,384  拒收 2" in screen.getvalue()


@pytest.mark.parametrize(
    ("step", "figures", "expected"),
    [
        ("1.planned", {"plan": "0f"}, "x  制定方案"),
        ("3.read", {"read": 1234567}, "x  读取与检查  读取 1,234,567"),
        ("new step", {}, "x  new step"),
        ("5.manifest", {"stopped": ["321202185001010017"]}, "x  清单落盘"),
    ],
)
def test_a_step_in_words(step: str, figures: dict[str, object], expected: str) -> None:
    assert description("x", step, figures) == expected
