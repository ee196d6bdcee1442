"""Documents are taken apart as their readers take them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.documents.blocks import Block, Command, blocks, code, commands, links
from tests.documents.test_walkthroughs import script, stands_in

DOCUMENT = """\
# A [link](there.md#part), one [out](https://example.org/), one [here](#part)

Words with `shutong status` in them.

<!-- file: people.yaml -->
```yaml
departments: []
```

```sh
shutong plan \\
    people.yaml
# a remark
false # exit 1
```

<!-- output -->

```text
没有差别
```

```console
./shutong demo
```
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.md"
    path.write_text(DOCUMENT, encoding="utf-8")
    return path


def test_blocks_come_with_their_marks_and_lines(document: Path) -> None:
    assert blocks(document) == [
        Block("yaml", "departments: []\n", 7, "file", "people.yaml"),
        Block("sh", "shutong plan \\\n    people.yaml\n# a remark\nfalse # exit 1\n", 11),
        Block("text", "没有差别\n", 20, "output"),
        Block("console", "./shutong demo\n", 24),
    ]


def test_a_block_without_an_end_shows(tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    path.write_text("```sh\ntrue\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 2"):
        blocks(path)


def test_commands_go_on_over_lines_and_promise_a_status(document: Path) -> None:
    assert list(commands(blocks(document)[1])) == [
        Command("shutong plan \\\n    people.yaml", 11, 0),
        Command("false # exit 1", 14, 1),
    ]


def test_code_is_what_stands_inline_and_in_shell_blocks(document: Path) -> None:
    assert [text.split() for _, text in code(document)] == [
        ["shutong", "plan", "people.yaml"],
        ["false", "#", "exit", "1"],
        ["./shutong", "demo"],
        ["shutong", "status"],
    ]


def test_links_that_lead_out_are_left_alone(document: Path) -> None:
    assert links(document) == ["there.md"]


@pytest.mark.parametrize(
    ("shell", "ended"), [("true", 0), ("false", 99), ("false # exit 1", 0), ("true # exit 1", 99), ("false\ntrue", 99)]
)
def test_a_status_that_is_not_as_promised_ends_the_walk(shell: str, ended: int, tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    path.write_text(f"```sh\n{shell}\n```\n", encoding="utf-8")
    assert subprocess.run(["sh"], input=script(str(path), tmp_path), text=True, check=False).returncode == ended


@pytest.mark.parametrize("line", ["读取 40 行", "读取   40 行", "读取 … 行", "… 40 行", "读取…"])
def test_a_printed_line_is_in_the_answer(line: str) -> None:
    assert stands_in(line, "交换\n  读取   40 行\n")


@pytest.mark.parametrize("line", ["40 行", "读取 40", "读取 41 行", "读.取 40 行", "读取 … 列", "交换读取 40 行"])
def test_a_printed_line_that_is_not_in_the_answer_shows(line: str) -> None:
    assert not stands_in(line, "交换\n  读取   40 行\n")
