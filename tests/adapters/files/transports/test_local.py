from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.files.transports import local
from adapters.files.transports.base import CHUNK
from adapters.files.transports.local import LocalDirectory, hard_links


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


def test_names_that_come_and_go_touch_the_directory(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path)
    seen = []
    for change in (
        lambda: (tmp_path / "a").write_text("1"),
        lambda: (tmp_path / "a").rename(tmp_path / "b"),
        lambda: (tmp_path / "b").unlink(),
    ):
        os.utime(tmp_path, (1, 1))
        seen.append(directory.touched())
        change()
        seen.append(directory.touched())
    assert seen[0::2] == [10**9] * 3
    assert all(each is not None and each > 10**9 for each in seen[1::2])
    tmp_path.rmdir()
    with pytest.raises(AdapterError):
        directory.touched()


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

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", die)
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


def _in_time(work: Callable[[], object]) -> None:
    """Do it on a thread that nobody waits for: what hangs must fail and not hang the test."""
    ended = threading.Event()

    def run() -> None:
        with contextlib.suppress(AdapterError):
            work()
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(5)


def test_a_pipe_holds_up_nobody(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path)
    for name in ("a", ".a.part", "lock"):
        os.mkfifo(tmp_path / name)

    def locked() -> None:
        with directory.lock("lock"):
            pytest.fail("a pipe was taken for a lock")

    for work in (
        lambda: directory.begin("a", b"x"),
        lambda: directory.append("a", b"x"),
        lambda: directory.write("a", b"x"),
        lambda: directory.upload("a", io.BytesIO(b"x")),
        lambda: directory.read("a"),
        locked,
    ):
        _in_time(work)
    for failing in (lambda: directory.append("a", b"x"), lambda: directory.begin("a", b"x")):
        with pytest.raises(Malformed, match="不是普通文件"):
            failing()


@pytest.mark.parametrize("write", ["begin", "write", "upload"])
def test_a_file_of_another_name_is_not_written_through(tmp_path: Path, write: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "other").write_text("not yours")
    (root / "a").hardlink_to(tmp_path / "other")
    (root / ".a.part").hardlink_to(tmp_path / "other")
    directory = LocalDirectory(root)
    if write == "upload":
        directory.upload("a", io.BytesIO(b"x"))
    else:
        getattr(directory, write)("a", b"x")
    assert (root / "a").read_bytes() == b"x"
    assert (tmp_path / "other").read_text() == "not yours"


def test_a_folder_that_was_swapped_for_a_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "b").write_text("kept")
    (root / "a").write_text("x")
    directory = LocalDirectory(root)
    folder = directory.folder("taken")
    (root / "taken").rmdir()
    (root / "taken").symlink_to(outside)
    for work in (
        lambda: directory.rename("a", "b", into=folder),
        lambda: folder.write("b", b"y"),
        lambda: folder.remove("b"),
        lambda: folder.read("b"),
        lambda: folder.listing("*"),
        lambda: folder.folder("c"),
        lambda: folder.hidden(""),
    ):
        with pytest.raises(AdapterError):
            work()
    assert [(one.name, one.read_text()) for one in outside.iterdir()] == [("b", "kept")]
    assert (root / "a").exists()


def test_what_is_taken_away_while_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("x")
    real = os.scandir

    @contextlib.contextmanager
    def late(listed: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with real(listed) as scan:
            found = list(scan)
            (tmp_path / "b.csv").unlink()
            yield iter(found)

    monkeypatch.setattr(os, "scandir", late)
    assert [entry.name for entry in LocalDirectory(tmp_path).listing("*.csv")] == ["a.csv", "c.csv"]


def test_a_share_that_goes_away_while_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("x")
    real = os.scandir

    @contextlib.contextmanager
    def stale(listed: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        def each() -> Iterator[os.DirEntry[str]]:
            yield from scan
            raise OSError(errno.ESTALE, "stale")

        with real(listed) as scan:
            yield each()

    monkeypatch.setattr(os, "scandir", stale)
    with pytest.raises(Unavailable, match="网络存储失去联系") as caught:
        LocalDirectory(tmp_path).listing("*.csv")
    assert caught.value.retry


def test_a_file_that_grows_as_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * CHUNK)
    pieces = 0
    with pytest.raises(Unavailable, match="被改动"), (tmp_path / "a").open("ab") as file:
        for _ in LocalDirectory(tmp_path).chunks("a"):
            pieces += 1
            file.write(b"x" * 2 * CHUNK)
            file.flush()
    assert pieces < 4


def test_a_small_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert LocalDirectory(tmp_path).read("a", most=100) == b"x" * 100
    with pytest.raises(Malformed, match="文件 a 超过 99 字节"):
        LocalDirectory(tmp_path).read("a", most=99)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    directory = LocalDirectory(tmp_path).folder("a").folder("b")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        directory.write("x", b"1")
        directory.append("x", b"2")
        assert directory.read("x") == b"12"
        assert directory.listing("*")[0].size == 2
        assert directory.hidden("") == []
        with directory.lock(".lock"):
            directory.rename("x", "y")
        with pytest.raises(Misconfigured):
            list(directory.chunks("x"))
        directory.remove("y")
        directory.remove(".lock")
        next(iter(directory.entries("*")), None)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(("told", "passed"), [("1\n", True), ("0\n", False), (None, True)])
def test_hard_links_that_nobody_guards_against_are_told(tmp_path: Path, told: str | None, *, passed: bool) -> None:
    setting = tmp_path / "protected_hardlinks"
    if told is not None:
        setting.write_text(told)
    probe = hard_links(setting)
    assert probe.passed == passed
    assert bool(probe.remedy) != passed
    assert "fs.protected_hardlinks" in probe.detail
