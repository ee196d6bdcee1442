"""From a worker that answers to a command: the options all commands share, and the hub it works at."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import typer

from exchange.cli.answers import Answer, Verbatim
from exchange.cli.groups import SHARED, Command, Group
from exchange.cli.messages import _

if TYPE_CHECKING:
    from exchange.hub import Hub
    from exchange.identity import Actor

Json = Annotated[
    bool, typer.Option("--json", help=_("以一个 JSON 对象输出，供程序读取；提示仍在标准错误"), rich_help_panel=SHARED)
]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="PATH", help=_("主目录，默认 $SHUTONG_HOME 或 ~/.shutong"), rich_help_panel=SHARED),
]
As = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help=_("以何人的身份操作，只用于演示环境"), rich_help_panel=SHARED)
]


@dataclass(frozen=True)
class Given:
    """The shared options as written before the command."""

    as_json: bool = False
    home: Path | None = None
    as_name: str | None = None


class Call:
    """One call of a command.

    Args:
        given: The shared options, those after the command before those in front of it.

    Attributes:
        given: The same.
    """

    def __init__(self, given: Given) -> None:
        self.given = given

    @cached_property
    def hub(self) -> Hub:
        """The hub, opened when it is first needed."""
        from exchange.hub import open_hub

        return open_hub(self.given.home)

    @cached_property
    def by(self) -> Actor:
        """Who calls."""
        from exchange.identity import current_actor

        return current_actor(self.hub.settings, self.given.as_name)

    def identify(self) -> None:
        """Refuse whoever is not registered, where it matters to nobody who it is.

        Raises:
            Denied: The hub does not know who calls.
        """
        self.by  # noqa: B018 - finding out is all there is to do

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Names of the departments by their codes, as people read them."""
        return self.hub.directory.department_names()

    def called(self, code: str | None) -> str:
        """A department's name, or its code where it has none."""
        return self.names.get(code, code) if code else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "hub" in vars(self):
            self.hub.close()


Worker = TypeVar("Worker", bound=Callable[..., Answer | int])


def overview(ctx: typer.Context) -> Answer | None:
    """What there is in a group, where no command of it was named."""
    if ctx.invoked_subcommand is not None:
        return None
    page = ctx.get_help()
    return Answer({"help": page}, [Verbatim(page + "\n")])


def group(name: str, help: str, *, panel: str, into: typer.Typer) -> typer.Typer:
    """Make a group of commands inside another.

    Args:
        name: Its word.
        help: What its commands are about.
        panel: Under which heading it is listed.
        into: The group it belongs to.
    """
    made = typer.Typer(cls=Group, rich_markup_mode=None, invoke_without_command=True, callback=overview)
    into.add_typer(made, name=name, help=help, rich_help_panel=panel)
    return made


def command(
    into: typer.Typer, name: str, *, help: str, example: str, panel: str | None = None, **settings: Any
) -> Callable[[Worker], Worker]:
    """Make a worker a command: it is given the call and its own options, and returns its answer.

    Args:
        into: The group it belongs to.
        name: Its word.
        help: What it does; the first line stands in lists.
        example: Command lines to imitate.
        panel: Under which heading it is listed.
        settings: Context settings of typer.
    """

    def register(worker: Worker) -> Worker:
        def called(ctx: typer.Context, **options: Any) -> Answer | int:
            before = ctx.obj if isinstance(ctx.obj, Given) else Given()
            given = Given(
                as_json=options.pop("as_json") or before.as_json,
                home=options.pop("home") or before.home,
                as_name=options.pop("as_name") or before.as_name,
            )
            with Call(given) as call:
                return worker(call, **options)

        own = list(inspect.signature(worker, eval_str=True).parameters.values())[1:]
        here = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [here, *(part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in own), *_shared()]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {part.name: part.annotation for part in parameters}
        register_as = into.command(
            name, cls=Command, help=help, epilog=example, rich_help_panel=panel, context_settings=settings or None
        )
        register_as(called)
        return worker

    return register


def _shared() -> list[inspect.Parameter]:
    shared: dict[str, tuple[Any, Any]] = {"as_json": (Json, False), "home": (Home, None), "as_name": (As, None)}
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in shared.items()
    ]
