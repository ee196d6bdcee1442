"""A file put aside for the time of a pass (暂存): small ones in memory, larger ones encrypted and without a name.

However its owner dies, the system takes the file away; its key is in memory alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.files.errors import put_aside

IN_MEMORY = 8 << 20
"""Bytes that are kept in memory; what is larger goes to the disk."""
_TAG = 16


class Aside:
    """Chunks of bytes, to be read again in their order as often as wanted.

    Args:
        folder: On whose disk; None: where the system keeps such files.
        most: Bytes kept in memory.
    """

    def __init__(self, folder: Path | None = None, most: int = IN_MEMORY) -> None:
        self._folder = folder
        self._most = most
        self._held: list[bytes] = []
        self._file: BinaryIO | None = None
        self._places: list[int] = []
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self.size = 0

    def append(self, chunk: bytes) -> None:
        """Put a chunk aside.

        Raises:
            Unavailable: There is no room for it.
        """
        self.size += len(chunk)
        if self._file is None and self.size <= self._most:
            self._held.append(chunk)
            return
        with put_aside():
            if self._file is None:
                if self._folder is not None:
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close
                held, self._held = self._held, []
                for each in held:
                    self._write(each)
            self._write(chunk)

    def chunks(self) -> Iterator[bytes]:
        """The chunks, in their order."""
        yield from self._held
        if self._file is None:
            return
        start = 0
        for number, length in enumerate(self._places):
            self._file.seek(start)
            yield self._cipher.decrypt(number.to_bytes(12), self._file.read(length), None)
            start += length

    def close(self) -> None:
        """Let go of everything."""
        self._held = []
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, chunk: bytes) -> None:
        assert self._file is not None  # noqa: S101 - for the types
        self._file.seek(0, 2)
        self._file.write(self._cipher.encrypt(len(self._places).to_bytes(12), chunk, None))
        self._places.append(len(chunk) + _TAG)
