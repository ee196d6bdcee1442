"""A private OpenSSH server for the tests: SFTP only, for one account, that of whoever runs it."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import paramiko
from sqlalchemy import URL

from tests.support.packages import SSH_KEYGEN, SSHD
from tests.support.servers import PATIENCE, Server


class OpenSSHServer(Server):
    """A private OpenSSH.

    Args:
        denied: What its SFTP is not to offer, as ``sftp-server -P`` takes it.
        rekey: After how many bytes it changes keys.

    Attributes:
        root: A directory of the server's user that tests may fill.
        key: File of the private key that is let in.
        host_key: The server's public key, as one line.
    """

    product = "openssh"
    farewell = signal.SIGTERM

    def __init__(self, *, denied: str = "", rekey: str = "") -> None:
        super().__init__()
        self._rekey = [f"RekeyLimit {rekey}"] if rekey else []
        self._denied = f" -P {denied}" if denied else ""
        self.user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        self.root = self.folder / "drop"
        self.key = self.folder / "id"

    @property
    def host_key(self) -> str:
        """The public key that the server shows now."""
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    def new_key(self, name: str) -> Path:
        """Make a key pair; the file of the private one."""
        path = self.folder / name
        for each in (path, path.with_suffix(".pub")):
            each.unlink(missing_ok=True)
        command = [str(SSH_KEYGEN.path()), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
        subprocess.run(self._unprivileged(command), check=True, env=self._environment())
        return path

    def new_folder(self) -> Path:
        """An empty directory on the server, of its user."""
        self._databases += 1
        path = self.root / f"d{self._databases:04}"
        path.mkdir(mode=0o750)
        owner = self.folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        return path

    def options(self, root: Path, **changes: Any) -> dict[str, Any]:
        """What an endpoint at one of its directories is registered with, secrets opened."""
        given = {
            "transport": "sftp",
            "root": str(root),
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "host_key": self.host_key,
            "key": self.key.read_text(),
            # Whoever dies with the lock in hand is waited for.
            "lease": 1,
        }
        return given | changes

    def change_host_key(self) -> None:
        """Show another key from the next connection on."""
        assert self._process is not None
        begun = self._listened()
        self.new_key("host")
        self._process.send_signal(signal.SIGHUP)
        # Connections before it has begun anew may see either key, or nobody listening at all.
        deadline = time.monotonic() + PATIENCE
        while self._listened() == begun:
            if time.monotonic() > deadline:
                message = f"{self.product} does not begin anew:\n{self.log_tail()}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def _listened(self) -> int:
        """How often it has begun to listen."""
        return self.log.read_bytes().count(b"Server listening on")

    def _shown_key(self) -> str:
        """The public key that the server proves to have; empty while it does not answer."""
        try:
            with (
                socket.create_connection((self.host, self.port), timeout=5) as plug,
                contextlib.closing(paramiko.Transport(plug)) as transport,
            ):
                transport.start_client(timeout=5)
                key = transport.get_remote_server_key()
        except (OSError, EOFError, paramiko.SSHException):
            return ""
        return f"{key.get_name()} {key.get_base64()}"

    def go_away(self) -> None:
        """End the server and every connection to it; its files and its port stay."""
        assert self._process is not None
        for pid in [*self.sessions(), self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, keep_log_in: Path | None = None) -> None:
        """End the server, its connections too, and remove its data."""
        if self._process is not None:
            for pid in self.sessions():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        super().stop(keep_log_in)

    def come_back(self) -> None:
        """Start it again on the same port."""
        self._begun()
        self._wait()

    def sessions(self) -> list[int]:
        """The processes of its connections."""
        parents: dict[int, int] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything; what follows the last bracket may not.
                parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        found = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - {self.pid})

    def _prepare(self) -> None:
        self.root.mkdir(mode=0o750)
        owner = self.folder.stat()
        os.chown(self.root, owner.st_uid, owner.st_gid)
        self.new_key("host")
        self.new_key("id")
        self._private_file("authorized", (self.folder / "id.pub").read_text())

    def _command(self) -> list[str]:
        self._private_file(
            "config",
            "\n".join(
                [
                    f"ListenAddress {self.host}",
                    f"Port {self.port}",
                    f"HostKey {self.folder / 'host'}",
                    f"AuthorizedKeysFile {self.folder / 'authorized'}",
                    f"PidFile {self.folder / 'pid'}",
                    "UsePAM yes",
                    "StrictModes no",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PrintMotd no",
                    "MaxStartups 100",
                    "Subsystem sftp internal-sftp",
                    f"ForceCommand internal-sftp{self._denied}",
                    *self._rekey,
                    "",
                ]
            ),
        )
        said = [str(SSHD.path()), "-f", str(self.folder / "config")]
        # Since 9.8 whoever fails to log in is kept out for a while, and here everybody comes from one address.
        forgiving = ["-o", "PerSourcePenalties=no"]
        known = subprocess.run(
            self._unprivileged([*said, *forgiving, "-t"]), env=self._environment(), capture_output=True, check=False
        )
        return [*said, *(forgiving if known.returncode == 0 else ()), "-D", "-e"]

    def execute(self, statement: str) -> None:
        """A server of files carries out no statements."""
        raise AssertionError(statement)

    def drop_database(self, url: str) -> None:
        """A server of files has no databases."""
        raise AssertionError(url)

    def _url(self, database: str) -> URL:
        raise AssertionError(database)

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            if self._greets():
                return True
            time.sleep(0.05)
        process.kill()
        process.wait()
        return False

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while not self._greets():
            assert time.monotonic() < deadline, self.log_tail()
            time.sleep(0.05)

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as plug:
                return plug.recv(4) == b"SSH-"
        except OSError:
            return False
