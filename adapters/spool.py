"""A place of the hub's own where a sink keeps what its target has no place for (暂存处).

A foreign service has no stage and no ledger. So what is staged for it, and what it has acknowledged, is kept by the hub
and handed to the adapter as a :class:`Spool`: small whole files, durable when they are written, encrypted by whoever
provides them.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager


def short(text: str) -> str:
    """A name, of files and other things, that stands for a key of any length and spelling."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Spool(ABC):
    """Files by name; letters, digits, points, hyphens and underscores."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, in the place of one of the same name; it is durable when this returns."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A file, None if there is none of that name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is already removed."""

    @abstractmethod
    def names(self, beginning: str) -> tuple[str, ...]:
        """The names that begin so, sorted."""

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a name against every other process; death lets go of it."""
