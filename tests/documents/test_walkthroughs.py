"""The documents do what they say: their commands are run in order, and their files and answers are as printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from tests.documents.blocks import ROOT, Block, blocks, commands
from tests.support.servers import Server

WALKTHROUGHS = (
    "README.md", "docs/guide.md", "docs/database.md", "docs/webservice.md", "docs/files.md", "docs/airflow.md",
    "docs/rest.md",
)  # fmt: skip
TWINS = {name: name.replace(".md", ".zh-CN.md") for name in WALKTHROUGHS}
SECONDS = 300

_STEP = """\
{command}
status=$?
if [ $status -ne {wanted} ]; then echo "{document}:{line}: exit status $status, not {wanted}" >&2; exit 99; fi
"""


def written(document: str) -> list[Block]:
    return blocks(ROOT / document)


def script(document: str, place: Path) -> str:
    """The document as one shell script: files are laid where the reader saves them, statuses are checked."""
    parts = []
    for number, block in enumerate(written(document)):
        if block.mark == "file":
            place.joinpath(f"file-{number}").write_text(block.text, encoding="utf-8")
            parts.append(f'cp "{place}/file-{number}" "{block.value}" || exit 98\n')
        elif block.language == "sh":
            assert "<<" not in block.text, f"{document}:{block.line}: a here-document is not taken apart"
            steps = [
                _STEP.format(command=command.text, wanted=command.status, document=document, line=command.line)
                for command in commands(block)
            ]
            parts.append(f'{{\n{"".join(steps)}}} > "{place}/answer-{block.line}" 2>&1\n')
    return "".join(parts)


def answers(place: Path) -> str:
    found = sorted(place.glob("answer-*"), key=lambda path: int(path.name.partition("-")[2]))
    return "".join(path.read_text(encoding="utf-8") for path in found[-2:])


def unspaced(text: str) -> str:
    return "".join(text.split())


def stands_in(line: str, answer: str) -> bool:
    """Whether a printed line is in the answer; ``…`` in it stands for what differs from one home to the next."""
    pattern = re.compile(".*".join(re.escape(unspaced(part)) for part in line.split("…")))
    return any(pattern.fullmatch(unspaced(each)) for each in answer.splitlines())


@pytest.mark.parametrize("document", WALKTHROUGHS)
def test_the_commands_do_what_the_document_says(document: str, clone: Path, tmp_path: Path) -> None:
    place = tmp_path / "blocks"
    place.mkdir()
    steps = script(document, place)
    assert "shutong" in steps
    environment = {
        "HOME": str(tmp_path / "reader"),
        "PATH": f"{tmp_path / 'programs'}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "COLUMNS": "240",
    }
    ran = subprocess.run(
        ["sh"], input=steps, cwd=clone, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, f"{ran.stderr}\n{answers(place)}"
    shell = None
    missing = []
    for block in written(document):
        if block.mark == "output":
            assert shell is not None
            answer = place.joinpath(f"answer-{shell.line}").read_text(encoding="utf-8")
            lines = [line for line in block.text.splitlines() if line.strip()]
            missing += [f"{document}:{block.line}: {line}" for line in lines if not stands_in(line, answer)]
        elif block.language == "sh":
            shell = block
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("document", TWINS)
def test_the_twins_have_the_same_blocks(document: str) -> None:
    def parts(name: str) -> list[tuple[str, str, str, str]]:
        plain = [block for block in written(name) if block.language != "text" or block.mark]
        return [(block.language, block.mark, block.value, block.text) for block in plain]

    assert parts(TWINS[document]) == parts(document)


@pytest.mark.parametrize("document", TWINS)
def test_the_twins_have_the_same_chapters_and_tables(document: str) -> None:
    def shape(name: str) -> list[str]:
        lines = ROOT.joinpath(name).read_text(encoding="utf-8").splitlines()
        outline = [re.match(r"#+(?= )|\| -|\| `[^`]+`|\| \d+ \|", line) for line in lines]
        return [found[0] for found in outline if found]

    assert shape(TWINS[document]) == shape(document)


def test_a_hub_on_postgresql_begins_as_the_guide_says(
    clone: Path, tmp_path: Path, postgresql_server: Server, launcher: Path
) -> None:
    shown = next(block for block in written("docs/guide.md") if block.mark == "settings")
    hub, library = (make_url(postgresql_server.new_database()) for _ in range(2))
    names = {}
    for name, value in tomllib.loads(shown.text).items():
        if name.endswith("_url"):
            own = hub if name == "database_url" else library
            assert make_url(value).drivername == "postgresql"
            place = (own.username, None, own.host, own.port, own.database)
            value = URL.create("postgresql", *place).render_as_string()
        names[name] = value
    home = tmp_path / "home"
    environment = {
        **{f"SHUTONG_{name.upper()}": value for name, value in names.items() if name != "hub_department"},
        "SHUTONG_SECRET_DATABASE": str(hub.password),
        "SHUTONG_HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
    }

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([launcher, *words], env=environment, capture_output=True, text=True, check=False)

    init = ["--department-code", names["hub_department"], "--department-name", "市行政审批局", "--division", "321200"]
    made = call("init", *init, "--actor", "李工")
    assert made.returncode == 0, made.stderr
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in names.items() if name != "hub_department"]
    settings = home / "shutong.toml"
    settings.write_text("".join(lines) + settings.read_text(encoding="utf-8"), encoding="utf-8")
    for name in names:
        environment.pop(f"SHUTONG_{name.upper()}", None)
    told = call("department", "list", "--json")
    assert [each["name"] for each in json.loads(told.stdout)["departments"]] == ["市行政审批局"]
    assert json.loads(call("endpoint", "show", "library", "--json").stdout)["options"]["product"] == "postgresql"
    assert not home.joinpath("hub.db").exists()
