"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("exchange", "adapters", "catalog", "schemas")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

TOP_LEVEL = {
    *PACKAGES, "tests", "docs",
    "pyproject.toml", "requirements.lock", "shutong",
    "README.md", "README.zh-CN.md", "CHANGELOG.md", "LICENSE",
}  # fmt: skip
FOR_AIRFLOW = {"dags"}
GENERATED = re.compile(r"\..*|.*\.egg-info|build|dist|__pycache__")

NAMELESS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "handler", "handlers", "misc"}
# Looked for, to be found nowhere.
VANILLA = {"Exception", "BaseException", "RuntimeError", "NotImplementedError"}

PRODUCTS = re.compile(
    r"sqlite|postgres|psycopg|mariadb|mysql|oracle|mssql|sqlserver|dameng|kingbase|opengauss|gaussdb|oceanbase|tidb",
    re.IGNORECASE,
)
DIALECTS = "adapters/database/dialects"
VOCABULARY = "catalog/vocabulary.py"  # the kinds of databases that a directory entry may name
# The hub's own database, one of two products, is no department's: these describe, open and type it. The demo's city
# keeps its front-end databases in the product that needs no server, and so does the embedded transport its messages.
# What schedules has a database of its own, one of the same two.
OWN_DATABASE = re.compile("sqlite|postgres|psycopg", re.IGNORECASE)
KNOW_OWN_DATABASE = (
    "catalog/tables.py", "exchange/db/", "exchange/settings/", "exchange/demo/", "adapters/messaging/embedded.py",
    "exchange/scheduling/",
)  # fmt: skip


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def migration(path: Path) -> bool:
    """Whether it is a step of the hub database's history; they are tested as a whole."""
    return name(path).startswith("exchange/db/migrations/")


def test_the_top_level_holds_what_it_should_and_nothing_else() -> None:
    found = {path.name for path in ROOT.iterdir() if not GENERATED.fullmatch(path.name)}
    assert found - FOR_AIRFLOW == TOP_LEVEL


def test_dags_hides_no_package() -> None:
    """Airflow puts that folder on the path, before the installed packages."""
    assert not {path.stem for path in (ROOT / "dags").glob("*")} & set(PACKAGES)


def test_no_module_is_a_drawer() -> None:
    assert [name(path) for path in MODULES if NAMELESS & {*path.relative_to(ROOT).parts[:-1], path.stem}] == []


def test_every_error_has_a_name_of_its_own() -> None:
    def raised(node: ast.AST) -> str | None:
        if not isinstance(node, ast.Raise) or node.exc is None:
            return None
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return error.id if isinstance(error, ast.Name) else None

    found = [
        f"{name(path)}:{node.lineno} {raised(node)}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Raise) and raised(node) in VANILLA
    ]
    assert found == []


def test_no_error_is_swallowed_blindly() -> None:
    def blind(handler: ast.ExceptHandler) -> bool:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        everything = any(
            kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
            for kind in caught
        )
        # Raised on, or carried to the thread that waits for it.
        carried = [node for node in ast.walk(handler) if isinstance(node, ast.Name) and node.id == handler.name]
        passed_on = any(isinstance(node, ast.Raise) for node in ast.walk(handler)) or bool(carried)
        return everything and not passed_on

    found = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and blind(node)
    ]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    # The marks that are looked for; this file, which must name them, is left out below.
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{name(path)}:{number}"
        for path in [*MODULES, *(ROOT / "tests").rglob("*.py")]
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if mark.search(line)
    ]
    assert found == []


def only_gathers(path: Path) -> bool:
    """Whether a package's ``__init__`` does nothing but name what its modules hold."""
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"])
        for node in tree(path).body
    )


def homes_of_tests(path: Path) -> list[Path]:
    """Where the tests of a module may be."""
    folder = ROOT / "tests" / path.parent.relative_to(ROOT)
    if path.stem == "__init__":
        return [folder / "test_init.py", folder / f"test_{path.parent.name}.py"]
    return [folder / f"test_{path.stem}.py"]


def test_every_module_has_its_tests() -> None:
    public = [
        path
        for path in MODULES
        if not migration(path)
        and (not path.stem.startswith("_") or (path.stem == "__init__" and not only_gathers(path)))
    ]
    bare = [name(path) for path in public if not any(home.exists() for home in homes_of_tests(path))]
    assert not bare, "without tests of their own:\n" + "\n".join(bare)


def test_every_folder_of_tests_is_a_package() -> None:
    """Else two test modules of one name would clash."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def words(path: Path) -> Iterator[tuple[int, str]]:
    """Each name and each string of a module's code, without comments and docstrings."""
    docstrings = {
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE) and token.start[0] not in docstrings:
            yield token.start[0], token.string


def test_database_products_are_named_in_one_place() -> None:
    def strange(path: Path, word: str) -> bool:
        if name(path).startswith(KNOW_OWN_DATABASE):
            word = OWN_DATABASE.sub("", word)
        return PRODUCTS.search(word) is not None

    found = {
        f"{name(path)}:{line}"
        for path in MODULES
        if not name(path).startswith((DIALECTS, VOCABULARY))
        for line, word in words(path)
        if strange(path, word)
    }
    assert sorted(found) == []


@pytest.mark.parametrize("text", ["x = 'use PostgreSQL'", "import sqlite3", "if dialect.name == 'mysql': pass"])
def test_the_search_for_products_finds_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(f'"""About SQLite."""\n# about MariaDB\n{text}\n')
    assert [line for line, word in words(path) if PRODUCTS.search(word)] == [3]
