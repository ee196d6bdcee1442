from __future__ import annotations

from exchange import cli, messages
from exchange.cli import messages as of_the_command_line
from exchange.console import views


def test_all_doors_have_one_catalogue() -> None:
    assert of_the_command_line.catalogue is views.catalogue is messages.catalogue
    assert messages.LOCALE.parent.samefile(next(iter(cli.__path__)) + "/..")
    assert messages._("没有翻译的") == "没有翻译的"
