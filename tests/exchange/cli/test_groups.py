from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from exchange.cli.groups import cells, choices_of, folded, help_page
from exchange.cli.root import ORDER, app

PROGRAM: Any = get_command(app)


def commands(command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every command with its path and context, the groups too."""
    yield context.command_path, command, context
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        known = command.get_command(context, name)
        yield from commands(known, typer.Context(known, info_name=name, parent=context))


ALL = list(commands(PROGRAM, typer.Context(PROGRAM, info_name="shutong")))


def test_every_command_has_its_place() -> None:
    assert set(PROGRAM.commands) == set(ORDER)


@pytest.mark.parametrize(("path", "command", "context"), ALL, ids=[path for path, _command, _context in ALL])
class TestHelp:
    def test_it_says_what_it_does_and_everything_that_can_be_written(
        self, path: str, command: Any, context: Any
    ) -> None:
        assert command.help
        assert all(param.help for param in command.get_params(context))
        if not hasattr(command, "commands"):
            assert command.epilog.startswith(path.removesuffix(" …"))
            assert all(line.startswith((path, " ")) for line in command.epilog.split("\n"))

    def test_every_command_can_answer_a_program(self, path: str, command: Any, context: Any) -> None:
        if hasattr(command, "commands") and path != "shutong":
            return
        names = {name for param in command.params for name in param.opts}
        assert {"--json", "--home", "--as"} <= names or path in ("shutong test", "shutong bench")

    def test_it_is_chinese_and_fits_the_terminal(
        self, path: str, command: Any, context: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "60")
        page = help_page(command, context)
        assert page.startswith(f"用法：{path} [选项]")
        for english in ("Usage", "Options", "Show this message", "default", "required", "[OPTIONS]"):
            assert english not in page
        examples = [line.strip() for line in (command.epilog or "").split("\n")]
        assert [line for line in page.split("\n") if cells(line) > 60 and line.strip() not in examples] == []


def test_help_shows_arguments_options_and_what_they_may_be() -> None:
    outcome = CliRunner().invoke(app, ["application", "list", "--help"])
    assert outcome.exit_code == 0
    assert "--state STATE    状态（可选：pending、granted、refused、withdrawn）" in outcome.stdout
    assert "ID  " in CliRunner().invoke(app, ["application", "show", "--help"]).stdout


def test_choices() -> None:
    params = {
        param.name: param for path, command, _context in ALL if path == "shutong init" for param in command.params
    }
    assert choices_of(params["digest"]) == ("sha256", "sm3")
    assert choices_of(params["division"]) == ()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["resorce"], "resource"),
        (["Status"], "status"),
        (["resource", "regsiter"], "register"),
        (["audit", "verfy"], "verify"),
    ],
)
def test_what_was_probably_meant(words: list[str], meant: str) -> None:
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 2
    assert f"没有命令 shutong {' '.join(words)}" in outcome.stderr
    assert meant in outcome.stderr
    assert outcome.stdout == ""


def test_what_is_like_nothing() -> None:
    assert "用 shutong --help 查看全部命令" in CliRunner().invoke(app, ["登记资源"]).stderr


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "M"])), st.integers(20, 60))
def test_folding_loses_nothing_and_fits(text: str, width: int) -> None:
    lines = folded(text, width, "  ")
    assert "".join(line[2:] for line in lines) == text
    longest = max((cells(word) for word in text.split()), default=0)
    assert all(cells(line) <= max(width, longest + 2) for line in lines)


def test_cells() -> None:
    assert [cells(text) for text in ("abc", "资源", "e\u0301", "𠮷")] == [3, 4, 1, 2]


def test_words_are_kept_whole() -> None:
    assert folded("用 shutong application list 查看", 20, "") == ["用 shutong ", "application list 查", "看"]
    assert folded("退出状态：成功。", 15, "") == ["退出状态：成", "功。"]
