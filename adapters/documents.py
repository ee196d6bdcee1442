"""Where documents lie at the hub (文件暂存): bytes known by their digest.

A source puts a document here before anybody is told that it was taken, and hands over only its
:class:`~schemas.documents.Document`; a sink takes it from here. Whoever provides the store encrypts what lies in it,
and removes what nobody needs any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Putting(Protocol):
    """Takes documents."""

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep a document, see :meth:`DocumentStore.put`; many threads may do so."""


class DocumentStore(ABC):
    """Documents by digest. One object may serve many threads."""

    @abstractmethod
    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep a document; it is durable, whole, when this returns, also if it was there already.

        Returns:
            Its SHA-256 in hex, and its size in bytes.

        Raises:
            Unavailable: It cannot be kept now; nothing of it is left.
        """

    def together(self) -> AbstractContextManager[Putting]:
        """Put many: what is put is there and durable when the block is left, and none of it if that fails."""
        return nullcontext(self)

    @abstractmethod
    def chunks(self, digest: str) -> Iterator[bytes]:
        """A document's bytes, piece by piece, each at most one MiB.

        What was read is to be trusted when the iteration has ended.

        Raises:
            Malformed: It is not there, or not as it was put.
        """

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Whether a document is there."""
