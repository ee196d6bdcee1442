from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import packages
from tests.support.packages import Program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``PATH`` of one folder, with the shell and what its scripts cannot do without."""
    for tool in ("sh", "grep", "rm", "chmod", "mkdir"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_missing_program_says_what_to_install(path: Path) -> None:
    absent = Program("no-such-server", "no-such-package", ("usr/lib/postgresql/*/bin",))
    assert absent.find() is None
    with pytest.raises(FileNotFoundError, match="apt-get install no-such-package"):
        absent.path()


def test_the_newest_of_several_is_found(tmp_path: Path) -> None:
    for version in ("9", "15", "17"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "server").touch()
    folders = str(tmp_path / "*").removeprefix("/")
    assert Program("server", "package", (folders,)).find() == tmp_path / "17" / "server"


def test_nothing_is_installed_when_nothing_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path / "apt-get", f"touch {path}/called")
    monkeypatch.setattr(packages, "PROGRAMS", (Program("sh", "dash"),))
    assert packages.main() == 0
    assert not (path / "called").exists()


def test_what_is_missing_is_named_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PROGRAMS", (Program("a", "x"), Program("b", "x"), Program("c", "w")))
    assert packages.missing() == ["w", "x"]


def test_without_apt_the_user_hears_what_to_ask_for(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "apt-get install some-server" in (packages.install(["some-server"]) or "")


def test_without_sudo_the_user_hears_what_to_ask_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path / "apt-get", f"touch {path}/called")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    advice = packages.install(["some-server"]) or ""
    assert "sudo" in advice
    assert "apt-get install some-server" in advice
    assert not (path / "called").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may do what this undoes")
@pytest.mark.parametrize("status", [0, 100])
def test_services_are_held_back_only_while_packages_are_installed(path: Path, status: int) -> None:
    policy, clusters = Path("/usr/sbin/policy-rc.d"), Path("/etc/postgresql-common/createcluster.d")
    before = policy.read_bytes() if policy.exists() else None
    program(
        path / "apt-get",
        f'[ "$DEBIAN_FRONTEND" = noninteractive ] || exit 3\n'
        f'case "$*" in *" install "*) /bin/cp {policy} {clusters}/zz-shutong-test.conf {path} && exit {status} ;; esac',
    )
    trouble = packages.install(["some-server"])
    assert (trouble is None) == (status == 0)
    assert "exit 101" in (path / "policy-rc.d").read_text()
    assert "create_main_cluster = false" in (path / "zz-shutong-test.conf").read_text()
    assert (policy.read_bytes() if policy.exists() else None) == before
    assert not (clusters / "zz-shutong-test.conf").exists()
