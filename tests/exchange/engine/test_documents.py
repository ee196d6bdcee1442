"""The spool of documents: once, encrypted, durable, whole or not there, and gone when nobody needs it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from adapters import Malformed, Unavailable
from exchange.engine import documents
from exchange.engine.documents import CHUNK, DocumentSpool, open_documents
from exchange.secrets import Keyring, create_keys
from exchange.settings import Settings, load_settings, write_default
from tests.exchange.engine.town import HUB

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_default(tmp_path / "home", hub_department=HUB)
    found = load_settings(tmp_path / "home")
    create_keys(found)
    return found


def _remote(settings: Settings, **changes: Any) -> Settings:
    given = {"url": f"memory://bucket-{time.time_ns()}/documents", **changes}
    return settings.model_copy(update={"documents": type(settings.documents)(**given)})


@pytest.fixture(params=["folder", "elsewhere", "remote"])
def spool(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[DocumentSpool]:
    """A spool in the home, in another folder, and in a storage."""
    if request.param == "elsewhere":
        settings = _remote(settings, url=(tmp_path / "elsewhere").as_uri())
    elif request.param == "remote":
        settings = _remote(settings)
    yield open_documents(settings, Keyring(settings))
    fsspec.filesystem("memory").store.clear()


def _content(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


def _read(spool: DocumentSpool, digest: str) -> bytes:
    return b"".join(spool.chunks(digest))


def _files(home: Path) -> list[Path]:
    return [path for path in (home / documents.FOLDER).rglob("*") if path.is_file() and "lock" not in path.name]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_there(spool: DocumentSpool, size: int) -> None:
    content = _content(size)
    digest, found = spool.put([content[start : start + 70_000] for start in range(0, size, 70_000)])
    assert (digest, found) == (hashlib.sha256(content).hexdigest(), size)
    assert spool.has(digest)
    assert _read(spool, digest) == content
    assert max((len(chunk) for chunk in spool.chunks(digest)), default=0) <= CHUNK
    assert not spool.has("0" * 64)
    with pytest.raises(Malformed, match="没有这个文件"):
        _read(spool, "0" * 64)


def test_the_same_content_lies_there_once_and_nothing_of_it_can_be_read(settings: Settings) -> None:
    spool = open_documents(settings, Keyring(settings))
    content = b"%PDF-1.7 " + "公民身份号码".encode() * 100
    digest, _ = spool.put([content])
    with spool.together() as group:
        assert {group.put([content])[0], group.put([content[:7], content[7:]])[0]} == {digest}
    [file] = _files(settings.home)
    assert b"%PDF" not in file.read_bytes()
    assert digest not in file.name
    assert file.stat().st_mode & 0o777 == 0o600


def test_many_are_put_together_or_not_at_all(spool: DocumentSpool) -> None:
    many = [str(number).encode() for number in range(20)]
    digests = []
    with spool.together() as group:
        digests += [group.put([content])[0] for content in many]
    assert [_read(spool, digest) for digest in digests] == many
    digests.clear()
    with pytest.raises(RuntimeError), spool.together() as group:
        digests += [group.put([b"not", content])[0] for content in many]
        raise RuntimeError
    assert not any(map(spool.has, digests))


@pytest.mark.parametrize("change", ["cut", "longer", "turned", "another"])
def test_what_was_changed_does_not_come_out(settings: Settings, change: str) -> None:
    spool = open_documents(settings, Keyring(settings))
    digest, _ = spool.put([_content(2 * CHUNK)])
    [file] = _files(settings.home)
    sealed = file.read_bytes()
    if change == "another":
        spool.put([b"another"])
        [new] = [path for path in _files(settings.home) if path != file]
        file.write_bytes(new.read_bytes())
    else:
        file.write_bytes(
            {"cut": sealed[:-30], "longer": sealed + b"0", "turned": sealed[:-5] + sealed[-5:][::-1]}[change]
        )
    with pytest.raises(Malformed, match=r"损坏|不是所记"):
        _read(spool, digest)


def test_what_was_cut_is_put_again(settings: Settings) -> None:
    spool = open_documents(settings, Keyring(settings))
    digest, _ = spool.put([b"whole"])
    [file] = _files(settings.home)
    file.write_bytes(file.read_bytes()[:-3])
    assert spool.put([b"whole"])[0] == digest
    assert _read(spool, digest) == b"whole"


def test_threads_that_put_the_same_at_once(spool: DocumentSpool) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(spool.put([_content(CHUNK + 3)])[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert _read(spool, found[0]) == _content(CHUNK + 3)


def _broken() -> Iterator[bytes]:
    yield b"begun"
    raise Unavailable("the way was cut")


def test_whoever_cannot_go_on_leaves_nothing(settings: Settings, spool: DocumentSpool) -> None:
    with pytest.raises(Unavailable, match="cut"):
        spool.put(_broken())
    assert _files(settings.home) == []


def _onto_a_full_disk(descriptor: int, mode: str) -> Any:
    os.close(descriptor)
    return Path("/dev/full").open(mode)


@pytest.mark.parametrize("at", ["write", "sync", "rename"])
def test_a_full_disk_takes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    spool = open_documents(settings, Keyring(settings))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    if at == "write":
        # The kernel itself says so, as soon as anything is written.
        monkeypatch.setattr(os, "fdopen", _onto_a_full_disk)
    else:
        owner, name = {"sync": (os, "fsync"), "rename": (Path, "rename")}[at]
        monkeypatch.setattr(owner, name, full)
    with pytest.raises(Unavailable, match="写不进暂存处") as caught:
        spool.put([b"1"])
    assert caught.value.retry
    monkeypatch.undo()
    assert _files(settings.home) == []
    assert not spool.has(hashlib.sha256(b"1").hexdigest())


def _die(home: Path, allowed: int, ended: Any) -> None:
    """Put, and die before the change of that number."""
    settings = load_settings(home)
    spool = open_documents(settings, Keyring(settings))
    made = [0]

    def before(method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            made[0] += 1
            if made[0] > allowed:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **named)

        return call

    for owner, name in (
        (Path, "mkdir"), (Path, "rename"), (Path, "unlink"), (os, "open"), (os, "fsync"), (os, "utime"),
        (documents.shutil, "rmtree"), (fcntl, "flock"),
    ):  # fmt: skip
        setattr(owner, name, before(getattr(owner, name)))
    spool.put([b"%PDF", b"-1"])
    ended.set()
    os._exit(0)


def test_death_at_every_change_leaves_only_what_is_swept(settings: Settings) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.exchange.engine.test_documents"])
    digest = hashlib.sha256(b"%PDF-1").hexdigest()
    deaths = 0
    for allowed in range(100):
        for path in _files(settings.home):
            path.unlink()
        ended = context.Event()
        child = context.Process(target=_die, args=(settings.home, allowed, ended))
        child.start()
        child.join(60)
        deaths += not ended.is_set()
        spool = open_documents(settings, Keyring(settings))
        there = spool.has(digest)
        if there:
            assert _read(spool, digest) == b"%PDF-1"
        for lock in (settings.home / documents.FOLDER / "parts").glob("*.held"):
            os.utime(lock, (1, 1))
        spool.sweep(86400, lambda _: ())
        assert len(_files(settings.home)) == there
        if ended.is_set():
            assert there
            break
    assert ended.is_set()
    assert deaths >= 10


def test_the_living_are_not_swept(settings: Settings) -> None:
    spool = open_documents(settings, Keyring(settings))
    with spool.together() as group:
        digest, _ = group.put([b"1"])
        assert open_documents(settings, Keyring(settings)).sweep(0, lambda _: ()) == (0, 0)
    assert _read(spool, digest) == b"1"


def test_what_nobody_needs_goes_when_it_is_old(spool: DocumentSpool) -> None:
    digests = [spool.put([name])[0] for name in (b"kept", b"gone")]
    needed = {spool.name(digests[0])}
    assert spool.sweep(60, lambda _: needed) == (0, 0)
    assert all(map(spool.has, digests))
    time.sleep(0.02)
    removed, size = spool.sweep(0.01, needed.intersection)
    assert (removed, size > 0) == (1, True)
    assert [spool.has(digest) for digest in digests] == [True, False]


def test_what_is_put_again_is_young_again(settings: Settings) -> None:
    spool = open_documents(settings, Keyring(settings))
    spool.put([b"1"])
    [file] = _files(settings.home)
    os.utime(file, (1, 1))
    spool.put([b"1"])
    assert spool.sweep(60, lambda _: ()) == (0, 0)


def test_a_storage_that_is_away_is_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = _remote(settings)
    spool = open_documents(remote, Keyring(remote))
    digest, _ = spool.put([b"1"])

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("secret words of a library")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "info", away)
    for use in (lambda: spool.put([b"2"]), lambda: spool.has(digest), lambda: _read(spool, digest)):
        with pytest.raises(Unavailable, match="不可用") as caught:
            use()
        assert "secret" not in str(caught.value)
    assert _files(settings.home) == []


def test_an_old_one_in_a_storage_is_written_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = _remote(settings)
    spool = open_documents(remote, Keyring(remote))
    digest, _ = spool.put([b"1"])
    system = fsspec.filesystem("memory")
    [path] = [name for name in system.store if spool.name(digest) in name]
    first = system.cat(path)
    spool.put([b"1"])
    assert system.cat(path) == first
    monkeypatch.setattr(documents, "_AGAIN", -1.0)
    spool.put([b"1"])
    assert system.cat(path) != first
    assert _read(spool, digest) == b"1"


def test_secrets_of_a_storage_are_references(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def opened(url: str, **options: Any) -> Any:
        seen.update(options)
        return fsspec.filesystem("memory"), "/x"

    monkeypatch.setenv("SHUTONG_SECRET_STORAGE", "open sesame")
    monkeypatch.setattr(documents.fsspec.core, "url_to_fs", opened)
    remote = _remote(settings, options={"anon": False}, secrets={"secret": "env:SHUTONG_SECRET_STORAGE"})
    open_documents(remote, Keyring(remote)).has("0" * 64)
    assert seen == {"anon": False, "secret": "open sesame"}
