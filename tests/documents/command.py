"""The installed command, kept warm: its modules are read once, and each call is a fork of the process that read them.

The documents call it some sixty times; nine tenths of a call of its own would go into reading the same modules again.
Each call is nevertheless a process of its own, with the caller's words, environment, folder and streams.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 1 << 20
_SECONDS = 60

_CALLER = """\
#!{python} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    words = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [words], [0, 1, 2])
    line.shutdown(socket.SHUT_WR)
    sys.exit(int(line.recv(16) or 70))
"""


@contextmanager
def warm(folder: Path) -> Iterator[Path]:
    """The folder's file ``shutong``, to be called like the launcher while this is open."""
    address = folder / "line"
    caller = folder / "shutong"
    caller.write_text(_CALLER.format(python=sys.executable, address=str(address)))
    caller.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.documents.command", str(address)],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield caller
        finally:
            server.terminate()


def _serve(address: str) -> None:
    import exchange.demo  # with all it stands on
    from exchange.cli import main

    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        # Nobody waits for the calls: each tells its caller itself how it ended.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            line, _ = door.accept()
            with line:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    door.close()
                    _call(line, main)


def _call(line: socket.socket, main: Any) -> None:
    line.settimeout(_SECONDS)
    text, streams, _, _ = socket.recv_fds(line, _LARGEST, 3)
    while part := line.recv(_LARGEST):
        text += part
    words, folder, environment = json.loads(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["shutong", *words]
    status = 70
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        line.sendall(str(status).encode())
        os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1])
