"""A local file that is sent, perhaps in several goes, and hashed once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from adapters.files.transports.base import CHUNK


class HashedFile:
    """A seekable file; each of its bytes is hashed once, however often it is read.

    Args:
        file: Open for reading.

    Attributes:
        size: How large it is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._hashed = 0
        self.size = file.seek(0, 2)

    def pieces(self, start: int) -> Iterator[bytes]:
        """The bytes from an offset on; those before it, where they were not yet, are hashed first."""
        self._file.seek(self._hashed)
        while self._hashed < start:
            self._add(self._file.read(min(CHUNK, start - self._hashed)), self._hashed)
        self._file.seek(start)
        at = start
        while piece := self._file.read(CHUNK):
            self._add(piece, at)
            at += len(piece)
            yield piece

    def hexdigest(self) -> str:
        """The SHA-256 of what has been read; of the whole, once all has been."""
        return self._digest.hexdigest()

    def _add(self, piece: bytes, at: int) -> None:
        self._digest.update(memoryview(piece)[max(0, self._hashed - at) :])
        self._hashed = max(self._hashed, at + len(piece))
