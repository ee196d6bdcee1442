"""The hub's spool of documents (文件暂存): content-addressed, encrypted, durable before anybody is told.

A document lies there once, however often it was put, in the one form of everything at rest
(:mod:`exchange.secrets.frames`) and under a keyed hash of its digest, so that who sees the place cannot tell whether a
file that he knows is in it. It is opened only under its digest: what comes out is proven to have it.

By default the place is the folder ``spool/documents`` of the home; the setting ``documents.url`` names any other that
fsspec reaches. A local folder gets a file by a rename after it is on the disk; many that are put together are brought
there by one sync of the file system. Another place gets it in one transaction of fsspec's, which for object storage
is its own put; a place that knows none may hold half of a file after a death, which is seen by its size and put again.
What a writer that died has left lies in ``parts`` of the folder in the home; :meth:`DocumentSpool.sweep` removes it.

How old a document is, is counted from when it was put last. A remote one is put anew for that once it is a day old.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import hmac
import itertools
import os
import secrets
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from adapters import DocumentStore, Malformed, Unavailable
from exchange.errors import Tampered
from exchange.secrets import Frames, Keyring, open_secret
from exchange.settings import Settings

FOLDER = "spool/documents"
CHUNK = 1 << 20
"""Bytes of a frame, so that the size of a file tells whether it is whole."""
_NAME = "document"
"""What every document is called to the cipher: its own name is known only when it has been read."""
_FEW = 4
"""Files up to which each is brought to the disk by itself."""
_AGAIN = 86400.0
"""Age in seconds from which a remote document that is put again is written again, so that it is young."""
_AT_ONCE = 8
_SLICE = 500


def open_documents(settings: Settings, keyring: Keyring) -> DocumentSpool:
    """The spool as it is set."""
    own = settings.home / FOLDER
    given = settings.documents
    if not given.url:
        return DocumentSpool(own, keyring, lambda: _Folder(own))
    opened = {name: open_secret(reference, settings.home) for name, reference in given.secrets.items()}
    options = {**given.options, **{name: secret.get_secret_value() for name, secret in opened.items()}}
    return DocumentSpool(own, keyring, lambda: _place(given.url, options))


class DocumentSpool(DocumentStore):
    """See the module.

    Args:
        own: Folder in the home for what is not whole yet.
        keyring: The hub's keys; asked when a document is first put or read.
        shelf: Opens the place; asked at the same moment.
    """

    def __init__(self, own: Path, keyring: Keyring, shelf: Callable[[], _Shelf]) -> None:
        self._parts = own / "parts"
        self._keyring = keyring
        self._opening = shelf
        self._opened: _Shelf | None = None
        self._guard = threading.Lock()

    @property
    def _shelf(self) -> _Shelf:
        with self._guard:
            if self._opened is None:
                self._opened = self._opening()
            return self._opened

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep a document."""
        with self.together() as group:
            return group.put(chunks)

    @contextlib.contextmanager
    def together(self) -> Iterator[_Group]:
        """Keep many; they are durable when the block is left."""
        shelf, frames = self._shelf, Frames(self._keyring.derive("documents"))
        with contextlib.ExitStack() as stack:
            with _full():
                group = stack.enter_context(_Group(self._parts, frames))
            yield group
            held = {self.name(digest): part for digest, part in group.held.items()}
            with _full(), self._removing(exclusive=False):
                shelf.keep(held)

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A document, proven to be what its digest says."""
        found = hashlib.sha256()
        what = ""
        try:
            with self._shelf.open(self.name(digest)) as (file, size):
                for chunk in Frames(self._keyring.derive("documents")).read(_NAME, file, size):
                    found.update(chunk)
                    yield chunk
        except FileNotFoundError:
            what = "没有这个文件"
        except Tampered:
            what = "的文件已损坏"
        if not what and found.hexdigest() != digest:
            what = "的文件不是所记的内容"
        if what:
            raise Malformed(f"暂存处{what}（sha256 {digest[:12]}…）", remedy="请提供方重新放入，或从备份恢复暂存处")

    def has(self, digest: str) -> bool:
        """Whether it is there."""
        return self._shelf.size(self.name(digest)) is not None

    def name(self, digest: str) -> str:
        """What a document is called in its place."""
        key = self._keyring.derive("documents", "names")
        return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()

    def sweep(self, older: float, needed: Callable[[Collection[str]], Collection[str]]) -> tuple[int, int]:
        """Remove what nobody needs and was put so many seconds ago, and what the dead have left.

        Args:
            older: Seconds.
            needed: Of some names, those that are needed.

        Returns:
            How many documents were removed, and their bytes as they lay there.
        """
        _bury(self._parts)
        removed = size = 0
        old = self._shelf.older(older)
        while names := list(itertools.islice(old, _SLICE)):
            # Who puts one of these meanwhile waits, and then finds it gone, or has made it young before.
            with self._removing(exclusive=True):
                for name in sorted(set(names).difference(needed(names))):
                    gone = self._shelf.remove(name, older)
                    removed += gone > 0
                    size += gone
        return removed, size

    @contextlib.contextmanager
    def _removing(self, *, exclusive: bool) -> Iterator[None]:
        self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(self._parts / "removing.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(held)


class _Group:
    """Documents that are put together: each in a file of a folder that a lock keeps from being swept."""

    def __init__(self, parts: Path, frames: Frames) -> None:
        self._parts = parts
        self._frames = frames
        self._number = itertools.count()
        self.held: dict[str, Path] = {}

    def __enter__(self) -> _Group:
        self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = secrets.token_hex(8)
        self._folder = self._parts / name
        self._lock = os.open(self._parts / f"{name}.held", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._folder.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.with_suffix(".held").unlink(missing_ok=True)
        os.close(self._lock)

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep a document."""
        part = self._folder / str(next(self._number))
        digest, size = hashlib.sha256(), 0
        framing = self._frames.begin(_NAME)
        try:
            with _full(), os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(framing.header)
                for chunk in _even(chunks):
                    digest.update(chunk)
                    size += len(chunk)
                    file.writelines(framing.add(chunk))
                file.writelines(framing.end())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        found = digest.hexdigest()
        if self.held.setdefault(found, part) is not part:
            part.unlink()
        return found, size


def _even(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of :data:`CHUNK`, the last one excepted."""
    held = bytearray()
    for chunk in chunks:
        if not held and len(chunk) == CHUNK:
            yield chunk
            continue
        held += chunk
        while len(held) >= CHUNK:
            yield bytes(held[:CHUNK])
            del held[:CHUNK]
    if held:
        yield bytes(held)


def _bury(parts: Path) -> None:
    """Remove what was being put by those who died; of the living a lock is held."""
    for lock in sorted(parts.glob("*.held")):
        with contextlib.suppress(FileNotFoundError), lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            # Who has made the lock and does not hold it yet has made nothing else.
            if lock.with_suffix("").exists() or time.time() - os.fstat(file.fileno()).st_mtime > 60:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)


class _Shelf(ABC):
    """A place of whole files by names."""

    @abstractmethod
    def keep(self, parts: Mapping[str, Path]) -> None:
        """Take files over, durable; what is there already is young again."""

    @abstractmethod
    def open(self, name: str) -> contextlib.AbstractContextManager[tuple[BinaryIO, int]]:
        """A file and its size."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Its bytes; None: it is not there."""

    @abstractmethod
    def older(self, seconds: float) -> Iterator[str]:
        """What was put so long ago."""

    @abstractmethod
    def remove(self, name: str, older: float) -> int:
        """Remove a file if it is still so old; its bytes, 0 if it was left."""


class _Folder(_Shelf):
    """A local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, parts: Mapping[str, Path]) -> None:
        folders = {self._folder(name) for name in parts}
        for folder in sorted(folders):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = {name: part for name, part in parts.items() if self.size(name) != part.stat().st_size}
        self._sync(new.values(), len(new))
        for name, part in parts.items():
            if name in new:
                part.rename(self._path(name))
            else:
                os.utime(self._path(name))
        # Also what was there already: who put it may not have come to this line.
        self._sync([*map(self._path, parts.keys() - new.keys()), *folders, self._root], len(parts))

    def _sync(self, paths: Iterable[Path], many: int) -> None:
        if many > _FEW and _sync_all(self._root):
            return
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        with self._path(name).open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size

    def size(self, name: str) -> int | None:
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None

    def older(self, seconds: float) -> Iterator[str]:
        bound = time.time() - seconds
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            with os.scandir(folder) as found:
                yield from [each.name for each in found if each.stat().st_mtime < bound]

    def remove(self, name: str, older: float) -> int:
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            if about.st_mtime < time.time() - older:
                path.unlink()
                return about.st_size
        return 0

    def _folder(self, name: str) -> Path:
        return self._root / name[:2]

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name


def _sync_all(root: Path) -> bool:
    """Bring a file system to the disk; False: this machine cannot say how."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        return False
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if function(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
    return True


class _Remote(_Shelf):
    """Any other place that fsspec reaches."""

    def __init__(self, system: fsspec.AbstractFileSystem, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def keep(self, parts: Mapping[str, Path]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(self._keep, parts.items()))

    def _keep(self, each: tuple[str, Path]) -> None:
        name, part = each
        path = self._path(name)
        with _away():
            if self.size(name) == part.stat().st_size and not self._aged(path, _AGAIN):
                return
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            target = self._system.open(path, "wb", autocommit=False)
            try:
                with part.open("rb") as file, target:
                    shutil.copyfileobj(file, target, CHUNK)
            except BaseException:
                target.discard()
                raise
            target.commit()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        with _away():
            size = self._system.info(self._path(name))["size"]
            with self._system.open(self._path(name), "rb") as file:
                yield file, size

    def size(self, name: str) -> int | None:
        with _away():
            try:
                return int(self._system.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

    def older(self, seconds: float) -> Iterator[str]:
        with _away():
            self._system.invalidate_cache()
            paths = self._system.find(self._root) if self._system.exists(self._root) else []
        for path in paths:
            if self._aged(path, seconds):
                yield path.rpartition("/")[2]

    def remove(self, name: str, older: float) -> int:
        path = self._path(name)
        size = self.size(name)
        if size is None or not self._aged(path, older):
            return 0
        with _away():
            self._system.rm_file(path)
        return size

    def _aged(self, path: str, seconds: float) -> bool:
        with _away():
            return bool(self._system.modified(path).timestamp() < time.time() - seconds)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"


def _place(url: str, options: Mapping[str, Any]) -> _Shelf:
    with _away():
        system, root = fsspec.core.url_to_fs(url, **options)
    if isinstance(system, fsspec.get_filesystem_class("file")):
        Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
        return _Folder(Path(root))
    return _Remote(system, root)


@contextlib.contextmanager
def _full() -> Iterator[None]:
    """A disk that does not take a document."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"文件写不进暂存处：{os.strerror(error.errno or 0)}", remedy="检查平台所在磁盘的空间和目录的权限，之后重试"
        ) from error


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """A place whose library raises what it likes."""
    try:
        yield
    except (FileNotFoundError, GeneratorExit, Malformed, Tampered, Unavailable):
        raise
    except Exception as error:
        # Every library of a storage has errors of its own.
        raise Unavailable(
            "文件暂存处不可用", remedy="检查设置 documents.url、其选项和密钥，以及到存储的连接"
        ) from error
