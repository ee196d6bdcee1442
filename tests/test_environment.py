"""What ``conftest.py`` promises to every test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parent.parent


def test_no_test_reaches_another_machine() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"), socket.socket() as stranger:
        stranger.connect(("192.0.2.1", 80))
    with pytest.raises(pytest.fail.Exception, match=r"example\.invalid"):
        requests.get("http://example.invalid/", timeout=1)
    with pytest.raises(pytest.fail.Exception, match=r"0\.0\.0\.0"), socket.socket() as everybody:
        everybody.bind(("0.0.0.0", 0))


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        assert client.getpeername() == server.getsockname()


def test_the_users_own_settings_are_hidden() -> None:
    script = "import os, sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    this = "tests/test_environment.py::test_no_settings_are_seen"
    done = subprocess.run(
        [sys.executable, "-c", script, "-q", "-p", "no:cacheprovider", this],
        cwd=ROOT,
        env={**os.environ, "SHUTONG_HOME": "/somewhere"},
        check=False,
    )
    assert done.returncode == 0


def test_no_settings_are_seen() -> None:
    assert not [name for name in os.environ if name.startswith("SHUTONG_")]
