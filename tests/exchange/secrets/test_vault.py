"""Encrypted files: what is not exactly as it was written does not open."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import resource
import signal
import stat
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.errors import Failed, Invalid, Tampered, Unknown
from exchange.secrets import Vault

KEY = bytes(range(32))
CHUNKS = [b"first piece", b"2" * 1000, b"three"]
HEADER = 4 + 16


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "vault", KEY)


def put(vault, name="name", chunks=CHUNKS):
    with vault.write(name) as writer:
        for chunk in chunks:
            writer.append(chunk)
    return vault._path(name)


def frames(path) -> tuple[bytes, list[bytes]]:
    content = path.read_bytes()
    header, rest = content[:HEADER], content[HEADER:]
    found = []
    while rest:
        length = 4 + int.from_bytes(rest[:4])
        found.append(rest[:length])
        rest = rest[length:]
    return header, found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(chunks=st.lists(st.binary()))
def test_what_is_written_is_read(vault, chunks):
    put(vault, chunks=chunks)
    assert list(vault.read("name")) == [chunk for chunk in chunks if chunk]


def test_a_file_is_its_owner_s_alone_and_shows_nothing(vault):
    path = put(vault, chunks=[b"correct horse"])
    assert b"horse" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "horse" not in repr(vault)
    assert str(KEY) not in f"{vault!r}{vars(vault)}"


def test_two_files_of_one_content_are_different(vault):
    assert put(vault, "a").read_bytes()[HEADER:] != put(vault, "b").read_bytes()[HEADER:]
    assert vault.digest("a") != vault.digest("b")
    assert vault.digest("a") == vault.digest("a")


def test_an_existing_file_is_replaced_whole(vault):
    put(vault)
    put(vault, chunks=[b"new"])
    assert list(vault.read("name")) == [b"new"]
    assert vault.names() == ("name",)


def test_a_failed_writer_leaves_nothing_and_the_old_file_alone(vault):
    put(vault)
    with pytest.raises(ZeroDivisionError), vault.write("name") as writer:
        writer.append(b"new")
        raise ZeroDivisionError
    assert list(vault.read("name")) == CHUNKS
    assert len(list(vault._folder.iterdir())) == 1


def test_every_single_bit_counts(vault):
    path = put(vault, chunks=[b"abc", b"d"])
    whole = path.read_bytes()
    for place in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(Tampered):
            list(vault.read("name"))
    path.write_bytes(whole)
    assert list(vault.read("name")) == [b"abc", b"d"]


def test_every_cut_shows(vault):
    path = put(vault, chunks=[b"abc", b"d"])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Tampered):
            list(vault.read("name"))
    path.write_bytes(whole + b"x")
    with pytest.raises(Tampered):
        list(vault.read("name"))


@pytest.mark.parametrize(
    "order",
    [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3), (1, 2, 3), (0, 0, 1, 2, 3), (0, 1, 2), (3,), (0, 3), (0, 1, 2, 3, 3)],
)
def test_frames_have_their_places(vault, order):
    path = put(vault)
    header, parts = frames(path)
    path.write_bytes(header + b"".join(parts[place] for place in order))
    with pytest.raises(Tampered):
        list(vault.read("name"))


def test_frames_belong_to_their_file(vault):
    one, two = put(vault, "one"), put(vault, "two")
    header, parts = frames(one)
    _, others = frames(two)
    one.write_bytes(header + parts[0] + others[1] + b"".join(parts[2:]))
    with pytest.raises(Tampered):
        list(vault.read("one"))


def test_a_renamed_file_does_not_open(vault):
    put(vault, "one").rename(vault._path("two"))
    with pytest.raises(Tampered):
        list(vault.read("two"))


def test_another_key_does_not_open(vault):
    put(vault)
    with pytest.raises(Tampered) as raised:
        list(Vault(vault._folder, bytes(32)).read("name"))
    assert "first piece" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".a", "a b", "甲", "a\n", "a" * 121, "-a"])
def test_only_plain_names(vault, name):
    for use in (vault.write, vault.exists, vault.digest, vault.remove, lambda name: list(vault.read(name))):
        with pytest.raises(Invalid):
            use(name)


def test_what_is_not_there(vault):
    assert not vault.exists("name")
    assert vault.names() == ()
    assert vault.sweep() == 0
    for use in (vault.digest, lambda name: list(vault.read(name))):
        with pytest.raises(Unknown):
            use("name")
    vault.remove("name")
    put(vault)
    assert vault.exists("name")
    vault.remove("name")
    vault.remove("name")
    assert not vault.exists("name")


def test_a_chunk_too_large_is_refused(vault, monkeypatch):
    monkeypatch.setattr("exchange.secrets.vault._LARGEST", 10)
    with pytest.raises(Invalid), vault.write("name") as writer:
        writer.append(b"x" * 11)
    assert vault.names() == ()


def _write_and_die(folder):
    vault = Vault(folder, KEY)
    with vault.write("name") as writer:
        writer.append(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_no_file_and_its_rest_is_swept(vault):
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(vault._folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert vault.names() == ()
    with vault.write("other") as living:
        living.append(b"x")
        assert vault.sweep() == 1
    assert list(vault.read("other")) == [b"x"]
    assert vault.sweep() == 0


def test_a_sweep_just_before_the_lock_is_survived(vault, monkeypatch):
    lock, swept = fcntl.flock, []

    def sweep_first(file, operation):
        if operation == fcntl.LOCK_EX and not swept:
            swept.append(None)
            assert vault.sweep() == 1
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    put(vault)
    assert swept
    assert list(vault.read("name")) == CHUNKS


def _peak_of_a_large_file(folder, queue):
    vault = Vault(folder, KEY)
    chunk = os.urandom(1 << 20)

    def pass_through(count):
        with vault.write("large") as writer:
            for _ in range(count):
                writer.append(chunk)
        return sum(len(part) for part in vault.read("large"))

    pass_through(4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert pass_through(64) == 64 << 20
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def test_memory_does_not_grow_with_the_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_peak_of_a_large_file, args=(tmp_path, queue))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert queue.get() < 8 * 1024
    queue.close()
    queue.join_thread()


def test_a_disk_that_takes_no_more(vault, tmp_path):
    none, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for chunks in ([b"x" * 300_000], [b"x" * 99_990]):  # while it is written, and when it is ended
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(Failed, match="加密文件 name") as caught:
                put(vault, chunks=chunks)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (none, hard))
        assert caught.value.retry
        assert caught.value.remedy
        assert list((tmp_path / "vault").iterdir()) == []
    put(vault)
    assert list(vault.read("name")) == CHUNKS


def test_what_went_wrong_first_is_what_is_told(vault, tmp_path):
    """A writer that is given up does not put its own trouble with the disk in the place of the reason."""
    none, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(Invalid, match="first"), vault.write("name") as writer:
            writer.append(b"x" * 1000)
            raise Invalid("first")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (none, hard))
    assert list((tmp_path / "vault").iterdir()) == []
