from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import pytest

from adapters.documents import DocumentStore
from adapters.errors import Malformed


class InMemory(DocumentStore):
    """The simplest store that keeps the promises of the port."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        content = b"".join(chunks)
        digest = hashlib.sha256(content).hexdigest()
        self.kept[digest] = content
        return digest, len(content)

    def chunks(self, digest: str) -> Iterator[bytes]:
        if digest not in self.kept:
            raise Malformed("文件不在暂存处")
        yield self.kept[digest]

    def has(self, digest: str) -> bool:
        return digest in self.kept


def test_a_document_is_found_by_its_digest() -> None:
    store = InMemory()
    digest, size = store.put([b"ab", b"c"])
    assert (digest, size) == (hashlib.sha256(b"abc").hexdigest(), 3)
    assert store.has(digest)
    assert b"".join(store.chunks(digest)) == b"abc"
    with pytest.raises(Malformed):
        list(store.chunks("0" * 64))
