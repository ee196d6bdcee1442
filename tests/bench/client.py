"""OpenSSH's own client, which the benchmarks of files compare with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.openssh import OpenSSHServer
from tests.support.packages import SFTP


class Client:
    """The client, with the account's key and the server's.

    Args:
        server: Whose.
        folder: Where its files are laid.
    """

    def __init__(self, server: OpenSSHServer, folder: Path) -> None:
        key = folder / "id"
        key.touch(mode=0o600)
        key.write_text(server.key.read_text())
        known = folder / "known_hosts"
        known.write_text(f"[{server.host}]:{server.port} {server.host_key}\n")
        options = [
            f"UserKnownHostsFile={known}",
            "GlobalKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
        ]
        words = [word for option in options for word in ("-o", option)]
        self._command = [
            str(SFTP.path()), "-F", "/dev/null", "-q", "-b", "-", "-P", str(server.port), "-i", str(key), *words,
            f"{server.user}@{server.host}",
        ]  # fmt: skip

    def run(self, command: str) -> None:
        subprocess.run(self._command, input=command.encode(), stdout=subprocess.DEVNULL, check=True)
