"""What an encrypted file looks like (加密帧): the one format of everything at rest.

A header with a random salt, then frames of AES-256-GCM, one for each chunk and an empty one that says the file ends
here. Each file has a key of its own, derived from the place's key, the salt and the file's name; the frame's number
is its nonce, and its place and whether it is the last are authenticated with it. A file under another name, cut,
extended or with frames exchanged does not open.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from exchange.errors import Tampered

_MAGIC = b"STV1"
_SALT = 16
_TAG = 16
_LENGTH = struct.Struct(">I")


class Frames:
    """Makes and opens encrypted files.

    Args:
        key: 32 bytes, see :meth:`exchange.secrets.Keyring.derive`.
    """

    def __init__(self, key: bytes) -> None:
        # Closing over the key keeps it out of ``vars()`` and every dump of attributes.
        self._cipher = _cipher_of(key)

    def __repr__(self) -> str:
        return "Frames(***)"

    def begin(self, name: str) -> Framing:
        """Begin a file of a name."""
        salt = secrets.token_bytes(_SALT)
        return Framing(self._cipher(name, salt), _MAGIC + salt)

    def read(self, name: str, file: BinaryIO, size: int) -> Iterator[bytes]:
        """The chunks of a file of so many bytes, one in memory at a time.

        A cut shows only at the end: what was read is to be trusted when the iteration has ended.

        Raises:
            Tampered: It is not as it was made, or was made under another name or key.
        """
        header = file.read(len(_MAGIC) + _SALT)
        if len(header) != len(_MAGIC) + _SALT or not header.startswith(_MAGIC):
            raise _tampered(name)
        cipher = self._cipher(name, header[len(_MAGIC) :])
        number, left = 0, size - len(header)
        while True:
            prefix = file.read(_LENGTH.size)
            if len(prefix) != _LENGTH.size:
                raise _tampered(name)
            (length,) = _LENGTH.unpack(prefix)
            left -= _LENGTH.size
            if not _TAG <= length <= left:
                raise _tampered(name)
            frame = file.read(length)
            left -= length
            # A chunk is never empty, so only the frame that ends the file has that length.
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


class Framing:
    """One file in the making.

    Args:
        cipher: Its own.
        header: What it begins with.
    """

    def __init__(self, cipher: AESGCM, header: bytes) -> None:
        self._cipher = cipher
        self._number = 0
        self.header = header

    def add(self, chunk: bytes) -> tuple[bytes, bytes]:
        """The bytes of a chunk, which is not empty: its length, and the frame."""
        return self._frame(chunk, last=False)

    def end(self) -> tuple[bytes, bytes]:
        """The bytes that end the file."""
        return self._frame(b"", last=True)

    def _frame(self, chunk: bytes, *, last: bool) -> tuple[bytes, bytes]:
        frame = self._cipher.encrypt(_nonce(self._number), chunk, _place(self._number, last=last))
        self._number += 1
        return _LENGTH.pack(len(frame)), frame


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
