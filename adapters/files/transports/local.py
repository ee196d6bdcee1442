"""A local directory: names in, bytes out, and nothing that is half there.

Only plain names directly inside the root are reached; links are refused. What is written becomes
visible by a rename after its bytes are on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.errors import Misconfigured, Unavailable
from adapters.files.errors import translated

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
CHUNK = 1 << 20
LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Entry:
    """A file in the directory; ``modified`` in seconds since 1970, by the directory's own clock."""

    name: str
    size: int
    modified: float


class LocalDirectory:
    """One directory.

    Args:
        root: The directory; it must be there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str) -> LocalDirectory:
        """A directory inside this one, made if it is not there."""
        path = self._path(name)
        with self._told(name):
            try:
                path.mkdir(mode=DIRECTORY_MODE)
            except FileExistsError:
                if not stat.S_ISDIR(path.lstat().st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, "not a directory") from None
            else:
                path.chmod(DIRECTORY_MODE)
                self._flush()
        return LocalDirectory(path)

    def listing(self, pattern: str) -> list[Entry]:
        """The files whose names match, in name order; hidden ones never match, folders are none.

        Raises:
            Refused: A matching name is a link.
        """
        _plain(pattern)
        found = []
        with self._told(str(self._root)):
            names = sorted(os.listdir(self._root))  # noqa: PTH208 - names are wanted, not paths
        for name in names:
            if name.startswith(".") or not fnmatch.fnmatchcase(name, pattern):
                continue
            with self._told(name):
                about = self._path(name).lstat()
                if stat.S_ISLNK(about.st_mode):
                    raise OSError(errno.ELOOP, "symbolic link")
            if stat.S_ISREG(about.st_mode):
                found.append(Entry(name, about.st_size, about.st_mtime))
        return found

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, piece by piece."""
        with self._told(name):
            # Without waiting: a pipe that somebody put there has no writer.
            reading = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(reading, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(reading).st_mode):
                    raise IsADirectoryError(errno.EISDIR, "not a file")
                while chunk := file.read(CHUNK):
                    yield chunk

    def read(self, name: str) -> bytes | None:
        """A small file whole, None if it is not there."""
        if not self.exists(name):
            return None
        return b"".join(self.chunks(name))

    def exists(self, name: str) -> bool:
        """Whether a name is taken."""
        with self._told(name):
            return os.path.lexists(self._path(name))

    def begin(self, name: str, content: bytes) -> None:
        """Start a file anew; the bytes are on the disk when this returns."""
        with self._told(name):
            self._write(name, content, os.O_CREAT | os.O_TRUNC)
            self._flush()

    def append(self, name: str, content: bytes) -> None:
        """Add to a file that is there; the bytes are on the disk when this returns."""
        with self._told(name):
            self._write(name, content, os.O_APPEND)

    def write(self, name: str, content: bytes) -> None:
        """Put a file in place whole: it is as before or as wanted, never between."""
        self.begin(_beside(name), content)
        self.rename(_beside(name), name)

    def unwrite(self, name: str) -> None:
        """Remove what a :meth:`write` that did not end has left."""
        self.remove(_beside(name))

    def rename(self, name: str, to: str, *, into: LocalDirectory | None = None) -> None:
        """Give a file its name, here or in another directory of the same file system."""
        target = into or self
        with self._told(name):
            self._path(name).rename(target._path(to))  # noqa: SLF001 - the same class
            target._flush()  # noqa: SLF001
            if target is not self:
                self._flush()

    def hidden(self, prefix: str) -> list[str]:
        """The hidden names that begin so."""
        with self._told(str(self._root)):
            return [name for name in os.listdir(self._root) if name.startswith(f".{prefix}")]  # noqa: PTH208

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no matter."""
        with self._told(name):
            self._path(name).unlink(missing_ok=True)
            self._flush()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the directory against other processes and threads.

        Raises:
            Unavailable: Somebody else holds it for longer than a commit takes.
        """
        with self._told(name):
            held = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            _take(held, name)
            yield
        finally:
            os.close(held)

    def writable(self) -> bool:
        """Whether files may be made here."""
        return os.access(self._root, os.W_OK | os.X_OK)

    def readable(self) -> bool:
        """Whether the directory is there and may be listed."""
        return self._root.is_dir() and os.access(self._root, os.R_OK | os.X_OK)

    def _write(self, name: str, content: bytes, how: int) -> None:
        writing = os.open(self._path(name), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | how, FILE_MODE)
        with os.fdopen(writing, "wb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _flush(self) -> None:
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _path(self, name: str) -> Path:
        _plain(name)
        return self._root / name

    @contextlib.contextmanager
    def _told(self, place: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translated(error, place) from error


def _take(held: int, name: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # A paused holder must not hold up its successor for ever.
            if time.monotonic() > deadline:
                raise Unavailable(f"{name} 正被另一个任务占用", remedy="稍后再试") from error
            time.sleep(0.02)
        else:
            return


def _beside(name: str) -> str:
    return f".{name}.part"


def _plain(name: str) -> None:
    """Refuse every name that could lead out of the directory."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise Misconfigured(f"文件名 {name!r} 不能用", remedy="只写目录内的文件名或通配式，不带路径")
