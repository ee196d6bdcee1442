from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from adapters import open_endpoint
from exchange.demo import fileserver
from exchange.demo.fileserver import FileServer


def test_the_folder_of_the_server_can_be_used_as_it_is_registered(tmp_path: Path) -> None:
    server = FileServer(tmp_path)
    try:
        options = server.options()
        assert options["key"] == "file:sftp.key"
        assert (tmp_path / "sftp.key").stat().st_mode & 0o777 == 0o600
        endpoint = open_endpoint("files", options | {"key": (tmp_path / "sftp.key").read_text()})
        assert [probe for probe in endpoint.test() if not probe.passed] == []
    finally:
        server.stop()
        server.stop()
        shutil.rmtree(server.drop.parent)
    with pytest.raises(OSError), socket.create_connection((options["host"], options["port"]), timeout=1):
        pass


def test_a_machine_without_the_program_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fileserver, "_PLACES", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="sshd"):
        FileServer(tmp_path)


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The account of the server must get at the program.
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "sshd")
        program.write_text('#!/bin/sh\nwhile [ "$1" != -E ]; do shift; done\necho no such luck > "$2"\nexit 1\n')
        for path in (program.parent, program):
            path.chmod(0o755)
        monkeypatch.setattr(fileserver, "_PLACES", folder)
        with pytest.raises(ConnectionError, match="no such luck"):
            FileServer(tmp_path)
