"""The program (命令行): reads the words, does what they say, and ends with the status that says how it went."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from typer.exceptions import TyperException

from exchange.cli import pages
from exchange.cli.answers import Answer
from exchange.cli.failures import INTERRUPTED, interrupted, of_bug, of_hub, of_usage
from exchange.cli.groups import Group
from exchange.cli.interruption import Interruption
from exchange.errors import HubError

BROKEN_PIPE = 141
"""Exit status when whoever read the output has gone, as shells have it."""
DEBUG = "SHUTONG_DEBUG"


class Program(Group):
    """The root command with the whole of an end: answers written, failures told, the status given."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,
    ) -> NoReturn:
        """Do what the words say, and exit.

        Args:
            args: The words; by default those of the process.
            prog_name: Not used: the program has one name.
            complete_var: As for any command of typer.
            standalone_mode: Not used: it always is.
            windows_expand_args: As for any command of typer.
            extra: As for any command of typer.
        """
        passed = {"complete_var": complete_var, "windows_expand_args": windows_expand_args}
        words = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # A terminal that cannot show a character shows a question mark, not a traceback.
                stream.reconfigure(errors="replace")
        # Taken out of the environment, where only settings may bear such names.
        debug = os.environ.pop(DEBUG, "") not in ("", "0")
        with Interruption().listening() as interruption:
            try:
                status = self._perform(words, {**extra, **passed}, interruption, debug=debug)
            except BrokenPipeError:
                _let_go()
                status = BROKEN_PIPE
        sys.exit(status)

    def _perform(
        self,
        words: list[str],
        extra: dict[str, Any],
        interruption: Interruption,
        *,
        debug: bool,
    ) -> int:
        as_json = wants_json(words)
        try:
            outcome = super().main(words, "shutong", standalone_mode=False, **extra)
            if isinstance(outcome, Answer):
                pages.write(outcome, as_json=as_json)
                return outcome.status
            if outcome == INTERRUPTED:
                return interrupted().tell(as_json=as_json)
            sys.stdout.flush()
            return outcome if isinstance(outcome, int) else 0
        except HubError as error:
            return (interrupted() if interruption.heard else of_hub(error)).tell(as_json=as_json)
        except TyperException as error:
            return of_usage(error).tell(as_json=as_json)
        except KeyboardInterrupt:
            return interrupted().tell(as_json=as_json)
        except BrokenPipeError:
            raise
        except Exception as error:
            if interruption.heard:
                return interrupted().tell(as_json=as_json)
            raise SystemExit(of_bug(error, home_of(words), debug=debug).tell(as_json=as_json)) from error


def wants_json(words: Sequence[str]) -> bool:
    """Whether a failure is to be told to a program; asked of the words, as they may not be readable."""
    return "--json" in words and words[:1] != ["test"]


def home_of(words: Sequence[str]) -> Path:
    """The home the words or the environment name, whether it is one or not."""
    for place, word in enumerate(words):
        if word == "--home" and place + 1 < len(words):
            return Path(words[place + 1])
        if word.startswith("--home="):
            return Path(word.removeprefix("--home="))
    return Path(os.environ.get("SHUTONG_HOME") or Path.home() / ".shutong")


def _let_go() -> None:
    """Point the output nowhere, so that closing it at the end raises nothing more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
