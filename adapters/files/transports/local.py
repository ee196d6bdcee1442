"""A local directory: names in, bytes out, and nothing that is half there.

Only plain names directly inside the root are reached; links are refused, and a folder that somebody swaps for one
between two looks is not followed either: each name is asked of the open directory that holds it. A file is begun by
making it, never by emptying what has its name: that may be another name of a file that is somebody's. Nothing waits for
a pipe. What is written becomes visible by a rename after its bytes are on the disk. The lock is the kernel's: it is let
go of by death and by nothing else.

A file may have other names elsewhere (hard links), and nobody can see which was the first. Whoever may not read a file
must not be able to give it a name in a drop: Linux sees to that by ``fs.protected_hardlinks``, which is its default.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO, Self

from adapters.base import Probe
from adapters.errors import AdapterError, Malformed, Unavailable
from adapters.files.errors import shown, translated
from adapters.files.transports.base import (
    CHUNK,
    DIRECTORY_MODE,
    FILE_MODE,
    Directory,
    Entry,
    Opened,
    Seen,
    Strange,
    Told,
    Visitor,
    changed,
    matches,
    plain,
    renaming_probe,
    steering,
    steers,
)

LOCK_SECONDS = 5.0
_CAREFUL = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FEW = 4
"""Files up to which each is brought to the disk by itself."""


PROTECTED = Path("/proc/sys/fs/protected_hardlinks")
"""Where Linux says whether files that one may not read are kept from being given further names."""


def hard_links(setting: Path = PROTECTED) -> Probe:
    """Whether a file that its dropper may not read can be given a name in a drop (硬链接防护)."""
    try:
        guarded = setting.read_text().strip() != "0"
    except OSError:
        return Probe("硬链接防护", passed=True, detail="这个系统没有 fs.protected_hardlinks，请核实目录的防护")
    if guarded:
        return Probe("硬链接防护", passed=True, detail="fs.protected_hardlinks 已开启")
    return Probe(
        "硬链接防护",
        passed=False,
        detail="fs.protected_hardlinks 已关闭：能写投放目录的人可以把自己无权读取的文件链接进来",
        remedy="由系统管理员执行 sysctl -w fs.protected_hardlinks=1，并写入 /etc/sysctl.d",
    )


class LocalDirectory(Directory):
    """One directory.

    Args:
        root: The directory; it must be there.
        inside: Names of folders that lead from there to the one that is meant.
    """

    near = True

    def __init__(self, root: Path, inside: tuple[str, ...] = ()) -> None:
        self._base = root
        self._inside = inside
        self._root = root.joinpath(*inside)

    def folder(self, name: str) -> Self:
        """A directory inside this one, made if it is not there."""
        plain(name)
        with self._told(name), self._at() as at:
            try:
                os.mkdir(name, mode=DIRECTORY_MODE, dir_fd=at)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, "not a directory") from None
            else:
                made = os.open(name, _FOLDER | os.O_RDONLY, dir_fd=at)
                try:
                    os.fchmod(made, DIRECTORY_MODE)
                finally:
                    os.close(made)
                _flush(at)
        return type(self)(self._base, (*self._inside, name))

    def entries(self, pattern: str, strange: Told | None = None) -> Iterator[Entry]:
        """The files whose names match, as they come; hidden ones never match, folders are none."""
        plain(pattern)
        with contextlib.ExitStack() as stack:
            with self._told(str(self._root)):
                listed = stack.enter_context(self._listed())
                scan = stack.enter_context(os.scandir(listed))
            while True:
                with self._told(str(self._root)):  # a share may go away in the middle of it
                    found = next(scan, None)
                if found is None:
                    return
                name = found.name
                if not matches(name, pattern):
                    continue
                try:
                    about = found.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # taken away since
                except OSError as error:
                    raise translated(error, name) from error
                why = self._wrong(name, about)
                if why is None:
                    if stat.S_ISREG(about.st_mode):
                        yield Entry(name, about.st_size, about.st_mtime)
                elif strange is None:
                    raise why
                else:
                    strange(Strange(shown(_plainly(name)), name, why))

    def _wrong(self, name: str, about: os.stat_result) -> AdapterError | None:
        if stat.S_ISLNK(about.st_mode):
            return translated(OSError(errno.ELOOP, "symbolic link"), _plainly(name))
        if _no_text(name):
            return Malformed(f"文件名 {_bytes(name)} 不是 UTF-8", remedy="由提供方以 UTF-8 名称重新放入")
        return steering(name) if steers(name) else None

    def about(self, name: str) -> Entry | None:
        """A file as it is now, links not followed."""
        plain(name)
        try:
            with self._at() as at:
                about = os.lstat(name, dir_fd=at)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise translated(error, name) from error
        return Entry(name, about.st_size, about.st_mtime) if stat.S_ISREG(about.st_mode) else None

    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from an offset on, piece by piece."""
        with self._told(name):
            file = os.fdopen(self._opened(name, os.O_RDONLY), "rb", buffering=0)
        with file:
            yield from self._pieces(file, name, start)

    def exists(self, name: str) -> bool:
        """Whether a name is taken."""
        plain(name)
        with self._told(name), self._at() as at:
            try:
                os.lstat(name, dir_fd=at)
            except FileNotFoundError:
                return False
            return True

    def begin(self, name: str, content: bytes) -> None:
        """Start a file anew; the bytes are on the disk when this returns."""
        with self._told(name):
            with os.fdopen(self._made(name), "wb") as file:
                _fill(file, content)
            self._flush()

    def append(self, name: str, content: bytes) -> None:
        """Add to a file that is there; the bytes are on the disk when this returns."""
        with self._told(name), os.fdopen(self._opened(name, os.O_WRONLY | os.O_APPEND), "wb") as file:
            _fill(file, content)

    def rename(self, name: str, to: str, *, into: Self | None = None) -> None:
        """Give a file its name, here or in another directory of the same file system."""
        target = into or self
        plain(name)
        plain(to)
        with self._told(name), self._at() as at, target._at() as there:  # noqa: SLF001 - the same class
            os.rename(name, to, src_dir_fd=at, dst_dir_fd=there)
            _flush(there)
            if target is not self:
                _flush(at)

    def hidden(self, prefix: str) -> list[str]:
        """The hidden names that begin so."""
        with self._told(str(self._root)), self._listed() as listed:
            return [name for name in os.listdir(listed) if name.startswith(f".{prefix}")]  # noqa: PTH208 - of what is open

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no matter."""
        plain(name)
        with self._told(name), self._at() as at:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at)
            _flush(at)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the directory against other processes and threads.

        Raises:
            Unavailable: Somebody else holds it for longer than a commit takes.
        """
        with self._told(name):
            held = self._opened(name, os.O_RDWR | os.O_CREAT)
        try:
            _take(held, name)
            yield
        finally:
            os.close(held)

    def touched(self) -> int | None:
        """The directory's own time of change."""
        with self._told(str(self._root)):
            return self._root.stat().st_mtime_ns

    def clock(self) -> float:
        """This machine's clock."""
        return time.time()

    def upload(self, name: str, file: BinaryIO) -> str:
        """Copy a local file here; one that is here already is begun anew, as copying costs little."""
        digest = hashlib.sha256()
        file.seek(0)
        with self._told(name):
            with os.fdopen(self._made(name), "wb") as target:
                while piece := file.read(CHUNK):
                    digest.update(piece)
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            self._flush()
        return digest.hexdigest()

    def within(self, name: str) -> Self | None:
        """A directory inside this one, if it is one."""
        plain(name)
        with self._told(name), self._at() as at:
            try:
                about = os.lstat(name, dir_fd=at)
            except FileNotFoundError:
                return None
        return type(self)(self._base, (*self._inside, name)) if stat.S_ISDIR(about.st_mode) else None

    def visit(self, names: Sequence[str], use: Visitor[Seen], *, folder: str = "") -> list[Seen | AdapterError]:
        """Use many files, one after another: more at a time would not be quicker."""
        place = type(self)(self._base, (*self._inside, plain(folder))) if folder else self
        found: list[Seen | AdapterError] = []
        for number, name in enumerate(names):
            try:
                with self._told(name):
                    file = os.fdopen(place._opened(name, os.O_RDONLY), "rb", buffering=0)  # noqa: SLF001
            except AdapterError as error:
                found.append(error)
                continue
            with file:
                about = os.fstat(file.fileno())
                found.append(use(number, Entry(name, about.st_size, about.st_mtime), self._pieces(file, name)))
        return found

    def fill(self, files: Iterable[tuple[str, int, Opened]]) -> list[Malformed | None]:
        """Make many files; many are brought to the disk by one sync of the file system."""
        found: list[Malformed | None] = []
        made: list[str] = []
        for name, _, opened in files:
            wrong = None
            with self._told(name):
                with os.fdopen(self._made(name), "wb") as file:
                    try:
                        for chunk in opened():
                            file.write(chunk)
                    except Malformed as error:
                        wrong = error
                if wrong is None:
                    made.append(name)
                else:
                    with self._at() as at:
                        os.unlink(name, dir_fd=at)
            found.append(wrong)
        with self._told(str(self._root)):
            if len(made) <= FEW or not self._sync_all():
                for name in made:
                    written = self._opened(name, os.O_RDONLY)
                    try:
                        os.fsync(written)
                    finally:
                        os.close(written)
            self._flush()
        return found

    def rename_all(self, names: Iterable[tuple[str, str]], *, into: Self) -> int:
        """Rename many files, then bring both directories to the disk."""
        moved = 0
        with self._told(str(self._root)), self._at() as at, into._at() as there:
            for name, to in names:
                plain(name)
                plain(to)
                with self._told(name), contextlib.suppress(FileNotFoundError):
                    os.rename(name, to, src_dir_fd=at, dst_dir_fd=there)
                    moved += 1
            _flush(there)
            _flush(at)
        return moved

    def remove_all(self, names: Iterable[str]) -> None:
        """Remove many files, then bring the directory to the disk."""
        with self._told(str(self._root)), self._at() as at:
            for name in names:
                plain(name)
                with self._told(name), contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=at)
            _flush(at)

    def remove_folder(self, name: str, *, whole: bool = False) -> None:
        """Remove a directory."""
        plain(name)
        with self._told(name), self._at() as at:
            try:
                if whole and stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                    shutil.rmtree(name, dir_fd=at)
                else:
                    os.rmdir(name, dir_fd=at)
            except FileNotFoundError:
                return
            except OSError as error:
                if whole or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return
            _flush(at)

    def probes(self) -> list[Probe]:
        """Is the directory there and listed, is it guarded, can files be made and renamed in it, is there room."""
        root = self._root
        if not self.readable():
            return [Probe("列出目录", passed=False, detail=f"{root} 不存在或不能列出", remedy="建立目录并给予读取权限")]
        found = [Probe("列出目录", passed=True, detail=str(root)), hard_links()]
        remedy = "交付、移走已读文件和退回清单都需要写入权限"
        if not self.writable():
            return [*found, Probe("写入目录", passed=False, detail=f"{root} 不能写入", remedy=remedy)]
        found.append(Probe("写入目录", passed=True))
        try:
            found += renaming_probe(self)
        except AdapterError as error:
            return [*found, Probe("改名", passed=False, detail=error.message, remedy=error.remedy)]
        free = shutil.disk_usage(root).free
        return [*found, Probe("可用空间", passed=True, detail=f"{free >> 20} MB")]

    def writable(self) -> bool:
        """Whether files may be made here."""
        return os.access(self._root, os.W_OK | os.X_OK)

    def readable(self) -> bool:
        """Whether the directory is there and may be listed."""
        return self._root.is_dir() and os.access(self._root, os.R_OK | os.X_OK)

    def _made(self, name: str) -> int:
        """Make a file that was not there, to write to; one that was goes, what is no file is refused."""
        plain(name)
        with self._at() as at:
            with contextlib.suppress(FileNotFoundError):
                _only_files(os.lstat(name, dir_fd=at))
                os.unlink(name, dir_fd=at)
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFUL, FILE_MODE, dir_fd=at)
            # The mask has taken from what the opening asked for.
            os.fchmod(made, FILE_MODE)
            return made

    def _opened(self, name: str, how: int) -> int:
        """Open a file, and nothing else; without waiting, as a pipe that somebody put there has no other end."""
        plain(name)
        with self._at() as at:
            opened = os.open(name, how | _CAREFUL, FILE_MODE, dir_fd=at)
        try:
            _only_files(os.fstat(opened))
        except OSError:
            os.close(opened)
            raise
        return opened

    @contextlib.contextmanager
    def _at(self) -> Iterator[int]:
        """The directory itself, held open so that nobody can swap what leads to it."""
        at = os.open(self._base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in self._inside:
                within = os.open(name, os.O_PATH | _FOLDER, dir_fd=at)
                os.close(at)
                at = within
            yield at
        finally:
            os.close(at)

    @contextlib.contextmanager
    def _listed(self) -> Iterator[int]:
        """The directory, open to be listed."""
        with self._at() as at:
            listed = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=at)
        try:
            yield listed
        finally:
            os.close(listed)

    def _pieces(self, file: IO[bytes], name: str, start: int = 0) -> Iterator[bytes]:
        at, size = start, os.fstat(file.fileno()).st_size
        file.seek(start)
        while True:
            with self._told(name):
                chunk = file.read(CHUNK)
            if not chunk:
                return
            at += len(chunk)
            if at > size + CHUNK:
                raise changed(name)
            yield chunk

    def _sync_all(self) -> bool:
        """Bring the whole file system to the disk; False: this machine cannot say how."""
        function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if function is None:
            return False
        with self._listed() as listed:
            if function(listed):
                raise OSError(ctypes.get_errno(), "")
        return True

    def _flush(self) -> None:
        with self._at() as at:
            _flush(at)

    @contextlib.contextmanager
    def _told(self, place: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translated(error, place) from error


def _only_files(about: os.stat_result) -> None:
    if stat.S_ISLNK(about.st_mode):
        raise OSError(errno.ELOOP, "symbolic link")
    if not stat.S_ISREG(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, "not a file")


def _fill(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _flush(at: int) -> None:
    """Bring the names of an open directory to the disk."""
    directory = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=at)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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


def _bytes(name: str) -> str:
    return shown(os.fsencode(name).decode("ascii", "surrogateescape"))


def _plainly(name: str) -> str:
    """A name for :func:`shown`: what is no text, as its bytes."""
    return os.fsencode(name).decode("ascii", "surrogateescape") if _no_text(name) else name


def _no_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
