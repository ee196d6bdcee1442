from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.files.transports import local
from adapters.files.transports.local import LocalDirectory


def test_listing_is_in_name_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".c.csv", "d.txt", "B.CSV"):
        (tmp_path / name).write_text("x")
    assert [entry.name for entry in LocalDirectory(tmp_path).listing("*.csv")] == ["a.csv", "b.csv"]
    assert [entry.name for entry in LocalDirectory(tmp_path).listing("[!a]*")] == ["B.CSV", "b.csv", "d.txt"]
    assert LocalDirectory(tmp_path).listing("a.csv")[0].size == 1


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/b", "..", ".", "", "a\0b", "**/x"])
def test_names_never_lead_out(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "x").write_text("outside")
    directory = LocalDirectory(inside)
    for call in (
        lambda: directory.listing(name),
        lambda: list(directory.chunks(name)),
        lambda: directory.write(name, b"x"),
        lambda: directory.rename("a", name),
        lambda: directory.remove(name),
        lambda: directory.folder(name),
    ):
        with pytest.raises(Misconfigured):
            call()
    assert (tmp_path / "x").read_text() == "outside"


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.csv").symlink_to(tmp_path / "secret")
    directory = LocalDirectory(root)
    with pytest.raises(Refused, match=r"a\.csv"):
        directory.listing("*.csv")
    with pytest.raises(Refused):
        list(directory.chunks("a.csv"))
    with pytest.raises(Refused):
        directory.append("a.csv", b"more")
    with pytest.raises(Refused):
        directory.begin("a.csv", b"other")
    (root / "lock").symlink_to(tmp_path / "secret")
    with pytest.raises(Refused), directory.lock("lock"):
        pass
    assert (tmp_path / "secret").read_text() == "x"


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    os.mkfifo(tmp_path / "b.csv")
    assert LocalDirectory(tmp_path).listing("*.csv") == []
    for name in ("a.csv", "b.csv"):
        with pytest.raises(Malformed, match="普通文件"):
            list(LocalDirectory(tmp_path).chunks(name))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(Misconfigured):
        LocalDirectory(tmp_path).folder("taken")


def test_modes_do_not_depend_on_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o007)
    try:
        directory = LocalDirectory(tmp_path)
        directory.write("a", b"x")
        directory.begin("b", b"x")
        directory.folder("c")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o750


def test_writing_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = LocalDirectory(tmp_path)
    directory.write("a", b"before")

    def die(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        directory.write("a", b"after")
    monkeypatch.undo()
    assert directory.read("a") == b"before"
    directory.write("a", b"after")
    assert directory.read("a") == b"after"
    assert directory.read("b") is None


def test_appending_needs_the_file(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path)
    with pytest.raises(Misconfigured):
        directory.append("a", b"x")
    directory.begin("a", b"1")
    directory.append("a", b"2")
    assert directory.read("a") == b"12"
    directory.remove("a")
    directory.remove("a")
    assert not directory.exists("a")


def test_moving_into_a_folder(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path)
    directory.write("a", b"x")
    folder = directory.folder("taken")
    directory.folder("taken")
    directory.rename("a", "b", into=folder)
    assert folder.read("b") == b"x"
    assert not directory.exists("a")


def test_one_holder_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOCK_SECONDS", 0.1)
    directory = LocalDirectory(tmp_path)
    with directory.lock("lock"), pytest.raises(Unavailable) as caught, LocalDirectory(tmp_path).lock("lock"):
        pass
    assert caught.value.retry
    with directory.lock("lock"):
        pass


def test_a_short_wait_is_waited(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path)
    order: list[str] = []

    def second() -> None:
        with LocalDirectory(tmp_path).lock("lock"):
            order.append("second")

    with directory.lock("lock"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path / "none")
    assert not directory.readable()
    assert not directory.writable()
    for call in (lambda: directory.listing("*"), lambda: directory.begin("a", b""), lambda: directory.hidden("a")):
        with pytest.raises(AdapterError):
            call()
