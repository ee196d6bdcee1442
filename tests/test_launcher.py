"""The launcher, run for real on a project so small that its packages are made here."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

BACKEND = '''
import sys
from pathlib import Path
sys.path.insert(0, "WHEELS")
import wheels, tomllib
def build_editable(folder, settings=None, metadata=None):
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    main = """
import importlib.metadata, json, sys
def main():
    words = [sys.argv[1:], sys.prefix, importlib.metadata.version("shutong"), importlib.metadata.version("dependency")]
    print(json.dumps(words))
    return 7 if "--fail" in sys.argv else 0
"""
    commands = "[console_scripts]\\nshutong = small:main\\n"
    return wheels.wheel(Path(folder), "shutong", version, {"small.py": main}, commands)
'''
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "shutong"
version = "VERSION"
"""


def wheel(folder: Path, name: str, version: str, files: dict[str, str], entry_points: str = "") -> str:
    """Make a wheel in a folder and return its file name."""
    information = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": entry_points,
    }
    record = ""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(file), content)  # without today's date: the same wheel every time
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            record += f"{file},sha256={digest},{len(content.encode())}\n"
        archive.writestr(zipfile.ZipInfo(f"{information}/RECORD"), f"{record}{information}/RECORD,,\n")
    return path.name


@dataclass
class Project:
    """A small project with our launcher."""

    folder: Path
    wheels: Path
    settings: dict[str, str] = field(default_factory=dict)

    def lock(self, version: str, *, digest: str = "") -> None:
        lines = ""
        for name, number in (("dependency", version), ("setuptools", "1.0")):
            file = self.wheels / wheel(self.wheels, name, number, {f"{name}.py": ""})
            right = hashlib.sha256(file.read_bytes()).hexdigest()
            lines += f"{name}=={number} \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{digest or right}\n"
        (self.folder / "requirements.lock").write_text(lines)

    def describe(self, version: str) -> None:
        (self.folder / "pyproject.toml").write_text(PYPROJECT.replace("VERSION", version))

    def start(self, *words: str, through: Sequence[Path | str] = (), cwd: Path | str = "/") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*(through or [self.folder / "shutong"]), *words],
            cwd=cwd,
            env={"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), **self.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, through: Sequence[Path | str] = (), cwd: Path | str = "/") -> Ran:
        process = self.start(*words, through=through, cwd=cwd)
        output, progress = process.communicate()
        return Ran(process.returncode, output, progress)


@dataclass(frozen=True)
class Ran:
    status: int
    output: str
    progress: str

    @property
    def words(self) -> list[str]:
        return list(json.loads(self.output)[0])

    @property
    def prefix(self) -> str:
        return str(json.loads(self.output)[1])

    @property
    def versions(self) -> tuple[str, str]:
        """Of the project and of what it depends on."""
        _, _, own, dependency = json.loads(self.output)
        return own, dependency

    @property
    def made(self) -> bool:
        """Whether an environment was made in this run."""
        return "making the environment" in self.progress


def small_project(folder: Path, wheels: Path) -> Project:
    folder.mkdir(parents=True)
    wheels.mkdir(exist_ok=True)
    shutil.copy(ROOT / "shutong", folder)
    (wheels / "wheels.py").write_text("import base64, hashlib, zipfile\nfrom pathlib import Path\n" + source_of_wheel())
    (folder / "backend.py").write_text(BACKEND.replace("WHEELS", str(wheels)))
    project = Project(folder, wheels)
    project.lock("1.0")
    project.describe("0.1")
    return project


def source_of_wheel() -> str:
    text = Path(__file__).read_text(encoding="utf-8")
    return text[text.index("def wheel(") : text.index("@dataclass\nclass Project")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that nobody has used yet, in a folder with blanks and Chinese in its name."""
    return small_project(tmp_path / "数 通" / "a b", tmp_path / "wheels")


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its first use; for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("used")
    project = small_project(folder / "数 通" / "a b", folder / "wheels")
    first = project.run("first", "two words", "")
    assert (first.status, first.words, first.made) == (0, ["first", "two words", ""], True), first.progress
    return project


def test_the_second_use_hands_over_at_once(used: Project) -> None:
    began = time.monotonic()
    ran = used.run("--fail", "*", "$HOME", "a\nb")
    assert time.monotonic() - began < 1
    assert (ran.status, ran.words, ran.progress) == (7, ["--fail", "*", "$HOME", "a\nb"], "")
    assert ran.prefix == str(used.folder / ".venv")


def test_it_finds_its_folder_from_anywhere(used: Project, tmp_path: Path) -> None:
    link = tmp_path / "some where" / "st"
    link.parent.mkdir()
    (tmp_path / "direct").symlink_to(used.folder / "shutong")
    link.symlink_to("../direct")
    assert used.run("x", through=[link]).words == ["x"]
    assert used.run("y", through=["./shutong"], cwd=used.folder).words == ["y"]


def test_nothing_in_the_environment_names_its_building_place(used: Project) -> None:
    left = [path.name for path in used.folder.iterdir() if path.name.startswith(".venv")]
    assert sorted(left) == [".venv", ".venv.lock"]
    for path in (used.folder / ".venv" / "bin").iterdir():
        assert b".venv.new" not in path.read_bytes(), path
    assert list((used.folder / ".venv").rglob("dependency.*.pyc"))


def test_foreign_settings_change_nothing(used: Project, tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text("raise SystemExit('a stranger')")
    stranger = Project(used.folder, used.wheels, {"PYTHONPATH": str(tmp_path)})
    assert stranger.run("x").words == ["x"]


@pytest.fixture
def copied(used: Project, tmp_path: Path) -> Project:
    """A used project to play with: a copy that believes to have been made where it is."""
    folder = tmp_path / "copy of"
    shutil.copytree(used.folder, folder, symlinks=True)
    stamp = folder / ".venv" / "shutong.lock"
    stamp.write_text(stamp.read_text().replace(str(used.folder), str(folder)))
    return Project(folder, used.wheels)


def test_new_metadata_is_taken_up_without_a_new_environment(copied: Project) -> None:
    witness = copied.folder / ".venv" / "witness"
    witness.touch()
    copied.describe("0.2")
    ran = copied.run()
    assert (ran.versions, ran.made) == (("0.2", "1.0"), False)
    assert witness.exists()


def test_a_moved_folder_gets_a_new_environment(used: Project, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(used.folder, moved, symlinks=True)
    settings = {"PIP_CONSTRAINT": "/nonexistent", "PIP_USER": "1", "PIP_TARGET": "/nonexistent"}
    ran = Project(moved, used.wheels, settings).run()
    assert (ran.made, ran.prefix) == (True, str(moved / ".venv"))


def test_killed_half_way_through_a_new_lock_it_starts_over(copied: Project) -> None:
    copied.lock("2.0")
    process = copied.start()
    deadline = time.monotonic() + 60
    while not list(copied.folder.glob(".venv.new/lib/python*/site-packages/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (copied.folder / ".venv.new").exists()
    assert (copied.folder / ".venv" / "bin" / "shutong").exists()
    ran = copied.run("x")
    assert (ran.status, ran.words, ran.made, ran.versions) == (0, ["x"], True, ("0.1", "2.0"))
    assert not (copied.folder / ".venv.new").exists()


def test_a_package_that_is_not_as_locked_is_not_installed(copied: Project) -> None:
    copied.lock("3.0", digest="1" * 64)
    ran = copied.run()
    assert (ran.status, ran.output) == (1, "")
    assert "HASHES" in ran.progress
    assert "依赖安装失败" in ran.progress
    assert not (copied.folder / ".venv.new").exists()


def test_two_first_uses_at_once_make_one_environment(copied: Project) -> None:
    python = copied.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")  # as after an upgrade of the system
    both = [copied.start(word) for word in "ab"]
    ended = [process.communicate() for process in both]
    assert [json.loads(output)[0] for output, _ in ended] == [["a"], ["b"]]
    assert sum("making the environment, once" in progress for _, progress in ended) == 1
    assert sum("waiting" in progress for _, progress in ended) == 1


@pytest.fixture
def bare(project: Project, tmp_path: Path) -> Project:
    """The project on a machine without Python, whose ``apt-get`` can install one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ["sh", "cat", "env", "flock", "mktemp", "mv", "readlink", "rm", "sed", "sha256sum", "tail"]:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    project.settings = {"PATH": str(folder)}
    program(project, "id", "echo 0")
    program(
        project,
        "apt-get",
        f'echo "$DEBIAN_FRONTEND $*" >> "{tmp_path}/apt"\n'
        f'case "$*" in *" install "*) /bin/ln -s "{sys.executable}" "{folder}/python3.11" ;; esac\n'
        "echo chatter",
    )
    return project


def program(project: Project, name: str, script: str) -> None:
    """Put a program on the machine of the project."""
    path = Path(project.settings["PATH"], name)
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_python_it_is_installed(bare: Project, tmp_path: Path) -> None:
    program(bare, "id", "echo 1000")
    program(bare, "sudo", f'echo sudo >> "{tmp_path}/apt"\nexec "$@"')
    program(bare, "python3.13", "exit 127")
    program(bare, "python3", "exit 1")
    ran = bare.run("x")
    assert ran.status == 0, ran.progress
    assert ran.words == ["x"]
    assert "chatter" not in ran.progress + ran.output
    calls = (tmp_path / "apt").read_text().splitlines()
    assert calls[0::2] == ["sudo", "sudo"]
    update, install = calls[1::2]
    assert re.fullmatch(r"noninteractive .* update", update)
    assert re.fullmatch(
        r"noninteractive .* install -y --no-install-recommends ca-certificates python3 python3-venv tzdata", install
    )


def test_root_needs_no_sudo_and_an_unfit_python_is_named(bare: Project, tmp_path: Path) -> None:
    program(bare, "apt-get", f'echo "$*" >> "{tmp_path}/apt"')
    ran = bare.run()
    assert (ran.status, ran.output) == (1, "")
    assert "does not fit" in ran.progress
    assert len((tmp_path / "apt").read_text().splitlines()) == 2


def test_a_failing_installation_shows_why(bare: Project) -> None:
    program(bare, "apt-get", 'echo "E: the mirror is away"; exit 100')
    ran = bare.run()
    assert ran.status == 1
    assert "E: the mirror is away" in ran.progress
    assert "apt-get install ca-certificates python3 python3-venv tzdata" in ran.progress


def test_without_the_right_to_install_it_says_whom_to_ask_for_what(bare: Project) -> None:
    program(bare, "id", "echo 1000")
    ran = bare.run()
    assert (ran.status, ran.output) == (1, "")
    assert "请管理员安装" in ran.progress
    assert "apt-get install ca-certificates python3 python3-venv tzdata" in ran.progress
    Path(bare.settings["PATH"], "apt-get").unlink()
    ran = bare.run()
    assert ran.status == 1
    assert "请管理员安装" in ran.progress
    assert "apt-get" not in ran.progress


def test_a_folder_that_one_may_not_write_to_is_left_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = small_project(Path(folder, "project"), Path(folder, "wheels"))
        for path in (Path(folder), project.folder):
            path.chmod(0o555)
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        ran = project.run(through=[*as_nobody, str(project.folder / "shutong")])
        project.folder.chmod(0o755)
        Path(folder).chmod(0o755)
    assert (ran.status, ran.output) == (1, "")
    assert "无权写入" in ran.progress


def lock_entries() -> dict[str, list[str]]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = text.replace("\\\n", " ").splitlines()
    return {entry.split(" --hash=")[0].strip(): entry.split(" --hash=")[1:] for entry in entries}


def test_the_lock_holds_versions_and_digests_and_no_address() -> None:
    for requirement, digests in lock_entries().items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+]+( ; .+)?", requirement)
        assert digests
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", digest) for digest in digests), requirement


def test_the_lock_fits_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [Requirement(text) for text in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]]
    locked: dict[str, list[str]] = {}
    for entry in lock_entries():
        requirement = Requirement(entry)
        locked.setdefault(requirement.name, []).extend(item.version for item in requirement.specifier)
    for requirement in asked:
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), requirement
