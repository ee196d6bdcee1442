"""``demo``, ``test`` and ``bench``: seeing it work, seeing that it does, and how fast."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.cli.calling import Call, command
from exchange.cli.groups import Command
from exchange.cli.messages import _
from exchange.cli.root import START, app


@command(
    app,
    "demo",
    panel=START,
    help=_(
        "演示：一座小城的部门、前置库和六类数据，从登记到回执走一遍；然后改动来源再走一遍，只有变化在动。\n"
        "每次建立新的主目录，留着供查看；全部账目平衡且日志核验通过，退出状态为 0。"
    ),
    example=_("shutong demo\nshutong demo --json\nshutong demo --airflow"),
)
def demo(
    call: Call,
    *,
    airflow: Annotated[bool, typer.Option("--airflow", help=_("由内置的 Airflow 执行这些交换"))] = False,
) -> int:
    """A city in miniature."""
    from exchange.demo import run

    return run(as_json=call.given.as_json, home=call.given.home, airflow=airflow)


@app.command(
    "test",
    cls=Command,
    rich_help_panel=START,
    help=_("执行数通自己的测试；缺少的数据库先行安装，只用私有实例。\n其余的词原样交给 pytest。"),
    epilog=_("shutong test\nshutong test --long\nshutong test tests/exchange/cli -k exit"),
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
def test(
    words: Annotated[list[str] | None, typer.Argument(metavar="WORDS", help=_("交给 pytest 的词"))] = None,
    *,
    long: Annotated[bool, typer.Option("--long", help=_("也执行费时的测试"))] = False,
) -> int:
    """The project's own tests."""
    from exchange.cli.testing import run_tests

    given = list(words or ())
    # Wherever it stands, the word is ours: pytest has none like it.
    wanted = long or "--long" in given
    return run_tests([word for word in given if word != "--long"], long=wanted)


@app.command(
    "bench",
    cls=Command,
    rich_help_panel=START,
    help=_("执行数通自己的性能测试，与同轮的基线相比；缺少的数据库先行安装，只用私有实例。"),
    epilog=_("shutong bench database --json\nshutong bench database --only append,merge"),
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
def bench(
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=_("性能测试的名称和选项"))] = None,
) -> int:
    """The project's own benchmarks."""
    from exchange.cli.testing import run_bench

    return run_bench(list(words or ()))
