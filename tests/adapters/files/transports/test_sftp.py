"""What only a directory on a server can suffer: cuts, silence, a full disk, another's lock, a poorer server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import Malformed, Misconfigured, Refused, Unavailable
from adapters.files.transports import protocol, sftp, ssh
from adapters.files.transports.base import CHUNK
from adapters.files.transports.protocol import Session
from adapters.files.transports.sftp import SftpDirectory
from tests.adapters.files.transports.conftest import Remote
from tests.bench.report import watched
from tests.support.openssh import OpenSSHServer
from tests.support.proxy import Line


@pytest.fixture
def line(remote: Remote) -> Iterator[Line]:
    with Line(remote.server.port) as opened:
        yield opened


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "PAUSE", 0.05)


SEED = int(os.environ.get("SHUTONG_TEST_SEED", time.time_ns() % 1_000_000))
"""Read at once: tests run without the settings of whoever runs them."""
CONTENT = os.urandom(6 * CHUNK + 4711)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("after", [1000, CHUNK, 3 * CHUNK + 17, 6 * CHUNK])
def test_a_cut_in_the_middle_of_a_file_that_is_read(remote: Remote, line: Line, after: int) -> None:
    (remote.root / "a").write_bytes(CONTENT)
    directory = remote.open(port=line.port)
    assert directory.exists("a")
    line.cut_after(after)
    file = io.BytesIO()
    assert directory.download("a", file) == DIGEST
    assert file.getvalue() == CONTENT
    assert line.opened == 2


@pytest.mark.parametrize("after", [1000, CHUNK, 3 * CHUNK + 17, 6 * CHUNK])
def test_a_cut_in_the_middle_of_a_file_that_is_brought(remote: Remote, line: Line, after: int) -> None:
    directory = remote.open(port=line.port)
    assert not directory.exists(".a")
    line.cut_after(after)
    assert directory.upload(".a", io.BytesIO(CONTENT)) == DIGEST
    assert (remote.root / ".a").read_bytes() == CONTENT
    assert line.opened == 2


@pytest.mark.parametrize("after", [300, 2000, CHUNK])
def test_a_cut_while_something_is_added(remote: Remote, line: Line, after: int) -> None:
    directory = remote.open(port=line.port)
    directory.begin(".a", b"head")
    line.cut_after(after)
    directory.append(".a", CONTENT)
    assert (remote.root / ".a").read_bytes() == b"head" + CONTENT


def test_a_file_that_is_changed_during_a_cut_is_not_read_on(remote: Remote, line: Line) -> None:
    (remote.root / "a").write_bytes(CONTENT)
    directory = remote.open(port=line.port)
    pieces = directory.chunks("a")
    next(pieces)
    (remote.root / "a").write_bytes(CONTENT + b"more")
    line.cut()
    with pytest.raises(Unavailable, match="改动"):
        list(pieces)


def test_what_was_resumed_is_proven(remote: Remote) -> None:
    """Half a file that is not the beginning of ours must not be completed into something that nobody sent."""
    (remote.root / ".a").write_bytes(b"x" * CHUNK)
    os.chown(remote.root / ".a", remote.root.stat().st_uid, remote.root.stat().st_gid)
    with pytest.raises(Malformed, match="续传"):
        remote.open().upload(".a", io.BytesIO(CONTENT))
    assert not (remote.root / ".a").exists()


def test_a_cut_before_a_rename(remote: Remote, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = remote.open(port=line.port)
    directory.begin(".a", b"x")
    original = Session.rename

    def cut(self: Session, *paths: bytes) -> None:
        line.cut()
        original(self, *paths)

    monkeypatch.setattr(Session, "rename", cut)
    with pytest.raises(Unavailable, match="没有收到答复"):
        directory.rename(".a", "a")
    assert sorted(path.name for path in remote.root.iterdir()) == [".a"]


def test_a_cut_after_a_rename_and_before_its_answer(remote: Remote, line: Line) -> None:
    directory = remote.open(port=line.port)
    directory.begin(".a", b"x")
    line.silent.set()
    caught: list[BaseException] = []

    def rename() -> None:
        try:
            directory.rename(".a", "a")
        except Unavailable as error:
            caught.append(error)

    asking = threading.Thread(target=rename)
    asking.start()
    _until(lambda: (remote.root / "a").exists())
    line.cut()
    line.silent.clear()
    asking.join(10)
    assert "没有收到答复" in str(caught)
    assert directory.read("a") == b"x"


def test_a_rename_is_answered_by_itself_though_the_file_is_taken_at_once(remote: Remote) -> None:
    directory = remote.open()
    ended = threading.Event()

    def take() -> None:
        while not ended.is_set():
            with contextlib.suppress(FileNotFoundError):
                (remote.root / "a").unlink()

    taking = threading.Thread(target=take)
    taking.start()
    try:
        for _ in range(30):
            directory.begin(".a", b"x")
            directory.rename(".a", "a")
    finally:
        ended.set()
        taking.join()


def test_silence_ends(remote: Remote, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "ATTEMPTS", 1)
    directory = remote.open(port=line.port, idle=0.5)
    assert not directory.exists("a")
    line.silent.set()
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="中断"):
        directory.exists("a")
    assert time.monotonic() - begun < 5
    line.silent.clear()


def test_a_transfer_has_an_end(remote: Remote) -> None:
    (remote.root / "a").write_bytes(CONTENT)
    directory = remote.open(total=0.2)
    pieces = directory.chunks("a")
    next(pieces)
    time.sleep(0.3)
    with pytest.raises(Unavailable, match="没有传完"):
        list(pieces)


def test_a_server_that_is_gone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "PAUSE", 0.5)
    with OpenSSHServer() as server:
        remote = Remote(server, server.new_folder())
        (remote.root / "a").write_bytes(CONTENT)
        directory = remote.open()
        pieces = directory.chunks("a")
        first = next(pieces)
        server.go_away()
        rest: list[bytes] = []
        reading = threading.Thread(target=lambda: rest.extend(pieces))
        reading.start()
        time.sleep(0.7)
        server.come_back()
        reading.join(30)
        assert first + b"".join(rest) == CONTENT
        monkeypatch.setattr(sftp, "PAUSE", 0.01)
        server.go_away()
        with pytest.raises(Unavailable):
            directory.read("a")
        server.come_back()
        assert directory.read("a") == CONTENT


def _mounted(root: Path) -> bool:
    options = ["-t", "tmpfs", "-o", "size=2m,mode=777"]
    done = subprocess.run(["mount", *options, "tmpfs", str(root)], capture_output=True, check=False)
    return done.returncode == 0


def test_a_full_disk(remote: Remote) -> None:
    if os.geteuid() != 0 or not _mounted(remote.root):
        # Nothing but a disk that is full makes a real server answer so, and only the kernel's owner may mount a small
        # one. As root, which the suite's own walks are, it runs; a full local disk is tried everywhere.
        pytest.skip("nobody here may mount a small disk")
    try:
        directory = remote.open()
        directory.write("before", b"1")
        directory.begin(".b", b"head")
        for call in (
            lambda: directory.begin(".a", CONTENT),
            lambda: directory.append(".b", CONTENT),
            lambda: directory.upload(".c", io.BytesIO(CONTENT)),
        ):
            with pytest.raises(Unavailable, match="磁盘已满") as caught:
                call()
            assert "空间" in caught.value.remedy
            for name in (".a", ".c"):
                directory.remove(name)
            if (remote.root / ".b").stat().st_size > 4:
                directory.begin(".b", b"head")
        # The connection that the server refused on is still a good one.
        directory.write("after", b"2")
        assert directory.read("before") == b"1"
        assert not directory.probes()[-1].passed
    finally:
        subprocess.run(["umount", str(remote.root)], check=True)


def test_100000_names_are_listed_in_constant_memory(remote: Remote) -> None:
    for number in range(100_001):
        # A file takes only so many links.
        first = remote.root / str(number - number % 10_000)
        if number % 10_000:
            os.link(first, remote.root / str(number))
        else:
            first.write_text("x")
    directory = remote.open()
    assert next(directory.entries("7")).size == 1
    status = Path("/proc/self/status").read_text().splitlines()
    before = int(next(row for row in status if row.startswith("VmRSS")).split()[1])
    with watched() as peak:
        assert sum(1 for _ in directory.entries("*")) == 100_001
    assert peak[0] - before // 1024 < 16


def test_another_encoding_of_names(remote: Remote) -> None:
    directory = remote.open(names="gb18030")
    directory.write("证照 𠮷.csv", b"x")
    assert [os.fsencode(path.name) for path in remote.root.iterdir()] == ["证照 𠮷.csv".encode("gb18030")]
    assert [entry.name for entry in directory.entries("证*")] == ["证照 𠮷.csv"]
    with pytest.raises(Misconfigured, match="不能以"):
        remote.open().exists("a\udcd6")


def test_names_that_a_server_makes_up_do_not_lead_out(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = protocol.Attributes(size=1, mode=0o100644, modified=0)
    monkeypatch.setattr(Session, "entries", lambda self, path: (each for each in [(b"../../etc/x.csv", attributes)]))
    monkeypatch.setattr(sftp, "matches", lambda name, pattern: True)
    with pytest.raises(Refused, match="超出目录"):
        list(remote.open().entries("*.csv"))


def test_a_directory_that_may_not_be_written(remote: Remote) -> None:
    os.chown(remote.root, 0, -1) if os.geteuid() == 0 else remote.root.chmod(0o550)
    remote.root.chmod(0o555)
    directory = remote.open()
    assert directory.readable()
    assert not directory.writable()
    assert abs(directory.clock() - time.time()) < 1
    with pytest.raises(Refused, match="没有权限"):
        directory.begin("a", b"x")
    failed = directory.probes()[-1]
    assert (failed.name, failed.passed) == ("写入和改名", False)
    assert failed.remedy


def test_a_directory_that_is_not_there(remote: Remote) -> None:
    directory = SftpDirectory(remote.open()._place, os.fsencode(remote.root / "none"))
    assert not directory.readable()
    assert not directory.writable()
    with pytest.raises(Misconfigured, match="不存在"):
        directory.listing("*")
    failed = directory.probes()[-1]
    assert (failed.name, failed.passed) == ("列出目录", False)


def test_the_clock_of_the_server(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    true = time.time
    monkeypatch.setattr(sftp.time, "time", lambda: true() - 3600)
    directory = remote.open()
    assert abs(directory.clock() - true()) < 2
    [probe] = [probe for probe in directory.probes() if probe.name == "时钟"]
    assert not probe.passed
    assert "+3600 秒" in probe.detail or "+3599 秒" in probe.detail or "+3601 秒" in probe.detail


def test_what_was_left_by_a_look_at_the_clock_goes_with_the_next(remote: Remote) -> None:
    left = remote.root / ".shutong-clock"
    left.write_bytes(b"1")
    left.chmod(0o666)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: remote.open().clock() - time.time(), range(8)))
    assert all(abs(each) < 1 for each in seen), seen
    assert not left.exists()


@pytest.fixture(scope="module")
def poor_server() -> Iterator[OpenSSHServer]:
    """One that can neither replace by a rename, nor bring files to the disk, nor tell its limits."""
    denied = "posix-rename,fsync,limits,statvfs"
    with OpenSSHServer(denied=denied) as running:
        yield running


@pytest.fixture
def poor(poor_server: OpenSSHServer) -> Remote:
    return Remote(poor_server, poor_server.new_folder())


def test_a_poor_server_is_told(poor: Remote) -> None:
    told = {probe.name: probe for probe in poor.open().probes()}
    assert all(probe.passed for probe in told.values())
    assert "较弱" in told["写入和改名"].detail
    assert told["可用空间"].detail == "服务器不告知"


def test_transfers_with_a_poor_server(poor: Remote) -> None:
    directory = poor.open()
    assert directory.upload(".a", io.BytesIO(CONTENT)) == DIGEST
    directory.rename(".a", "a")
    assert directory.read("a") == CONTENT


def test_a_replacement_cut_at_every_step(poor: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever died in the middle, what is read is what was there before or what was wanted."""
    directory = poor.open()
    before: bytes | None = b"before"
    directory.write("a", b"before")
    names = ("begin", "remove", "rename")
    for allowed in range(12):
        left = iter(range(allowed))
        with monkeypatch.context() as patch:
            for name in names:
                original = getattr(SftpDirectory, name)

                def step(self: SftpDirectory, *given: Any, original: Any = original, left: Any = left) -> None:
                    if next(left, None) is None:
                        raise KeyboardInterrupt
                    original(self, *given)

                patch.setattr(SftpDirectory, name, step)
            died = False
            try:
                directory.write("a", f"new {allowed}".encode())
            except KeyboardInterrupt:
                died = True
        found = directory.read("a")
        assert found == f"new {allowed}".encode() or (died and found == before)
        before = found
        if not died:
            break
    assert not died
    directory.remove("a")
    assert directory.read("a") is None


def _until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_large_file_is_read_in_bounded_memory(remote: Remote) -> None:
    with (remote.root / "a").open("wb") as file:
        file.truncate(200 << 20)
    directory = remote.open()
    assert directory.exists("a")
    status = Path("/proc/self/status").read_text().splitlines()
    before = int(next(row for row in status if row.startswith("VmRSS")).split()[1])
    with watched() as peak:
        assert sum(len(piece) for piece in directory.chunks("a")) == 200 << 20
    assert peak[0] - before // 1024 < 48


@pytest.mark.parametrize("who", ["we", "the server"])
def test_keys_are_changed_in_the_middle_of_a_file(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if who == "we":
        monkeypatch.setattr(ssh, "REKEY", 2 << 20)
    with OpenSSHServer(rekey="2M" if who == "the server" else "") as server:
        remote = Remote(server, server.new_folder())
        directory = remote.open()
        assert directory.upload(".a", io.BytesIO(CONTENT * 2)) == hashlib.sha256(CONTENT * 2).hexdigest()
        assert directory.read(".a") == CONTENT * 2


def test_whoever_leaves_early_does_not_hear_of_a_cut(remote: Remote, line: Line) -> None:
    """A generator that is closed on a way that is cut ends, and the connection is not used again."""
    (remote.root / "a").write_bytes(CONTENT)
    for number in range(300):
        (remote.root / f"b{number}").touch()
    directory = remote.open(port=line.port)
    pieces = directory.chunks("a")
    next(pieces)
    line.cut()
    pieces.close()  # type: ignore[attr-defined]
    names = directory.entries("b*")
    next(names)
    line.cut()
    names.close()  # type: ignore[attr-defined]
    assert directory.read("a") == CONTENT
    assert line.opened == 3


@pytest.mark.parametrize("rounds", [6, pytest.param(100, marks=pytest.mark.long)])
def test_cuts_at_random(remote: Remote, line: Line, rounds: int, record_property: Any) -> None:
    """Whatever the moment, what arrives is what was sent."""
    record_property("told", f"seed {SEED}")
    chance = random.Random(SEED)
    directory = remote.open(port=line.port)
    for number in range(rounds):
        line.cut_after(chance.randrange(1, 3 * len(CONTENT)))
        assert directory.upload(f".{number}", io.BytesIO(CONTENT)) == DIGEST
        line.cut_after(chance.randrange(1, 3 * len(CONTENT)))
        file = io.BytesIO(CONTENT[: chance.choice([0, 0, chance.randrange(len(CONTENT))])])
        assert directory.download(f".{number}", file) == DIGEST
        assert file.getvalue() == CONTENT
        line.cut_after(chance.randrange(1, 20_000))
        directory.append(f".{number}", CONTENT[:9999])
        assert directory.read(f".{number}") == CONTENT + CONTENT[:9999]
        line.cut_after(chance.randrange(1, 20_000))
        # A rename whose answer is lost is told; done again it is as wanted.
        for _ in range(3):
            with contextlib.suppress(Unavailable):
                directory.write("small", str(number).encode())
                break
        assert directory.read("small") == str(number).encode()
        directory.remove(f".{number}")


def test_a_file_that_grows_faster_than_it_is_read(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never comes to an end must not fill our disk until the time is over."""
    (remote.root / "a").write_bytes(b"x" * CHUNK)

    def endless(self: Session, handle: bytes, start: int, size: int | None) -> Iterator[memoryview]:
        while True:
            yield memoryview(bytes(CHUNK))

    monkeypatch.setattr(Session, "read", endless)
    got = 0
    with pytest.raises(Unavailable, match="被改动"):
        for piece in remote.open(total=10).chunks("a"):
            got += len(piece)
    assert got <= 3 * CHUNK


def test_a_stranger_among_the_holders_of_a_lock(remote: Remote) -> None:
    """Somebody's huge file in the lock's folder is looked at and not held; unchanged for a lease, it goes."""
    directory = remote.open(lease=0.5)
    with directory.lock("lock"):
        pass
    stranger = remote.root / "lock.held" / "stranger"
    stranger.write_bytes(b"x" * (20 * CHUNK))
    assert len(sftp._Leases(directory.folder("lock.held")).content("stranger") or b"") == 4096
    with directory.lock("lock"):
        assert not stranger.exists()


@pytest.mark.parametrize("after", [2000, 300_000, 3 * CHUNK])
def test_a_cut_while_many_files_are_made(remote: Remote, line: Line, after: int) -> None:
    """Small ones and a large one: all are there, whole, when it returns."""
    directory = remote.open(port=line.port)
    folder = directory.folder("made")
    contents = {f"{number}": os.urandom(9000) for number in range(70)} | {"large": CONTENT}
    line.cut_after(after)
    told = folder.fill([(name, len(content), lambda held=content: iter([held])) for name, content in contents.items()])
    assert told == [None] * len(contents)
    assert {path.name: path.read_bytes() for path in (remote.root / "made").iterdir()} == contents


@pytest.mark.parametrize("after", [2000, 100_000, 2 * CHUNK])
def test_a_cut_while_many_files_are_used(remote: Remote, line: Line, after: int) -> None:
    contents = {f"{number}": os.urandom(9000) for number in range(70)} | {"large": CONTENT}
    for name, content in contents.items():
        (remote.root / name).write_bytes(content)
    directory = remote.open(port=line.port)
    directory.exists("1")
    line.cut_after(after)
    found = directory.visit(list(contents), lambda _number, _entry, chunks: b"".join(chunks))
    assert found == list(contents.values())
