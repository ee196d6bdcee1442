"""Rows put aside for the time of one task (暂存): encrypted, and gone with whoever put them there.

The file has no name: however its owner dies, the system takes it away. Its key is in memory alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_TAG = 16


class Spool:
    """Chunks of bytes on disk, for as long as this object lives.

    Args:
        folder: On whose disk; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._places: list[tuple[int, int]] = []

    def append(self, chunk: bytes) -> int:
        """Put a chunk aside; answers the number to ask for it by."""
        number = len(self._places)
        start = self._file.seek(0, 2)
        self._file.write(self._cipher.encrypt(_nonce(number), chunk, None))
        self._places.append((start, len(chunk) + _TAG))
        return number

    def read(self, number: int) -> bytes:
        """A chunk again."""
        start, length = self._places[number]
        self._file.seek(start)
        return self._cipher.decrypt(_nonce(number), self._file.read(length), None)

    def close(self) -> None:
        """Let go of everything."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)
