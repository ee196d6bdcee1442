from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.errors import AdapterError, Misconfigured, Unavailable
from adapters.files.transports.lease import Folder, Lease
from tests.adapters.files.transports.conftest import Remote


class Files(Folder):
    """A folder of this machine, slow enough for others to come between."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.broken = False

    def names(self) -> list[str]:
        time.sleep(0.002)
        return sorted(path.name for path in self._root.iterdir())

    def content(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self._root / name).read_bytes()
        return None

    def make(self, name: str, content: bytes) -> None:
        (self._root / name).write_bytes(content)

    def change(self, name: str, content: bytes) -> None:
        if self.broken:
            raise Unavailable("x")
        if not (self._root / name).exists():
            raise Misconfigured("x")
        (self._root / name).write_bytes(content)

    def drop(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


def test_one_at_a_time_is_inside(tmp_path: Path) -> None:
    inside, most, entered = [0], [0], [0]
    guard = threading.Lock()

    def work() -> None:
        for _ in range(3):
            with Lease(Files(tmp_path), 2.0, "x").held():
                with guard:
                    inside[0] += 1
                    entered[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.01)
                with guard:
                    inside[0] -= 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert (most[0], entered[0]) == (1, 12)
    assert list(tmp_path.iterdir()) == []


def test_a_living_holder_is_not_taken_for_dead(tmp_path: Path) -> None:
    with Lease(Files(tmp_path), 0.6, "x").held() as _:
        begun = time.monotonic()
        ended = threading.Event()
        found: list[float] = []

        def want() -> None:
            with Lease(Files(tmp_path), 0.6, "x").held():
                found.append(time.monotonic() - begun)
            ended.set()

        threading.Thread(target=want).start()
        time.sleep(1.8)
    assert ended.wait(10)
    assert found[0] >= 1.8


def test_a_dead_holder_is_waited_for_and_then_removed(tmp_path: Path) -> None:
    (tmp_path / "dead").write_bytes(b"left")
    begun = time.monotonic()
    with Lease(Files(tmp_path), 0.5, "x").held():
        assert time.monotonic() - begun > 0.5
        assert not (tmp_path / "dead").exists()


def test_a_living_holder_is_waited_for_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lease(Files(tmp_path), 0.5, "x").held():
        wish = Lease(Files(tmp_path), 0.5, "那个目录")
        true = time.monotonic
        jumped = [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: true() + jumped[0])
        threading.Timer(0.3, lambda: jumped.__setitem__(0, 0.0)).start()

        class Hurried(Files):
            def names(self) -> list[str]:
                jumped[0] = 7.0
                return super().names()

        wish._folder = Hurried(tmp_path)
        with pytest.raises(Unavailable, match="那个目录 正被"), wish.held():
            pass
    assert list(tmp_path.iterdir()) == []


def test_who_may_have_lost_it_is_told(tmp_path: Path) -> None:
    folder = Files(tmp_path)
    lease = Lease(folder, 0.6, "x")
    with lease.held():
        time.sleep(0.7)
        lease.check()
        folder.broken = True
        time.sleep(0.5)
        with pytest.raises(Unavailable, match="失去"):
            lease.check()


def test_who_was_ousted_is_told(tmp_path: Path) -> None:
    lease = Lease(Files(tmp_path), 0.6, "x")
    with lease.held():
        for path in tmp_path.iterdir():
            path.unlink()
        time.sleep(0.3)
        with pytest.raises(Unavailable, match="失去"):
            lease.check()


def test_a_wish_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Failing(Files):
        def names(self) -> list[str]:
            found = super().names()
            if found:
                raise Unavailable("x")
            return found

    with pytest.raises(AdapterError), Lease(Failing(tmp_path), 0.5, "x").held():
        pass
    assert list(tmp_path.iterdir()) == []


def test_over_a_server(remote: Remote) -> None:
    directory = remote.open(lease=0.5)
    with directory.lock("lock"):
        directory.write("a", b"1")
        held = list((remote.root / "lock.held").iterdir())
        assert len(held) == 1
        assert f"/{os.getpid()}" in held[0].read_text()
        # Somebody else takes it for dead: from then on nothing is changed any more.
        held[0].unlink()
        time.sleep(0.4)
        for change in (
            lambda: directory.write("a", b"2"),
            lambda: directory.rename("a", "b"),
            lambda: directory.remove("a"),
        ):
            with pytest.raises(Unavailable, match="失去"):
                change()
        assert directory.read("a") == b"1"
    directory.write("a", b"3")
    assert list((remote.root / "lock.held").iterdir()) == []
