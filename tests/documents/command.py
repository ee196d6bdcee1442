"""The installed command, kept warm: its modules are read once, and each call is a fork of the process that read them.

The documents call it some sixty times; nine tenths of a call of its own would go into reading the same modules again.
Each call is nevertheless a process of its own, with the caller's words, environment, folder and streams.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOST = 70
_LARGEST = 1 << 20
_SECONDS = 60

_CALLER = f"""\
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    words = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [words], [0, 1, 2])
    line.shutdown(socket.SHUT_WR)
    sys.exit(int(line.recv(16) or {LOST}))
"""


@contextmanager
def warm() -> Iterator[Path]:
    """A file ``shutong``, to be called like the launcher while this is open."""
    # Not in the tests' own folders: the address of a socket must be short.
    with TemporaryDirectory(prefix="shutong-") as place:
        address, program, caller = (Path(place, name) for name in ("line", "call.py", "shutong"))
        program.write_text(_CALLER)
        caller.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{program}" "{address}" "$@"\n')
        caller.chmod(0o755)
        server = [sys.executable, "-P", "-m", "tests.documents.command", str(address)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(server, env=environment, cwd=place, stdout=subprocess.PIPE) as running:
            try:
                assert running.stdout is not None
                assert running.stdout.readline() == b"ready\n"
                yield caller
            finally:
                running.terminate()


def _serve(address: str) -> None:
    import exchange.demo  # noqa: F401 - with all it stands on
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
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    words, folder, environment = json.loads(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    opened = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = opened
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["shutong", *words]
    status = LOST
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


def _end_with(line: socket.socket) -> None:
    """Whoever ends the caller, as a shell does with ``kill $!``, means the call."""
    waiting = select.poll()
    waiting.register(line, 0)
    waiting.poll()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(sys.argv[1])
