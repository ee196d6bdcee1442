"""Bytes on their way in or out (暂存): in memory while they are few, then in a file that nobody can open.

The file has no name, and what is in it is encrypted under a key that only this process ever had: rows of a
message never lie on a disk in clear.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

IN_MEMORY = 1 << 20
CHUNK = 256 << 10


class Spool:
    """Written once from beginning to end, then read once or more.

    Args:
        in_memory: Bytes kept in memory before it becomes a file.

    Attributes:
        size: Bytes written.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self.size = 0
        self._in_memory = in_memory
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._key = b""
        self._nonce = b""

    @property
    def on_disk(self) -> bool:
        """Whether it has become a file."""
        return self._file is not None

    def write(self, content: bytes) -> int:
        """Add to the end."""
        if not content:
            return 0
        self.size += len(content)
        if self._file is None:
            self._parts.append(content)
            if self.size > self._in_memory:
                self._overflow()
        else:
            self._file.write(self._cipher.update(content))
        return len(content)

    def chunks(self) -> Iterator[bytes]:
        """All of it from the beginning, in pieces of :data:`CHUNK` bytes, none of them empty."""
        if self._file is None:
            self._parts = [b"".join(self._parts)]
            whole = self._parts[0]
            for start in range(0, len(whole), CHUNK):
                yield whole[start : start + CHUNK]
            return
        self._file.flush()
        self._file.seek(0)
        reading = Cipher(algorithms.AES(self._key), modes.CTR(self._nonce)).decryptor()
        while content := self._file.read(CHUNK):
            yield reading.update(content)

    def close(self) -> None:
        """Let go of it; what was in it is gone."""
        self._parts.clear()
        self._key = b""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _overflow(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="shutong-")  # noqa: SIM115 - closed with the spool
        self._key, self._nonce = secrets.token_bytes(32), secrets.token_bytes(16)
        self._cipher = Cipher(algorithms.AES(self._key), modes.CTR(self._nonce)).encryptor()
        for part in self._parts:
            self._file.write(self._cipher.update(part))
        self._parts.clear()
