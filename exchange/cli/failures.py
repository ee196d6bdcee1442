"""What went wrong, in the user's words: on standard error, or as one JSON object on standard output."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from exchange.cli import pages
from exchange.cli.answers import listed
from exchange.cli.groups import choices_of
from exchange.cli.messages import _
from exchange.errors import Denied, Held, HubError, Invalid, Problem
from exchange.words import BEIJING

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@dataclass(frozen=True)
class Failure:
    """Why a command did not do what it was asked.

    Attributes:
        kind: Sort of failure, one word.
        message: What is wrong.
        status: Exit status.
        problems: Everything wrong with what was given.
        reasons: Every reason against it.
        remedy: What to do next.
        retry: Whether the same again may help later.
    """

    kind: str
    message: str
    status: int
    problems: Sequence[Problem] = ()
    reasons: Sequence[str] = ()
    remedy: str = ""
    retry: bool = False

    def document(self) -> dict[str, Any]:
        """For programs."""
        told: dict[str, Any] = {"kind": self.kind, "message": self.message}
        if self.problems:
            told["problems"] = [
                {"where": problem.where, "message": problem.message, "remedy": problem.remedy}
                for problem in self.problems
            ]
        if self.reasons:
            told["reasons"] = list(self.reasons)
        return {"error": {**told, "remedy": self.remedy, "retry": self.retry}}

    def lines(self) -> list[tuple[str, str]]:
        """For people: text and tone of each line."""
        told = [(_("错误：{message}").format(message=self.message), "bold red")]
        told += [(f"  • {problem}", "") for problem in self.problems]
        told += [(f"  • {reason}", "") for reason in self.reasons if reason != self.message]
        if self.remedy:
            told.append((_("怎么办：{remedy}").format(remedy=self.remedy), "green"))
        if self.retry:
            told.append((_("稍后可以重试"), "green"))
        return told

    def tell(self, *, as_json: bool) -> int:
        """Say it, and return the exit status."""
        if as_json:
            pages.write_document(self.document())
        else:
            pages.aside(self.lines())
        return self.status


def of_hub(error: HubError) -> Failure:
    """What the hub says."""
    return Failure(
        kind=type(error).__name__.lower(),
        message=error.message.partition("\n")[0],
        status=error.status,
        problems=error.problems if isinstance(error, Invalid) else (),
        reasons=error.reasons if isinstance(error, Denied | Held) else (),
        remedy=error.remedy,
        retry=error.retry,
    )


def interrupted() -> Failure:
    """Somebody pressed Ctrl-C."""
    return Failure(
        kind="interrupted",
        message=_("已中断"),
        status=INTERRUPTED,
        remedy=_("中断的批次下次执行时从断点继续"),
    )


def of_usage(error: Any) -> Failure:
    """A command line that cannot be read, as typer raised it."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "shutong"
    message, remedy = _misread(error)
    asked = _("用 {command} --help 查看用法").format(command=path)
    return Failure(kind="usage", message=message, status=2, remedy=remedy or asked)


def _misread(error: Any) -> tuple[str, str]:
    kind = type(error).__name__
    param = getattr(error, "param", None)
    if kind == "NoSuchOption":
        alike = listed(sorted(error.possibilities or ()))
        remedy = _("是否指 {names}").format(names=alike) if alike else ""
        return _("没有选项 {name}").format(name=error.option_name[:40]), remedy
    if kind == "BadOptionUsage":
        if "does not take" in error.message:
            return _("选项 {name} 不带值").format(name=error.option_name), ""
        return _("选项 {name} 后面缺少值").format(name=error.option_name), ""
    if kind == "MissingParameter" and param is not None:
        return _("缺少{what}").format(what=_named(param)), ""
    if kind == "BadParameter" and param is not None:
        return _("{what} 的值不能用").format(what=_named(param)), _allowed(param)
    if error.message.startswith("Got unexpected extra argument"):
        words = error.message.partition("(s) (")[2].removesuffix(")")
        return _("多出的词：{words}").format(words=words[:80]), ""
    return _("命令写法不对（{message}）").format(message=error.message[:80]), ""


def _named(param: Any) -> str:
    if param.param_type_name == "argument":
        return _("参数 {name}").format(name=param.metavar or param.name.upper())
    return _("选项 {name}").format(name=_(" 或 ").join([*param.opts, *param.secondary_opts]))


def _allowed(param: Any) -> str:
    choices = choices_of(param)
    if choices:
        return _("可选：{choices}").format(choices=listed(choices))
    if param.type_descriptor.annotation is int:
        least = _("，不小于 {number}").format(number=param.min) if param.min is not None else ""
        most = _("，不大于 {number}").format(number=param.max) if param.max is not None else ""
        return _("应为整数{bounds}").format(bounds=least + most)
    return ""


def of_bug(error: BaseException, home: Path, *, debug: bool) -> Failure:
    """Something nobody thought of: its trace goes into a file, without the values it happened on.

    Args:
        error: What was raised.
        home: The hub's home, in whose ``logs`` the file is written if there is a home.
        debug: Show the trace too.
    """
    trace = "\n".join(_trace(error))
    if debug:
        pages.aside([(trace, "")])
    file = _kept(trace, home)
    again = _("设 SHUTONG_DEBUG=1 再执行一次，可以看到经过")
    remedy = _("请把 {file} 交给维护人员").format(file=file) if file else again
    message = _("程序内部错误：{kind}").format(kind=type(error).__name__)
    return Failure(kind="bug", message=message, status=1, remedy=remedy)


def _trace(error: BaseException) -> Iterator[str]:
    """The way an error went, with its causes; messages may carry values and are left out."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and cause is not error:
        yield from _trace(cause)
        yield ""
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__))
    yield f"{type(error).__module__}.{type(error).__qualname__}"


def _kept(trace: str, home: Path) -> Path | None:
    if not home.is_dir():
        return None
    file = home / "logs" / f"error-{datetime.now(BEIJING):%Y%m%dT%H%M%S%f}.log"
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(trace + "\n")
    except OSError:
        return None
    return file
