"""What Airflow finds when the project is installed beside it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from airflow._shared import module_loading as server
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseOperatorLink
from airflow.sdk._shared import module_loading as tasks
from airflow.sdk.module_loading import import_string
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from exchange.scheduling.connections import ShutongHook
from exchange.scheduling.provider import get_provider_info

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The distribution as its description would have it installed; its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {what}" for name, what in entries.items()))
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for each in (server, tasks):
        each._get_grouped_entry_points.cache_clear()
    for kind in (ProvidersManager, ProvidersManagerTaskRuntime):
        monkeypatch.setattr(kind, "_instance", None)  # there is one for each process, and it has looked already
        monkeypatch.setattr(kind, "_initialized", False)
    yield str(project["name"])
    for each in (server, tasks):
        each._get_grouped_entry_points.cache_clear()


def test_airflow_finds_the_provider(installed: str) -> None:
    found = ProvidersManager().providers[installed]
    assert found.data == get_provider_info() | {"documentation-url": None}


def test_tasks_find_the_hook_of_its_connections(installed: str) -> None:
    hook = ProvidersManagerTaskRuntime().hooks["shutong"]
    assert hook is not None
    assert (hook.package_name, hook.hook_name) == (installed, ShutongHook.hook_name)
    assert hook.connection_id_attribute_name == ShutongHook.conn_name_attr
    assert import_string(hook.hook_class_name) is ShutongHook


def test_the_form_of_a_connection_asks_for_what_there_is(installed: str) -> None:
    manager = ProvidersManager()
    widget = manager.connection_form_widgets["extra__shutong__home"]
    assert widget.field["schema"]["title"] == "主目录 / Home"
    assert not widget.is_sensitive
    told = manager.field_behaviours["shutong"]
    assert {"host", "port", "login", "schema"} == set(told["hidden_fields"])
    assert all(" / " in label for label in told["relabeling"].values())


def test_its_links_are_links(installed: str) -> None:
    manager = ProvidersManager()
    ours = [name for name in manager.extra_links_class_names if name.startswith("exchange.")]
    assert ours == sorted(get_provider_info()["extra-links"])
    assert all(issubclass(import_string(name), BaseOperatorLink) for name in ours)


def test_airflow_pays_nothing_for_it_when_it_starts() -> None:
    """It is read while Airflow itself is being imported: what it imported would meet half an Airflow."""
    order = "import sys, exchange.scheduling.provider as p; p.get_provider_info(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", order], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"airflow", "sqlalchemy", "pyarrow", "pydantic"} & set(done.stdout.split())


def test_every_module_that_is_told_of_is_there() -> None:
    told = get_provider_info()
    parts = [told[name] for name in ("operators", "sensors", "triggers", "hooks", "bundles")]
    modules = [module for part in parts for each in part for module in each["python-modules"]]
    assert [module for module in modules if find_spec(module) is None] == []


def test_reading_a_dag_pays_for_no_hub() -> None:
    """The processor reads a file of DAGs again and again, each time in a process of its own."""
    modules = ["connections", "factory", "lineage", "links", "operators", "sensors", "triggers"]
    order = f"import sys; {'; '.join(f'import exchange.scheduling.{name}' for name in modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", order], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith(("exchange.", "schemas", "catalog", "adapters"))}
    allowed = {"exchange.errors", "exchange.snapshot", "exchange.scheduling"}
    assert {name for name in loaded - allowed if not name.startswith("exchange.scheduling.")} == set()
    assert "pyarrow" not in done.stdout.split()
