"""Encrypted files (加密文件): manifests, refused rows and spool, from the first row.

Each is written as :mod:`exchange.secrets.frames` says, under its own name: a file renamed, cut, extended or with
frames exchanged does not open.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from exchange.errors import Failed, Invalid, Unknown
from exchange.secrets.frames import Frames
from exchange.secrets.keyring import sync_folder

_LARGEST = 2**30
_PART = ".part"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")


class Vault:
    """A folder of encrypted files.

    Args:
        folder: Where they lie; made when first written to, open to its owner alone.
        key: 32 bytes, see :meth:`exchange.secrets.Keyring.derive`.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._frames = Frames(key)

    def __repr__(self) -> str:
        return f"Vault({str(self._folder)!r}, ***)"

    def write(self, name: str) -> VaultWriter:
        """Begin a file, to be used in ``with``: it appears under its name at the end, whole, or not at all.

        A file of the same name is replaced.

        Raises:
            Invalid: The name is not a plain one.
            Failed: The disk does not take it, now or while it is written; later may help.
        """
        return VaultWriter(self._path(name), self._frames)

    def read(self, name: str) -> Iterator[bytes]:
        """The chunks of a file in the order in which they were appended, one in memory at a time.

        A cut shows only at the end: what was read is to be trusted when the iteration has ended.

        Raises:
            Unknown: There is no such file.
            Tampered: It is not as it was written, or was written under another name or key.
        """
        with self._open(name) as file:
            yield from self._frames.read(name, file, os.fstat(file.fileno()).st_size)

    def digest(self, name: str) -> str:
        """SHA-256 of a file as it lies there, encrypted, in hex.

        Raises:
            Unknown: There is no such file.
        """
        with self._open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def exists(self, name: str) -> bool:
        """Whether there is a whole file of that name."""
        return self._path(name).is_file()

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is already removed."""
        self._path(name).unlink(missing_ok=True)
        if self._folder.is_dir():
            sync_folder(self._folder)

    def names(self) -> tuple[str, ...]:
        """Names of the whole files."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._folder.iterdir() if _PLAIN.fullmatch(path.name)))

    def sweep(self) -> int:
        """Remove what writers that died have left unfinished, and say how many there were.

        A living writer holds a lock on its file, which is left alone.
        """
        swept = 0
        for path in sorted(self._folder.glob(f".*{_PART}")):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                path.unlink(missing_ok=True)
                swept += 1
        return swept

    def _path(self, name: str) -> Path:
        if not _PLAIN.fullmatch(name):
            raise Invalid("加密文件的名称只能由字母、数字、点、横线和下划线组成，不以点开头")
        return self._folder / name

    def _open(self, name: str) -> io.BufferedReader:
        try:
            return self._path(name).open("rb")
        except FileNotFoundError as error:
            raise Unknown(f"没有加密文件 {name}", remedy="从备份恢复，或核对名称") from error


class VaultWriter:
    """A file being written, see :meth:`Vault.write`."""

    def __init__(self, path: Path, frames: Frames) -> None:
        self._path = path
        self._frames = frames

    def __enter__(self) -> VaultWriter:
        folder = self._path.parent
        with self._writing():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                self._beside = folder / f".{self._path.name}.{secrets.token_hex(8)}{_PART}"
                descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # A sweep may have come between making the file and locking it.
                if os.fstat(descriptor).st_nlink:
                    break
                os.close(descriptor)
            self._file = os.fdopen(descriptor, "wb")
            self._framing = self._frames.begin(self._path.name)
            self._file.write(self._framing.header)
        return self

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A disk that is full, or a folder that is shut, is told as what a person can mend."""
        try:
            yield
        except OSError as error:
            raise Failed(
                f"加密文件 {self._path.name} 写不进 {self._path.parent}：{os.strerror(error.errno or 0)}",
                remedy="检查平台所在磁盘的空间和目录的权限，之后重试",
                retry=True,
            ) from error

    def append(self, chunk: bytes) -> None:
        """Append a chunk; an empty one is nothing.

        Raises:
            Invalid: It is larger than a gigabyte.
        """
        if len(chunk) > _LARGEST:
            raise Invalid("一次写入加密文件的内容过大", remedy="减小 batch_rows")
        if chunk:
            with self._writing():
                self._file.writelines(self._framing.add(chunk))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._give_up()
            return
        try:
            with self._writing():
                with self._file:
                    self._file.writelines(self._framing.end())
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    # Renamed while the lock is held: a sweep cannot come between.
                    self._beside.rename(self._path)
                sync_folder(self._path.parent)
        except Failed:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._beside.unlink(missing_ok=True)
        # What the disk did not take before it does not take now.
        with suppress(OSError):
            self._file.close()
