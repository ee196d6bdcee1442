"""Encrypted files (加密文件): manifests, refused rows and spool, from the first row.

A file is a header with a random salt and then frames of AES-256-GCM, one for each chunk appended and
an empty one that says the file ends here. Each file has a key of its own, derived from the vault's
key, the salt and the file's name; the frame's number is its nonce, and its place and whether it is
the last are authenticated with it. A file renamed, cut, extended or with frames exchanged does not open.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import secrets
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from exchange.errors import Failed, Invalid, Tampered, Unknown
from exchange.secrets.keyring import sync_folder

_MAGIC = b"STV1"
_SALT = 16
_TAG = 16
_LENGTH = struct.Struct(">I")
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
        # Closing over the key keeps it out of ``vars()`` and every dump of attributes.
        self._cipher = _cipher_of(key)

    def __repr__(self) -> str:
        return f"Vault({str(self._folder)!r}, ***)"

    def write(self, name: str) -> VaultWriter:
        """Begin a file, to be used in ``with``: it appears under its name at the end, whole, or not at all.

        A file of the same name is replaced.

        Raises:
            Invalid: The name is not a plain one.
            Failed: The disk does not take it, now or while it is written; later may help.
        """
        return VaultWriter(self._path(name), self._cipher)

    def read(self, name: str) -> Iterator[bytes]:
        """The chunks of a file in the order in which they were appended, one in memory at a time.

        A cut shows only at the end: what was read is to be trusted when the iteration has ended.

        Raises:
            Unknown: There is no such file.
            Tampered: It is not as it was written, or was written under another name or key.
        """
        with self._open(name) as file:
            end = os.fstat(file.fileno()).st_size
            header = file.read(len(_MAGIC) + _SALT)
            if len(header) != len(_MAGIC) + _SALT or not header.startswith(_MAGIC):
                raise _tampered(name)
            cipher = self._cipher(name, header[len(_MAGIC) :])
            number = 0
            while True:
                prefix = file.read(_LENGTH.size)
                if len(prefix) != _LENGTH.size:
                    raise _tampered(name)
                (length,) = _LENGTH.unpack(prefix)
                if not _TAG <= length <= end - file.tell():
                    raise _tampered(name)
                frame = file.read(length)
                # An appended chunk is never empty, so only the frame that ends the file has that length.
                last = length == _TAG
                try:
                    chunk = cipher.decrypt(_nonce(number), frame, _place(number, last=last))
                except InvalidTag as error:
                    raise _tampered(name) from error
                if last:
                    break
                yield chunk
                number += 1
            if file.read(1):
                raise _tampered(name)

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

    def __init__(self, path: Path, cipher_of: Callable[[str, bytes], AESGCM]) -> None:
        self._path = path
        self._cipher_of = cipher_of
        self._number = 0

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
            salt = secrets.token_bytes(_SALT)
            self._cipher = self._cipher_of(self._path.name, salt)
            self._file.write(_MAGIC + salt)
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
                self._frame(chunk, last=False)

    def _frame(self, chunk: bytes, *, last: bool) -> None:
        frame = self._cipher.encrypt(_nonce(self._number), chunk, _place(self._number, last=last))
        self._file.write(_LENGTH.pack(len(frame)))
        self._file.write(frame)
        self._number += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._give_up()
            return
        try:
            with self._writing():
                with self._file:
                    self._frame(b"", last=True)
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


def _cipher_of(key: bytes) -> Callable[[str, bytes], AESGCM]:
    def cipher(name: str, salt: bytes) -> AESGCM:
        info = b"shutong vault 1 " + name.encode()
        return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key))

    return cipher


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)


def _place(number: int, *, last: bool) -> bytes:
    return number.to_bytes(8) + (b"\x01" if last else b"\x00")


def _tampered(name: str) -> Tampered:
    return Tampered(f"加密文件 {name} 不是写入时的样子，或密钥不对", remedy="核对主密钥，并从备份恢复该文件")
