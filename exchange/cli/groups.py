"""Commands and groups of commands as they present themselves: their help, and what was probably meant."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from exchange.cli.answers import listed
from exchange.cli.messages import _
from exchange.errors import Invalid

ARGUMENTS = _("参数")
OPTIONS = _("选项")
SHARED = _("通用选项")
COMMANDS = _("命令")


class Command(TyperCommand):
    """A command whose help is Chinese and ends in an example."""

    def get_help(self, ctx: Any) -> str:
        """The help page."""
        return help_page(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the command; whatever is wrong with them knows which command it was."""
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            vars(error).update(ctx=ctx)
            raise


class Group(TyperGroup):
    """A group of commands that says what was probably meant."""

    def get_help(self, ctx: Any) -> str:
        """The help page."""
        return help_page(self, ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command a word names.

        Raises:
            Invalid: There is none; says what is spelt alike.
        """
        word = args[0]
        if self.get_command(ctx, word) is None:
            known = self.list_commands(ctx)
            alike = get_close_matches(word.lower(), known, n=3, cutoff=0.5)
            asked = _("用 {command} --help 查看全部命令").format(command=ctx.command_path)
            remedy = _("是否指 {names}").format(names=listed(alike)) if alike else asked
            raise Invalid(_("没有命令 {path} {word}").format(path=ctx.command_path, word=word[:40]), remedy=remedy)
        return super().resolve_command(ctx, args)


def help_page(command: Any, ctx: Any) -> str:
    """The help of a command or group, as wide as the terminal.

    Args:
        command: The command.
        ctx: Its context, which knows how it was called.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    sections = _sections(command, ctx)
    lines = [_("用法：{usage}").format(usage=" ".join([ctx.command_path, *_usage(command, ctx)])), ""]
    for paragraph in (command.help or "").split("\n"):
        lines += folded(paragraph, width, "  ")
    if command.epilog:
        lines += ["", _("例：")]
        lines += [f"  {line}" for line in command.epilog.split("\n")]
    named = max((cells(name) for _title, rows in sections for name, _text in rows), default=0)
    indent = " " * (min(named, 30) + 4)
    for title, rows in sections:
        lines += ["", _("{title}：").format(title=title)]
        for name, text in rows:
            start = f"  {name}{' ' * (len(indent) - 2 - cells(name))}"
            first, *rest = folded(text, width, indent) or [indent]
            if cells(name) + 4 > len(indent):
                lines += [start.rstrip(), first, *rest]
            else:
                lines += [start + first[len(indent) :], *rest]
    return "\n".join(line.rstrip() for line in lines)


def _usage(command: Any, ctx: Any) -> Iterator[str]:
    yield _("[选项]")
    if isinstance(command, TyperGroup):
        yield _("命令 …")
    for param in command.get_params(ctx):
        if param.param_type_name == "argument":
            name = _argument(param)
            yield name if param.required else f"[{name}]"


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return f"{name}…" if param.nargs != 1 else str(name)


def _sections(command: Any, ctx: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles with their rows of names and texts, in the order they are shown."""
    found: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        if param.param_type_name == "argument":
            found.setdefault(ARGUMENTS, []).append((_argument(param), _described(param)))
        elif not param.hidden:
            shared = param.rich_help_panel == SHARED or param.name == "help"
            found.setdefault(SHARED if shared else OPTIONS, []).append((_option(param), _described(param)))
    order = [ARGUMENTS, OPTIONS, SHARED]
    sections = [(title, found[title]) for title in order if title in found]
    commands: dict[str, list[tuple[str, str]]] = {}
    for name in command.list_commands(ctx) if isinstance(command, TyperGroup) else ():
        known: Any = command.get_command(ctx, name)
        brief = (known.help or "").split("\n")[0]
        commands.setdefault(known.rich_help_panel or COMMANDS, []).append((name, brief))
    return [*commands.items(), *sections]


def _option(param: Any) -> str:
    names = ", ".join([*param.opts, *param.secondary_opts])
    return names if param.is_flag else f"{names} {param.metavar or param.name.upper()}"


def _described(param: Any) -> str:
    if param.name == "help":
        return _("显示本页")
    text = param.help or ""
    choices = choices_of(param)
    if choices:
        text += _("（可选：{choices}）").format(choices=listed(choices))
    if param.required:
        text += _("（必填）")
    return text


def choices_of(param: Any) -> Sequence[str]:
    """What may be written for a parameter, if that is a short list."""
    return tuple(str(getattr(choice, "value", choice)) for choice in param.type_descriptor.choices or ())


def cells(text: str) -> int:
    """How many cells of a terminal a text takes; ideographs take two."""
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def folded(text: str, width: int, indent: str) -> list[str]:
    """A text in lines no wider than a terminal: broken at spaces or after ideographs, never inside a word."""
    lines: list[str] = []
    line, used = indent, len(indent)
    for piece in _pieces(text):
        if used + cells(piece.rstrip()) > width and line.strip():
            lines.append(line)
            line, used, piece = indent, len(indent), piece.lstrip()
        line, used = line + piece, used + cells(piece)
    return [*lines, line] if line.strip() else lines


_CLOSING = "，。；：、？！）”》…"


def _pieces(text: str) -> Iterator[str]:
    """The smallest parts of a text that stay together."""
    piece = ""
    for place, letter in enumerate(text):
        piece += letter
        following = text[place + 1 : place + 2]
        if following in tuple(_CLOSING):
            continue
        if letter == " " or _width(letter) == 2 or (following and _width(following) == 2):
            yield piece
            piece = ""
    if piece:
        yield piece
