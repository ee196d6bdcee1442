"""A store of documents in memory, as the hub gives one to its endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from adapters.documents import DocumentStore
from adapters.errors import Malformed
from schemas.documents import Document


class Shelf(DocumentStore):
    """Documents in a folder, which workers of other processes share.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        content = b"".join(chunks)
        digest = hashlib.sha256(content).hexdigest()
        (self.root / digest).write_bytes(content)
        return digest, len(content)

    def chunks(self, digest: str) -> Iterator[bytes]:
        path = self.root / digest
        if not path.exists():
            raise Malformed("暂存处没有这个文件")
        content = path.read_bytes()
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]

    def has(self, digest: str) -> bool:
        return (self.root / digest).exists()

    def text(self, content: bytes, name: str) -> str:
        """Put a document; what stands for it in a row."""
        return Document(*self.put([content]), name).text()
