"""A department's SFTP server (文件服务器): OpenSSH's own, for one account and one folder, as long as the city lives.

It runs as an account without rights where the demonstration runs as root, else as whoever runs that. Where it cannot be
started the department's folder is a local one; the demonstration says so.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

HOST = "127.0.0.1"
START_SECONDS = 10
_PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""Servers are not on everybody's path."""


class FileServer:
    """An SFTP server in a process of its own.

    Args:
        home: Home of the city: the hub's key to the server is laid there.

    Attributes:
        drop: The folder, on the server and on this machine alike; it stays when the server has stopped.

    Raises:
        OSError: It cannot be started here; says why.
    """

    def __init__(self, home: Path) -> None:
        program = shutil.which("sshd", path=_PLACES)
        if program is None:
            raise FileNotFoundError("本机没有 sshd")
        account = _account()
        # Nobody else may enter the city's home, so that what the server's account must reach lies beside it.
        self._folder = Path(tempfile.mkdtemp(prefix="shutong-demo-sftp-"))
        self.drop = self._folder / "drop"
        self.drop.mkdir(mode=0o750)
        ours, host = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        _private(home / "sftp.key", _written(ours))
        _private(self._folder / "host", _written(host))
        _private(self._folder / "authorized", _public(ours))
        self._host_key = _public(host).decode()
        self._user = account.pw_name
        with socket.socket() as plug:
            plug.bind((HOST, 0))
            self._port = plug.getsockname()[1]
        self._process = self._start(program, account)
        self._await()

    def options(self) -> dict[str, Any]:
        """How the folder is registered as an endpoint."""
        return {
            "transport": "sftp",
            "root": str(self.drop),
            "host": HOST,
            "port": self._port,
            "user": self._user,
            "host_key": self._host_key,
            "key": "file:sftp.key",
        }

    def stop(self) -> None:
        """Stop it, with its connections. Repeatable."""
        if self._process.returncode is not None:
            return
        # Its number is nobody else's until it has been waited for, and so is that of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _start(self, program: str, account: pwd.struct_passwd) -> subprocess.Popen[bytes]:
        config = [
            f"ListenAddress {HOST}",
            f"Port {self._port}",
            f"HostKey {self._folder / 'host'}",
            f"AuthorizedKeysFile {self._folder / 'authorized'}",
            f"PidFile {self._folder / 'pid'}",
            # Without it an account that nobody can sign in to by password is locked.
            "UsePAM yes",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "Subsystem sftp internal-sftp",
            "ForceCommand internal-sftp",
        ]
        _private(self._folder / "config", "\n".join([*config, ""]).encode())
        _private(self._folder / "log", b"")
        ids: dict[str, Any] = {}
        if os.geteuid() == 0:
            for path in [self._folder, *self._folder.iterdir()]:
                os.chown(path, account.pw_uid, account.pw_gid)
            ids = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        # However the demonstration ends, its server ends with it.
        leash = shutil.which("setpriv", path=_PLACES)
        command = [leash, "--pdeathsig", "KILL", "--"] if leash else []
        command += [program, "-D", "-E", str(self._folder / "log"), "-f", str(self._folder / "config")]
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        return subprocess.Popen(command, **quiet, **ids, cwd=self._folder, start_new_session=True)  # noqa: S603

    def _await(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), timeout=2) as plug:
                if plug.recv(4) == b"SSH-":
                    return
            time.sleep(0.02)
        self.stop()
        told = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        shutil.rmtree(self._folder)
        raise ConnectionError(f"sshd 没有启动：{told[-1] if told else '没有说明原因'}")


def _account() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody" if os.geteuid() == 0 else getpass.getuser())


def _written(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
