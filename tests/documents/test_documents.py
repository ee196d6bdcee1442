"""What the documents name is there: commands and options, files, settings, tests."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined
from typer.core import TyperGroup

from exchange.cli.commands import get_command
from exchange.cli.root import app
from exchange.engine import problems_of_options
from exchange.settings import Settings, load_settings
from schemas import profile, profiles, use_folders
from tests.documents.blocks import ROOT, blocks, code, links

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.joinpath("docs").rglob("*.md")])
DECISIONS = sorted(ROOT.joinpath("docs", "decisions").glob("*.md"))
FOLDERS = ("adapters/", "catalog/", "dags/", "docs/", "exchange/", "schemas/", "tests/")
PARTS = {"Context", "Decision", "Consequences", "A change violates this when"}


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def command() -> Any:
    return get_command(app)


def of_command(document: Path) -> Iterator[tuple[int, list[str]]]:
    """Every call of the command in a document, as words: in blocks, and inline where it is written out."""
    for line, text in code(document):
        for part in re.split(r"[|;&]|\$\(", text):
            words = _words(part)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words and words[0] in ("shutong", "./shutong"):
                yield line, words[1:]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a part of a quoted text, cut at a sign
        return []


def options(command: Any) -> dict[str, bool]:
    """Options of a command, and whether each takes a value."""
    found = {"--help": False}
    for param in command.params:
        if param.param_type_name == "option":
            found |= dict.fromkeys([*param.opts, *param.secondary_opts], not param.is_flag)
    return found


def wrong(command: Any, words: list[str]) -> str:
    """What in a call the program would not know; empty: nothing."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "…" or command.name in ("test", "bench", "exec"):  # what follows is left open, or another program's
            return ""
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = options(command)
            if option not in known:
                return f"{command.name}: {option}"
            if known[option] and "=" not in word and rest:
                del rest[0]
        elif isinstance(command, TyperGroup):
            if word not in command.commands:
                return f"{command.name}: {word}"
            command = command.commands[word]
    return ""


def every_option(command: Any) -> set[str]:
    inner = command.commands.values() if isinstance(command, TyperGroup) else ()
    return set(options(command)).union(*map(every_option, inner))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_the_commands_it_names_exist(document: Path, command: Any) -> None:
    told = [f"{line}: {problem}" for line, words in of_command(document) if (problem := wrong(command, words))]
    assert told == []


def test_a_command_that_is_not_there_shows(command: Any) -> None:
    assert wrong(command, ["--as", "run", "resource", "register", "--json", "x.yaml"]) == ""
    assert wrong(command, ["resource", "regster"]) == "resource: regster"
    assert wrong(command, ["run", "--redliver", "x"]) == "run: --redliver"
    assert wrong(command, ["search", "--home"]) == ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_the_options_it_names_exist(document: Path, command: Any) -> None:
    known = every_option(command) | {"--require-hashes", "--only"}  # of pip, and of the benchmarks
    named = {text for _, text in code(document) if re.fullmatch(r"--[a-z-]+", text)}
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_the_files_it_names_exist(document: Path) -> None:
    linked = [target for target in links(document) if not (document.parent / target).exists()]
    assert linked == []
    named = {text for _, text in code(document) if text.startswith(FOLDERS) and re.fullmatch(r"[\w./-]+", text)}
    assert [text for text in sorted(named) if not (ROOT / text).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_the_chapters_it_refers_to_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", text):
        other = (document.parent / target) if target else document
        heads = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DECISIONS, ids=name)
def test_a_decision_says_what_would_violate_it(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    number = document.name[:4]
    assert text.startswith(f"# {number} ")
    parts = re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE | re.DOTALL)
    assert {" ".join(part.split()).rstrip(".") for part in parts} >= PARTS
    assert any(word.startswith("tests/") for _, word in code(document)), "it names no test that holds it"


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [document.name[:4] for document in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]


def tables(document: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The tables under a mark ``<!-- options: module:Class -->``: first column to second."""
    of, rows = "", {}
    for line in [*document.read_text(encoding="utf-8").splitlines(), "#"]:
        mark = re.fullmatch(r"<!-- options: (\S+) -->", line)
        if mark:
            of, rows = mark[1], {}
        elif of and line.startswith("|"):
            first, second, *_ = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows[first.strip("` ")] = second.strip()
        elif of and rows:
            yield of, dict(list(rows.items())[2:])
            of = ""


@pytest.mark.parametrize("document", ["docs/adapters.md", "docs/guide.md", "docs/guide.zh-CN.md"])
def test_tables_of_options_are_those_of_the_code(document: str) -> None:
    found = dict(tables(ROOT / document))
    assert found
    for place, rows in found.items():
        module, _, kind = place.partition(":")
        fields = getattr(importlib.import_module(module), kind).model_fields
        assert list(rows) == [field.alias or each for each, field in fields.items()], place
        for each, field in fields.items():
            told = re.fullmatch(r"`(.+)`", rows[field.alias or each])
            if told and field.default not in (PydanticUndefined, ""):
                assert told[1] == _written(field.default), f"{place}: {each}"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "`, `".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("document", ["docs/guide.md", "docs/guide.zh-CN.md"])
def test_the_table_of_families_names_all_that_are_shipped(document: str) -> None:
    text = ROOT.joinpath(document).read_text(encoding="utf-8")
    rows = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \| (.+)$", text, re.MULTILINE) if row[0] in profiles()}
    assert rows.keys() == profiles().keys()
    for each, family in profiles().items():
        for part in (family.state, family.delete):
            assert part is None or f"`{part.column}`" in rows[each]
        assert family.error_text is None or f"`{family.error_text}`" in rows[each]
        assert family.version is None or f"`{family.version}`" in rows[each]


def test_settings_shown_are_right(tmp_path: Path) -> None:
    shown = [block.text for path in DOCUMENTS for block in blocks(path) if block.mark == "settings"]
    assert shown
    for number, text in enumerate(shown):
        home = tmp_path / str(number)
        home.mkdir()
        home.joinpath("shutong.toml").write_text(text, encoding="utf-8")
        settings = load_settings(home)
        assert set(tomllib.loads(text)) <= Settings.model_fields.keys()
        assert settings.database_url.startswith("postgresql:")


def test_endpoints_shown_are_right() -> None:
    shown = [
        (path.name, endpoint)
        for path in DOCUMENTS
        for block in blocks(path)
        if block.language == "yaml"
        for endpoint in (yaml.safe_load(block.text) or {}).get("endpoints", ())
    ]
    assert {endpoint["kind"] for _, endpoint in shown} == {"database", "files", "mailbox", "webservice"}
    for where, endpoint in shown:
        options = {each: str(value).replace("HERE", "/here") for each, value in endpoint["options"].items()}
        assert problems_of_options(endpoint["kind"], options, where=where) == []


def test_a_table_family_shown_can_be_used(tmp_path: Path) -> None:
    shown = [block for path in DOCUMENTS for block in blocks(path) if block.mark == "profile"]
    assert shown
    tmp_path.joinpath("profiles").mkdir()
    for block in shown:
        written = yaml.safe_load(block.text)["name"]
        tmp_path.joinpath("profiles", f"{written}.yaml").write_text(block.text, encoding="utf-8")
    try:
        use_folders([tmp_path])
        for block in shown:
            assert profile(yaml.safe_load(block.text)["name"]).label
    finally:
        use_folders([])


def test_the_exit_statuses_are_those_of_the_program() -> None:
    from exchange import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HubError)]
    own = {str(kind.status) for kind in kinds} | {"0", "130"}
    for document in ("docs/guide.md", "docs/guide.zh-CN.md"):
        text = ROOT.joinpath(document).read_text(encoding="utf-8")
        assert set(re.findall(r"^\| (\d+) \| ", text, re.MULTILINE)) == own
