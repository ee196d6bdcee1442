"""The import contracts of ``pyproject.toml``: they hold, and each of them fires when it is broken."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("exchange", "adapters", "catalog", "schemas")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract for contract in SETTINGS["contracts"]}


def rooms() -> list[list[str]]:
    """The rooms of the exchange from the top down, layer by layer."""
    return [[room.strip(" ()") for room in layer.split("|")] for layer in CONTRACTS["rooms"]["layers"]]


def upward() -> list[tuple[str, str]]:
    """One import against the arrows for each pair of neighbouring layers, between rooms that exist."""
    built = [[room for room in layer if module_file(ROOT, f"exchange.{room}")] for layer in rooms()]
    layers = [layer for layer in built if layer]
    return [(f"exchange.{below[0]}", f"exchange.{above[0]}") for above, below in itertools.pairwise(layers)]


def module_file(tree: Path, module: str) -> Path | None:
    """The file of a module in a tree, or None."""
    path = tree.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def broken(tree: Path) -> set[str]:
    """The ids of the contracts that import-linter finds broken in a tree."""
    command = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    names = {contract["name"]: key for key, contract in CONTRACTS.items()}
    assert verdicts.keys() == names.keys(), done.stdout + done.stderr
    found = {names[name] for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert (done.returncode != 0) == bool(found), done.stdout + done.stderr
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the four packages and of the contracts."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def add_import(tree: Path, importer: str, imported: str) -> None:
    """Add an import to a module of the copy."""
    file = module_file(tree, importer)
    assert file is not None, f"there is no module {importer}"
    file.write_text(f"{file.read_text(encoding='utf-8')}\nimport {imported}\n", encoding="utf-8")


# importer, imported, and the one contract (or, where laws overlap, the contracts) that this breaks
VIOLATIONS = [
    ("adapters.base", "catalog", "catalog-and-adapters"),
    ("catalog", "adapters.base", "catalog-and-adapters doors-to-adapters"),
    ("schemas", "catalog", "downwards catalog-and-adapters"),
    ("catalog", "exchange.errors", "downwards"),
    ("adapters.base", "exchange.errors", "downwards"),
    ("exchange.plan", "adapters.base", "doors-to-adapters"),
    ("exchange.cli", "adapters.memory", "doors-to-adapters"),
    ("adapters.memory", "adapters.files", "ways-apart"),
    ("adapters.webservice", "adapters.database", "ways-apart"),
    ("adapters.files.formats", "adapters.files.transports", "bytes-and-meaning"),
    ("adapters.files.transports.sftp", "paramiko", "home-of-ssh"),
    ("adapters.messaging.embedded", "kombu", "home-of-kombu"),
    ("exchange.engine.courier", "amqp", "home-of-kombu"),
    ("adapters.files", "adapters.messaging", "ways-apart"),
    ("adapters.database", "zeep", "home-of-soap"),
    ("exchange.plan", "spyne", "home-of-soap"),
    ("adapters.database", "psycopg", "home-of-drivers"),
    ("exchange.db", "pymysql.err", "home-of-drivers"),
    ("exchange.engine.spool", "fsspec", "home-of-storage"),
    ("exchange.engine", "airflow", "home-of-airflow"),
    ("adapters.base", "airflow.sdk", "home-of-airflow"),
]


def test_the_contracts_hold() -> None:
    assert broken(ROOT) == set()


@pytest.mark.parametrize(("importer", "imported", "contracts"), VIOLATIONS)
def test_a_violation_is_seen(tree: Path, importer: str, imported: str, contracts: str) -> None:
    add_import(tree, importer, imported)
    assert broken(tree) == set(contracts.split())


@pytest.mark.parametrize(("importer", "imported"), upward())
def test_no_room_reaches_up(tree: Path, importer: str, imported: str) -> None:
    add_import(tree, importer, imported)
    assert broken(tree) == {"rooms"}


def test_a_room_without_a_place_is_seen(tree: Path) -> None:
    (tree / "exchange" / "annexe.py").write_text("")
    assert broken(tree) == {"rooms"}


def test_a_room_that_is_gone_is_seen(tree: Path) -> None:
    (tree / "exchange" / "errors.py").rename(tree / "exchange" / "faults.py")
    with pytest.raises(AssertionError, match="Missing layer"):
        broken(tree)


def test_every_contract_is_shown_to_fire() -> None:
    alone = {contracts for _, _, contracts in VIOLATIONS if " " not in contracts}
    assert alone | {"rooms"} == CONTRACTS.keys()
