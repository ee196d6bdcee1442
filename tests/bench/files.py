"""``shutong bench files``: large files, many files and files of many rows, each beside what does the least.

By SFTP both sides speak with the same private server on loopback, in turn. Ours takes the digest on the way, brings
what it wrote to the disk and renames it; OpenSSH's client does none of the three. There a ratio is how many times as
many bytes a second we move, and more is better; of rows it is how many times as long we take, and less is better.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import SecretStr

from adapters.files.transports.place import Place
from adapters.files.transports.sftp import SftpDirectory
from adapters.files.transports.ssh import Login
from tests.bench import dropped, tree
from tests.bench.client import Client
from tests.bench.report import Result, told, watched
from tests.support.openssh import OpenSSHServer
from tests.support.servers import PostgreSQLServer

ROUNDS = 3
MEGABYTES = 1024
SIZE_VARIABLE = "SHUTONG_BENCH_FILE_MB"
"""Names another size, for a machine that is busy or small; the report says which was used."""

BASELINE = "OpenSSH sftp"


def sftp(server: OpenSSHServer, folder: Path, *, megabytes: int) -> list[Result]:
    """Get and put one file, each beside the client of OpenSSH.

    Args:
        server: The server.
        folder: A local folder.
        megabytes: How large the file is.
    """
    there = server.new_folder()
    content = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with (there / "given").open("wb") as file:
        for _ in range(megabytes):
            file.write(content)
            digest.update(content)
    directory = _directory(server, there)
    client = Client(server, folder)

    def get() -> None:
        with (folder / "got").open("w+b") as file:
            assert directory.download("given", file) == digest.hexdigest()

    def put() -> None:
        with (there / "given").open("rb") as file:
            assert directory.upload(".part", file) == digest.hexdigest()
        directory.rename(".part", "put")

    pairs: list[tuple[str, Callable[[], None], str]] = [
        ("get", get, f'get "{there}/given" "{folder}/theirs"'),
        ("put", put, f'put "{there}/given" "{there}/theirs"'),
    ]
    found = []
    for name, mine, command in pairs:
        seconds: list[float] = []
        against: list[float] = []
        with watched() as peak:
            for number in range(ROUNDS):
                against.append(_timed(lambda command=command: client.run(command)))  # type: ignore[misc]
                seconds.append(_timed(mine))
                told(f"{name} {number + 1}/{ROUNDS}: {seconds[-1]:.2f} s, {BASELINE} {against[-1]:.2f} s")
                for path in (there / "put", there / "theirs", folder / "got", folder / "theirs"):
                    path.unlink(missing_ok=True)
        found.append(_result(f"SFTP {name}, one file of {megabytes} MB, digest included", seconds, against, peak[0]))
    return found


def _sftp(folder: Path) -> list[Result]:
    with OpenSSHServer() as server:
        return sftp(server, folder, megabytes=int(os.environ.get(SIZE_VARIABLE, MEGABYTES)))


def _table(folder: Path) -> list[Result]:
    with PostgreSQLServer() as server:
        return dropped.table(server, folder, rows=1_000_000, rounds=ROUNDS)


def _tree(folder: Path) -> list[Result]:
    with OpenSSHServer() as server:
        return tree.tree(server, folder, many=10_000, rounds=ROUNDS)


PARTS: dict[str, Callable[[Path], list[Result]]] = {"sftp": _sftp, "tree": _tree, "table": _table}


def results(only: Sequence[str]) -> list[Result]:
    """Run the parts, all of them if none is named."""
    found = []
    for name in only or PARTS:
        with tempfile.TemporaryDirectory(prefix="shutong-bench-") as folder:
            found += PARTS[name](Path(folder))
    return found


def _directory(server: OpenSSHServer, root: Path) -> SftpDirectory:
    key = SecretStr(server.key.read_text())
    login = Login(host=server.host, port=server.port, user=server.user, host_key=server.host_key, key=key)
    return SftpDirectory(Place(login), os.fsencode(root))


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _result(name: str, seconds: Sequence[float], against: Sequence[float], peak_mb: int) -> Result:
    mine, theirs = statistics.median(seconds), statistics.median(against)
    return Result(
        name=name,
        seconds=round(mine, 3),
        baseline=BASELINE,
        baseline_seconds=round(theirs, 3),
        ratio=round(theirs / mine, 2),
        peak_mb=peak_mb,
    )
