from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.openssh import OpenSSHServer
from tests.support.proxy import Line


def _greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plug:
        return plug.recv(4)


def test_it_runs_without_rights_and_leaves_nothing() -> None:
    with OpenSSHServer() as server:
        uid = Path(f"/proc/{server.pid}").stat().st_uid
        assert uid == server.root.stat().st_uid
        assert uid != 0 or os.geteuid() != 0
        folder, pid = server.folder, server.pid
        assert _greeting(server.port) == b"SSH-"
        assert server.new_folder() != server.new_folder()
        assert server.options(server.root)["host_key"].startswith("ssh-ed25519 ")
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_it_goes_away_and_comes_back() -> None:
    with OpenSSHServer() as server:
        before = server.host_key
        with socket.create_connection((server.host, server.port), timeout=5) as plug:
            assert plug.recv(4) == b"SSH-"
            assert server.sessions() != []
            server.go_away()
            with suppress(ConnectionResetError):
                while plug.recv(1024):
                    pass
        with pytest.raises(OSError, match="refused"):
            _greeting(server.port)
        server.come_back()
        assert server.host_key == before
        assert server._shown_key() == before
        for _ in range(3):
            before = server.host_key
            server.change_host_key()
            assert before != server.host_key == server._shown_key()


def test_a_line_is_cut_and_goes_silent(openssh_server: OpenSSHServer) -> None:
    with Line(openssh_server.port) as line:
        assert _greeting(line.port) == b"SSH-"
        line.silent.set()
        with pytest.raises(TimeoutError), socket.create_connection(("127.0.0.1", line.port), timeout=0.3) as plug:
            plug.recv(4)
        line.cut()
        line.silent.clear()
        line.cut_after(1)
        assert _greeting(line.port) == b""
        assert line.opened == 3
