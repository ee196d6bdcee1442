"""Where rows wait that are pushed to a place without a stage of its own (推送暂存), encrypted under the hub's key."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.spool import Spool
from exchange.errors import Unknown
from exchange.secrets import Keyring, Vault

FOLDER = "spool"
_CHUNK = 8 << 20


class HubSpool(Spool):
    """The spool of one endpoint.

    Args:
        home: The hub's home.
        keyring: Its keys; asked when a file is first read or written, and not before.
        endpoint: Name of the endpoint.
    """

    def __init__(self, home: Path, keyring: Keyring, endpoint: str) -> None:
        # Endpoints are called what people like; folders are not.
        self._folder = home / FOLDER / hashlib.sha256(endpoint.encode()).hexdigest()[:16]
        self._keyring = keyring
        self._endpoint = endpoint

    def write(self, name: str, content: bytes) -> None:
        """Write a file, encrypted."""
        with self._vault().write(name) as writer:
            for start in range(0, len(content), _CHUNK):
                writer.append(content[start : start + _CHUNK])

    def read(self, name: str) -> bytes | None:
        """A file, proven to be as it was written."""
        try:
            return b"".join(self._vault().read(name))
        except Unknown:
            return None

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._vault().remove(name)

    def names(self, beginning: str) -> tuple[str, ...]:
        """The names that begin so."""
        return tuple(name for name in self._vault().names() if name.startswith(beginning))

    def _vault(self) -> Vault:
        return Vault(self._folder, self._keyring.derive("spool", self._endpoint))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a name by a lock on a file of it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
