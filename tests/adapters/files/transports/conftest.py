"""Directories to try the port on: one of this machine, one on a real server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from adapters.files.transports.place import Place
from adapters.files.transports.sftp import SftpDirectory
from adapters.files.transports.ssh import Login
from tests.support.openssh import OpenSSHServer


@dataclass
class Remote:
    """A directory on the server, as its department sees it and as we do."""

    server: OpenSSHServer
    root: Path
    place: dict[str, Any] = field(default_factory=dict)

    def login(self, **changes: Any) -> Login:
        """The account, with other details."""
        given: dict[str, Any] = {
            "host": self.server.host,
            "port": self.server.port,
            "user": self.server.user,
            "host_key": self.server.host_key,
            "key": SecretStr(self.server.key.read_text()),
            "idle": 10.0,
        }
        return Login(**(given | changes))

    def open(self, *, lease: float = 1.0, names: str = "utf-8", total: float = 60.0, **login: Any) -> SftpDirectory:
        """The directory, by a line or an account of its own."""
        return SftpDirectory(Place(self.login(**login), names, total, lease), os.fsencode(self.root))  # type: ignore[arg-type]


@pytest.fixture
def remote(openssh_server: OpenSSHServer) -> Remote:
    return Remote(openssh_server, openssh_server.new_folder())
